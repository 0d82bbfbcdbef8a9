"""Errors of a model against its reference, and how honest its error bars are: arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ErrorSummary",
    "calibration_factor",
    "coverage",
    "energy_rmse",
    "error_summary",
    "expected_coverage",
    "relative_error",
    "rmse",
    "spearman",
]


def rmse(predicted: ArrayLike, reference: ArrayLike) -> float:
    """Root mean square difference over all entries, in the unit of the arrays.

    Raises
    ------
    ValueError
        The shapes differ, or there is nothing to compare.
    """
    a, b = _pair(predicted, reference)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def relative_error(predicted: ArrayLike, reference: ArrayLike) -> float:
    """RMSE over the root mean square of the reference: 1 is as bad as predicting zero."""
    _, b = _pair(predicted, reference)
    size = float(np.sqrt(np.mean(b**2)))
    return rmse(predicted, reference) / size if size > 0 else float("inf")


def energy_rmse(predicted: ArrayLike, reference: ArrayLike, n_atoms: ArrayLike) -> float:
    """RMSE of energies per atom, without any shift; eV/atom for total energies (S,) in eV."""
    n = np.asarray(n_atoms, dtype=float)
    return rmse(np.asarray(predicted, dtype=float) / n, np.asarray(reference, dtype=float) / n)


def calibration_factor(errors: ArrayLike, sigmas: ArrayLike) -> float:
    """Factor α with α² = mean(error²)/mean(σ²) that makes error bars as large as errors are.

    The mean of error²/σ² instead would be ruled by the smallest σ.

    Raises
    ------
    ValueError
        All σ or all errors are zero (identical members have no opinion), or something is not finite.
    """
    e, s = _pair(errors, sigmas)
    squared, variance = float(np.mean(e**2)), float(np.mean(s**2))
    if not (0 < squared < np.inf and 0 < variance < np.inf):
        raise ValueError(
            f"a mean squared error of {squared} and a mean variance of {variance} give no calibration factor"
        )
    return float(np.sqrt(squared / variance))


def coverage(errors: ArrayLike, sigmas: ArrayLike, *, width: float = 1.0) -> float:
    """Fraction of errors within ``width`` predicted standard deviations."""
    e, s = _pair(errors, sigmas)
    return float(np.mean(np.abs(e) <= width * s))


def expected_coverage(n_members: int, *, width: float = 1.0) -> float:
    """What `coverage` is for Gaussian members: Student's t with M − 1 degrees (0.609 at M = 4, width 1).

    Raises
    ------
    ValueError
        Fewer than two members.
    """
    if n_members < 2:
        raise ValueError(f"n_members={n_members}: an error bar needs at least two members")
    from scipy.special import stdtr  # scipy.stats takes a second to import

    return float(2 * stdtr(n_members - 1, width) - 1)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation; 0 where one of the arrays is constant."""
    x, y = _pair(a, b)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


@dataclass(frozen=True)
class ErrorSummary:
    """Errors over one set of structures.

    Attributes
    ----------
    n_structures, n_atoms : counts.
    force_error : component RMSE of forces over the RMS of the reference's components.
    force_rmse : eV/Å, of components.
    energy_rmse : eV/atom, no shift.
    coverage : fraction of force components within one calibrated standard deviation; None without a spread.
    spearman : rank correlation of an atom's ``force_sigma`` with the norm of its force error; None likewise.
    """

    n_structures: int
    n_atoms: int
    force_error: float
    force_rmse: float
    energy_rmse: float
    coverage: float | None = None
    spearman: float | None = None

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain numbers by name."""
        return asdict(self)


def error_summary(
    *,
    energies: ArrayLike,
    reference_energies: ArrayLike,
    forces: Sequence[NDArray[np.float64]],
    reference_forces: Sequence[NDArray[np.float64]],
    forces_std: Sequence[NDArray[np.float64]] | None = None,
) -> ErrorSummary:
    """Errors over S structures.

    Parameters
    ----------
    energies, reference_energies : (S,) arrays, eV, of the whole structure.
    forces, reference_forces : S arrays (N, 3), eV/Å.
    forces_std : S arrays (N, 3), eV/Å, calibrated standard deviations of the force components.

    Returns
    -------
    ErrorSummary

    Raises
    ------
    ValueError
        No structures, or shapes that do not fit.
    """
    if len(forces) == 0:
        raise ValueError("no structures to compare; the set is empty")
    all_forces, all_reference = np.concatenate(forces), np.concatenate(reference_forces)
    covered = correlation = None
    if forces_std is not None:
        sigma = np.concatenate(forces_std)
        error = all_forces - all_reference
        covered = coverage(error, sigma)
        correlation = spearman(np.linalg.norm(sigma, axis=1), np.linalg.norm(error, axis=1))
    return ErrorSummary(
        n_structures=len(forces),
        n_atoms=len(all_forces),
        force_error=relative_error(all_forces, all_reference),
        force_rmse=rmse(all_forces, all_reference),
        energy_rmse=energy_rmse(energies, reference_energies, [len(f) for f in forces]),
        coverage=covered,
        spearman=correlation,
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])  # equals share the mean of their ranks


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"arrays of shape {x.shape} and {y.shape} cannot be compared entry by entry")
    if x.size == 0:
        raise ValueError("there is nothing to compare: the arrays are empty")
    return x, y
