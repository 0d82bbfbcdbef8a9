"""Free parameters of occupied Wyckoff positions, chosen so that no two atoms are too close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.samplers.lattices import lattice_vectors
from ase_mlsample.samplers.wyckoff import WyckoffPosition

__all__ = ["CROWDED", "FIXED", "THIN", "place"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

THIN = "an atom is too close to its own lattice copies"
FIXED = "atoms whose places symmetry fixes are too close"
CROWDED = "overlaps could not be pushed apart"

_SLACK = 1.03  # pushed a little further than asked, so that the descent ends in finite time
_STEPS = 20
_LEAST_GAIN = 0.01  # of the repulsion, in one step
_LONGEST = 0.35  # displacement in one step, in units of the largest minimum distance


def place(
    sites: Sequence[tuple[WyckoffPosition, int]],
    cell: FloatArray,
    table: FloatArray,
    rng: np.random.Generator,
) -> FloatArray | str:
    """Return coordinates of the orbits with no pair closer than its minimum distance, or the reason for none.

    Free parameters are drawn uniformly. Where atoms then overlap, the parameters follow the descent of the
    soft repulsion Σ_pairs (1 − r/d)² by damped Gauss–Newton steps: the symmetry is kept exactly, since
    nothing else moves. Symmetry also makes the pairs of one atom of each orbit stand for all.

    Parameters
    ----------
    sites : sequence of (WyckoffPosition, int)
        Occupied positions with the index of the species.
    cell : ndarray (3, 3)
        Primitive vectors in Å.
    table : ndarray (S, S)
        Minimum distances between the species in Å.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (N, 3) or str
        In units of the primitive vectors, in the order of ``sites``; or :data:`THIN`, :data:`FIXED` or
        :data:`CROWDED`.
    """
    shifts = lattice_vectors(cell, _SLACK * float(table.max()))
    species = np.array([kind for _, kind in sites])
    if shifts is None:
        return THIN
    if len(shifts) > 1:
        shortest = np.sqrt((shifts[1:] ** 2).sum(axis=1).min())
        if shortest < table.diagonal()[species].max():
            return THIN
    return _Orbits(sites, cell, table, shifts).solve(rng)


class _Orbits:
    """Occupied orbits in a cell, their overlaps as functions of the free parameters."""

    def __init__(
        self,
        sites: Sequence[tuple[WyckoffPosition, int]],
        cell: FloatArray,
        table: FloatArray,
        shifts: FloatArray,
    ) -> None:
        sizes = np.array([one.size for one, _ in sites])
        freedoms = [one.n_free for one, _ in sites]
        self.cell, self.shifts = cell, shifts
        self.points = np.concatenate([one.points for one, _ in sites])
        self.directions = np.zeros((len(self.points), 3, sum(freedoms)))
        row = column = 0
        for (one, _), free in zip(sites, freedoms, strict=True):
            self.directions[row : row + one.size, :, column : column + free] = one.directions
            row, column = row + one.size, column + free
        self.first = np.cumsum(sizes) - sizes  # an atom of each orbit
        self.weights = np.sqrt(sizes)
        species = np.array([kind for _, kind in sites])
        self.minimum = table[species[:, None], np.repeat(species, sizes)[None, :]]  # (orbits, N)
        self.limit = (self.minimum**2 * (1 + 1e-9))[:, :, None]
        self.reach = ((_SLACK * self.minimum) ** 2)[:, :, None]
        self.itself = (np.arange(len(sizes)), self.first, 0)
        self.longest = _LONGEST * float(table.max())

    def coordinates(self, parameters: FloatArray) -> FloatArray:
        return np.asarray(self.points + self.directions @ parameters)

    def pairs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return vectors (orbits, N, S, 3) from one atom of each orbit, and squared distances."""
        scaled = self.coordinates(parameters)
        apart = scaled[None] - scaled[self.first][:, None]
        apart -= np.rint(apart)
        vectors = (apart @ self.cell)[:, :, None] + self.shifts
        squares = np.einsum("ijsk,ijsk->ijs", vectors, vectors)
        squares[self.itself] = np.inf
        return vectors, squares

    def solve(self, rng: np.random.Generator) -> FloatArray | str:
        parameters = rng.random(self.directions.shape[2])
        vectors, squares = self.pairs(parameters)
        if (squares >= self.limit).all():
            return self.coordinates(parameters)
        if not len(parameters):
            return FIXED
        damping = 0.01
        residual, jacobian = self._overlaps(vectors, squares)
        if self._hopeless(squares, jacobian):
            return FIXED
        for _ in range(_STEPS):
            step, gain = self._step(residual, jacobian, damping)
            energy = residual @ residual
            if gain < _LEAST_GAIN * energy:
                break  # as far apart as they get
            vectors, squares = self.pairs(parameters + step)
            if (squares >= self.limit).all():
                return self.coordinates(parameters + step)
            new, new_jacobian = self._overlaps(vectors, squares)
            if new @ new < energy:
                parameters = parameters + step
                residual, jacobian, damping = new, new_jacobian, max(damping / 4, 1e-4)
            else:
                damping *= 8
        return CROWDED

    def _overlaps(self, vectors: FloatArray, squares: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the overlaps 1 − r/d (E,), weighted by the orbit's size, and their derivatives (E, F)."""
        i, j, s = np.nonzero(squares < self.reach)
        distances = np.sqrt(squares[i, j, s])
        target, weights = _SLACK * self.minimum[i, j], self.weights[i]
        along = (vectors[i, j, s] @ self.cell.T) * (-weights / (target * np.maximum(distances, 1e-9)))[
            :, None
        ]
        moves = self.directions[j] - self.directions[self.first[i]]
        return weights * (1 - distances / target), (along[:, None, :] @ moves)[:, 0]

    def _hopeless(self, squares: FloatArray, jacobian: FloatArray) -> bool:
        """Return whether atoms are too close that no parameter moves apart."""
        stuck = (np.abs(jacobian) < 1e-9).all(axis=1)
        near = squares < self.reach
        return bool((stuck & (squares < self.limit)[near]).any())

    def _step(self, residual: FloatArray, jacobian: FloatArray, damping: float) -> tuple[FloatArray, float]:
        """Return a damped Gauss–Newton step, no atom moved far, and what it gains to first order."""
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ residual
        count = len(gradient)
        diagonal = normal.diagonal()
        normal.flat[:: count + 1] += damping * diagonal + (1e-3 / count) * diagonal.sum() + 1e-12
        step: FloatArray = np.asarray(-np.linalg.solve(normal, gradient), dtype=np.float64)
        moved = (self.directions @ step) @ self.cell
        longest = float(np.sqrt(np.einsum("ik,ik->i", moved, moved).max()))
        if longest > self.longest:
            step *= self.longest / longest
        return step, -float(gradient @ step)
