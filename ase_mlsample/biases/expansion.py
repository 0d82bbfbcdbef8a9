"""Products of bases of one to three variables: tables on a grid, integrals and averages of samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.basis import Basis
from ase_mlsample.biases.grid import make_grid, node_axes, node_points, node_volumes

__all__ = ["LinearExpansion", "Quadrature"]

FloatArray = NDArray[np.float64]
Quadrature = Literal["gregory", "trapezoid"]

_CELLS = {1: 1000, 2: 200, 3: 60}  # of a variable's interval, by the number of variables
_CELLS_PER_FUNCTION = 8
_BINS = {1: 50, 2: 20, 3: 10}
_ENDS = {"gregory": (3 / 8, 7 / 6, 23 / 24), "trapezoid": (0.5,)}  # the former is of fourth order
_AT_ONCE = 1 << 21  # numbers in a product of functions of samples


class LinearExpansion:
    """V = Σ a f with f the products of functions of each variable, on a grid with cubic interpolation.

    The nodes hold V and its mixed derivatives exactly.

    Parameters
    ----------
    bases : sequence of Basis
        One for each of one to three variables.
    cells : sequence of int, optional
        Steps of the grid along each variable.
    quadrature : {"gregory", "trapezoid"}
        Weights of the nodes in integrals, along variables that are not periodic.

    Attributes
    ----------
    bases : tuple of Basis
    shape : tuple of int
        Numbers of functions, (m₁, …).
    axes : list of ndarray (n₁,), …
    nodes : tuple of int
        (n₁, …)
    points : ndarray (n, d)
        All nodes.
    volumes : ndarray (n,)
        Their shares in integrals; the sum is 1.
    bins : int
        Of the histogram of :meth:`gather`.
    """

    def __init__(self, bases: Sequence[Basis], cells: Sequence[int] | None, quadrature: Quadrature) -> None:
        self.bases = tuple(bases)
        d = len(self.bases)
        self.shape = tuple(basis.n_functions for basis in self.bases)
        self.cells = _default_cells(self.bases) if cells is None else tuple(cells)
        steps = [
            (basis.interval[1] - basis.interval[0]) / n
            for basis, n in zip(self.bases, self.cells, strict=True)
        ]
        self.grid = make_grid(
            steps, [basis.domain for basis in self.bases], [basis.interval for basis in self.bases]
        )
        self.axes = node_axes(self.grid)
        self.nodes = tuple(len(axis) for axis in self.axes)
        self.points = node_points(self.axes)
        self._tables = [basis.evaluate(axis) for basis, axis in zip(self.bases, self.axes, strict=True)]
        periodic = [basis.periodic for basis in self.bases]
        self.volumes = node_volumes(self.nodes, periodic, ends=_ENDS[quadrature])
        self._per_axis = _BINS[d]
        self.bins = self._per_axis**d
        self._bin_of_node = self._bin(self.points)

    def set_coefficients(self, coefficients: FloatArray) -> FloatArray:
        """Put V of coefficients (m₁, …) on the grid, and return its values at the nodes (n,)."""
        d = len(self.shape)
        terms = np.empty((*self.nodes, 2**d))
        for kinds in itertools.product((0, 1), repeat=d):  # 1: the derivative along that axis
            used = [tables[kind] for tables, kind in zip(self._tables, kinds, strict=True)]
            terms[..., sum(kind << axis for axis, kind in enumerate(kinds))] = _expanded(coefficients, used)
        data = terms.reshape(-1, 2**d)
        self.grid.set_data(data)
        return data[:, 0].copy()

    def evaluate(self, coefficients: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return V (n,) and its gradient (n, d) at points (n, d) without the grid."""
        columns = [basis.evaluate(points[:, k]) for k, basis in enumerate(self.bases)]
        V = _combined(coefficients, [values for values, _ in columns])
        gradient = np.empty(points.shape)
        for axis in range(len(columns)):
            used = [slopes if k == axis else values for k, (values, slopes) in enumerate(columns)]
            gradient[:, axis] = _combined(coefficients, used)
        return V, gradient

    def means(self, probabilities: FloatArray) -> FloatArray:
        """Return averages (m₁, …) of the functions over probabilities (n,) of the nodes."""
        return _expanded(probabilities.reshape(self.nodes), [values.T for values, _ in self._tables])

    def coarse(self, probabilities: FloatArray) -> FloatArray:
        """Return probabilities (n,) of the nodes summed up in the bins of :meth:`gather`."""
        sums = np.bincount(self._bin_of_node, probabilities, minlength=self.bins)
        return np.asarray(sums, dtype=np.float64)

    def gather(self, samples: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return sums over the samples (n, d) that are within the intervals.

        Returns
        -------
        sums, squares : ndarray (m₁, …)
            Of the functions.
        counts : ndarray (bins,)
            A histogram.
        """
        within = np.all([basis.contains(s) for basis, s in zip(self.bases, samples.T, strict=True)], axis=0)
        samples = samples if within.all() else samples[within]
        counts = np.bincount(self._bin(samples), minlength=self.bins).astype(np.float64)
        sums, squares = np.zeros(self.shape), np.zeros(self.shape)
        at_once = max(1, _AT_ONCE // math.prod(self.shape[:-1]))
        for begin in range(0, len(samples), at_once):
            part = samples[begin : begin + at_once]
            values = [basis.values(s) for basis, s in zip(self.bases, part.T, strict=True)]
            sums += _summed(values)
            for value in values:
                np.multiply(value, value, out=value)
            squares += _summed(values)
        return sums, squares, counts

    def _bin(self, points: FloatArray) -> NDArray[np.int64]:
        index = np.zeros(len(points), dtype=np.int64)
        for basis, s in zip(self.bases, points.T, strict=True):
            low, high = basis.interval
            # a little is added so that rounding does not part nodes from the bin that they begin
            place = np.floor((s - low) * (self._per_axis / (high - low)) + 1e-9).astype(np.int64)
            place = place % self._per_axis if basis.periodic else np.minimum(place, self._per_axis - 1)
            index = index * self._per_axis + place
        return index


def _default_cells(bases: Sequence[Basis]) -> tuple[int, ...]:
    return tuple(max(_CELLS[len(bases)], _CELLS_PER_FUNCTION * basis.n_functions) for basis in bases)


def _expanded(tensor: FloatArray, tables: Sequence[FloatArray]) -> FloatArray:
    """Σ tensor[a, b, …] table₁[i, a] table₂[j, b] …, (i, j, …)."""
    result: Any = tensor
    for table in tables:
        # the contracted axis leaves the front, the new one comes to the back: in the end the order is kept
        result = np.tensordot(result, table, axes=(0, 1))
    return np.ascontiguousarray(result)


def _combined(coefficients: FloatArray, tables: Sequence[FloatArray]) -> FloatArray:
    """Σ coefficients[a, b, …] table₁[n, a] table₂[n, b] …, (n,)."""
    result: Any = np.tensordot(tables[0], coefficients, axes=1)
    for table in tables[1:]:
        result = np.einsum("na,na...->n...", table, result)
    return np.asarray(result)


def _summed(values: Sequence[FloatArray]) -> FloatArray:
    """Σ over n of value₁[a, n] value₂[b, n] …, (a, b, …)."""
    product = values[0]
    if len(values) == 1:
        return np.asarray(product.sum(axis=1))
    for value in values[1:-1]:
        product = (product[:, None] * value).reshape(-1, value.shape[1])
    total = product @ values[-1].T
    return total.reshape([len(value) for value in values])
