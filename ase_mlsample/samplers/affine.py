"""Affine subspaces of a crystal's unit cell in whole numbers: solutions of W x ≡ c modulo lattice vectors.

A point, line or plane that repeats with the lattice is the set {x : W x ≡ c (mod 1)} with W a primitive
matrix of whole numbers. In Hermite normal form W is unique, and so is c: equal subspaces compare equal.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNIT", "Subspace", "image", "intersection", "parametrise", "solve"]

IntArray = NDArray[np.int64]
Rows = tuple[tuple[int, ...], ...]

UNIT = 1152  # constants are multiples of 1/1152: 1/24 for space groups, times what fixed points divide by


class Subspace(NamedTuple):
    """The set W x ≡ c; no rows for the whole space, three for a point."""

    rows: Rows  # W (r, 3), whole numbers, in Hermite normal form
    constants: tuple[int, ...]  # c (r,) in units of 1/UNIT, from 0 to UNIT - 1

    @property
    def dimension(self) -> int:
        """3 for the space, 2 for planes, 1 for lines, 0 for points."""
        return 3 - len(self.rows)


class _Solver(NamedTuple):
    """What solving A x ≡ c takes, found once for every A: U A V = diag(divisors)."""

    left: IntArray  # U (m, m)
    divisors: tuple[int, ...]  # the r positive entries of the diagonal
    right: IntArray  # V (3, 3), unimodular
    rows: Rows  # Hermite normal form of the first r rows of V⁻¹
    transform: IntArray  # (r, r), what brings them there


def _diagonal(matrix: Rows) -> tuple[IntArray, tuple[int, ...], IntArray]:
    """Return U, the positive diagonal and V with U A V diagonal, both unimodular."""
    work = [[*row] for row in matrix]
    left = [[int(i == j) for j in range(len(work))] for i in range(len(work))]
    right = [[int(i == j) for j in range(3)] for i in range(3)]  # columns of V as rows
    step = 0
    while True:
        entries = [
            (abs(work[i][j]), i, j) for i in range(step, len(work)) for j in range(step, 3) if work[i][j]
        ]
        if not entries:
            break
        _, i, j = min(entries)
        work[step], work[i] = work[i], work[step]
        left[step], left[i] = left[i], left[step]
        right[step], right[j] = right[j], right[step]
        for row in work:
            row[step], row[j] = row[j], row[step]
        if work[step][step] < 0:
            work[step] = [-value for value in work[step]]
            left[step] = [-value for value in left[step]]
        pivot = work[step][step]
        for i in range(step + 1, len(work)):
            times = work[i][step] // pivot
            work[i] = [a - times * b for a, b in zip(work[i], work[step], strict=True)]
            left[i] = [a - times * b for a, b in zip(left[i], left[step], strict=True)]
        for j in range(step + 1, 3):
            times = work[step][j] // pivot
            right[j] = [a - times * b for a, b in zip(right[j], right[step], strict=True)]
            for row in work:
                row[j] -= times * row[step]
        # remainders are smaller than the pivot: the next round takes one of them, or goes on
        if not any(work[step][step + 1 :]) and not any(row[step] for row in work[step + 1 :]):
            step += 1
    divisors = tuple(work[i][i] for i in range(step))
    return np.array(left, dtype=np.int64), divisors, np.array(right, dtype=np.int64).T


def _hermite(matrix: IntArray) -> tuple[Rows, IntArray]:
    """Return the row Hermite normal form of a matrix of full row rank, and T with T A = it."""
    count = len(matrix)
    rows = [[*map(int, row)] for row in matrix]
    track = [[int(i == j) for j in range(count)] for i in range(count)]
    top = 0
    for column in range(3):
        if top == count:
            break
        while True:
            below = [i for i in range(top, count) if rows[i][column]]
            if not below:
                break
            best = min(below, key=lambda i: abs(rows[i][column]))
            rows[top], rows[best] = rows[best], rows[top]
            track[top], track[best] = track[best], track[top]
            if rows[top][column] < 0:
                rows[top] = [-value for value in rows[top]]
                track[top] = [-value for value in track[top]]
            for i in range(count):
                times = rows[i][column] // rows[top][column]
                if i != top and times:
                    rows[i] = [a - times * b for a, b in zip(rows[i], rows[top], strict=True)]
                    track[i] = [a - times * b for a, b in zip(track[i], track[top], strict=True)]
            if not any(rows[i][column] for i in range(top + 1, count)):
                top += 1
                break
    return tuple(tuple(row) for row in rows), np.array(track, dtype=np.int64).reshape(count, count)


@cache
def _solver(matrix: Rows) -> _Solver:
    left, divisors, right = _diagonal(matrix)
    inverse = np.rint(np.linalg.inv(right)).astype(np.int64)
    rows, transform = _hermite(inverse[: len(divisors)])
    return _Solver(left, divisors, right, rows, transform)


def solve(matrix: Rows, constants: tuple[int, ...]) -> list[Subspace]:
    """Return the solutions of A x ≡ c (mod 1), parallel subspaces; none if there is no solution.

    Parameters
    ----------
    matrix : tuple of rows (m, 3)
        Whole numbers, of any rank.
    constants : tuple (m,)
        In units of 1/UNIT.

    Raises
    ------
    ArithmeticError
        If a constant of a solution is no multiple of 1/UNIT, which no space group brings about.
    """
    if not matrix:
        return [Subspace((), ())]
    solver = _solver(matrix)
    target = [int(value) % UNIT for value in solver.left @ np.array(constants, dtype=np.int64)]
    rank = len(solver.divisors)
    if any(target[rank:]):
        return []
    if any(
        value % divisor or UNIT % divisor for value, divisor in zip(target, solver.divisors, strict=False)
    ):
        raise ArithmeticError(f"{constants} over {solver.divisors} is no multiple of 1/{UNIT}; raise UNIT")
    choices = [
        [(value + k * UNIT) // divisor for k in range(divisor)]
        for value, divisor in zip(target, solver.divisors, strict=False)
    ]
    found = []
    for choice in itertools.product(*choices):
        values = solver.transform @ np.array(choice, dtype=np.int64)
        found.append(Subspace(solver.rows, tuple(int(value) % UNIT for value in values)))
    return found


def intersection(first: Subspace, second: Subspace) -> list[Subspace]:
    """Return the subspaces in which two of them meet, one for each place of the cell where they do."""
    return solve(first.rows + second.rows, first.constants + second.constants)


def image(subspace: Subspace, inverse: IntArray, translation: IntArray) -> Subspace:
    """Return what x → R x + t makes of a subspace.

    Parameters
    ----------
    subspace : Subspace
    inverse : ndarray (3, 3), int
        R⁻¹, unimodular.
    translation : ndarray (3,), int
        t in units of 1/UNIT.
    """
    if not subspace.rows:
        return subspace
    rows = np.array(subspace.rows, dtype=np.int64) @ inverse
    constants = np.array(subspace.constants, dtype=np.int64) + rows @ translation
    matrix = tuple(tuple(row) for row in rows.tolist())
    return solve(matrix, tuple(constants.tolist()))[0]


def parametrise(subspace: Subspace) -> tuple[IntArray, IntArray]:
    """Return a point (3,) in units of 1/UNIT and a basis (3, dimension) of the subspace's lattice vectors.

    Points of the subspace are point + basis u; u over the unit cube covers it once, lattice vectors aside.
    """
    if not subspace.rows:
        return np.zeros(3, dtype=np.int64), np.eye(3, dtype=np.int64)
    solver = _solver(subspace.rows)
    rank = len(solver.divisors)
    values = solver.left @ np.array(subspace.constants, dtype=np.int64)
    return solver.right[:, :rank] @ values % UNIT, solver.right[:, rank:]
