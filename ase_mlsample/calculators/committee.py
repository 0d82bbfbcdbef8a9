"""Mean and disagreement of any ASE calculators."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, PropertyNotImplementedError

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Calibration, Prediction
from ase_mlsample.calculators.structures import checked_frames, has_volume

__all__ = ["Committee"]


class Committee(MLCalculator):
    """Mean of several calculators, and how far they disagree.

    The energy is each member's free energy where it has one, because that is what forces derive from. Stress
    and atomic energies exist where every member gives them. Members work on copies: they never attach to the
    user's atoms, and constraints do not reach them.

    Parameters
    ----------
    calculators : sequence of ASE calculators
        At least two different objects; ours are asked through their ``evaluate``, others through ASE's
        interface.
    calibration : Calibration, optional
        Factors that ``get_spread().calibrated`` applies.

    Raises
    ------
    ValueError
        If there are fewer than two members, or one of them is named twice.
    TypeError
        If a member is not an ASE calculator that gives energy and forces.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.calc = Committee([EMT(), EMT()])
    >>> float(atoms.calc.get_spread(atoms).energy_std)
    0.0
    """

    # Members may be electronic-structure codes, whose results depend on these too.
    state_arrays: ClassVar[tuple[str, ...]] = ("positions", "numbers", "initial_magmoms", "initial_charges")

    def __init__(self, calculators: Sequence[Any], *, calibration: Calibration | None = None) -> None:
        super().__init__()
        members = tuple(calculators)
        if len(members) < 2:
            raise ValueError(f"a committee needs at least two calculators to disagree, got {len(members)}")
        for number, member in enumerate(members, start=1):
            if isinstance(member, type):
                raise TypeError(
                    f"member {number} of the committee is a class; make it: {member.__name__}(...)"
                )
            offers = getattr(member, "implemented_properties", ())
            if not {"energy", "forces"} <= set(offers) or not hasattr(member, "get_property"):
                raise TypeError(
                    f"member {number} of the committee, {member!r}, does not give energy and forces"
                )
            if any(member is other for other in members[: number - 1]):
                raise ValueError(
                    f"member {number} of the committee, {member!r}, is in it already and would always agree "
                    "with itself: make each member anew"
                )
        self._members = members
        self._calibration = calibration or Calibration()
        shared = set.intersection(*(set(member.implemented_properties) for member in members))
        self.implemented_properties = ["energy", "free_energy", "forces"]
        self.implemented_properties += [name for name in ("energies", "stress") if name in shared]
        self.parameters = {
            "members": [str(getattr(member, "name", type(member).__name__)) for member in members]
        }

    @property
    def calculators(self) -> tuple[Any, ...]:
        """The members."""
        return self._members

    @property
    def calibration(self) -> Calibration:
        """Factors that the calibrated spread is multiplied by."""
        return self._calibration

    @property
    def supports_spread(self) -> bool:
        """Always: a committee has at least two members."""
        return True

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        """Mean and spread of the members.

        Parameters
        ----------
        atoms : Atoms
            The structure; it is not changed.
        members : bool
            Whether to keep each member's prediction. The spread is always there: it costs nothing more.

        Raises
        ------
        ValueError
            If there are no atoms, or positions are not finite.
        CalculationFailed
            Naming the member that failed.
        """
        return self.evaluate_many([atoms], members=members)[0]

    def evaluate_many(self, frames: Iterable[Atoms], members: bool = False) -> list[Prediction]:
        """Evaluate structures; members of ours get them all at once.

        Parameters
        ----------
        frames : iterable of Atoms
        members : bool
            Whether to keep each member's prediction.

        Raises
        ------
        TypeError, ValueError, CalculationFailed
            For a single ``Atoms``, and as :meth:`evaluate`.
        """
        checked = checked_frames(frames)
        by_member = [self._ask(number, checked) for number in range(len(self._members))]
        return [self._combine(predictions, members) for predictions in zip(*by_member, strict=True)]

    def _ask(self, number: int, frames: Sequence[Atoms]) -> list[Prediction]:
        member = self._members[number]
        try:
            if isinstance(member, MLCalculator):
                return member.evaluate_many(frames)
            return [self._ask_ase(member, atoms) for atoms in frames]
        except Exception as error:
            raise CalculationFailed(
                f"member {number + 1} of {len(self._members)} of the committee, "
                f"{self.parameters['members'][number]}, failed: {type(error).__name__}: {error}"
            ) from error

    def _ask_ase(self, member: Any, atoms: Atoms) -> Prediction:
        copy = atoms.copy()
        copy.set_constraint()
        copy.calc = member
        consistent = "free_energy" in member.implemented_properties
        return Prediction(
            energy=float(copy.get_potential_energy(force_consistent=consistent)),
            forces=np.array(copy.get_forces(), dtype=float),
            energies=self._optional("energies", copy.get_potential_energies),
            stress=self._optional("stress", copy.get_stress) if has_volume(copy) else None,
        )

    def _optional(self, name: str, getter: Any) -> Any:
        if name not in self.implemented_properties:
            return None
        try:
            return np.array(getter(), dtype=float)
        except PropertyNotImplementedError:
            return None

    def _combine(self, predictions: Sequence[Prediction], members: bool) -> Prediction:
        combined = Prediction.from_members(
            [p.energy for p in predictions],
            [p.forces for p in predictions],
            stress=_all_or_none([p.stress for p in predictions]),
            atomic_energies=_all_or_none([p.energies for p in predictions]),
            calibration=self._calibration,
        )
        if members:
            return combined
        return replace(combined, member_energies=None, member_forces=None, member_stress=None)


def _all_or_none(values: list[Any]) -> list[Any] | None:
    return None if any(value is None for value in values) else values
