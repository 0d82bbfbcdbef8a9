"""Grids of one to three variables that hold a potential."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain

if TYPE_CHECKING:
    from ase_mlsample._core import HillGrid

__all__ = [
    "grid_state",
    "load_grid_state",
    "make_grid",
    "node_axes",
    "node_points",
    "node_values",
    "node_volumes",
]

FloatArray = NDArray[np.float64]


def make_grid(spacings: Sequence[float], domains: Sequence[Domain], bounds: Sequence[Domain]) -> HillGrid:
    """Make an empty grid.

    A periodic axis has its period cut into equal steps not above the spacing, one with bounds the range
    between them; any other has nodes at multiples of the spacing and grows.
    """
    from ase_mlsample import _core

    axes = [_axis(*entry) for entry in zip(spacings, domains, bounds, strict=True)]
    kinds, origins, steps, sizes = zip(*axes, strict=True)
    return _core.HillGrid(
        kinds=list(kinds),
        origins=list(origins),
        spacings=list(steps),
        first=[0] * len(axes),
        size=list(sizes),
    )


def _axis(spacing: float, domain: Domain, bounds: Domain) -> tuple[str, float, float, int]:
    limits = domain or bounds
    if limits is None:
        return "growing", 0.0, spacing, 2
    low, high = limits
    steps = max(2, math.ceil((high - low) / spacing * (1 - 1e-12)))
    kind, size = ("periodic", steps) if domain else ("bounded", steps + 1)
    return kind, low, (high - low) / steps, size


def node_axes(grid: HillGrid) -> list[FloatArray]:
    """Return the coordinates of the nodes along each axis."""
    entries = zip(grid.origins, grid.spacings, grid.first, grid.size, strict=True)
    return [
        np.array(origin + (first + np.arange(size)) * spacing, dtype=np.float64)
        for origin, spacing, first, size in entries
    ]


def node_points(axes: Sequence[FloatArray]) -> FloatArray:
    """Return the coordinates of all nodes, (n, d), in the order of a grid's values."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def node_volumes(
    sizes: Sequence[int], periodic: Sequence[bool], *, ends: Sequence[float] = (0.5,)
) -> FloatArray:
    """Return the nodes' shares of the volume in integrals, (n,), whose sum is 1.

    ``ends`` are weights of the first nodes, and in turn of the last, along axes that are not periodic: those
    of the trapezoidal rule unless given.
    """
    volumes = np.ones(())
    for size, closed in zip(sizes, periodic, strict=True):
        line = np.ones(size)
        if not closed:
            line[: len(ends)], line[-len(ends) :] = ends, ends[::-1]
        volumes = np.multiply.outer(volumes, line / line.sum())
    return np.asarray(volumes).ravel()


def node_values(grid: HillGrid) -> FloatArray:
    """Return values and mixed derivatives at the nodes, (n₁, …, 2^d)."""
    return grid.data().reshape(*grid.size, -1)


def grid_state(grid: HillGrid) -> dict[str, Any]:
    """Return what a grid holds, and how far it has grown."""
    return {"first": list(grid.first), "size": list(grid.size), "data": grid.data()}


def load_grid_state(
    state: Mapping[str, Any], spacings: Sequence[float], domains: Sequence[Domain], bounds: Sequence[Domain]
) -> HillGrid:
    """Return the grid of a state, made with the same arguments as the one it was of."""
    from ase_mlsample import _core

    axes = [_axis(*entry) for entry in zip(spacings, domains, bounds, strict=True)]
    kinds, origins, steps, _ = zip(*axes, strict=True)
    first, size = ([int(number) for number in state[name]] for name in ("first", "size"))
    grid = _core.HillGrid(
        kinds=list(kinds), origins=list(origins), spacings=list(steps), first=first, size=size
    )
    grid.set_data(np.ascontiguousarray(state["data"], dtype=np.float64))
    return grid
