"""Files of coefficients, as PLUMED's VES module writes and reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.growing_file import GrowingFile

__all__ = ["CoefficientFile", "Coefficients", "read_coefficients"]

FloatArray = NDArray[np.float64]
_LABEL = "ves"


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients of a run, as they were written in turn.

    Attributes
    ----------
    names : tuple of str
        Of the variables.
    iterations : ndarray (n,)
    times : ndarray (n,)
        As the file has them.
    mean, instantaneous : ndarray (n, m₁, …)
        ā, which make the bias, and a, which the optimiser moves.
    """

    names: tuple[str, ...]
    iterations: NDArray[np.int64]
    times: FloatArray
    mean: FloatArray
    instantaneous: FloatArray


class CoefficientFile(GrowingFile):
    """A file of coefficients that grows, one block an iteration; it begins with zeros, of iteration 0.

    Parameters
    ----------
    path : str or Path
    names : sequence of str
        Of the variables.
    shape : sequence of int
        Number of functions of each variable.
    """

    def __init__(self, path: str | Path, names: Sequence[str], shape: Sequence[int]) -> None:
        self._names, self._shape = tuple(names), tuple(shape)
        self._indices = np.indices(self._shape).reshape(len(self._shape), -1, order="F").T.tolist()
        zeros = np.zeros(self._shape)
        super().__init__(path, self._block(0, 0.0, zeros, zeros), kind="coefficient")

    def append(self, iteration: int, time: float, mean: FloatArray, instantaneous: FloatArray) -> None:
        """Write the coefficients (m₁, …) of an iteration."""
        self.write(self._block(iteration, time, mean, instantaneous))

    def _block(self, iteration: int, time: float, mean: FloatArray, instantaneous: FloatArray) -> bytes:
        fields = [
            *(f"idx_{name}" for name in self._names),
            f"{_LABEL}.coeffs",
            f"{_LABEL}.aux_coeffs",
            "index",
        ]
        lines = [f"#! FIELDS {' '.join(fields)}", f"#! SET time {time:.6f}", f"#! SET iteration {iteration}"]
        lines += ["#! SET type LinearBasisSet", f"#! SET ndimensions {len(self._shape)}"]
        lines += [f"#! SET ncoeffs_total {mean.size}"]
        lines += [f"#! SET shape_{name} {n}" for name, n in zip(self._names, self._shape, strict=True)]
        columns = mean.ravel(order="F").tolist(), instantaneous.ravel(order="F").tolist()
        for number, (index, one, other) in enumerate(zip(self._indices, *columns, strict=True)):
            lines.append(f"{' '.join(map(str, index))} {one:.17g} {other:.17g} {number}")
        return ("\n".join(lines) + "\n#!-------------------\n\n\n").encode()


def read_coefficients(path: str | Path) -> Coefficients:
    """Read a file of coefficients, ours or PLUMED's; a last block that is not whole is left out.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Coefficients

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For a file of another kind.
    """
    blocks = Path(path).read_text(encoding="utf-8").split("#!-------------------")[:-1]
    read = [_parse(block, path) for block in blocks]
    if not read:
        raise ValueError(f"{path} holds no whole block of coefficients")
    names = read[0][0]
    if any(block[0] != names or block[3].shape != read[0][3].shape for block in read):
        raise ValueError(f"{path} holds coefficients of different variables or bases")
    return Coefficients(
        names,
        np.array([block[1] for block in read], dtype=np.int64),
        np.array([block[2] for block in read]),
        np.array([block[3] for block in read]),
        np.array([block[4] for block in read]),
    )


def _parse(block: str, path: str | Path) -> tuple[tuple[str, ...], int, float, FloatArray, FloatArray]:
    lines = [line.split() for line in block.splitlines() if line.strip()]
    fields = next((line[2:] for line in lines if line[:2] == ["#!", "FIELDS"]), [])
    settings = {line[2]: line[3] for line in lines if line[:2] == ["#!", "SET"] and len(line) == 4}
    names = tuple(field.removeprefix("idx_") for field in fields if field.startswith("idx_"))
    rows = [line for line in lines if not line[0].startswith("#")]
    try:
        shape = tuple(int(settings[f"shape_{name}"]) for name in names)
        table = np.array(rows, dtype=np.float64).reshape(-1, len(fields))
        columns = [
            next(k for k, f in enumerate(fields) if f.endswith(end)) for end in (".coeffs", ".aux_coeffs")
        ]
        mean, other = (table[:, k].reshape(shape, order="F") for k in columns)
        # time is only in files of runs, not in those of a single set
        return names, int(settings["iteration"]), float(settings.get("time", 0.0)), mean, other
    except (KeyError, ValueError, StopIteration) as error:
        raise ValueError(f"{path} is no file of coefficients: {error!r} in a block of it") from None
