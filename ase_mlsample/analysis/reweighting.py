"""Weights that undo a bias, and biases from the history of their hills."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.analysis.density import Domain, as_axes
from ase_mlsample.analysis.free_energy import FreeEnergy, from_bias

__all__ = [
    "HillHistory",
    "bias_weights",
    "effective_sample_size",
    "hill_potential",
    "hills_series",
    "tiwary_offset",
    "tiwary_offsets",
    "tiwary_weights",
]

FloatArray = NDArray[np.float64]

_CUTOFF = 6.25  # PLUMED's kernels end where (s − c)²/2σ² reaches it, stretched so that they end at zero
_STRETCH = 1 / (1 - math.exp(-_CUTOFF))
_CHUNK = 1 << 19  # numbers at a time


class HillHistory(Protocol):
    """What is known of the hills of a metadynamics run; ``ase_mlsample.biases.Hills`` is one.

    A hill is h (A e^{−q} + 1 − A) for q = Σ(s − c)²/2σ² < 6.25 with A = 1/(1 − e^{−6.25}), else zero; with
    A = 1 when it is not stretched.

    Attributes
    ----------
    centers, sigmas : ndarray (K, d)
        In the order in which they were added.
    heights : ndarray (K,)
        As added to the bias.
    times : ndarray (K,)
        When; ascending.
    domains : tuple of (float, float) or None
        The period of each variable.
    bias_factor : float or None
        γ; None when not tempered.
    stretched : bool
    """

    @property
    def centers(self) -> FloatArray:
        """Centres (K, d)."""

    @property
    def sigmas(self) -> FloatArray:
        """Widths (K, d)."""

    @property
    def heights(self) -> FloatArray:
        """Heights (K,)."""

    @property
    def times(self) -> FloatArray:
        """Times (K,)."""

    @property
    def domains(self) -> tuple[Domain, ...]:
        """Periods."""

    @property
    def bias_factor(self) -> float | None:
        """Bias factor γ."""

    @property
    def stretched(self) -> bool:
        """Whether hills end at zero."""


def hill_potential(
    hills: HillHistory, axes: ArrayLike | Sequence[ArrayLike], *, count: int | None = None
) -> FloatArray:
    """Return the sum of the first ``count`` hills (default: all) on a uniform grid (m1, ...).

    Raises
    ------
    ValueError
        For another number of axes than of variables, or axes that are not uniform.
    """
    axes_ = _axes(hills, axes)
    total = np.zeros([len(axis) for axis in axes_])
    for kernels in _kernels(hills, axes_, 0, len(hills.heights) if count is None else count):
        total += kernels.sum(axis=0)
    return total


def hills_series(
    hills: HillHistory, axes: ArrayLike | Sequence[ArrayLike], *, kT: float, counts: Sequence[int]
) -> list[FreeEnergy]:
    """Free energies of a run as it stood after some numbers of hills: convergence in time.

    Raises
    ------
    ValueError
        For counts that do not ascend, or go beyond the hills.
    """
    axes_, number = _axes(hills, axes), len(hills.heights)
    if any(after < before for before, after in zip([0, *counts], [*counts, number], strict=True)):
        raise ValueError(f"counts must ascend from 0 to at most the {number} hills, got {counts!r}")
    total, done, series = np.zeros([len(axis) for axis in axes_]), 0, []
    for count in counts:
        for kernels in _kernels(hills, axes_, done, count):
            total = total + kernels.sum(axis=0)
        done = count
        series.append(from_bias(axes_, total, kT=kT, bias_factor=hills.bias_factor, domains=hills.domains))
    return series


def tiwary_offset(potential: ArrayLike, *, kT: float, bias_factor: float | None) -> float:
    """Return c(t) of a bias on a uniform grid, the free energy that it has added to the biased ensemble.

    c = kT ln[∫e^{γV/(γ−1)kT} / ∫e^{V/(γ−1)kT}]; without tempering the limit of infinite γ.

    Parameters
    ----------
    potential : array_like
        V on points of a uniform grid of any shape, which covers all that is visited.
    kT : float
    bias_factor : float or None

    References
    ----------
    P. Tiwary, M. Parrinello, J. Phys. Chem. B 119, 736 (2015).
    """
    flat = np.asarray(potential, dtype=float).reshape(1, -1)
    return float(_offsets(flat, kT, bias_factor)[0])


def tiwary_offsets(hills: HillHistory, axes: ArrayLike | Sequence[ArrayLike], *, kT: float) -> FloatArray:
    """Return c(t) after each hill, (K,); see :func:`tiwary_offset`.

    Parameters
    ----------
    hills : HillHistory
    axes : array_like (m,), or one for each variable
        Uniform points that cover all that was visited, closer than the hills are wide.
    kT : float
    """
    axes_ = _axes(hills, axes)
    before = np.zeros(math.prod(len(axis) for axis in axes_))
    offsets = []
    for kernels in _kernels(hills, axes_, 0, len(hills.heights)):
        history = np.cumsum(kernels.reshape(len(kernels), -1), axis=0)
        history += before
        offsets.append(_offsets(history, kT, hills.bias_factor))
        before = history[-1]
    return np.concatenate(offsets) if offsets else np.zeros(0)


def tiwary_weights(
    bias: ArrayLike, times: ArrayLike, hills: HillHistory, offsets: ArrayLike, *, kT: float
) -> FloatArray:
    """Weights e^{(V − c)/kT} of samples of a run whose bias was growing.

    Parameters
    ----------
    bias : array_like (T,)
        V(s, t) of each sample when it was taken.
    times : array_like (T,)
        When; a sample at the time of a hill is taken to have been after it.
    hills : HillHistory
    offsets : array_like (K,)
        Of :func:`tiwary_offsets`.
    kT : float

    Returns
    -------
    ndarray (T,)
        The largest is one.

    Raises
    ------
    ValueError
        For arrays that do not fit.
    """
    V, t, c = (np.asarray(given, dtype=float) for given in (bias, times, offsets))
    if V.shape != t.shape or V.ndim != 1 or c.shape != hills.times.shape:
        raise ValueError(
            f"bias and times must be (T,), offsets {hills.times.shape}, got shapes {V.shape}, {t.shape} and "
            f"{c.shape}"
        )
    latest = np.searchsorted(hills.times, t, side="right")
    return bias_weights(V - np.concatenate([[0.0], c])[latest], kT=kT)


def bias_weights(bias: ArrayLike, *, kT: float) -> FloatArray:
    """Weights e^{V/kT} of samples under a bias that did not change, the largest being one.

    Parameters
    ----------
    bias : array_like (T,)
        V of each sample.
    kT : float

    Raises
    ------
    ValueError
        For a bias that is not finite or empty, or a temperature that is not positive.
    """
    V = np.asarray(bias, dtype=float)
    if not (math.isfinite(kT) and kT > 0):
        raise ValueError(f"kT must be positive and finite, got {kT!r}")
    if V.size == 0 or not np.isfinite(V).all():
        raise ValueError(f"the bias of {V.size} samples must be finite, and there must be some")
    weights: FloatArray = np.exp((V - V.max()) / kT)
    return weights


def effective_sample_size(weights: ArrayLike) -> float:
    """Number of equally weighted samples that weighted ones are worth, (Σw)²/Σw² (L. Kish, 1965).

    Raises
    ------
    ValueError
        When all weights are zero.
    """
    w = np.asarray(weights, dtype=float)
    squares = float(np.sum(w**2))
    if not squares > 0:
        raise ValueError("the weights are all zero")
    return float(np.sum(w)) ** 2 / squares


def _axes(hills: HillHistory, axes: ArrayLike | Sequence[ArrayLike]) -> tuple[FloatArray, ...]:
    axes_ = as_axes(axes)
    if len(axes_) != hills.centers.shape[1]:
        raise ValueError(f"hills of {hills.centers.shape[1]} variable(s) need as many axes, got {len(axes_)}")
    return axes_


def _kernels(hills: HillHistory, axes: tuple[FloatArray, ...], first: int, last: int) -> Iterator[FloatArray]:
    """Hills on a grid, (k, m1, ...) at a time."""
    dimensions, stretch = len(axes), _STRETCH if hills.stretched else 1.0
    at_once = max(1, _CHUNK // math.prod(len(axis) for axis in axes))
    for begin in range(first, last, at_once):
        rows = slice(begin, min(begin + at_once, last))
        exponent: FloatArray = np.zeros(1)
        for index, (axis, domain) in enumerate(zip(axes, hills.domains, strict=True)):
            distance = axis[None] - hills.centers[rows, index, None]
            if domain is not None:
                distance -= (domain[1] - domain[0]) * np.round(distance / (domain[1] - domain[0]))
            squared = 0.5 * (distance / hills.sigmas[rows, index, None]) ** 2
            shape = [len(axis) if k == index else 1 for k in range(dimensions)]
            exponent = exponent + squared.reshape(len(squared), *shape)
        kernels = stretch * np.exp(-exponent) + (1 - stretch)
        kernels[exponent >= _CUTOFF] = 0.0
        kernels *= hills.heights[rows].reshape(-1, *[1] * dimensions)
        yield kernels


def _offsets(potentials: FloatArray, kT: float, bias_factor: float | None) -> FloatArray:
    """Offsets c (k,) of biases (k, points)."""
    if not (math.isfinite(kT) and kT > 0):
        raise ValueError(f"kT must be positive and finite, got {kT!r}")
    if bias_factor is not None and not bias_factor > 1:
        raise ValueError(f"bias_factor must be more than 1, or None for no tempering, got {bias_factor!r}")
    tempered = 0.0 if bias_factor is None else 1 / (bias_factor - 1)
    top = potentials.max(axis=1)
    below = (potentials - top[:, None]) / kT
    flat = np.exp(tempered * below)
    # γ/(γ−1) = 1 + 1/(γ−1), so one exponential serves both integrals' common part
    ratio = (np.exp(below) * flat).sum(axis=1) / flat.sum(axis=1)
    offsets: FloatArray = top + kT * np.log(ratio)
    return offsets
