"""Nearest periodic images of vectors, in any cell."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell
from ase.geometry.minkowski_reduction import minkowski_reduce
from numpy.typing import NDArray

__all__ = ["nearest_images"]

_Array = NDArray[np.float64]


class _Lattice(NamedTuple):
    cell: _Array  # periodic vectors as they are, the others replaced by a complement
    inverse: _Array
    pbc: NDArray[np.bool_]
    safe: float  # vectors not longer than this have no nearer image


def nearest_images(vectors: _Array, atoms: Atoms) -> _Array:
    """Shortest periodic images of vectors.

    Parameters
    ----------
    vectors : (M, 3) array, Å
    atoms : Atoms
        Whose cell and periodicity count; the cell may be skewed at will and smaller than the vectors.

    Returns
    -------
    (M, 3) array, Å
        New vectors, each with a whole number of cell vectors added.

    Raises
    ------
    ValueError
        If cell vectors along periodic directions are not linearly independent.

    Notes
    -----
    Rounding of scaled coordinates finds the nearest image if the cell is rectangular, or the result shorter
    than half the narrowest width of the cell. Otherwise the cell is Minkowski-reduced, where the nearest
    image is among the 27 around the rounded one.
    """
    if not atoms.pbc.any():
        return vectors.copy()
    key = (atoms.cell.array.tobytes(), atoms.pbc.tobytes())
    lattice = _lattice(*key)
    rounded = _rounded(vectors, lattice)
    far = np.einsum("ij,ij->i", rounded, rounded) > lattice.safe**2
    if far.any():
        reduced = _reduced(*key)
        near = _rounded(rounded[far], reduced)
        counts = [(-1, 0, 1) if periodic else (0,) for periodic in reduced.pbc]
        offsets = np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, 3) @ reduced.cell
        images = near[:, None, :] + offsets
        best = np.argmin(np.einsum("ijk,ijk->ij", images, images), axis=1)
        rounded[far] = images[np.arange(len(images)), best]
    return rounded


def _rounded(vectors: _Array, lattice: _Lattice) -> _Array:
    scaled = vectors @ lattice.inverse
    return np.asarray(vectors - (np.round(scaled) * lattice.pbc) @ lattice.cell)


@lru_cache(maxsize=8)
def _lattice(cell_bytes: bytes, pbc_bytes: bytes) -> _Lattice:
    cell = np.frombuffer(cell_bytes).reshape(3, 3)
    pbc = np.frombuffer(pbc_bytes, dtype=bool)
    return _described(cell, pbc)


@lru_cache(maxsize=8)
def _reduced(cell_bytes: bytes, pbc_bytes: bytes) -> _Lattice:
    cell = np.frombuffer(cell_bytes).reshape(3, 3)
    pbc = np.frombuffer(pbc_bytes, dtype=bool)
    return _described(minkowski_reduce(_periodic_part(cell, pbc), pbc)[0], pbc)


def _periodic_part(cell: _Array, pbc: NDArray[np.bool_]) -> _Array:
    return cell if pbc.all() else np.asarray(complete_cell(cell * pbc[:, None]))


def _described(cell: _Array, pbc: NDArray[np.bool_]) -> _Lattice:
    norms = np.linalg.norm(cell[pbc], axis=1)
    full = _periodic_part(cell, pbc)
    if not norms.all() or abs(np.linalg.det(full)) < 1e-10 * np.prod(np.linalg.norm(full, axis=1)):
        raise ValueError(
            f"the cell {cell.tolist()} has no volume along its periodic directions {pbc.tolist()}"
        )
    inverse: _Array = np.asarray(np.linalg.inv(full), dtype=np.float64)
    metric = full[pbc] @ full[pbc].T
    rectangular = np.abs(metric - np.diag(np.diag(metric))).max() <= 1e-14 * metric.max()
    widths = 1.0 / np.linalg.norm(inverse[:, pbc], axis=0)
    return _Lattice(full, inverse, pbc, np.inf if rectangular else float(0.5 * widths.min()))
