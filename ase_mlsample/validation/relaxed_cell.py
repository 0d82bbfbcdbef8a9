"""Crystals at the zero-pressure cell of a calculator, and supercells of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = ["near_cube", "relaxed_scales", "scaled"]

Array = NDArray[np.float64]
LIMIT = float(np.log(1.4))


def relaxed_scales(
    crystal: Atoms, calculator: Any, *, spacegroup: int, name: str = "crystal", tolerance: float = 1e-7
) -> Array:
    """Minimise the energy over the lengths along x, y, z that the crystal system leaves free.

    Volume alone for a cubic crystal, x = y and z for a tetragonal or hexagonal one with its axis along z,
    all three for an orthorhombic one. Fractional coordinates stay as they are.

    Parameters
    ----------
    crystal
        Any cell of the crystal; left alone.
    calculator : ase Calculator
        Gives the energy.
    spacegroup
        International number, 16 to 230.
    name
        Of the crystal, for messages.
    tolerance
        Of the energy, eV/atom.

    Returns
    -------
    (3,) array
        Factors for x, y, z; `scaled` applies them to any cell of the crystal.

    Raises
    ------
    RuntimeError
        If the minimum is more than 40 % away in a length: the calculator does not hold this crystal.
    """
    groups = _free_lengths(spacegroup)
    atoms = crystal.copy()
    atoms.calc = calculator

    def energy(logs: Array) -> float:
        atoms.set_cell(crystal.cell.array * np.exp(logs[groups]), scale_atoms=True)
        return float(atoms.get_potential_energy()) / len(atoms)

    n = int(groups.max()) + 1
    # volume first: from a poor one, c/a would drift to another crystal
    volume = _minimum(lambda x: energy(np.full(n, x[0])), np.zeros(1), tolerance)
    best = _minimum(energy, np.full(n, volume.x[0]), tolerance)
    if not best.success or np.abs(best.x).max() > LIMIT:
        raise RuntimeError(
            f"{name} of {crystal.get_chemical_formula()} has no zero-pressure cell near its prototype with "
            f"this calculator (lengths scaled by {np.exp(best.x)}): {best.message}"
        )
    return np.asarray(np.exp(best.x[groups]), dtype=float)


def _free_lengths(spacegroup: int) -> NDArray[np.intp]:
    if not 16 <= spacegroup <= 230:
        raise ValueError(f"space group {spacegroup}: only lengths are relaxed, so it must be 16 to 230")
    return np.array([0, 0, 0] if spacegroup >= 195 else [0, 0, 1] if spacegroup >= 75 else [0, 1, 2])


def _minimum(energy: Callable[[Array], float], start: Array, tolerance: float) -> Any:
    simplex = np.vstack([start, start + 0.02 * np.eye(len(start))])
    options = {"xatol": 1e-5, "fatol": tolerance, "maxiter": 400, "initial_simplex": simplex}
    bounds = [(-LIMIT - 0.1, LIMIT + 0.1)] * len(start)
    return minimize(energy, start, method="Nelder-Mead", bounds=bounds, options=options)


def scaled(crystal: Atoms, scales: Array) -> Atoms:
    """Copy a crystal, stretched along x, y, z by (3,) factors."""
    atoms = crystal.copy()
    atoms.set_cell(crystal.cell.array * scales, scale_atoms=True)
    return atoms


def near_cube(cells: Sequence[Atoms], n_atoms: int) -> Atoms:
    """Repeat one of several cells of a crystal to `n_atoms`, as wide as possible in every direction.

    Parameters
    ----------
    cells
        For example the conventional and the primitive cell.
    n_atoms
        Must be a multiple of the atoms in one of them.

    Returns
    -------
    Atoms
        The supercell whose smallest distance between opposite faces is the largest.

    Raises
    ------
    ValueError
        If no repetition has `n_atoms`.
    """
    supercells = []
    for cell in cells:
        copies, rest = divmod(n_atoms, len(cell))
        if rest:
            continue
        divisors = [d for d in range(1, copies + 1) if copies % d == 0]
        shapes = ((a, b, copies // (a * b)) for a in divisors for b in divisors if copies % (a * b) == 0)
        supercells += [cell.repeat(shape) for shape in shapes]
    if not supercells:
        sizes = " or ".join(str(len(cell)) for cell in cells)
        raise ValueError(f"n_atoms = {n_atoms} is no multiple of the {sizes} atoms of the crystal's cell")
    return max(supercells, key=_width)


def _width(atoms: Atoms) -> float:
    # distance between opposite faces = 1 / length of the reciprocal vector; rounded, so that ties stay ties
    return round(float(1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1).max()), 6)
