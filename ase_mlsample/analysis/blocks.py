"""Errors of averages over correlated, weighted samples, from blocks of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BlockAverage", "BlockScan", "average_blocks", "block_error", "block_scan"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BlockScan:
    """What the error of a mean looks like as blocks get longer.

    Attributes
    ----------
    lengths : ndarray (K,)
        Samples in a block: 1, 2, 4 …
    errors : ndarray (K,)
        Standard error of the mean from blocks of that length.
    effective : ndarray (K,)
        Effective number of blocks, (ΣW)²/ΣW².
    """

    lengths: NDArray[np.int64]
    errors: FloatArray
    effective: FloatArray


@dataclass(frozen=True, slots=True)
class BlockAverage:
    """A mean and its standard error.

    Attributes
    ----------
    mean, error : float
    block_length : int
        Samples in a block.
    effective_blocks : float
        Effective number of blocks: the error itself is known to about 1/√(2·effective_blocks).
    correlation_time : float
        Integrated correlation time in samples; 0.5 when they are independent.
    converged : bool
        Whether blocks are longer than ten correlation times and about equal in weight. If not, the error is
        a lower bound: the run is too short.
    """

    mean: float
    error: float
    block_length: int
    effective_blocks: float
    correlation_time: float
    converged: bool

    def __str__(self) -> str:
        return f"{self.mean:.6g} ± {self.error:.2g}" + ("" if self.converged else " (at least)")


def average_blocks(values: ArrayLike, weights: ArrayLike) -> tuple[Any, Any, float]:
    """Weighted mean over blocks, its standard error, and the effective number of blocks.

    Parameters
    ----------
    values : array_like (B,) or (B, ...)
        The average y_b within each block.
    weights : array_like (B,)
        The sum W_b of the weights in each block.

    Returns
    -------
    mean, error : float or ndarray (...)
        ȳ = ΣWy/ΣW; err² = [ΣW(y − ȳ)²/ΣW]/(B_eff − 1).
    effective : float
        B_eff = (ΣW)²/ΣW².

    Raises
    ------
    ValueError
        When shapes do not fit, a weight is negative or not finite, or there are not two blocks' worth.
    """
    y, w = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
    if w.ndim != 1 or y.ndim < 1 or len(y) != len(w):
        raise ValueError(f"one weight is needed for each block, got shapes {y.shape} and {w.shape}")
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise ValueError("the weights of blocks must be finite, not negative and not all zero")
    total = w.sum()
    share = w / total
    effective = 1 / float(np.sum(share**2))
    if effective < 1 + 1e-9:
        raise ValueError(
            f"{len(w)} block(s) with an effective number of {effective:.3g} give no error; use more blocks, "
            "or look at the weights: one block has nearly all"
        )
    mean = np.tensordot(share, y, axes=1)
    variance = np.tensordot(share, (y - mean) ** 2, axes=1)
    return mean[()], np.sqrt(variance / (effective - 1))[()], effective


def block_scan(values: ArrayLike, weights: ArrayLike | None = None, *, min_blocks: float = 10.0) -> BlockScan:
    """Standard error of a mean from blocks of 1, 2, 4 … samples, while there are enough blocks.

    Parameters
    ----------
    values : array_like (T,)
        Samples in the order in which they were drawn.
    weights : array_like (T,), optional
    min_blocks : float
        The effective number of blocks where the scan ends.

    Raises
    ------
    ValueError
        For samples that are not finite, weights that do not fit, or fewer than ``min_blocks`` samples.
    """
    y, w = _samples(values, weights)
    rows = []
    length = 1
    while len(y) // length >= min_blocks:
        used = len(y) // length * length
        # what does not fill a block is left out at the start, which is the least equilibrated
        blocks = w[len(w) - used :].reshape(-1, length)
        sums = blocks.sum(axis=1)
        kept = sums > 0
        products = (blocks * y[len(y) - used :].reshape(-1, length)).sum(axis=1)
        if np.count_nonzero(kept) >= 2:
            _, error, effective = average_blocks(products[kept] / sums[kept], sums[kept])
            if effective < min_blocks:
                break
            rows.append((length, error, effective))
        length *= 2
    if not rows:
        raise ValueError(
            f"{len(y)} samples with their weights are worth fewer than {min_blocks:g} independent ones: no "
            "error can be given; sample longer, or with a better bias"
        )
    lengths, errors, effectives = zip(*rows, strict=True)
    return BlockScan(np.array(lengths), np.array(errors), np.array(effectives))


def block_error(
    values: ArrayLike, weights: ArrayLike | None = None, *, min_blocks: float = 10.0
) -> BlockAverage:
    """Mean of correlated samples and its standard error.

    Blocks are doubled until they are longer than ten correlation times, as those blocks tell them (the
    integrated correlation time is half the square of their error over that of single samples), and until
    their weights are about equal: where values and weights go together, shorter blocks give too small an
    error.

    Parameters
    ----------
    values : array_like (T,)
        Samples in the order in which they were drawn.
    weights : array_like (T,), optional
        Such as e^{V/k_BT} of a bias.
    min_blocks : float
        The smallest effective number of blocks that is used.

    Returns
    -------
    BlockAverage

    Raises
    ------
    ValueError
        For samples that are not finite, weights that do not fit, or fewer than ``min_blocks`` samples.

    References
    ----------
    H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989); M. Invernizzi, P. M. Piaggi, M. Parrinello,
    Phys. Rev. X 10, 041034 (2020), for the effective number of blocks.

    Examples
    --------
    >>> import numpy as np
    >>> average = block_error(np.random.default_rng(0).standard_normal(10_000))
    >>> bool(abs(average.mean) < 4 * average.error), average.converged
    (True, True)
    """
    y, w = _samples(values, weights)
    scan = block_scan(y, w, min_blocks=min_blocks)
    first = scan.errors[0]
    times = 0.5 * (scan.errors / first) ** 2 if first > 0 else np.full(len(scan.errors), 0.5)
    even = scan.effective >= 0.9 * (len(y) // scan.lengths)
    long_enough = (scan.lengths >= 10 * times) & even
    converged = bool(long_enough.any())
    chosen = int(np.argmax(long_enough)) if converged else int(np.argmax(scan.errors))
    return BlockAverage(
        mean=float(np.average(y, weights=w)),
        error=float(scan.errors[chosen]),
        block_length=int(scan.lengths[chosen]),
        effective_blocks=float(scan.effective[chosen]),
        correlation_time=float(times[chosen]),
        converged=converged,
    )


def _samples(values: ArrayLike, weights: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    y = np.asarray(values, dtype=float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    if y.ndim != 1 or w.shape != y.shape:
        raise ValueError(f"samples must be (T,) and so their weights, got shapes {y.shape} and {w.shape}")
    if not (np.isfinite(y).all() and np.isfinite(w).all()):
        raise ValueError("samples and weights must be finite")
    if (w < 0).any() or not w.sum() > 0:
        raise ValueError("weights must not be negative, nor all zero")
    return y, w
