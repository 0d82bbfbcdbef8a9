"""Potentials learned on a grid of fixed range: nodes, shares of samples, and what lies between the nodes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain
from ase_mlsample.biases.grid import make_grid, node_axes, node_points, node_volumes

__all__ = ["TabulatedPotential"]

FloatArray = NDArray[np.float64]


class TabulatedPotential:
    """A potential of one to three variables by its values at nodes, with cubic splines between them.

    Beyond the bounds V goes on with its value there, without force.

    Parameters
    ----------
    ranges : sequence of (float, float)
        Bounds or period of each variable.
    domains : sequence
        The period of each variable, or None.
    bins : sequence of int
        Intervals along each variable.

    Attributes
    ----------
    axes : list of ndarray (n₁,), …
        Nodes; those of a periodic variable stop one before its end.
    shape : tuple of int
    points : ndarray (n, d)
        All nodes.
    volumes : ndarray (n,)
        Shares of the volume, for integrals by the trapezoidal rule; their sum is 1.
    """

    def __init__(
        self, ranges: Sequence[tuple[float, float]], domains: Sequence[Domain], bins: Sequence[int]
    ) -> None:
        self._low = np.array([low for low, _ in ranges])
        self._steps = np.array([(high - low) / n for (low, high), n in zip(ranges, bins, strict=True)])
        self._bins = np.array(bins)
        self._periodic = np.array([domain is not None for domain in domains])
        self.grid = make_grid(self._steps.tolist(), domains, ranges)
        self.axes = node_axes(self.grid)
        self.shape = tuple(len(axis) for axis in self.axes)
        self.points = node_points(self.axes)
        self.volumes = node_volumes(self.shape, self._periodic.tolist())
        self._strides = np.array([math.prod(self.shape[k + 1 :]) for k in range(len(self.shape))])
        self._derive = [_spline_slopes(*entry) for entry in zip(self.axes, domains, strict=True)]
        self._terms = np.zeros((*self.shape, 2 ** len(self.shape)))

    def potential(self, points: FloatArray) -> tuple[Any, FloatArray]:
        """Return V and its gradient; ValueError for points that do not fit or are not finite."""
        return self.grid.evaluate(points)

    def set_values(self, values: FloatArray) -> None:
        """Take other values at the nodes, (n,)."""
        terms = self._terms
        terms[..., 0] = values.reshape(self.shape)
        for axis, slopes in enumerate(self._derive):
            for term in range(2**axis):  # derivatives along the axes before
                moved = np.moveaxis(terms[..., term], axis, 0)
                np.moveaxis(terms[..., term + 2**axis], axis, 0)[:] = np.tensordot(slopes, moved, axes=1)
        self.grid.set_data(terms.reshape(len(values), -1))

    def shares(self, samples: FloatArray) -> FloatArray:
        """Share samples (m, d) out linearly to the nodes around them, (n,); the sum is 1.

        At least one sample, and none beyond the bounds.
        """
        places = (samples - self._low) / self._steps
        cells = np.floor(places)
        fractions = places - cells
        left = np.where(self._periodic, cells % self._bins, cells).astype(np.int64)
        # the upper end of bounds belongs to the last interval, with nothing beyond
        right = np.where(self._periodic, (left + 1) % self._bins, np.minimum(left + 1, self._bins))
        total = np.zeros(len(self.points))
        for corner in itertools.product((False, True), repeat=len(self.shape)):
            index = np.where(corner, right, left) @ self._strides
            parts = np.where(corner, fractions, 1 - fractions).prod(axis=1)
            total += np.bincount(index, parts, minlength=len(total))
        return total / len(samples)


def _spline_slopes(axis: FloatArray, domain: Domain) -> FloatArray:
    """Return the matrix (n, n) from values at nodes to the slopes of the cubic spline through them."""
    from scipy.interpolate import CubicSpline

    values = np.eye(len(axis))
    if domain is None:
        spline = CubicSpline(axis, values)
    else:
        ends = np.append(axis, axis[0] + domain[1] - domain[0])
        spline = CubicSpline(ends, np.append(values, values[:1], axis=0), bc_type="periodic")
    slopes: FloatArray = spline(axis, 1)
    return slopes
