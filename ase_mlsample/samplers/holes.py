"""Holes of a structure: the points that are farthest from all atoms around them."""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray
from scipy.spatial import QhullError, Voronoi, cKDTree

__all__ = ["find_holes", "nearest_distances"]

FloatArray = NDArray[np.float64]

_SAME = 0.05  # Å: vertices so close are one hole


def _images(atoms: Atoms, reach: float) -> FloatArray:
    """Return the positions of all atoms and of their images within ``reach`` of the cell, (M, 3)."""
    cell, pbc = atoms.cell.complete().array, np.asarray(atoms.pbc)
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = [
        int(np.ceil(reach / height)) if periodic else 0 for height, periodic in zip(heights, pbc, strict=True)
    ]
    shifts = np.array(list(itertools.product(*(range(-count, count + 1) for count in counts))))
    fractional = atoms.get_scaled_positions(wrap=True)
    images = (fractional[None, :, :] + shifts[:, None, :]).reshape(-1, 3)
    margins = np.where(pbc, reach / heights, np.inf)
    kept = ((images >= -margins) & (images <= 1 + margins)).all(axis=1)
    return np.asarray(images[kept] @ cell, dtype=np.float64)


def nearest_distances(atoms: Atoms, points: FloatArray) -> FloatArray:
    """Return the distance of every point (n, 3) to the nearest atom, images included, in Å."""
    reduced = _reduced(atoms)
    cell = reduced.cell.complete()
    fractional = cell.scaled_positions(points)
    fractional -= np.floor(fractional) * np.asarray(atoms.pbc)
    tree = cKDTree(_images(reduced, _covering(reduced)))
    return np.asarray(tree.query(fractional @ cell.array)[0], dtype=np.float64)


def _reduced(atoms: Atoms) -> Atoms:
    """Return the atoms in the shortest cell of the same lattice."""
    cell, _ = minkowski_reduce(atoms.cell.complete(), pbc=atoms.pbc)
    return Atoms(atoms.numbers, positions=atoms.positions, cell=cell, pbc=atoms.pbc)


def _covering(reduced: Atoms) -> float:
    """Return a distance within which every point has an image of every atom, in Å."""
    lengths = np.linalg.norm(reduced.cell.complete().array, axis=1)
    return 0.5 * float(np.linalg.norm(lengths[np.asarray(reduced.pbc)])) + 1e-6


def find_holes(atoms: Atoms) -> tuple[FloatArray, FloatArray]:
    """Return the holes of a structure: the Voronoi vertices of its atoms and their images.

    Parameters
    ----------
    atoms : Atoms
        Any cell; along directions that are not periodic only points between the atoms count.

    Returns
    -------
    positions : ndarray (n, 3), Å
        Within the shortest cell of the lattice where it is periodic, the largest hole first.
    radii : ndarray (n,), Å
        Distance to the nearest atoms.
    """
    reduced = _reduced(atoms)
    most = 2 * _covering(reduced)
    volume = abs(float(np.linalg.det(reduced.cell.complete().array)))
    reach = 2.5 * (volume / max(1, len(atoms))) ** (1 / 3)
    while True:
        places, radii = _vertices(reduced, min(reach, most))
        # empty spheres that end within the images that were taken are holes for certain
        if reach >= most or (len(radii) and radii.max() < reach):
            break
        reach *= 1.5
    order = np.lexsort((*np.round(places, 4).T, -np.round(radii, 4)))
    return _distinct(places[order], radii[order])


def _vertices(reduced: Atoms, reach: float) -> tuple[FloatArray, FloatArray]:
    """Return the Voronoi vertices within the cell, and their distances to the nearest atoms."""
    points, pbc = _images(reduced, reach), np.asarray(reduced.pbc)
    try:
        vertices = Voronoi(points).vertices
    except (QhullError, ValueError):  # too few atoms for a hole, or all of them in a plane
        return np.empty((0, 3)), np.empty(0)
    cell = reduced.cell.complete()
    fractional, own = cell.scaled_positions(vertices), cell.scaled_positions(reduced.positions)
    lower = np.where(pbc, -1e-3, own.min(axis=0) - 1e-9)
    upper = np.where(pbc, 1.0 - 1e-3, own.max(axis=0) + 1e-9)
    inside = fractional[((fractional >= lower) & (fractional < upper)).all(axis=1)]
    places = np.asarray(inside @ cell.array, dtype=np.float64).reshape(-1, 3)
    return places, np.asarray(cKDTree(points).query(places)[0], dtype=np.float64).reshape(-1)


def _distinct(places: FloatArray, radii: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Keep the first of every cluster of vertices: degenerate holes come several times."""
    if len(places) == 0:
        return places, radii
    tree, kept, gone = cKDTree(places), [], np.zeros(len(places), dtype=bool)
    for index, near in enumerate(tree.query_ball_point(places, _SAME)):
        if not gone[index]:
            kept.append(index)
            gone[near] = True
    return places[kept], radii[kept]
