"""Widths of kernels from how far variables fluctuate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.arguments import periods, wrapped
from ase_mlsample.biases.base import Domain

__all__ = ["AdaptiveWidths"]

FloatArray = NDArray[np.float64]


class AdaptiveWidths:
    """Mean square distance of each walker's variables from their recent mean, over all steps so far.

    Parameters
    ----------
    domains : sequence
        The period of each variable, (low, high) or None.
    stride : int
        Steps over which the mean decays, and before there are widths.

    Notes
    -----
    Welford's recursion with an exponentially decaying mean, for each walker its own [M. Invernizzi,
    M. Parrinello, J. Chem. Theory Comput. 18, 3988 (2022)].
    """

    def __init__(self, domains: Sequence[Domain], stride: int) -> None:
        self.stride = stride
        self._periods = periods(domains)
        self._steps = 0
        self._mean: FloatArray = np.zeros((0, len(domains)))
        self._squares = self._mean

    @property
    def ready(self) -> bool:
        """Whether there were enough steps."""
        return self._steps >= self.stride

    def observe(self, s: FloatArray) -> None:
        """Take in one step of all walkers, (W, d)."""
        if self._steps == 0:
            self._mean, self._squares = np.zeros_like(s), np.zeros_like(s)
        if len(s) != len(self._mean):
            raise ValueError(
                f"widths are measured for {len(self._mean)} walker(s), got {len(s)}; give sigma for walkers "
                "that come and go"
            )
        self._steps += 1
        ahead = wrapped(s - self._mean, self._periods)
        self._mean = self._mean + ahead / min(self._steps, self.stride)
        self._squares = self._squares + ahead * wrapped(s - self._mean, self._periods)

    def widen(self, factor: float) -> None:
        """Multiply all squares so far, which are of a narrower distribution than what follows."""
        self._squares = self._squares * factor

    def widths(self, factor: float) -> FloatArray:
        """Return √(mean square / factor) of each walker, (W, d)."""
        roots: FloatArray = np.sqrt(self._squares / self._steps / factor)
        return roots

    def state(self) -> dict[str, Any]:
        """Return what was taken in."""
        return {"steps": self._steps, "mean": self._mean.copy(), "squares": self._squares.copy()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self._steps = int(state["steps"])
        self._mean, self._squares = (
            np.array(state[name], dtype=np.float64).reshape(-1, self._mean.shape[1])
            for name in ("mean", "squares")
        )
