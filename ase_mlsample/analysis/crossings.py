"""How often a run went from one basin to another: what a barrier or a difference rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.analysis.density import as_samples, bin_indices
from ase_mlsample.analysis.free_energy import Basin, FreeEnergy

__all__ = ["count_crossings"]


def count_crossings(F: FreeEnergy, first: Basin, second: Basin, runs: Iterable[ArrayLike]) -> tuple[int, int]:
    """Count how often runs went from the lower half of one basin to that of another.

    A basin counts where F is less than half way up from its bottom to the barrier, so that a run that
    trembles on the top has not crossed; all of it where no way in between was ever seen. Errors from blocks
    presume many crossings: of few, whatever the blocks, they are too small.

    Parameters
    ----------
    F : FreeEnergy
        Along the variables of the runs.
    first, second : as for :meth:`FreeEnergy.basin_difference`
    runs : iterable of array_like (T,) or (T, d)
        Variables of each run, in the order of time.

    Returns
    -------
    there, back : int
        From the first basin to the second, and from the second to the first, summed over runs.

    Raises
    ------
    ValueError
        For a basin without a point in the grid, or runs of other variables.

    Examples
    --------
    >>> s = np.linspace(-1.5, 1.5, 61)
    >>> F = FreeEnergy((s,), 8 * (s**2 - 1) ** 2, 1.0, (None,))
    >>> count_crossings(F, (-1.5, 0), (0, 1.5), [[-1, -0.1, 0.1, -0.1, 0.1, 1, -1], [1, -1]])
    (1, 2)
    """
    lower = [_lower_half(F, basin, other) for basin, other in ((first, second), (second, first))]
    there = back = 0
    for run in runs:
        place = bin_indices(as_samples(run, len(F.axes)), F.axes, F.domains)
        place = place[place >= 0]
        state = lower[1].ravel()[place].astype(int) - lower[0].ravel()[place]
        change = np.diff(state[state != 0])
        there += int(np.count_nonzero(change > 0))
        back += int(np.count_nonzero(change < 0))
    return there, back


def _lower_half(F: FreeEnergy, basin: Basin, other: Basin) -> NDArray[np.bool_]:
    """Points of a basin less than half way up to the barrier before another, (m1, ...)."""
    inside, _ = F.basin_mask(basin), F.basin_mask(other)
    try:
        height = F.barrier(basin, other).height
    except ValueError:  # the basins are there, so no way was seen
        height = math.inf
    top = F.values[inside].min() + 0.5 * height
    counted: NDArray[np.bool_] = inside & np.isfinite(F.values) & (F.values <= top)
    return counted
