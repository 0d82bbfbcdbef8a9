"""One evaluation for all properties, a new one when the atoms change, nothing left over when it fails."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.structures import has_volume
from ase_mlsample.testing.counting import counted
from ase_mlsample.testing.errors import ContractError, require

__all__ = ["check_caching", "check_failure"]

_STANDARD = {"energy", "free_energy", "energies", "forces", "stress"}


def check_caching(calc: MLCalculator, atoms: Atoms, *, name: str = "structure") -> None:
    """See that results are computed once, belong to the atoms as they are, and are given as copies.

    Parameters
    ----------
    calc : MLCalculator
    atoms : Atoms
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If an evaluation is wasted or missing, or ``results`` holds other than ASE's standard keys.
    """
    atoms = atoms.copy()
    calc.reset()
    with counted(calc) as evaluations:
        energy, forces = calc.get_potential_energy(atoms), calc.get_forces(atoms)
        require(
            isinstance(energy, float), f"{name}: the energy is a {type(energy).__name__}, expected a float"
        )
        require(
            calc.get_potential_energy(atoms, force_consistent=True) == energy, f"{name}: free energy ≠ energy"
        )
        if "stress" in calc.implemented_properties and has_volume(atoms):
            calc.get_stress(atoms)
        require(
            len(evaluations) == 1, f"{name}: {len(evaluations)} evaluations for energy, forces and stress"
        )
        extra = set(calc.results) - _STANDARD
        require(not extra, f"{name}: results hold {sorted(extra)}, which ASE's formats drop or refuse")
        forces += 1.0
        require(not np.array_equal(calc.get_forces(atoms), forces), f"{name}: get_forces gives no copy")
        require(not calc.calculation_required(atoms, ["energy", "forces"]), f"{name}: results are not kept")
        _check_changes(calc, atoms, evaluations, name)
    for unknown in ("dipole", "no such property"):
        try:
            calc.get_property(unknown, atoms)
        except PropertyNotImplementedError:
            continue
        raise ContractError(f"{name}: get_property({unknown!r}) did not raise PropertyNotImplementedError")


def _check_changes(calc: MLCalculator, atoms: Atoms, evaluations: list[int], name: str) -> None:
    changed = {"positions": atoms.copy(), "pbc": atoms.copy(), "cell": atoms.copy()}
    # In place and by one unit in the last place: the comparison is exact and on copies.
    changed["positions"].positions[0, 0] = np.nextafter(atoms.positions[0, 0], np.inf)
    changed["cell"].set_cell(1.1 * atoms.cell.array if has_volume(atoms) else 30.0 * np.eye(3))
    if has_volume(atoms):
        changed["pbc"].pbc = ~atoms.pbc
    else:
        del changed["pbc"]
    if len(atoms) > 1:
        changed["number of atoms"] = atoms[:-1]
    for what, other in changed.items():
        calc.get_potential_energy(atoms)
        before = len(evaluations)
        silent = calc.get_property("energy", other, allow_calculation=False)
        require(silent is None, f"{name}: {what} changed, but get_property gave the old energy {silent}")
        require(bool(calc.check_state(other)), f"{name}: {what} changed, but check_state names nothing")
        require(len(evaluations) == before, f"{name}: allow_calculation=False evaluated all the same")
        calc.get_potential_energy(other)
        calc.get_forces(other)
        made = len(evaluations) - before
        require(made == 1, f"{name}: {what} changed, and {made} evaluations were made, expected 1")


def check_failure(calc: MLCalculator, atoms: Atoms, *, name: str = "structure") -> None:
    """See that positions that are not numbers are refused, and leave no results of other atoms behind.

    Parameters
    ----------
    calc : MLCalculator
    atoms : Atoms
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If the failure is silent, or old results survive it.
    """
    broken = atoms.copy()
    broken.positions[-1, 1] = np.nan
    for ask in (calc.get_forces, calc.get_potential_energy, calc.get_spread):
        if ask == calc.get_spread and not calc.supports_spread:
            continue
        calc.get_potential_energy(atoms)
        with counted(calc) as evaluations:
            try:
                ask(broken)
            except ValueError:
                pass
            else:
                raise ContractError(f"{name}: {ask.__name__} accepted a NaN position")
        require(not evaluations, f"{name}: NaN positions were evaluated before they were refused")
        require(not calc.results, f"{name}: results {sorted(calc.results)} survive a failed {ask.__name__}")
        try:
            calc.get_potential_energy()
        except ValueError:
            continue
        raise ContractError(
            f"{name}: after a failed {ask.__name__} there is still an energy of unknown atoms"
        )
