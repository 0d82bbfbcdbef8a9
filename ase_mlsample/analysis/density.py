"""Probabilities on a grid: weighted histograms and Gaussian kernel densities, periodic or not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["as_axes", "as_domains", "as_samples", "bin_centres", "bin_indices", "histogram", "kernel_density"]

FloatArray = NDArray[np.float64]
Domain = tuple[float, float] | None

_FINENESS = 16  # points to a bandwidth that samples are shared out to: changes the density by 1e-3 at most


def bin_centres(low: float, high: float, bins: int) -> FloatArray:
    """Return the centres of equal bins between two values.

    Raises
    ------
    ValueError
        For an empty interval or no bins.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high and bins >= 1):
        raise ValueError(f"bins need an interval and a number of them, got {bins!r} from {low!r} to {high!r}")
    centres: FloatArray = np.asarray(low + (high - low) / bins * (np.arange(bins) + 0.5), dtype=np.float64)
    return centres


def as_axes(axes: ArrayLike | Sequence[ArrayLike]) -> tuple[FloatArray, ...]:
    """Return one array (m,) for each variable, checked to be uniform; a single array is one variable.

    Raises
    ------
    ValueError
        For an axis of fewer than two points, or one that is not uniform and ascending.
    """
    single = not isinstance(axes, tuple | list) or all(np.ndim(axis) == 0 for axis in axes)
    given: Any = [axes] if single else axes
    checked = tuple(np.asarray(axis, dtype=float) for axis in given)
    for axis in checked:
        if axis.ndim != 1 or len(axis) < 2 or not np.isfinite(axis).all():
            raise ValueError(f"an axis must be at least two finite points (m,), got shape {axis.shape}")
        steps = np.diff(axis)
        if not (steps > 0).all() or np.ptp(steps) > 1e-6 * steps.mean():
            raise ValueError(
                f"an axis must be uniform and ascending, got steps {steps.min()} to {steps.max()}"
            )
    return checked


def as_domains(domains: Sequence[Domain] | None, number: int) -> tuple[Domain, ...]:
    """Return the period of each variable, None for one without.

    Raises
    ------
    ValueError
        When there are too many or too few, or an interval is empty.
    """
    given = (None,) * number if domains is None else tuple(domains)
    if len(given) != number:
        raise ValueError(f"one domain (or None) is needed for each of {number} variables, got {domains!r}")
    for domain in given:
        if domain is not None and not domain[0] < domain[1]:
            raise ValueError(f"a period must be (low, high), got {domain!r}")
    return given


