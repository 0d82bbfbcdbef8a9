"""Logs of biased runs as arrays: ours, and the COLVAR files of PLUMED."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.analysis.density import Domain

__all__ = ["Colvar", "read_colvar"]

FloatArray = NDArray[np.float64]

_ENDS = {"pi": math.pi, "+pi": math.pi, "-pi": -math.pi, "2pi": 2 * math.pi, "2*pi": 2 * math.pi}
# columns that are no variables, in files of ours and in PLUMED's habits
_OTHERS = {"time", "bias", "temperature", "energy", "volume"}
# what follows the variables in files of ours; behind it is what the bias tells of itself
_AFTER = ("bias", "temperature", "energy")
_STATIC = 2.0  # the phase of Deep-VES in which the bias stays as it is


@dataclass(frozen=True, slots=True, eq=False)
class Colvar:
    """Columns of a log.

    Attributes
    ----------
    names : tuple of str
        Of the columns.
    table : ndarray (T, columns)
    periods : dict
        (low, high) of the columns that are periodic, by name.
    source : str
        Where it was read from.
    """

    names: tuple[str, ...]
    table: FloatArray
    periods: dict[str, tuple[float, float]]
    source: str

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.table)

    def __getitem__(self, name: str) -> FloatArray:
        """Return a column (T,).

        Raises
        ------
        KeyError
            When there is no such column.
        """
        if name not in self.names:
            raise KeyError(f"{self.source} has no column {name!r}, only {', '.join(self.names)}")
        column: FloatArray = self.table[:, self.names.index(name)]
        return column

    @property
    def times(self) -> FloatArray:
        """The column ``time`` (T,)."""
        return self["time"]

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the columns that are variables.

        In files of ours those before the bias; in others those that look like some: not time, bias, energy …
        nor "label.component".
        """
        names = self.names
        for k in range(len(names)):
            if names[k : k + len(_AFTER)] == _AFTER:
                names = names[:k]
                break
        return tuple(name for name in names if name not in _OTHERS and "." not in name)

    @property
    def learning(self) -> NDArray[np.bool_]:
        """Rows (T,) that were written while the bias of a Deep-VES run had not become static; else none."""
        if not {"phase", "rate_scale"} <= set(self.names):
            return np.zeros(len(self), dtype=bool)
        rows: NDArray[np.bool_] = self["phase"] < _STATIC
        return rows

    def only(self, rows: NDArray[np.bool_]) -> Colvar:
        """Return some of the rows, (T,) of bool."""
        return Colvar(self.names, self.table[rows], self.periods, self.source)

    def columns(self, names: Sequence[str]) -> FloatArray:
        """Return several columns (T, d).

        Raises
        ------
        KeyError
            When there is no such column.
        """
        return np.stack([self[name] for name in names], axis=1)

    def domains(self, names: Sequence[str]) -> tuple[Domain, ...]:
        """Periods of columns, None for those without."""
        return tuple(self.periods.get(name) for name in names)

    def after(self, time: float) -> Colvar:
        """Return the rows from a time on.

        Raises
        ------
        ValueError
            When none are left.
        """
        kept = self.only(self.times >= time)
        if not len(kept):
            raise ValueError(f"{self.source} ends at {self.times.max():g}, before {time:g}")
        return kept


def read_colvar(path: str | Path) -> Colvar:
    """Read a log of ours, or a COLVAR file of PLUMED.

    A last line without its end, as a killed run leaves it, is left out; headers that a restarted run
    repeats are passed over. Numbers are taken as they are.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For a file without "#! FIELDS", without rows, or with a line that does not fit, named by its number.

    Examples
    --------
    >>> log = read_colvar("COLVAR")                                       # doctest: +SKIP
    >>> log.times, log["bias"], log.columns(log.variables)                # doctest: +SKIP
    """
    content = Path(path).read_bytes()
    try:
        text = content[: content.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no COLVAR file: {error}") from None
    lines = text.splitlines()
    words = [line[2:].split() for line in lines if line.startswith("#!")]
    fields = [line[1:] for line in words if line[:1] == ["FIELDS"]]
    if not fields or not fields[0]:
        raise ValueError(f"{path} is no COLVAR file: it has no line '#! FIELDS time ...'")
    if any(other != fields[0] for other in fields):
        raise ValueError(f"{path} changes its columns on the way: split it")
    if len(set(fields[0])) < len(fields[0]):
        raise ValueError(f"{path} names a column twice: {' '.join(fields[0])}")
    settings = {line[1]: line[2] for line in words if line[:1] == ["SET"] and len(line) == 3}
    table = _rows(lines, len(fields[0]), path)
    return Colvar(tuple(fields[0]), table, _periods(fields[0], settings, path), str(path))


def _rows(lines: list[str], columns: int, path: str | Path) -> FloatArray:
    rows = []
    for number, row in _data(lines):
        if len(row) != columns:
            raise ValueError(f"{path}, line {number}: {len(row)} columns, but FIELDS names {columns}")
        try:
            rows.append([float(word) for word in row])
        except ValueError:
            raise ValueError(f"{path}, line {number}: not all are numbers: {' '.join(row)}") from None
    if not rows:
        raise ValueError(f"{path} holds no rows")
    return np.array(rows)


def _data(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    return ((k, line.split()) for k, line in enumerate(lines, 1) if line.strip() and line.lstrip()[0] != "#")


def _periods(
    names: Sequence[str], settings: dict[str, str], path: str | Path
) -> dict[str, tuple[float, float]]:
    periods = {}
    for name in names:
        low, high = settings.get(f"min_{name}"), settings.get(f"max_{name}")
        if low is None or high is None:
            continue
        try:
            ends = tuple(_ENDS[end] if end in _ENDS else float(end) for end in (low, high))
        except ValueError:
            raise ValueError(f"{path}: the period of {name} is from {low} to {high}") from None
        periods[name] = (ends[0], ends[1])
    return periods
