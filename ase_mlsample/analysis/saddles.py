"""The lowest way between two points of a surface on a grid."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["lowest_saddle"]


def lowest_saddle(
    values: NDArray[np.float64], start: tuple[int, ...], end: tuple[int, ...], periodic: Sequence[bool]
) -> tuple[int, ...]:
    """Return the highest point on the way whose highest point is lowest.

    Ways go through neighbouring points of the grid, diagonals included, and not through infinite ones.

    Parameters
    ----------
    values : ndarray (m1, ...)
    start, end : tuple of int
        Where the way begins and ends.
    periodic : sequence of bool
        Along which axes the last point is a neighbour of the first.

    Raises
    ------
    ValueError
        When there is no such way.
    """
    moves = [move for move in itertools.product((-1, 0, 1), repeat=values.ndim) if any(move)]
    # Dijkstra's search with the maximum in place of the sum
    waiting = [(float(values[start]), start, start)]
    seen = np.zeros(values.shape, dtype=bool)
    while waiting:
        highest, place, top = heapq.heappop(waiting)
        if seen[place]:
            continue
        seen[place] = True
        if place == end:
            return top
        for move in moves:
            there = _moved(place, move, values.shape, periodic)
            if there is None or seen[there] or not math.isfinite(values[there]):
                continue
            value = float(values[there])
            entry = (value, there, there) if value > highest else (highest, there, top)
            heapq.heappush(waiting, entry)
    raise ValueError("no way between the basins was ever seen: the free energy is infinite in between")


def _moved(
    place: tuple[int, ...], move: tuple[int, ...], shape: tuple[int, ...], periodic: Sequence[bool]
) -> tuple[int, ...] | None:
    there = []
    for k, step, size, around in zip(place, move, shape, periodic, strict=True):
        to = (k + step) % size if around else k + step
        if not 0 <= to < size:
            return None
        there.append(to)
    return tuple(there)
