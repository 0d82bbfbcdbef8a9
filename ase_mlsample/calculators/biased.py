"""A bias of collective variables on top of any calculator, as a calculator."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.biases.base import Bias
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction
from ase_mlsample.calculators.structures import has_volume, volume_of, volume_of_cell
from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.cvs.cell import already_evaluated

__all__ = ["BiasedCalculator", "VariablePrediction"]

Array = NDArray[np.float64]
_T = TypeVar("_T")
_VOIGT = np.array([0, 4, 8, 5, 2, 1])  # xx yy zz yz xz xy in a flattened 3 × 3


@dataclass(frozen=True, slots=True)
class VariablePrediction(Prediction):
    """A prediction with a bias of collective variables, and what it was made from.

    Parameters
    ----------
    unbiased : Prediction
        The inner calculator's own, spread included.
    cv : CVValue
        The variables with their derivatives.
    bias_energy : float
        V in eV.
    slope : (d,) array
        dV/ds.
    extrapolation : float
        What the inner ``energy`` has more than its ``free_energy`` (eV), to which forces and the ``energy``
        of a prediction belong; 0 unless the inner calculator tells them apart.
    """

    unbiased: Prediction | None = None
    cv: CVValue | None = None
    bias_energy: float = 0.0
    slope: Array | None = None
    extrapolation: float = 0.0


@dataclass(slots=True)
class _Parts:
    """What the results are the sum of; V and its slope are those in the results."""

    inner: Prediction
    cv: CVValue
    bias_energy: float
    slope: Array
    extrapolation: float


class BiasedCalculator(MLCalculator):
    """Energy, forces and stress of a calculator plus a bias V(s) of collective variables s.

    A pure wrapper: how often, in which order and for which structures it is asked changes nothing, because
    the bias changes only through its own ``update``. Such a change is seen when the calculator is asked next:
    V is added anew to what the inner calculator and the variables gave, which are evaluated once for each
    structure.

    There are no ``energies``: V is no sum over atoms. The spread is the inner calculator's own.

    Parameters
    ----------
    calc : ASE calculator
        Ours is asked through its ``evaluate``, any other through ASE's interface, once for each structure. It
        is not changed.
    cv : CollectiveVariable
    bias : Bias
        Of as many variables as ``cv`` has, in eV.

    Attributes
    ----------
    calc, cv, bias
        As given.
    compares_bias : bool
        Whether V is compared with that in the results each time these are asked for. A run that calls
        :meth:`bias_changed` sets it to False, which spares that.

    Raises
    ------
    TypeError
        For a calculator that is biased already, and for things that are no calculator, variable or bias.
    ValueError
        When the bias is of another number of variables, or of other periods.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase_mlsample.biases import HarmonicRestraint
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> atoms = bulk("Si", cubic=True)
    >>> atoms.calc = BiasedCalculator(StillingerWeber(), Distance(0, 1), HarmonicRestraint(2.0, 10.0))
    >>> energy = atoms.get_potential_energy()
    >>> round(energy - atoms.calc.get_unbiased().energy, 6) == round(atoms.calc.bias_energy, 6)
    True
    """

    # Whatever inner calculators and variables may depend on.
    state_arrays: ClassVar[tuple[str, ...]] = (
        "positions",
        "numbers",
        "masses",
        "initial_magmoms",
        "initial_charges",
    )

    def __init__(self, calc: Any, cv: CollectiveVariable, bias: Bias) -> None:
        super().__init__()
        _require_calculator(calc)
        _require_same_variables(cv, bias)
        self.calc, self.cv, self.bias = calc, cv, bias
        self.with_spread = bool(getattr(calc, "with_spread", False))
        self.implemented_properties = ["energy", "free_energy", "forces"]
        if "stress" in getattr(calc, "implemented_properties", ("stress",)):
            self.implemented_properties.append("stress")
        self.parameters = {"calculator": _described(calc), "cv": cv.todict(), "bias": type(bias).__name__}
        self.compares_bias = True
        self._parts: _Parts | None = None

    @property
    def supports_spread(self) -> bool:
        """Whether the inner calculator has members that can disagree."""
        return bool(getattr(self.calc, "supports_spread", False))

    @property
    def cv_value(self) -> CVValue:
        """The variables of the structure evaluated last.

        Raises
        ------
        ValueError
            If there is none.
        """
        return self._known_parts().cv

    @property
    def bias_energy(self) -> float:
        """V in eV as it is in ``results``; a bias that changed since shows when results are asked for.

        Raises
        ------
        ValueError
            If nothing was evaluated yet.
        """
        return self._known_parts().bias_energy

    def evaluate(self, atoms: Atoms, members: bool = False) -> VariablePrediction:
        """Biased energy (the inner free energy + V), forces and stress, and what they were made from.

        Parameters
        ----------
        atoms : Atoms
            The structure; it is not changed.
        members : bool
            Whether to give the inner calculator's spread, and each member's prediction shifted by the bias.

        Raises
        ------
        ValueError
            When a variable or the bias is not a number for these atoms.
        ValueError, CalculationFailed
            As the inner calculator's.
        """
        inner, extrapolation = self._ask(atoms, members)
        with already_evaluated(self.calc, atoms, inner):
            value = self.cv.evaluate(atoms)
        energy, slope = self._potential(value)
        forces = _bias_forces(value, slope)
        press = None if inner.stress is None else _bias_stress(value, slope, volume_of(atoms))
        return VariablePrediction(
            energy=inner.energy + energy,
            forces=inner.forces + forces,
            stress=None if inner.stress is None or press is None else inner.stress + press,
            spread=inner.spread,
            unbiased=inner,
            cv=value,
            bias_energy=energy,
            slope=slope,
            extrapolation=extrapolation,
            **(_shifted_members(inner, energy, forces, press) if members else {}),
        )

    def evaluate_cv(self, atoms: Atoms) -> CVValue:
        """Variables of the atoms: those at hand if the atoms did not change, else evaluated alone.

        Results stay as they are.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            When a variable is not a number for these atoms.
        """
        parts = self._parts
        return parts.cv if parts is not None and not self.check_state(atoms) else self.cv.evaluate(atoms)

    def get_unbiased(self, atoms: Atoms | None = None) -> Prediction:
        """The inner calculator's own prediction from the same evaluation, kept and dropped with the results.

        Parameters
        ----------
        atoms : Atoms, optional
            Default: the structure evaluated last.

        Raises
        ------
        ValueError
            If the atoms cannot be evaluated, or none are known.
        """
        if self._parts is None or (atoms is not None and self.check_state(atoms)):
            self._refresh(self._given_or_last(atoms), members=self.with_spread)
        return self._known_parts().inner

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """Value of one property with the bias as it is now; see :meth:`MLCalculator.get_property`."""
        if name not in self.implemented_properties:
            return super().get_property(name, atoms, allow_calculation)  # which raises
        if self._parts is None or (atoms is not None and self.check_state(atoms)):
            if not allow_calculation:
                return None
            self._refresh(self._given_or_last(atoms), members=self.with_spread)
        elif self.compares_bias:
            self._renew(self._parts)
        if name == "stress" and name not in self.results and allow_calculation:
            self._add_stress(self._given_or_last(atoms), self._known_parts())
        return super().get_property(name, None, allow_calculation)

    def bias_changed(self) -> None:
        """Add V anew to what is at hand; nothing else is evaluated."""
        if self._parts is not None:
            self._renew(self._parts)

    def _potential(self, value: CVValue) -> tuple[float, Array]:
        energy, slope = self.bias.potential(value.value)
        # one number that is not finite makes the sum so
        if not math.isfinite(energy + slope.sum()):
            shown = ", ".join(f"{name} = {s:.6g}" for name, s in zip(self.cv.names, value.value, strict=True))
            raise ValueError(f"the bias is {energy} eV with slope {slope.tolist()} at {shown}")
        return float(energy), slope

    def _renew(self, parts: _Parts) -> None:
        """Add the bias anew if it changed since the results were made."""
        energy, slope = self._potential(parts.cv)
        if energy == parts.bias_energy and slope.tolist() == parts.slope.tolist():
            return
        parts.bias_energy, parts.slope = energy, slope
        self.results = self._sum(parts)

    def _sum(self, parts: _Parts) -> dict[str, Any]:
        inner, free_energy = parts.inner, float(parts.inner.energy + parts.bias_energy)
        results = {
            "energy": free_energy + parts.extrapolation,
            "free_energy": free_energy,
            "forces": inner.forces + _bias_forces(parts.cv, parts.slope),
        }
        if inner.stress is not None and self._snapshot is not None:
            volume = volume_of_cell(self._snapshot.cell)
            results["stress"] = inner.stress + _bias_stress(parts.cv, parts.slope, volume)
        return results

    def _results_of(self, prediction: Prediction, atoms: Atoms) -> dict[str, Any]:
        results = super()._results_of(prediction, atoms)
        if not isinstance(prediction, VariablePrediction) or prediction.unbiased is None:
            raise TypeError(f"{self._label}.evaluate must return a VariablePrediction")
        results["energy"] += prediction.extrapolation
        self._parts = _Parts(
            inner=prediction.unbiased,
            cv=_known(prediction.cv),
            bias_energy=prediction.bias_energy,
            slope=_known(prediction.slope),
            extrapolation=prediction.extrapolation,
        )
        return results

    def _refresh(self, atoms: Atoms, *, members: bool) -> None:
        # results stay when only the spread is missing, and so does what they were made from
        parts = self._parts if members and not self.check_state(atoms) else None
        super()._refresh(atoms, members=members)
        self._parts = parts or self._parts

    def _forget(self) -> None:
        super()._forget()
        self._parts = None

    def _known_parts(self) -> _Parts:
        if self._parts is None:
            raise ValueError(f"{self._label} has not evaluated any atoms yet; ask for an energy first")
        return self._parts

    def _ask(self, atoms: Atoms, members: bool) -> tuple[Prediction, float]:
        """Inner prediction on the surface that the forces belong to, and its energy less the free energy."""
        calc = self.calc
        if isinstance(calc, MLCalculator):
            return calc.evaluate(atoms, members=members), 0.0
        # forces first: what gives them has the energy too
        forces = np.array(calc.get_property("forces", atoms), dtype=float)
        energy = float(calc.get_property("energy", atoms))
        free_energy = energy
        if "free_energy" in getattr(calc, "implemented_properties", ()):
            free_energy = float(calc.get_property("free_energy", atoms))
        # stress may cost a pass of its own, which only those pay who ask for it
        stress = getattr(calc, "results", {}).get("stress") if has_volume(atoms) else None
        stress = None if stress is None else np.array(stress, dtype=float)
        return Prediction(energy=free_energy, forces=forces, stress=stress), energy - free_energy

    def _add_stress(self, atoms: Atoms, parts: _Parts) -> None:
        """Ask an inner calculator that is not ours for the stress that it has not given yet."""
        volume = volume_of(atoms)
        if isinstance(self.calc, MLCalculator) or volume is None:
            return
        stress = np.array(self.calc.get_property("stress", atoms), dtype=float)
        parts.inner = replace(parts.inner, stress=stress)
        self.results["stress"] = stress + _bias_stress(parts.cv, parts.slope, volume)


def _bias_forces(value: CVValue, slope: Array) -> Array:
    """−dV/dr, (N, 3) in eV/Å."""
    if len(slope) == 1:
        single: Array = value.gradient[0] * -slope[0]
        return single
    pull: Array = slope @ value.gradient.reshape(len(slope), -1)
    return -pull.reshape(-1, 3)


def _bias_stress(value: CVValue, slope: Array, volume: float | None) -> Array:
    """dV/dε / volume, (6,) in eV/Å³."""
    if volume is None:
        raise ValueError("there is no stress in a cell without volume")
    press: Array = (slope @ value.virial.reshape(len(slope), 9))[_VOIGT]
    press /= volume
    return press


def _shifted_members(found: Prediction, energy: float, forces: Array, stress: Array | None) -> dict[str, Any]:
    """Each member's prediction with the same bias."""
    energies, member_forces, stresses = found.member_energies, found.member_forces, found.member_stress
    return {
        "member_energies": None if energies is None else energies + energy,
        "member_forces": None if member_forces is None else member_forces + forces,
        "member_stress": None if stresses is None or stress is None else stresses + stress,
    }


