"""How the learning of a bias went, in a bounded number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConvergenceRecord"]

FloatArray = NDArray[np.float64]

_MOST = 8192


class ConvergenceRecord:
    """Numbers of every iteration; when there are too many rows, every other one is dropped from then on.

    Parameters
    ----------
    columns : sequence of str

    Attributes
    ----------
    columns : tuple of str
    stride : int
        Iterations from row to row.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.stride = 1
        self._rows = np.empty((64, len(self.columns)))
        self._size = 0

    def add(self, iteration: int, *values: float) -> None:
        """Keep the numbers of an iteration, if it is one of those that are kept."""
        if iteration % self.stride:
            return
        if self._size == _MOST:
            self.stride *= 2
            kept = self.table[self.table[:, 0] % self.stride == 0]
            self._rows[: len(kept)], self._size = kept, len(kept)
            if iteration % self.stride:
                return
        if self._size == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._size] = iteration, *values
        self._size += 1

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, column: str) -> FloatArray:
        """Return a column, (rows,)."""
        return self.table[:, self.columns.index(column)].copy()

    @property
    def table(self) -> FloatArray:
        """All rows, (rows, columns); a view."""
        return self._rows[: self._size]

    def state(self) -> dict[str, Any]:
        """Return the rows and their distance."""
        return {"table": self.table.copy(), "stride": self.stride}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        table = np.asarray(state["table"], dtype=np.float64).reshape(-1, len(self.columns))
        self._size, self.stride = len(table), int(state["stride"])
        self._rows = np.concatenate([table, np.empty((64, len(self.columns)))])
