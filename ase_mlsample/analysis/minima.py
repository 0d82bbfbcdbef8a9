"""Minima of a free energy on a grid, and the basins around them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.analysis.free_energy import FreeEnergy

__all__ = ["Minimum", "find_minima"]


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """A minimum of a free energy.

    Attributes
    ----------
    place : tuple of float
        Where it is.
    value, error : float
        F there and its standard error (NaN where F has none).
    basin : ndarray of bool (m1, ...)
        Points of the grid from which going down leads to it.
    """

    place: tuple[float, ...]
    value: float
    error: float
    basin: NDArray[np.bool_]


def find_minima(F: FreeEnergy, *, depth: float | None = None) -> list[Minimum]:
    """Find the minima of a free energy that are deep enough, the lowest first.

    Parameters
    ----------
    F : FreeEnergy
    depth : float, optional
        How far one must climb to leave a minimum for a deeper one, so that it counts; default: kT.
        Shallower ones belong to the basin that they empty into first.

    Raises
    ------
    ValueError
        For a negative depth.

    Examples
    --------
    >>> s = np.linspace(-1.5, 1.5, 61)
    >>> F = FreeEnergy((s,), 8 * (s**2 - 1) ** 2, 1.0, (None,))
    >>> [round(minimum.place[0], 3) for minimum in find_minima(F)]
    [-1.0, 1.0]
    """
    least = F.kT if depth is None else depth
    if not least >= 0:
        raise ValueError(f"depth must not be negative, got {depth!r}")
    labels, roots = _flooded(F, least)
    minima = []
    for root in sorted(roots, key=lambda index: F.values.flat[index]):
        place = tuple(int(k) for k in np.unravel_index(root, F.values.shape))
        minima.append(
            Minimum(
                place=tuple(float(axis[k]) for axis, k in zip(F.axes, place, strict=True)),
                value=float(F.values[place]),
                error=float("nan") if F.errors is None else float(F.errors[place]),
                basin=labels == root,
            )
        )
    return minima


def _flooded(F: FreeEnergy, least: float) -> tuple[NDArray[np.int64], list[int]]:
    """Return the flat index of the minimum that each point belongs to (−1: none), and the minima."""
    values = F.values.ravel()
    owner = np.full(values.size, -1, dtype=np.int64)
    joined: dict[int, int] = {}  # a minimum that is too shallow, and where its water goes

    def bottom(index: int) -> int:
        while index in joined:
            index = joined[index]
        return index

    neighbours = _Neighbours(F)
    found: list[int] = []
    # the water rises: every point belongs to the basin of its lowest neighbour below
    for point in np.argsort(values, kind="stable"):
        if not np.isfinite(values[point]):
            break
        wet = [there for there in neighbours.of(int(point)) if owner[there] >= 0]
        if not wet:
            owner[point] = point
            found.append(int(point))
            continue
        owner[point] = owner[min(wet, key=lambda there: values[there])]
        meeting = sorted({bottom(int(owner[there])) for there in wet}, key=lambda index: values[index])
        for shallow in meeting[1:]:
            if values[point] - values[shallow] < least:
                joined[shallow] = meeting[0]
    labels = np.array([bottom(int(index)) if index >= 0 else -1 for index in owner])
    return labels.reshape(F.values.shape), [index for index in found if index not in joined]


class _Neighbours:
    """Points of a grid next to each other, corners included."""

    def __init__(self, F: FreeEnergy) -> None:
        self.shape = F.values.shape
        self.around = [domain is not None for domain in F.domains]
        self.moves = [move for move in itertools.product((-1, 0, 1), repeat=F.values.ndim) if any(move)]

    def of(self, index: int) -> Iterator[int]:
        """Flat indices next to a point."""
        place = np.unravel_index(index, self.shape)
        for move in self.moves:
            there = 0
            for k, step, size, around in zip(place, move, self.shape, self.around, strict=True):
                to = int(k) + step
                if around:
                    to %= size
                elif not 0 <= to < size:
                    break
                there = there * size + to
            else:
                yield there
