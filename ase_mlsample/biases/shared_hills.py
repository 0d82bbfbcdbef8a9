"""Walkers in several processes that build up one bias, through files in a directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.arguments import whole
from ase_mlsample.biases.hills_table import Hills, parse_hills

if TYPE_CHECKING:
    from ase_mlsample.biases.hills import MetadynamicsBias

__all__ = ["SharedHills"]

FloatArray = NDArray[np.float64]


class SharedHills:
    """The directory in which each walker writes ``HILLS.<walker>`` and reads the files of all others.

    Walkers may start, end and be continued at any time, each from its own checkpoint: when one goes back to
    an older state and its file is cut, the others take back the hills that are gone. A line that is still
    being written is read next time.

    Parameters
    ----------
    directory : path
        Made when the first hill is written.
    walker : str or int
        Name of this walker, its own among all.
    pace : int
        Steps from one look at the others' files to the next.

    Raises
    ------
    ValueError
        For a name that is no file name, or a pace below 1.

    Notes
    -----
    How hills of others come in depends on when they are written, so a run of several walkers is not repeated
    exactly. ``plumed sum_hills --hills HILLS.a,HILLS.b`` sums several files.

    References
    ----------
    P. Raiteri, A. Laio, F. L. Gervasio, C. Micheletti, M. Parrinello, J. Phys. Chem. B 110, 3533 (2006).

    Examples
    --------
    >>> from ase_mlsample.biases import MetadynamicsBias, SharedHills
    >>> walkers = SharedHills("hills", walker=0, pace=5000)
    >>> bias = MetadynamicsBias(
    ...     kT=0.026, sigma=0.1, height=0.03, bias_factor=10, pace=500, walkers=walkers
    ... )
    """

    def __init__(self, directory: str | Path, *, walker: str | int, pace: int) -> None:
        self.directory, self.walker = Path(directory), str(walker)
        if self.walker.startswith(".") or "/" in self.walker or self.walker.split() != [self.walker]:
            raise ValueError(f"walker must be a name or number that can end a file's name, got {walker!r}")
        self.pace = whole(pace, "pace of the walkers")
        self._others: dict[str, _Other] = {}

    @property
    def path(self) -> Path:
        """The file that this walker writes."""
        return self.directory / f"HILLS.{self.walker}"

    def changes(self, bias: MetadynamicsBias) -> Iterator[tuple[Hills, float]]:
        """Look at the others' files; give hills that are new with 1.0, hills that are gone with −1.0.

        Raises
        ------
        ValueError
            For a file that is broken, or of other variables or another bias factor.
        """
        for path in sorted(self.directory.glob("HILLS.*")):
            if path.name != self.path.name:
                other = self._others.setdefault(path.name, _Other())
                yield from other.look(path, bias)

    def state(self) -> dict[str, Any]:
        """Return what was read of each file, as plain values and arrays."""
        return {name: other.state() for name, other in self._others.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self._others = {name: _Other.of_state(entry) for name, entry in state.items()}


class _Other:
    """What was read so far of another walker's file."""

    def __init__(self) -> None:
        self._header, self._last = b"", b""  # the last line read tells whether the file was cut meanwhile
        self._end = 0
        self._parts: list[FloatArray] = []

    def look(self, path: Path, bias: MetadynamicsBias) -> Iterator[tuple[Hills, float]]:
        """Give what changed in the file since the last look."""
        with path.open("rb") as file:
            file.seek(self._end - len(self._last))
            content = file.read()
        if self._end and content.startswith(self._last):
            yield from self._go_on(content[len(self._last) :], path, bias)
            return
        content = path.read_bytes()
        if _has_data(content):
            yield from self._compare(content, path, bias)
        elif self._parts:  # cut back to its header, or to nothing
            gone = self._rows()
            self._header, self._last, self._end, self._parts = b"", b"", 0, []
            yield _of_rows(gone, bias), -1.0

    def state(self) -> dict[str, Any]:
        texts = {"header": self._header.decode(), "last": self._last.decode()}
        return {**texts, "end": self._end, "rows": self._rows().copy()}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> _Other:
        other = cls()
        other._header, other._last = (str(state[name]).encode() for name in ("header", "last"))
        other._end = int(state["end"])
        rows: FloatArray = np.array(state["rows"], dtype=np.float64)
        other._parts = [rows] if len(rows) else []
        return other

    def _rows(self) -> FloatArray:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0] if self._parts else np.empty((0, 0))

    def _go_on(self, content: bytes, path: Path, bias: MetadynamicsBias) -> Iterator[tuple[Hills, float]]:
        """Give the hills of the further lines that are complete."""
        complete = content[: content.rfind(b"\n") + 1]
        if complete:
            hills, _ = parse_hills(self._header + complete, source=str(path))
            _require_fitting(bias, hills, path)
            self._end += len(complete)
            self._last = _last_line(complete)
            self._parts.append(hills.rows)
            yield hills, 1.0

    def _compare(self, content: bytes, path: Path, bias: MetadynamicsBias) -> Iterator[tuple[Hills, float]]:
        """Read a file anew; give what is gone and what is new after the part that stayed."""
        old = self._rows()
        hills, self._end = parse_hills(content, source=str(path))
        _require_fitting(bias, hills, path)
        new = hills.rows
        n = min(len(old), len(new))
        differ = (old[:n] != new[:n]).any(axis=1) if n else np.zeros(0, dtype=bool)
        kept = int(np.argmax(differ)) if differ.any() else n
        self._header, self._last = _leading_comments(content), _last_line(content[: self._end])
        self._parts = [new]
        if len(old) > kept:
            yield _of_rows(old[kept:], bias), -1.0
        if len(new) > kept:
            yield _of_rows(new[kept:], bias), 1.0


def _require_fitting(bias: MetadynamicsBias, hills: Hills, path: Path) -> None:
    bias.require_fitting(hills, str(path))
    if len(hills) and hills.bias_factor != bias.bias_factor:
        raise ValueError(
            f"{path} is of a walker with bias factor {hills.bias_factor}, but here it is {bias.bias_factor}"
        )


def _of_rows(rows: FloatArray, bias: MetadynamicsBias) -> Hills:
    d = bias.n_cvs
    columns = (rows[:, 0], rows[:, 1 : d + 1], rows[:, d + 1 : 2 * d + 1], rows[:, -1])
    times, centers, sigmas, heights = (np.ascontiguousarray(column) for column in columns)
    return Hills(bias.names, bias.domains, times, centers, sigmas, heights, bias.bias_factor)


def _last_line(complete: bytes) -> bytes:
    return complete[complete.rfind(b"\n", 0, -1) + 1 :]


def _has_data(content: bytes) -> bool:
    """Whether there is a complete line that is no comment."""
    complete = content[: content.rfind(b"\n") + 1]
    return any(not line.startswith(b"#") for line in complete.splitlines())


def _leading_comments(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    count = next((k for k, line in enumerate(lines) if not line.startswith(b"#")), len(lines))
    return b"".join(lines[:count])
