"""Structures that a code can be given: checked before hours are spent on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import cell_to_cellpar, minkowski_reduce
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from ase_mlsample.references.failures import GeometryFailure, SetupFailure

__all__ = ["check_elements", "check_structure", "described", "plain"]

_FRACTION = 0.4
_SKEW = 45.0  # degrees from 90; GPAW warns of wrong results beyond 50, reduced cells have at most 30


def described(atoms: Atoms) -> str:
    """Formula and size, for messages."""
    return f"{atoms.get_chemical_formula()} ({len(atoms)} atoms)"


def plain(atoms: Atoms, *, periodic: bool, spin: Mapping[str, float] | None = None) -> Atoms:
    """Numbers, positions and cell alone, with initial magnetic moments by element.

    Periodic cells are right-handed and not far from upright: vectors of a left-handed one are turned round,
    those of a skewed one are replaced by the shortest of the same lattice. Positions stay, and so do all
    labels but for the points in reciprocal space, which the cell determines.

    Parameters
    ----------
    atoms : the structure; it is not changed.
    periodic : whether the cell is repeated in all directions, as plane waves do, whatever ``pbc`` says.
    spin : initial moments in μB by element; elements that are not named have none.
    """
    cell = atoms.cell.array
    if periodic and atoms.pbc.all() and _skewed(cell):
        cell = minkowski_reduce(cell)[0]  # grids of codes are coarse along long diagonals
    if periodic and np.linalg.det(cell) < 0:
        cell = -cell  # the same lattice, right-handed: ABINIT and VASP refuse others
    pbc = True if periodic else atoms.pbc
    work = Atoms(atoms.numbers, positions=atoms.positions, cell=cell, pbc=pbc)
    if spin is not None:
        work.set_initial_magnetic_moments([spin.get(symbol, 0.0) for symbol in work.symbols])
    return work


def _skewed(cell: NDArray[np.float64]) -> bool:
    if abs(np.linalg.det(cell)) == 0 or not np.isfinite(cell).all():
        return False  # told later what is wrong with it
    return bool(np.any(np.abs(cell_to_cellpar(cell)[3:] - 90.0) > _SKEW))


def check_structure(atoms: Atoms, *, smallest_distance: float | None, needs_cell: bool) -> None:
    """Refuse what no code can compute.

    Parameters
    ----------
    atoms : the structure, with the periodicity that the code will see.
    smallest_distance : Å; 0.4 times the sum of the covalent radii where None.
    needs_cell : whether three cell vectors are necessary.

    Raises
    ------
    GeometryFailure
        No atoms, positions or a cell that are not finite, no volume, or two atoms too close.
    """
    if len(atoms) == 0:
        raise GeometryFailure("a structure without atoms has no label")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise GeometryFailure(f"{described(atoms)} has positions or a cell that are not finite numbers")
    if needs_cell and (atoms.cell.rank < 3 or atoms.get_volume() < 1e-3 * len(atoms)):
        raise GeometryFailure(
            f"{described(atoms)} has no volume: the code repeats a cell of three independent vectors; put "
            "molecules into a box with vacuum around them"
        )
    _check_distances(atoms, smallest_distance)


def _check_distances(atoms: Atoms, smallest_distance: float | None) -> None:
    radii = _FRACTION * covalent_radii[atoms.numbers]
    if smallest_distance is not None:
        radii = np.full(len(atoms), smallest_distance / 2)
    first, second, distances = neighbor_list("ijd", atoms, radii)
    if len(distances) == 0:
        return
    worst = int(np.argmin(distances))
    i, j = int(first[worst]), int(second[worst])
    limit = radii[i] + radii[j]
    raise GeometryFailure(
        f"{described(atoms)}: atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) are "
        f"{distances[worst]:.3f} Å apart, closer than {limit:.3f} Å; the calculation was not started "
        "(smallest_distance sets another limit)"
    )


def check_elements(atoms: Atoms, known: Collection[str] | None, *, code: str, what: str) -> None:
    """Refuse elements that the calculator was not made for.

    Raises
    ------
    SetupFailure
        Naming the elements.
    """
    if known is None:
        return
    strange = sorted(set(atoms.symbols) - set(known))
    if strange:
        raise SetupFailure(
            f"{code}: {described(atoms)} has {', '.join(strange)}, but {what} names only "
            f"{', '.join(sorted(known))}; add it there"
        )
