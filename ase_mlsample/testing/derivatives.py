"""Forces and stress are derivatives of the energy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from ase_mlsample.calculators.structures import has_volume
from ase_mlsample.testing.errors import Tolerances, assert_close, require

__all__ = ["check_forces", "check_stress", "five_point_slope"]


def _energy(calc: Any, atoms: Atoms) -> float:
    consistent = "free_energy" in calc.implemented_properties
    return float(calc.get_potential_energy(atoms, force_consistent=consistent))


def five_point_slope(function: Callable[[float], Any], step: float) -> Any:
    """Five-point derivative at zero: central differences at two steps, extrapolated.

    Parameters
    ----------
    function : callable
        Of one number; gives a number or an array.
    step : float

    Returns
    -------
    float or array
        As the function gives.
    """
    near = function(step) - function(-step)
    far = function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def check_forces(
    calc: Any,
    atoms: Atoms,
    *,
    tolerances: Tolerances | None = None,
    n_components: int = 4,
    seed: int = 0,
    name: str = "structure",
) -> None:
    """Compare forces with difference quotients of the energy.

    Looks at randomly chosen components and at one random direction in which all atoms move at once.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    tolerances : Tolerances, optional
    n_components : int
        Force components looked at one by one.
    seed : int
        Of the choice.
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If a force is not the derivative.
    """
    tolerances = tolerances or Tolerances()
    rng = np.random.default_rng(seed)
    forces = calc.get_forces(atoms)
    require(forces.shape == (len(atoms), 3), f"{name}: forces have shape {forces.shape}")

    def quotient(direction: Any) -> float:
        moved = atoms.copy()

        def energy(length: float) -> float:
            moved.positions = atoms.positions + length * direction
            return _energy(calc, moved)

        return -float(five_point_slope(energy, tolerances.displacement))

    for index in rng.choice(forces.size, size=min(n_components, forces.size), replace=False).tolist():
        atom, axis = divmod(index, 3)
        unit = np.zeros_like(forces)
        unit[atom, axis] = 1.0
        what = f"{name}: force on atom {atom} along {'xyz'[axis]} against -dE/dr (eV/Å)"
        assert_close(forces[atom, axis], quotient(unit), tolerance=tolerances.force_derivative, what=what)
    everywhere = rng.normal(size=forces.shape)
    # Of unit length, so that a large structure is judged like a small one.
    everywhere /= np.linalg.norm(everywhere)
    what = f"{name}: forces along a random direction of all atoms against the difference quotient (eV/Å)"
    slope = quotient(everywhere)
    assert_close((forces * everywhere).sum(), slope, tolerance=tolerances.force_derivative, what=what)


def check_stress(
    calc: Any, atoms: Atoms, *, tolerances: Tolerances | None = None, name: str = "structure"
) -> None:
    """Compare the stress with the energy's derivative by strain, or see it refused without a volume.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    tolerances : Tolerances, optional
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If a component is not dE/dε/V, or if a stress is given for atoms without three cell vectors.
    """
    tolerances = tolerances or Tolerances()
    if not has_volume(atoms):
        try:
            stress = calc.get_stress(atoms)
        except PropertyNotImplementedError:
            return
        require(False, f"{name}: has no volume, but a stress, {stress}; expected PropertyNotImplementedError")
    stress = calc.get_stress(atoms)
    require(stress.shape == (6,), f"{name}: stress has shape {stress.shape}, expected (6,) in Voigt order")
    strained = atoms.copy()
    volume = abs(np.linalg.det(atoms.cell.array))
    for component, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):

        def energy(strain: float, i: int = i, j: int = j) -> float:
            deformation = np.eye(3)
            deformation[i, j] += strain / 2
            deformation[j, i] += strain / 2
            strained.set_cell(atoms.cell.array @ deformation)
            strained.positions = atoms.positions @ deformation
            return _energy(calc, strained)

        quotient = five_point_slope(energy, tolerances.strain) / volume
        what = f"{name}: stress {('xx', 'yy', 'zz', 'yz', 'xz', 'xy')[component]} against dE/dε/V (eV/Å³)"
        assert_close(stress[component], quotient, tolerance=tolerances.stress_derivative, what=what)
