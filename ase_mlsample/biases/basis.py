"""What the functions of a linear bias are: a set of them on an interval of one variable."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.base import Domain

__all__ = ["Basis", "checked_interval"]

FloatArray = NDArray[np.float64]


class Basis(ABC):
    """Functions f₀ … f_{m−1} of one variable on an interval; f₀ is 1.

    Beyond the interval a function goes on with its value at the end, with derivative zero; a periodic one
    repeats itself. Definitions and order are PLUMED's.

    Attributes
    ----------
    interval : (float, float)
    periodic : bool
    n_functions : int
        m, f₀ included.
    """

    interval: tuple[float, float]
    periodic: bool
    n_functions: int

    @property
    def domain(self) -> Domain:
        """The period, or None."""
        return self.interval if self.periodic else None

    def evaluate(self, s: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the functions and their derivatives.

        Parameters
        ----------
        s : array_like (n,)

        Returns
        -------
        values, derivatives : ndarray (n, m)

        Raises
        ------
        ValueError
            For another shape, or numbers that are not finite.
        """
        points = self._checked(s)
        inside = self._brought_in(points)
        values, slopes = np.ones((self.n_functions, len(points))), np.zeros((self.n_functions, len(points)))
        self._fill(inside, values, slopes)
        if not self.periodic:
            slopes[:, inside != points] = 0.0
        return values.T, slopes.T

    def values(self, s: FloatArray) -> FloatArray:
        """Return the functions alone, (m, n), at points (n,) that are finite."""
        values = np.ones((self.n_functions, len(s)))
        self._fill(self._brought_in(s), values, None)
        return values

    def contains(self, s: FloatArray) -> NDArray[np.bool_]:
        """Return which of the points (n,) are within the interval; all are when it is a period."""
        low, high = self.interval
        return np.full(s.shape, True) if self.periodic else (s >= low) & (s <= high)

    def todict(self) -> dict[str, Any]:
        """Return class and settings, plain values from which :func:`basis_list` makes an equal basis."""
        return {"class": type(self).__name__, "interval": list(self.interval), **self._settings()}

    @abstractmethod
    def _fill(self, s: FloatArray, values: FloatArray, slopes: FloatArray | None) -> None:
        """Write functions and derivatives (m, n) at points within the interval; those of f₀ are there."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Arguments besides the interval."""

    def _checked(self, s: ArrayLike) -> FloatArray:
        points: FloatArray = np.asarray(s, dtype=np.float64)
        if points.ndim != 1:
            raise ValueError(f"{type(self).__name__} takes points (n,) of one variable, got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError(f"a variable is not finite: {points[~np.isfinite(points)][0]}")
        return points

    def _brought_in(self, s: FloatArray) -> FloatArray:
        low, high = self.interval
        if self.periodic:
            return s - (high - low) * np.floor((s - low) / (high - low))
        return np.clip(s, low, high)


def checked_interval(interval: Sequence[float]) -> tuple[float, float]:
    """Return (low, high), or raise ValueError."""
    try:
        ends = tuple(float(end) for end in interval)
    except (TypeError, ValueError):
        ends = ()
    if len(ends) != 2 or not -math.inf < ends[0] < ends[1] < math.inf:
        raise ValueError(f"interval must be (low, high), finite and low < high, got {interval!r}")
    return ends[0], ends[1]
