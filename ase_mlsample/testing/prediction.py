"""Stateless evaluations: what they yield, alone and in a batch."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction
from ase_mlsample.calculators.structures import has_volume
from ase_mlsample.testing.errors import Tolerances, assert_close, require

__all__ = ["check_batch", "check_prediction"]


def _compare(
    actual: Prediction, expected: Prediction, n_atoms: int, tolerances: Tolerances, what: str
) -> None:
    limits = {
        "energy": tolerances.energy * n_atoms,
        "forces": tolerances.forces,
        "energies": tolerances.energy,
        "stress": tolerances.stress,
        "member_energies": tolerances.energy * n_atoms,
        "member_forces": tolerances.forces,
        "member_stress": tolerances.stress,
    }
    for field, tolerance in limits.items():
        mine, theirs = getattr(actual, field), getattr(expected, field)
        require((mine is None) == (theirs is None), f"{what}: {field} is {mine}, expected {theirs}")
        if theirs is not None:
            assert_close(mine, theirs, tolerance=tolerance, what=f"{what}: {field}")


def check_prediction(
    calc: MLCalculator, atoms: Atoms, *, tolerances: Tolerances | None = None, name: str = "structure"
) -> None:
    """See that an evaluation leaves no trace, agrees with the cached results, and that its parts agree.

    Parameters
    ----------
    calc : MLCalculator
    atoms : Atoms
    tolerances : Tolerances, optional
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If the atoms or the cache changed, or parts of the prediction disagree.
    """
    tolerances = tolerances or Tolerances()
    calc.reset()
    before = atoms.copy()
    prediction = calc.evaluate(atoms)
    require(atoms == before, f"{name}: evaluate changed the atoms")
    require(not calc.results, f"{name}: evaluate filled the calculator's results")
    require((prediction.stress is None) or has_volume(atoms), f"{name}: a stress without a volume")
    if prediction.energies is not None:
        limit = tolerances.energy * len(atoms)
        total = np.sum(prediction.energies)
        assert_close(total, prediction.energy, tolerance=limit, what=f"{name}: sum of atomic energies (eV)")
    limit = tolerances.forces * len(atoms)
    total = prediction.forces.sum(axis=0)
    assert_close(total, np.zeros(3), tolerance=limit, what=f"{name}: total force (eV/Å)")
    cached = Prediction(
        energy=calc.get_potential_energy(atoms),
        forces=calc.get_forces(atoms),
        energies=calc.results.get("energies"),
        stress=calc.results.get("stress"),
    )
    _compare(
        cached,
        Prediction(prediction.energy, prediction.forces, prediction.energies, prediction.stress),
        len(atoms),
        tolerances,
        f"{name}, results against evaluate",
    )


def check_batch(calc: MLCalculator, frames: Sequence[Atoms], *, tolerances: Tolerances | None = None) -> None:
    """Compare ``evaluate_many`` on a mixture of structures with ``evaluate`` on each.

    Parameters
    ----------
    calc : MLCalculator
    frames : sequence of Atoms
        Of different sizes, cells and periodicities.
    tolerances : Tolerances, optional

    Raises
    ------
    ContractError
        If a structure's prediction depends on its company.
    """
    tolerances = tolerances or Tolerances()
    require(calc.evaluate_many([]) == [], "evaluate_many of nothing is not an empty list")
    for members in (False, True) if calc.supports_spread else (False,):
        batch = calc.evaluate_many(frames, members=members)
        require(
            len(batch) == len(frames), f"evaluate_many gave {len(batch)} predictions for {len(frames)} frames"
        )
        for number, (atoms, together) in enumerate(zip(frames, batch, strict=True)):
            alone = calc.evaluate(atoms, members=members)
            _compare(
                together, alone, len(atoms), tolerances, f"frame {number} of a batch against the same alone"
            )
