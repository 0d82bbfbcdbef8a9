"""Crystals along lattice planes: primitive lattices, oriented cells, common cells of turned ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

__all__ = [
    "Coincidence",
    "Miller",
    "checked_planes",
    "coincidences",
    "low_index_planes",
    "oriented",
    "primitive",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Miller = tuple[int, int, int]

_SAME = 1e-2  # Å: atoms that a translation brings so close are the same


def low_index_planes(largest: int) -> list[Miller]:
    """Return the lattice planes with indices up to ``largest``, one of (hkl) and (−h −k −l)."""
    window = range(-largest, largest + 1)
    return [
        (h, k, m)
        for h, k, m in itertools.product(window, repeat=3)
        if (h, k, m) > (0, 0, 0) and math.gcd(h, k, m) == 1
    ]


def checked_planes(miller: Miller | Sequence[Miller] | None, *, largest: int = 1) -> list[Miller]:
    """Return the planes given, or all of low index; ValueError for what is no plane."""
    if miller is None:
        return low_index_planes(largest)
    listed = [miller] if len(miller) == 3 and not isinstance(miller[0], Sequence) else list(miller)
    planes: list[Miller] = []
    for plane in listed:
        indices = tuple(plane) if isinstance(plane, Sequence) else ()
        if len(indices) != 3 or any(index != int(index) for index in indices) or not any(indices):
            raise ValueError(
                f"miller must be three whole numbers that are not all zero, or a list of such, got "
                f"{miller!r}; use for example (1, 1, 1)"
            )
        common = math.gcd(*(int(index) for index in indices))
        planes.append((int(indices[0]) // common, int(indices[1]) // common, int(indices[2]) // common))
    if not planes:
        raise ValueError("miller is empty; give at least one plane such as (1, 1, 1)")
    return planes


def primitive(atoms: Atoms) -> Atoms:
    """Return a primitive cell of a crystal in its orientation; the crystal itself where it has none smaller.

    Translations that map every atom onto one of its kind within 0.01 Å count, so that a perfect supercell is
    reduced, a rattled one is not. The translations are taken as exact fractions of the cell, so that the
    density stays the same to rounding.
    """
    numbers = np.asarray(atoms.numbers)
    kinds, counts = np.unique(numbers, return_counts=True)
    rare = np.flatnonzero(numbers == kinds[int(np.argmin(counts))])
    fractional = atoms.get_scaled_positions()
    found = [shift for other in rare[1:] if _maps(atoms, shift := fractional[other] - fractional[rare[0]])]
    order = len(found) + 1
    # in a finite group of translations, order times any of them is a lattice vector
    whole = np.round(order * np.array(found).reshape(-1, 3))
    off = (np.array(found).reshape(-1, 3) - whole / order) @ atoms.cell.array
    if not found or np.linalg.norm(off, axis=1).max() > _SAME:
        return atoms
    images = [
        shift % 1.0 - corner for shift in whole / order for corner in itertools.product((0, 1), repeat=3)
    ]
    vectors = np.array([*images, *np.eye(3)]) @ atoms.cell.array
    cell = _basis(vectors, atoms.get_volume() / order)
    if cell is None:
        return atoms
    small = Atoms(numbers, positions=atoms.positions, cell=cell, pbc=True)
    small.wrap()
    kept = _first_images(small)
    return small[kept] if order * len(kept) == len(atoms) else atoms


def _first_images(atoms: Atoms) -> list[int]:
    """Return the atoms that are not on top of an earlier one of their kind."""
    inside = atoms.cell.scaled_positions(atoms.positions)
    kept: list[int] = []
    for index in range(len(atoms)):
        apart = inside[kept] - inside[index]
        apart -= np.round(apart)
        same = np.linalg.norm(apart @ atoms.cell.array, axis=1) < 3 * _SAME
        if not (same & (atoms.numbers[kept] == atoms.numbers[index])).any():
            kept.append(index)
    return kept


def _maps(atoms: Atoms, shift: FloatArray) -> bool:
    """Tell whether a translation (fractional) maps every atom onto one of its kind."""
    fractional = atoms.get_scaled_positions()
    for kind in np.unique(atoms.numbers):
        own = fractional[atoms.numbers == kind]
        apart = own[:, None, :] + shift - own[None, :, :]
        apart -= np.round(apart)
        if (np.linalg.norm(apart @ atoms.cell.array, axis=2).min(axis=1) > _SAME).any():
            return False
    return True


def _basis(vectors: FloatArray, volume: float) -> FloatArray | None:
    """Return three short lattice vectors that span this volume, right-handed; None where there are none."""
    short = vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")]
    for count in range(3, len(short) + 1):
        last = short[count - 1]
        for one, two in itertools.combinations(short[: count - 1], 2):
            spanned = float(np.linalg.det([one, two, last]))
            if abs(abs(spanned) - volume) < 1e-6 * volume:
                rows = [one, two, last] if spanned > 0 else [two, one, last]
                return np.asarray(minkowski_reduce(np.array(rows))[0], dtype=np.float64)
    return None


def oriented(atoms: Atoms, miller: Miller) -> Atoms:
    """Return a cell of a crystal whose first two vectors lie in a lattice plane.

    Parameters
    ----------
    atoms : Atoms
        Periodic in three directions.
    miller : (int, int, int)
        Indices of the plane in the cell of ``atoms``; what is repeated is the primitive cell.

    Returns
    -------
    Atoms
        One lattice plane thick: a along x, b in the xy-plane (the shortest two, at 60 to 120 degrees), c one
        spacing along +z and as upright as the lattice allows; right-handed.
    """
    small = primitive(atoms)
    indices = np.array(miller) @ np.linalg.inv(atoms.cell.array).T @ small.cell.array.T
    indices = _whole(indices)
    u, v, w = _plane_basis(indices)
    cell = small.cell.array
    u, v = _short_pair(np.array([u, v]), cell)
    normal = np.cross(u @ cell, v @ cell)
    if normal @ (w @ cell) < 0:
        v, normal = -v, -normal
    inplane = np.array([u @ cell, v @ cell, normal / np.linalg.norm(normal)])
    lean = (w @ cell) @ np.linalg.inv(inplane)
    w = w - np.round(lean[0]) * u - np.round(lean[1]) * v
    cut = make_supercell(small, np.array([u, v, w]).round().astype(int))
    cut.set_cell(cut.cell.standard_form()[0], scale_atoms=True)
    cut.wrap()
    return cut


def _whole(indices: FloatArray) -> IntArray:
    """Return the smallest whole numbers in these proportions."""
    largest = float(np.abs(indices).max())
    for factor in range(1, 200):
        scaled = indices / largest * factor
        if np.abs(scaled - np.round(scaled)).max() < 2e-3 * factor**0.5:
            whole = np.round(scaled).astype(np.int64)
            return np.asarray(whole // math.gcd(*(int(x) for x in whole)), dtype=np.int64)
    raise ValueError(f"the plane has no small whole indices in the primitive cell: {indices}")


def _plane_basis(miller: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return whole vectors u, v in the plane and w one plane up, a basis of the lattice."""
    # column operations of Euclid's algorithm take the indices to (0, 0, 1)
    row, basis = [int(x) for x in miller], np.eye(3, dtype=np.int64)
    while sum(1 for x in row if x) > 1:
        order = sorted((i for i in range(3) if row[i]), key=lambda i: abs(row[i]))
        pivot, other = order[0], order[1]
        times = row[other] // row[pivot]
        row[other] -= times * row[pivot]
        basis[other] -= times * basis[pivot]
    last = next(i for i in range(3) if row[i])
    first, second = (i for i in range(3) if i != last)
    return basis[first], basis[second], basis[last] * (1 if row[last] > 0 else -1)


