"""The free energy of a second potential from samples of a first one, along collective variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.analysis.density import Domain, as_axes, as_domains, as_samples, bin_indices
from ase_mlsample.analysis.leaving_out import jackknife

__all__ = ["Perturbation", "perturb_free_energy"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Perturbation:
    """F₂(s) − F₁(s) in bins of s, in two estimates; NaN where samples do not suffice for one.

    A constant in U₂ − U₁ is part of it: compare bins with each other.

    Attributes
    ----------
    axes : tuple of ndarray (m,)
        Centres of the bins along each variable.
    kT : float
    exponential, exponential_error : ndarray (m1, ...)
        −kT ln⟨e^{−(U₂−U₁)/kT}⟩_s and its standard error: exact where enough of what the second potential
        prefers was sampled, too high before.
    cumulant, cumulant_error : ndarray (m1, ...)
        ⟨U₂−U₁⟩_s − σ²/2kT and its standard error: right for Gaussian differences, and of much smaller
        scatter where σ exceeds kT.
    mean, spread : ndarray (m1, ...)
        ⟨U₂−U₁⟩_s and σ, the standard deviation of the difference in a bin.
    samples : ndarray (m1, ...)
        Effective number of samples in a bin, (Σw)²/Σw².
    effective : ndarray (m1, ...)
        How many samples of the second potential they are worth: with w e^{−(U₂−U₁)/kT} in place of w, or
        ``samples`` times e^{−σ²/kT²}, which Gaussian differences would leave, whichever is less (the
        first alone is too large as long as what matters was never seen).
    """

    axes: tuple[FloatArray, ...]
    kT: float
    exponential: FloatArray
    exponential_error: FloatArray
    cumulant: FloatArray
    cumulant_error: FloatArray
    mean: FloatArray
    spread: FloatArray
    samples: FloatArray
    effective: FloatArray


def perturb_free_energy(
    samples: ArrayLike,
    differences: ArrayLike,
    axes: ArrayLike | Sequence[ArrayLike],
    *,
    kT: float,
    weights: ArrayLike | None = None,
    domains: Sequence[Domain] | None = None,
    n_blocks: int = 20,
    min_effective: float = 10.0,
) -> Perturbation:
    """Free energy of a second potential less that of the first, whose samples these are.

    Only averages within a bin count, so a bias that depends on s alone does not matter much where bins are
    narrow: its weights are for what it varies within them.

    Parameters
    ----------
    samples : array_like (T,) or (T, d)
        The variables s, in the order in which they were drawn.
    differences : array_like (T,)
        U₂ − U₁ of the same structures, in the unit of kT. At constant pressure too: volumes are the same.
    axes : array_like (m,), or d of them
        Centres of equal bins. Samples outside all bins are left out.
    kT : float
    weights : array_like (T,), optional
        Such as e^{V/kT} of the bias that they were drawn with.
    domains : d periods or None, optional
    n_blocks : int
        Parts into which the samples are cut for the errors, by the jackknife. A bin that one block alone saw
        has no error.
    min_effective : float
        An estimate is NaN where fewer samples than these count: ``effective`` ones for the exponential
        average, ``samples`` for the cumulants. They are counted as if independent.

    Raises
    ------
    ValueError
        For arrays that do not fit or are not finite, negative weights, fewer samples than blocks, fewer than
        two blocks, or limits out of range.

    References
    ----------
    R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954); for the number of samples that it takes, D. Wu,
    D. A. Kofke, J. Chem. Phys. 123, 054103 (2005).

    Examples
    --------
    >>> import numpy as np
    >>> s, y = np.random.default_rng(0).standard_normal((2, 40_000))
    >>> difference = 0.5 * y + 2 * s  # a field on y, which its free energy −0.5²/2 answers
    >>> found = perturb_free_energy(s, difference, np.linspace(-2, 2, 41), kT=1.0)
    >>> exact = 2 * found.axes[0] - 0.125
    >>> bool(np.abs(found.exponential - exact).max() < 0.1), bool(np.abs(found.cumulant - exact).max() < 0.1)
    (True, True)
    """
    points, delta, w = _checked(samples, differences, weights, axes)
    axes_ = as_axes(axes)
    if not (math.isfinite(kT) and kT > 0):
        raise ValueError(f"kT must be positive and finite, got {kT!r}")
    if not 2 <= n_blocks <= len(delta):
        raise ValueError(f"n_blocks must be between 2 and the {len(delta)} samples, got {n_blocks!r}")
    if not min_effective > 1:
        raise ValueError(f"min_effective must be more than one sample, got {min_effective!r}")
    bins = bin_indices(points, axes_, as_domains(domains, len(axes_)))
    block = np.arange(len(delta)) * n_blocks // len(delta)
    kept = (bins >= 0) & (w > 0)
    if not kept.any():
        raise ValueError("no sample with a weight is in a bin; look at the axes")
    shape = tuple(len(axis) for axis in axes_)
    sums, lowest = _sums(bins[kept], block[kept], delta[kept] / kT, w[kept], (n_blocks, math.prod(shape)))
    return _estimates(sums, lowest, axes_, kT, min_effective)


def _checked(
    samples: ArrayLike,
    differences: ArrayLike,
    weights: ArrayLike | None,
    axes: ArrayLike | Sequence[ArrayLike],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    points = as_samples(samples, len(as_axes(axes)))
    delta = np.asarray(differences, dtype=float)
    w = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=float)
    if delta.shape != (len(points),) or w.shape != delta.shape:
        raise ValueError(
            f"{len(points)} samples need as many differences and weights, got shapes {delta.shape} and "
            f"{w.shape}"
        )
    if not (np.isfinite(delta).all() and np.isfinite(w).all()):
        raise ValueError("differences and weights must be finite; drop the frames where they are not")
    if (w < 0).any():
        raise ValueError(f"weights must not be negative, the lowest is {w.min()}")
    return points, delta, w


def _sums(
    bins: NDArray[np.int64],
    block: NDArray[np.int64],
    delta: FloatArray,
    w: FloatArray,
    shape: tuple[int, int],
) -> tuple[FloatArray, FloatArray]:
    """Sums (B, 6, m) over the samples of a block in a bin, with Δ/kT counted from the lowest (m,) there.

    Of w, w², we^{−Δ}, (we^{−Δ})², wΔ and wΔ².
    """
    lowest: FloatArray = np.full(shape[1], np.inf)
    heaviest = np.zeros(shape[1])
    np.minimum.at(lowest, bins, delta)
    np.maximum.at(heaviest, bins, w)
    above, share = delta - lowest[bins], w / heaviest[bins]
    tilted = share * np.exp(-above)
    columns = (share, share**2, tilted, tilted**2, share * above, share * above**2)
    place = block * shape[1] + bins
    sums: FloatArray = np.empty((shape[0], len(columns), shape[1]))
    for number, column in enumerate(columns):
        sums[:, number] = np.bincount(place, column, minlength=shape[0] * shape[1]).reshape(shape)
    return sums, lowest


def _of_sums(sums: FloatArray) -> FloatArray:
    """Both estimates, mean and variance, in kT above the lowest difference, from sums (6, m) over blocks."""
    total, squares, tilted, _, first, second = sums
    mean = first / total
    # over a finite number of samples the variance comes out too small
    variance = np.maximum(second / total - mean**2, 0.0) / (1 - squares / total**2)
    return np.stack([-np.log(tilted / total), mean - variance / 2, mean, variance])


def _estimates(
    sums: FloatArray, lowest: FloatArray, axes: tuple[FloatArray, ...], kT: float, least: float
) -> Perturbation:
    shape = tuple(len(axis) for axis in axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        values, errors = jackknife(sums, _of_sums)
        total, squares, tilted, tilted_squares = sums.sum(axis=0)[:4]
        samples = np.nan_to_num(total**2 / squares)
        overlap = np.nan_to_num(tilted**2 / tilted_squares)
        effective = np.fmin(overlap, samples * np.exp(-values[3]))
    errors[~np.isfinite(errors)] = np.nan
    enough = np.stack([effective >= least, samples >= least, samples > 0])
    energies = np.where(enough, values[:3] + lowest, np.nan) * kT
    return Perturbation(
        axes=axes,
        kT=kT,
        exponential=energies[0].reshape(shape),
        exponential_error=np.where(enough[0], kT * errors[0], np.nan).reshape(shape),
        cumulant=energies[1].reshape(shape),
        cumulant_error=np.where(enough[1], kT * errors[1], np.nan).reshape(shape),
        mean=energies[2].reshape(shape),
        spread=(kT * np.sqrt(values[3])).reshape(shape),
        samples=samples.reshape(shape),
        effective=effective.reshape(shape),
    )
