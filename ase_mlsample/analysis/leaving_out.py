"""Errors of anything that is computed from blocks of samples, by leaving out one block after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["jackknife"]

FloatArray = NDArray[np.float64]


def jackknife(blocks: ArrayLike, estimate: Callable[[FloatArray], Any]) -> tuple[Any, Any]:
    """Value of an estimate from all blocks, and its standard error.

    The error is √[(B − 1)/B Σ_b (x_b − x̄)²], with x_b from all blocks but one. It holds for smooth functions
    of sums such as ln(p₁/p₂), however much the weights of blocks differ: where a static bias spans many k_BT,
    a block that never saw the stable basin weighs nothing, and an average over blocks by their weights, such
    as :func:`~ase_mlsample.analysis.blocks.average_blocks` makes, says nothing about a barrier.

    Parameters
    ----------
    blocks : array_like (B, ...)
        Sums, such as weights in the bins of a histogram, in consecutive parts of a run; they should be longer
        than samples remember. See whether half as many give the same.
    estimate : callable
        Computes a number or an array from the sum (...) over blocks.

    Returns
    -------
    value, error : float or ndarray

    Raises
    ------
    ValueError
        For fewer than two blocks.

    References
    ----------
    R. G. Miller, Biometrika 61, 1 (1974).

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson([900.0, 100.0], (20, 2))
    >>> value, error = jackknife(counts, lambda n: np.log(n[0] / n[1]))
    >>> bool(abs(value - np.log(9)) < 3 * error), bool(0.01 < error < 0.05)
    (True, True)
    """
    given = np.asarray(blocks, dtype=float)
    number = len(given)
    if number < 2:
        raise ValueError(f"an error needs at least two blocks, got {number}")
    value = np.asarray(estimate(given.sum(axis=0)))
    # summed without the block: a difference would lose all digits where one block outweighs the others
    rest = np.stack([np.asarray(estimate(np.delete(given, b, axis=0).sum(axis=0))) for b in range(number)])
    with np.errstate(invalid="ignore"):
        deviations = rest - rest.mean(axis=0)
    error = np.sqrt((number - 1) / number * (deviations**2).sum(axis=0))
    return value[()], error[()]