def _short_pair(pair: IntArray, cell: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the shortest two vectors of a plane lattice (Gauss), in units of the cell."""
    u, v = pair
    while True:
        a, b = u @ cell, v @ cell
        if a @ a > b @ b + 1e-9:
            u, v, a, b = v, u, b, a
        times = int(np.round(float(a @ b) / float(a @ a)))
        if np.linalg.norm(b - times * a) > np.linalg.norm(b) - 1e-6:
            return u, v
        v = v - times * u


@dataclass(frozen=True, slots=True)
class Coincidence:
    """A cell that two plane lattices, one of them turned, have in common.

    Attributes
    ----------
    lower, upper : ndarray (2, 2), int
        Supercells of the plane lattice and of the turned one.
    angle : float
        In degrees, of the turned one.
    strain : float
        Largest principal strain between the two.
    cells : int
        Plane cells in the common cell.
    """

    lower: IntArray
    upper: IntArray
    angle: float
    strain: float
    cells: int


@cache
def _supercells(size: int) -> IntArray:
    """Return all sublattices of index ``size`` of a plane lattice in Hermite form, (m, 2, 2)."""
    found = [[[a, b], [0, size // a]] for a in range(1, size + 1) if size % a == 0 for b in range(size // a)]
    return np.array([[[a, b], [0, c]] for (a, b), (_, c) in found], dtype=np.int64)


_UNIT = np.array(
    [[[a, b], [c, d]] for a, b, c, d in itertools.product((-1, 0, 1), repeat=4) if a * d - b * c == 1],
    dtype=np.int64,
)


def coincidences(
    plane: FloatArray, *, most: int, angles: tuple[float, float], strain: float
) -> list[Coincidence]:
    """Return the cells that a plane lattice has in common with itself turned.

    Parameters
    ----------
    plane : ndarray (2, 2)
        Vectors of the plane lattice in Å.
    most : int
        Largest number of plane cells.
    angles : (float, float)
        Window in degrees, 0 to 180.
    strain : float
        Largest principal strain between the two.

    Returns
    -------
    list of Coincidence
        By number of cells, then strain; one for each angle (to 0.1 degrees).
    """
    found: dict[int, Coincidence] = {}
    for cells in range(1, most + 1):
        lower = np.array([_reduced_plane(one, plane) for one in _supercells(cells)])
        below = lower @ plane
        upper = (_UNIT[None] @ lower[:, None]).reshape(-1, 2, 2)
        above = upper @ plane
        stretch = np.linalg.inv(above)[None] @ below[:, None]  # rows: above F = below
        angle, largest = _polar(stretch)
        fits = (largest <= strain) & (angle >= angles[0] - 1e-6) & (angle <= angles[1] + 1e-6)
        pairs = np.argwhere(fits)
        for i, j in pairs[np.argsort(largest[fits], kind="stable")]:
            key = round(10 * float(angle[i, j]))
            one = Coincidence(lower[i], upper[j], float(angle[i, j]), float(largest[i, j]), cells)
            found.setdefault(key, one)
    return list(found.values())


def _reduced_plane(rows: IntArray, plane: FloatArray) -> IntArray:
    space = np.zeros((2, 3))
    space[:, :2] = plane
    u, v = _short_pair(rows, space)
    return np.array([u, v] if np.linalg.det(np.array([u, v])) > 0 else [u, -v])


def _polar(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the angle in degrees (0 to 360) and the largest principal strain of 2 × 2 maps of rows."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    angle = np.degrees(np.arctan2(b - c, a + d)) % 360.0
    middle, difference = np.hypot(a + d, b - c) / 2, np.hypot(a - d, b + c) / 2
    largest = np.maximum(np.abs(middle + difference - 1), np.abs(middle - difference - 1))
    return angle, largest
