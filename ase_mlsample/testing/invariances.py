"""What must not change when a structure is described in another way."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from ase_mlsample.calculators.structures import has_volume
from ase_mlsample.testing.errors import Tolerances, assert_close

__all__ = ["check_invariances", "check_supercell", "random_rotation"]


class _Values:
    """Energy per atom, forces, stress and atomic energies of a structure, as far as they exist."""

    def __init__(self, calc: Any, atoms: Atoms) -> None:
        self.energy = float(calc.get_potential_energy(atoms)) / len(atoms)
        self.forces: NDArray[np.float64] = calc.get_forces(atoms)
        with_stress = "stress" in calc.implemented_properties and has_volume(atoms)
        self.stress: Any = calc.get_stress(atoms) if with_stress else None
        self.energies: Any = calc.results.get("energies")
        self.sigma: Any = (
            calc.get_spread(atoms).force_sigma if getattr(calc, "supports_spread", False) else None
        )

    def compare(self, other: "_Values", tolerances: Tolerances, what: str) -> None:
        pairs = {
            "energy per atom (eV)": (self.energy, other.energy, tolerances.energy),
            "forces (eV/Å)": (self.forces, other.forces, tolerances.forces),
            "stress (eV/Å³)": (self.stress, other.stress, tolerances.stress),
            "atomic energies (eV)": (self.energies, other.energies, tolerances.energy),
            "force_sigma (eV/Å)": (self.sigma, other.sigma, tolerances.forces),
        }
        for quantity, (actual, expected, tolerance) in pairs.items():
            if expected is not None:
                assert_close(actual, expected, tolerance=tolerance, what=f"{what}: {quantity}")


def random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A proper rotation, all equally likely.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    (3, 3) array
    """
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] *= -1
    return np.asarray(q)


def check_invariances(
    calc: Any, atoms: Atoms, *, tolerances: Tolerances | None = None, seed: int = 0, name: str = "structure"
) -> None:
    """Translate, rotate and permute the atoms, and move some out of the cell by lattice vectors.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    tolerances : Tolerances, optional
    seed : int
        Of the random changes.
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If energy, stress or spread change, or forces do not change along.
    """
    tolerances = tolerances or Tolerances()
    rng = np.random.default_rng(seed)
    reference = _Values(calc, atoms)

    moved = atoms.copy()
    moved.positions += rng.uniform(-5.0, 5.0, 3)
    _Values(calc, moved).compare(reference, tolerances, f"{name}, translated")

    outside = atoms.copy()
    outside.positions += (rng.integers(-2, 3, (len(atoms), 3)) * atoms.pbc) @ atoms.cell.array
    _Values(calc, outside).compare(reference, tolerances, f"{name}, atoms outside the cell")

    rotation = random_rotation(rng)
    rotated = atoms.copy()
    rotated.set_cell(atoms.cell.array @ rotation.T)
    rotated.positions = atoms.positions @ rotation.T
    back = _Values(calc, rotated)
    back.forces = back.forces @ rotation
    if back.stress is not None:
        stress = rotation.T @ voigt_6_to_full_3x3_stress(back.stress) @ rotation
        back.stress = full_3x3_to_voigt_6_stress(stress)
    back.compare(reference, tolerances, f"{name}, rotated")

    order = rng.permutation(len(atoms))
    back = _Values(calc, atoms[order])
    inverse = np.argsort(order)
    back.forces = back.forces[inverse]
    back.energies = None if back.energies is None else back.energies[inverse]
    back.sigma = None if back.sigma is None else back.sigma[inverse]
    back.compare(reference, tolerances, f"{name}, permuted")


def check_supercell(
    calc: Any, atoms: Atoms, *, tolerances: Tolerances | None = None, name: str = "structure"
) -> None:
    """Repeat the cell along its periodic directions: each image must see what the one atom saw.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
        Periodic in one direction at least; nothing is checked otherwise.
    tolerances : Tolerances, optional
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If the supercell differs from the repeated cell.
    """
    tolerances = tolerances or Tolerances()
    if not atoms.pbc.any():
        return
    repeats = [factor if periodic else 1 for factor, periodic in zip((2, 3, 2), atoms.pbc, strict=True)]
    copies = int(np.prod(repeats))
    small, large = _Values(calc, atoms), _Values(calc, atoms.repeat(repeats))
    small.forces = np.tile(small.forces, (copies, 1))
    small.energies = None if small.energies is None else np.tile(small.energies, copies)
    small.sigma = None if small.sigma is None else np.tile(small.sigma, copies)
    large.compare(small, tolerances, f"{name}, as a supercell {repeats}")
