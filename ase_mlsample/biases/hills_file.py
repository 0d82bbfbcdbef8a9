"""HILLS files, as PLUMED's tools read and write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain
from ase_mlsample.biases.growing_file import GrowingFile, domain_settings
from ase_mlsample.biases.hills_table import Hills, parse_hills

__all__ = ["HillsFile", "read_hills"]

FloatArray = NDArray[np.float64]


def read_hills(path: str | Path) -> Hills:
    """Read a HILLS file of ours or of PLUMED.

    A last line without its end, as a killed run leaves it, is left out. Numbers are taken as they are: a
    file of PLUMED is in its units (kJ/mol and nm unless the input said otherwise).

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Hills

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For a file that is no HILLS file, or holds a line that is none of a hill, named by its number.

    Examples
    --------
    >>> hills = read_hills("HILLS")                                       # doctest: +SKIP
    >>> hills.free_energy([[0.5], [1.0]])                                 # doctest: +SKIP
    """
    hills, _ = parse_hills(Path(path).read_bytes(), source=str(path))
    return hills


@dataclass(frozen=True, slots=True)
class _Format:
    names: tuple[str, ...]
    domains: tuple[Domain, ...]
    bias_factor: float | None

    def header(self) -> bytes:
        fields = ["time", *self.names, *(f"sigma_{name}" for name in self.names), "height", "biasf"]
        lines = [f"FIELDS {' '.join(fields)}", "SET multivariate false", "SET kerneltype stretched-gaussian"]
        lines += domain_settings(self.names, self.domains)
        return "".join(f"#! {line}\n" for line in lines).encode()

    def rows(self, times: FloatArray, centers: FloatArray, sigmas: FloatArray, heights: FloatArray) -> bytes:
        factor = self.bias_factor
        # PLUMED's column holds what gives F, not V
        column = heights if factor is None else heights * (factor / (factor - 1))
        last = "-1" if factor is None else f"{factor:.17g}"
        table = np.column_stack([times, centers, sigmas, column]).tolist()
        return "".join(" ".join(f"{value:.17g}" for value in row) + f" {last}\n" for row in table).encode()


class HillsFile(GrowingFile):
    """A HILLS file that grows: each line is with the operating system before the run goes on.

    Parameters
    ----------
    path : str or Path
    names : sequence of str
        Of the variables.
    domains : sequence
        The period of each variable, (low, high) or None.
    bias_factor : float or None
        None for metadynamics that is not tempered.
    """

    def __init__(
        self,
        path: str | Path,
        names: Sequence[str],
        domains: Sequence[Domain],
        *,
        bias_factor: float | None,
    ) -> None:
        self._format = _Format(tuple(names), tuple(domains), bias_factor)
        super().__init__(path, self._format.header(), kind="HILLS")

    def append(self, times: FloatArray, centers: FloatArray, sigmas: FloatArray, heights: FloatArray) -> None:
        """Write hills: times (n,), centers and sigmas (n, d), heights (n,) as added to V."""
        self.write(self._format.rows(times, centers, sigmas, heights))
