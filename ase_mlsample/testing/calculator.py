"""The whole calculator contract in one call."""

from collections.abc import Mapping, Sequence
from typing import Any

from ase import Atoms

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.testing.caching import check_caching, check_failure
from ase_mlsample.testing.derivatives import check_forces, check_stress
from ase_mlsample.testing.errors import Tolerances
from ase_mlsample.testing.invariances import check_invariances, check_supercell
from ase_mlsample.testing.prediction import check_batch, check_prediction
from ase_mlsample.testing.spread import check_spread
from ase_mlsample.testing.storage import check_io, check_pickling

__all__ = ["check_calculator"]


def check_calculator(
    calc: Any,
    frames: Mapping[str, Atoms] | Sequence[Atoms] | Atoms,
    *,
    tolerances: Tolerances | None = None,
    supercell_limit: int = 32,
    pickling: bool = True,
) -> None:
    """Put a calculator through every check of the contract.

    An ordinary ASE calculator is checked for derivatives, invariances and files; a subclass of
    :class:`~ase_mlsample.calculators.MLCalculator` for caching, spread, batches and pickling too.

    Parameters
    ----------
    calc : calculator, or function that makes one
    frames : Atoms, a sequence of them, or a mapping from names
        :func:`contract_frames` makes a set that covers what matters.
    tolerances : Tolerances, optional
        Default: for double precision.
    supercell_limit : int
        Structures with more atoms are not repeated.
    pickling : bool
        False for a committee of calculators that cannot be pickled, such as ASE's EMT once it was used.

    Raises
    ------
    ContractError
        At the first check that fails.
    """
    calc = calc() if isinstance(calc, type) or not hasattr(calc, "get_property") else calc
    tolerances = tolerances or Tolerances()
    named = _named(frames)
    for name, atoms in named.items():
        check_forces(calc, atoms, tolerances=tolerances, name=name)
        if "stress" in calc.implemented_properties:
            check_stress(calc, atoms, tolerances=tolerances, name=name)
        check_invariances(calc, atoms, tolerances=tolerances, name=name)
        if len(atoms) <= supercell_limit:
            check_supercell(calc, atoms, tolerances=tolerances, name=name)
        check_io(calc, atoms, name=name)
    if isinstance(calc, MLCalculator):
        _check_ours(calc, named, tolerances)
        for name, atoms in named.items() if pickling else ():
            check_pickling(calc, atoms, name=name)


def _check_ours(calc: MLCalculator, frames: Mapping[str, Atoms], tolerances: Tolerances) -> None:
    others = list(frames.values())
    for number, (name, atoms) in enumerate(frames.items()):
        check_prediction(calc, atoms, tolerances=tolerances, name=name)
        check_failure(calc, atoms, name=name)
        check_caching(calc, atoms, name=name)
        check_spread(calc, atoms, others[number - 1], tolerances=tolerances, name=name)
    check_batch(calc, others, tolerances=tolerances)


def _named(frames: Mapping[str, Atoms] | Sequence[Atoms] | Atoms) -> dict[str, Atoms]:
    if isinstance(frames, Atoms):
        return {"structure": frames}
    if isinstance(frames, Mapping):
        return dict(frames)
    return {f"frame {number}": atoms for number, atoms in enumerate(frames)}
