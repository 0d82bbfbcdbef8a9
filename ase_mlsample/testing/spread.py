"""The spread is the members' standard deviation, of the right atoms."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Spread
from ase_mlsample.testing.counting import counted
from ase_mlsample.testing.errors import ContractError, Tolerances, assert_close, require

__all__ = ["check_spread"]


def check_spread(
    calc: MLCalculator,
    atoms: Atoms,
    other: Atoms,
    *,
    tolerances: Tolerances | None = None,
    name: str = "structure",
) -> None:
    """See that the spread is right, and stays right when atoms move, others use the calculator, or it fails.

    Parameters
    ----------
    calc : MLCalculator
        One without members must refuse.
    atoms : Atoms
    other : Atoms
        Another structure, of any size.
    tolerances : Tolerances, optional
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If the spread is not the members' (ddof = 1), belongs to other atoms, or costs more than it should.
    """
    tolerances = tolerances or Tolerances()
    if not calc.supports_spread:
        try:
            calc.get_spread(atoms)
        except PropertyNotImplementedError:
            return
        raise ContractError(f"{name}: a calculator without members gave a spread")
    _check_values(calc, atoms, tolerances, name)

    moved = atoms.copy()
    moved.positions[0] += 0.05
    broken = atoms.copy()
    broken.positions[0, 0] = np.nan
    calc.get_spread(atoms)
    _compare(calc.get_spread(moved), calc, moved, tolerances, f"{name}, after a move")
    calc.get_forces(other)
    _compare(calc.get_spread(moved), calc, moved, tolerances, f"{name}, after other atoms")
    calc.get_spread(other)
    calc.get_forces(atoms)
    _compare(calc.get_spread(atoms), calc, atoms, tolerances, f"{name}, after the others' spread")
    try:
        calc.get_spread(broken)
    except ValueError:
        pass
    else:
        raise ContractError(f"{name}: a spread was given for NaN positions")
    _compare(calc.get_spread(atoms), calc, atoms, tolerances, f"{name}, after a failure")
    _check_cost(calc, atoms, name)
    _check_annotation(calc, atoms, name)


def _compare(spread: Spread, calc: MLCalculator, atoms: Atoms, tolerances: Tolerances, what: str) -> None:
    fresh = calc.evaluate(atoms, members=True).spread
    if fresh is None:
        raise ContractError(f"{what}: evaluate(members=True) gave no spread")
    limit = tolerances.forces
    assert_close(spread.forces_std, fresh.forces_std, tolerance=limit, what=f"{what}: forces_std (eV/Å)")
    limit = tolerances.energy * len(atoms)
    assert_close(spread.energy_std, fresh.energy_std, tolerance=limit, what=f"{what}: energy_std (eV)")


def _check_values(calc: MLCalculator, atoms: Atoms, tolerances: Tolerances, name: str) -> None:
    prediction = calc.evaluate(atoms, members=True)
    spread = calc.get_spread(atoms)
    members: dict[str, tuple[Any, Any, float]] = {
        "energy_std": (prediction.member_energies, spread.energy_std, tolerances.energy * len(atoms)),
        "forces_std": (prediction.member_forces, spread.forces_std, tolerances.forces),
        "stress_std": (prediction.member_stress, spread.stress_std, tolerances.stress),
    }
    for field, (values, std, limit) in members.items():
        if std is not None:
            require(values is not None, f"{name}: {field} without the members it comes from")
            expected = np.std(values, axis=0, ddof=1)
            assert_close(std, expected, tolerance=limit, what=f"{name}: {field} against ddof = 1")
    require(
        (spread.stress_std is None) == (prediction.stress is None), f"{name}: stress and its spread differ"
    )
    expected = np.sqrt((spread.forces_std**2).sum(axis=1))
    assert_close(spread.force_sigma, expected, tolerance=1e-12, what=f"{name}: force_sigma")
    if prediction.member_forces is None:
        raise ContractError(f"{name}: evaluate(members=True) gave no member_forces")
    mean = prediction.member_forces.mean(axis=0)
    limit = tolerances.forces
    assert_close(prediction.forces, mean, tolerance=limit, what=f"{name}: forces against the members' mean")
    factor = spread.calibration.forces
    calibrated = spread.calibrated.forces_std
    assert_close(
        calibrated, factor * spread.forces_std, tolerance=1e-12, what=f"{name}: calibrated forces_std"
    )


def _check_cost(calc: MLCalculator, atoms: Atoms, name: str) -> None:
    calc.reset()
    with counted(calc) as evaluations:
        calc.get_spread(atoms)
        calc.get_forces(atoms)
        calc.get_spread(atoms)
        calc.get_spread()
    require(len(evaluations) == 1, f"{name}: {len(evaluations)} evaluations for a spread and the forces")
    calc.reset()
    forces = calc.get_forces(atoms)
    calc.get_spread(atoms)
    require(
        np.array_equal(forces, calc.get_forces(atoms)), f"{name}: asking for the spread changed the forces"
    )
    calc.reset()
    require(calc.atoms is None and not calc.results, f"{name}: reset leaves results")
    try:
        calc.get_spread()
    except ValueError:
        return
    raise ContractError(f"{name}: a spread survived reset()")


def _check_annotation(calc: MLCalculator, atoms: Atoms, name: str) -> None:
    annotated = atoms.copy()
    calc.annotate(annotated)
    new = {*annotated.arrays, *annotated.info} - {*atoms.arrays, *atoms.info}
    allowed = {"force_sigma", "energy_sigma", "energy_std"}
    require(new <= allowed, f"{name}: annotate wrote {sorted(new - allowed)}")
    spread = calc.get_spread(atoms)
    sigma = annotated.arrays["force_sigma"]
    assert_close(sigma, spread.force_sigma, tolerance=0.0, what=f"{name}: annotated force_sigma")
    energy = annotated.info["energy_std"]
    assert_close(energy, spread.energy_std, tolerance=0.0, what=f"{name}: annotated energy_std")