def as_samples(samples: ArrayLike, number: int) -> FloatArray:
    """Return samples as an array (T, d).

    Raises
    ------
    ValueError
        For another number of variables, or values that are not finite.
    """
    values = np.asarray(samples, dtype=float)
    if values.ndim == 1 and number == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] != number:
        raise ValueError(f"samples of {number} variable(s) must be (T, {number}), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("samples must be finite; drop the frames that are not")
    return values


def bin_indices(
    samples: FloatArray, axes: Sequence[FloatArray], domains: Sequence[Domain]
) -> NDArray[np.int64]:
    """Return the flat number of each sample's bin, −1 for one outside; axes hold the centres of bins.

    Parameters
    ----------
    samples : ndarray (T, d)
    axes : d arrays, uniform
    domains : d periods or None
    """
    flat = np.zeros(len(samples), dtype=np.int64)
    outside = np.zeros(len(samples), dtype=bool)
    for column, axis, domain in zip(samples.T, axes, domains, strict=True):
        width = (axis[-1] - axis[0]) / (len(axis) - 1)
        low = axis[0] - 0.5 * width
        offset = column - low if domain is None else np.mod(column - low, domain[1] - domain[0])
        place = np.floor(offset / width)
        outside |= (place < 0) | (place >= len(axis))
        flat *= len(axis)
        flat += np.clip(place, 0, len(axis) - 1).astype(np.int64)
    flat[outside] = -1
    return flat


def histogram(
    samples: ArrayLike,
    axes: ArrayLike | Sequence[ArrayLike],
    *,
    weights: ArrayLike | None = None,
    domains: Sequence[Domain] | None = None,
    n_blocks: int = 1,
) -> FloatArray:
    """Sum of the weights of the samples in each bin, in consecutive blocks of samples.

    Parameters
    ----------
    samples : array_like (T,) or (T, d)
        In the order in which they were drawn.
    axes : array_like (m,), or d of them
        Centres of equal bins. Samples outside all bins are left out.
    weights : array_like (T,), optional
    domains : d periods or None, optional
    n_blocks : int
        Into how many parts of equal length to cut the samples.

    Returns
    -------
    ndarray (n_blocks, m1, ...)

    Raises
    ------
    ValueError
        For arrays that do not fit, negative weights, or fewer samples than blocks.
    """
    axes_, values, w, periods = _given(samples, axes, weights, domains)
    if not 1 <= n_blocks <= len(values):
        raise ValueError(f"n_blocks must be between 1 and the {len(values)} samples, got {n_blocks!r}")
    for axis, domain in zip(axes_, periods, strict=True):
        _require_within_period(axis, domain)
    shape = [len(axis) for axis in axes_]
    size = math.prod(shape)
    flat = bin_indices(values, axes_, periods)
    block = np.arange(len(values)) * n_blocks // len(values)
    kept = flat >= 0
    place = block[kept] * size + flat[kept]
    counts = np.bincount(place, weights=w[kept], minlength=n_blocks * size).astype(float)
    return counts.reshape(n_blocks, *shape)


def kernel_density(
    samples: ArrayLike,
    axes: ArrayLike | Sequence[ArrayLike],
    *,
    bandwidth: float | Sequence[float],
    weights: ArrayLike | None = None,
    domains: Sequence[Domain] | None = None,
    n_blocks: int = 1,
) -> FloatArray:
    """Weighted Gaussian kernel density at the points of a grid, in consecutive blocks of samples.

    Samples are first shared out linearly to points a sixteenth of the bandwidth apart, which makes the cost
    independent of their number and changes the density by less than 1e-3 of its maximum.

    Parameters
    ----------
    samples : array_like (T,) or (T, d)
        One or two variables, in the order in which they were drawn.
    axes : array_like (m,), or d of them
        Uniform points.
    bandwidth : float or d floats
        Standard deviation of the kernel.
    weights, domains, n_blocks
        As for :func:`histogram`.

    Returns
    -------
    ndarray (n_blocks, m1, ...)
        Sum of weights in a grid's cell, so that it compares with :func:`histogram`.

    Raises
    ------
    ValueError
        As :func:`histogram`; for more than two variables or a bandwidth that is not positive.
    """
    axes_, values, w, periods = _given(samples, axes, weights, domains)
    if len(axes_) > 2:
        raise ValueError(f"kernel densities are for one or two variables, got {len(axes_)}; use a histogram")
    widths = np.broadcast_to(np.asarray(bandwidth, dtype=float), (len(axes_),))
    if not ((widths > 0) & np.isfinite(widths)).all():
        raise ValueError(f"bandwidth must be positive, got {bandwidth!r}")
    fine = [
        _fine(axis, float(width), domain) for axis, width, domain in zip(axes_, widths, periods, strict=True)
    ]
    counts = _shared_out(values, fine, w, periods, n_blocks)
    kernels = [
        _kernel(axis, points, float(width), domain)
        for axis, points, width, domain in zip(axes_, fine, widths, periods, strict=True)
    ]
    density: FloatArray = counts @ kernels[-1].T
    return density if len(axes_) == 1 else kernels[0] @ density


def _given(
    samples: ArrayLike, axes: Any, weights: ArrayLike | None, domains: Sequence[Domain] | None
) -> tuple[tuple[FloatArray, ...], FloatArray, FloatArray, tuple[Domain, ...]]:
    axes_ = as_axes(axes)
    values = as_samples(samples, len(axes_))
    w = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != (len(values),):
        raise ValueError(f"{len(values)} samples need as many weights, got shape {w.shape}")
    if not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("weights must be finite and not negative; subtract the largest exponent before exp")
    return axes_, values, w, as_domains(domains, len(axes_))


def _require_within_period(axis: FloatArray, domain: Domain) -> None:
    covered = (axis[-1] - axis[0]) * len(axis) / (len(axis) - 1)
    if domain is not None and covered > (domain[1] - domain[0]) * (1 + 1e-6):
        raise ValueError(
            f"{len(axis)} bins cover {covered:.6g}, more than the period {domain[1] - domain[0]:.6g}: give "
            "the centres of bins, bin_centres(*domain, bins), which leaves out one of the ends"
        )


def _fine(axis: FloatArray, bandwidth: float, domain: Domain) -> FloatArray:
    if domain is not None:
        low, high = domain
    else:
        low, high = axis[0] - 6 * bandwidth, axis[-1] + 6 * bandwidth
    return bin_centres(low, high, max(2, math.ceil((high - low) / (bandwidth / _FINENESS))))


def _shared_out(
    values: FloatArray,
    axes: Sequence[FloatArray],
    weights: FloatArray,
    periods: tuple[Domain, ...],
    n_blocks: int,
) -> FloatArray:
    """Histogram (B, m1, ...) in which a sample falls to the points around it, the nearer the more."""
    steps = np.array([(axis[-1] - axis[0]) / (len(axis) - 1) for axis in axes])
    places = (values - [axis[0] for axis in axes]) / steps
    fractions = places - np.floor(places)
    total: FloatArray = np.zeros(1)
    for corner in itertools.product((0, 1), repeat=len(axes)):
        upper = np.array(corner)
        shares = np.where(upper, fractions, 1 - fractions).prod(axis=1)
        moved = values + (upper - 0.5) * steps
        total = total + histogram(
            moved, list(axes), weights=weights * shares, domains=periods, n_blocks=n_blocks
        )
    return total


def _kernel(axis: FloatArray, points: FloatArray, bandwidth: float, domain: Domain) -> FloatArray:
    """Share (m, fine) of a sample in a fine bin that falls to each grid point's cell."""
    distance = axis[:, None] - points[None]
    if domain is None:
        kernel = np.exp(-0.5 * (distance / bandwidth) ** 2)
    else:
        period = domain[1] - domain[0]
        distance -= period * np.round(distance / period)
        images = math.ceil(6 * bandwidth / period)
        shifts = period * np.arange(-images, images + 1)
        kernel = np.exp(-0.5 * ((distance[..., None] + shifts) / bandwidth) ** 2).sum(axis=-1)
    cell = (axis[-1] - axis[0]) / (len(axis) - 1)
    scaled: FloatArray = kernel * (cell / (bandwidth * math.sqrt(2 * math.pi)))
    return scaled
