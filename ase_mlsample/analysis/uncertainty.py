"""Errors in bins of the predicted uncertainty: what a reliability plot shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ErrorBins", "error_by_sigma"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ErrorBins:
    """Errors in bins of equal population by predicted sigma.

    Attributes
    ----------
    sigma : (B,) array
        Root mean square of the predicted standard deviations in each bin.
    error : (B,) array
        Root mean square of the errors there, in the same unit.
    """

    sigma: Array
    error: Array


def error_by_sigma(errors: ArrayLike, sigmas: ArrayLike, *, bins: int = 20) -> ErrorBins:
    """Root-mean-square error against predicted sigma, in bins that hold equally many values.

    Parameters
    ----------
    errors, sigmas : arrays of one shape and unit
    bins
        How many; fewer where there are fewer values.

    Raises
    ------
    ValueError
        For different shapes, no values, non-finite values or negative sigmas.
    """
    e, s = _checked(errors, sigmas)
    parts = np.array_split(np.argsort(s, kind="stable"), min(bins, s.size))
    sigma = np.array([np.sqrt(np.mean(s[part] ** 2)) for part in parts])
    error = np.array([np.sqrt(np.mean(e[part] ** 2)) for part in parts])
    return ErrorBins(sigma, error)


def _checked(errors: ArrayLike, sigmas: ArrayLike) -> tuple[Array, Array]:
    e, s = np.asarray(errors, float), np.asarray(sigmas, float)
    if e.shape != s.shape:
        raise ValueError(f"errors {e.shape} and sigmas {s.shape} must have one shape")
    if e.size == 0:
        raise ValueError("no errors to compare with")
    if not (np.isfinite(e).all() and np.isfinite(s).all() and (s >= 0).all()):
        raise ValueError("errors and sigmas must be finite, sigmas not negative")
    return e.ravel(), s.ravel()