def _known(value: _T | None) -> _T:
    if value is None:
        raise TypeError("the prediction of a biased calculator lacks its variables")
    return value


def _require_calculator(calc: Any) -> None:
    if isinstance(calc, type):
        raise TypeError(f"the calculator is a class; make it: {calc.__name__}(...)")
    inside = calc
    while inside is not None:
        if isinstance(inside, BiasedCalculator):
            raise TypeError(
                f"the calculator is biased already (by a {type(inside.bias).__name__} of "
                f"{', '.join(inside.cv.names)}); add the biases (a + b), or close the other run first"
            )
        inside = getattr(inside, "calc", None)
    offers = set(getattr(calc, "implemented_properties", ("energy", "forces")))
    if not {"energy", "forces"} <= offers or not hasattr(calc, "get_property"):
        raise TypeError(f"a bias needs an ASE calculator that gives energy and forces, got {calc!r:.100}")


def _require_same_variables(cv: Any, bias: Any) -> None:
    if not isinstance(cv, CollectiveVariable):
        hint = "; pool it, with .mean() or .count()" if hasattr(cv, "count") and hasattr(cv, "mean") else ""
        raise TypeError(f"a bias is a function of a CollectiveVariable, got {type(cv).__name__}{hint}")
    if not isinstance(bias, Bias):
        raise TypeError(f"the bias must be a Bias, got {type(bias).__name__}")
    if bias.n_cvs != cv.n_cvs:
        raise ValueError(
            f"the bias is of {bias.n_cvs} variable(s), but there are {cv.n_cvs}: {', '.join(cv.names)}"
        )
    if bias.domains is not None and tuple(bias.domains) != tuple(cv.domains):
        raise ValueError(
            f"the bias takes {', '.join(cv.names)} to have the periods {bias.domains}, but they have "
            f"{cv.domains}; give the bias domains=cv.domains"
        )


def _described(calc: Any) -> dict[str, Any]:
    if isinstance(calc, MLCalculator):
        return {"name": type(calc).__name__, **calc.todict()}
    return {"name": str(getattr(calc, "name", type(calc).__name__))}
