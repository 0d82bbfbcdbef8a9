"""Uncertainty-driven dynamics: a bias that pulls atoms to where an ensemble disagrees."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from numpy.typing import NDArray

from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction, Spread
from ase_mlsample.calculators.structures import checked_frames

__all__ = ["BiasedPrediction", "UncertaintyBias"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BiasedPrediction(Prediction):
    """A prediction on the biased surface, with the one without the bias that it was made from.

    Parameters
    ----------
    unbiased : Prediction or None
        Mean of the members, their spread and atomic energies; always there in what
        :class:`UncertaintyBias` returns.
    """

    unbiased: Prediction | None = None

    @property
    def bias_energy(self) -> float:
        """Energy of the bias in eV, between minus its height and 0."""
        return self.energy - self.unbiased.energy if self.unbiased is not None else 0.0


class UncertaintyBias(MLCalculator):
    """An ensemble's mean surface, lowered where the members disagree about the energy.

    For M members and N atoms, with the spread of the energy per √atom

        ρ² = α² Σ_m (E_m − Ē)² / ((M − 1) N),     E = Ē + A [exp(−ρ² / 2B²) − 1].

    The bias is 0 where the members agree and −A where ρ ≫ B; it pulls most where ρ ≈ B. Forces and stress are
    the exact derivatives, sums over the members' own with weights that add up to zero. Every evaluation asks
    the ensemble for all members, so that :meth:`get_spread`, which is the ensemble's own, costs nothing more.

    The bias depends on the energy of the whole cell: it is not a sum over atoms, so there are no
    ``energies``, and a supercell has not the bias of its parts.

    Parameters
    ----------
    calc : MLCalculator
        With members that can disagree, such as ``ANIEnsemble`` and ``Committee``; it is not changed.
    height_eV : float
        A, for the whole structure: about the barriers that the dynamics should cross, or several times as
        much. 0 switches the bias off.
    width : float
        B in eV per √atom: about ρ of structures that the ensemble knows. Much smaller ones give bias forces
        that tear the structure apart.
    calibrated : bool
        Whether α is the ensemble's calibration factor for energies, so that ρ is an error to be expected and
        a width means the same for every model; False: α = 1, the raw spread.

    Raises
    ------
    TypeError
        For what is no calculator of ours, or one that is biased already.
    ValueError
        For a calculator without members, a negative height, or a width that is not positive.

    Notes
    -----
    The published form has ddof = 0, no calibration, and σ_E² = ½ Σ_m (E_m − Ē)² in exp(−σ_E² / (M N B²)): a
    published width is ours times √((M − 1) / M) with ``calibrated=False``. There B was chosen so that the
    bias forces are about a third of the model's. What grows is the disagreement about the energy; that about
    the largest force, which gates look at, need not grow with it.

    References
    ----------
    M. Kulichenko et al., Nat. Comput. Sci. 3, 230 (2023), equations 2–7.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase_mlsample.calculators import Committee, StillingerWeber
    >>> atoms = bulk("Si", cubic=True)
    >>> ensemble = Committee([StillingerWeber(), StillingerWeber(epsilon=2.1)])
    >>> atoms.calc = UncertaintyBias(ensemble, height_eV=2.0, width=0.05)
    >>> bool(atoms.get_potential_energy() < ensemble.get_potential_energy(atoms))
    True
    """

    implemented_properties: list[str] = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012
    # Whatever the members of a committee depend on.
    state_arrays: ClassVar[tuple[str, ...]] = ("positions", "numbers", "initial_magmoms", "initial_charges")

    def __init__(self, calc: Any, *, height_eV: float, width: float, calibrated: bool = True) -> None:
        super().__init__()
        if isinstance(calc, UncertaintyBias):
            raise TypeError("the calculator has an uncertainty bias already; wrap the ensemble itself")
        if not isinstance(calc, MLCalculator):
            what = calc.__name__ if isinstance(calc, type) else type(calc).__name__
            raise TypeError(
                f"an uncertainty bias needs an ensemble of this package, got {what}; "
                "Committee makes one of any ASE calculators"
            )
        if not calc.supports_spread:
            raise ValueError(f"{type(calc).__name__} has no members that could disagree; give an ensemble")
        if not 0 <= height_eV < math.inf:
            raise ValueError(f"height_eV must be finite and not negative, got {height_eV!r}")
        if not 0 < width < math.inf:
            raise ValueError(f"width must be positive and finite, in eV per √atom, got {width!r}")
        self.calc, self.height_eV, self.width = calc, float(height_eV), float(width)
        self.calibrated = bool(calibrated)
        self.parameters = {
            "ensemble": {"name": type(calc).__name__, **calc.todict()},
            "height_eV": self.height_eV,
            "width": self.width,
            "calibrated": self.calibrated,
        }
        self._unbiased: Prediction | None = None

    @property
    def supports_spread(self) -> bool:
        """Always: what it wraps has members."""
        return True

    def evaluate(self, atoms: Atoms, members: bool = False) -> BiasedPrediction:
        """Energy, forces and stress on the biased surface.

        Parameters
        ----------
        atoms : Atoms
            The structure; it is not changed.
        members : bool
            Whether to give each member's prediction, all shifted by the same bias. The spread is always
            there: it costs nothing more.

        Raises
        ------
        ValueError, CalculationFailed
            As the ensemble's.
        """
        return self._biased(self.calc.evaluate(atoms, members=True), members)

    def evaluate_many(self, frames: Iterable[Atoms], members: bool = False) -> list[Prediction]:
        """Evaluate structures of any sizes; the ensemble gets them all at once.

        Parameters
        ----------
        frames : iterable of Atoms
        members : bool
            As for :meth:`evaluate`.

        Raises
        ------
        TypeError, ValueError, CalculationFailed
            For a single ``Atoms``, and as the ensemble's.
        """
        found = self.calc.evaluate_many(checked_frames(frames), members=True)
        return [self._biased(prediction, members) for prediction in found]

    def get_unbiased(self, atoms: Atoms | None = None) -> Prediction:
        """The ensemble's own prediction from the same evaluation, kept and dropped with the results.

        Parameters
        ----------
        atoms : Atoms, optional
            Default: the structure evaluated last.

        Raises
        ------
        ValueError
            If the atoms cannot be evaluated, or none are known.
        """
        self.get_spread(atoms)
        if self._unbiased is None:
            raise PropertyNotImplementedError("the last evaluation left no unbiased prediction")
        return self._unbiased

    def _biased(self, found: Prediction, members: bool) -> BiasedPrediction:
        energies, forces, stresses, spread = _members_of(found)
        deviations = energies - found.energy
        alpha = spread.calibration.energy if self.calibrated else 1.0
        scale = alpha**2 / ((len(energies) - 1) * len(found.forces))
        exponent = -scale * float(deviations @ deviations) / (2 * self.width**2)
        energy = self.height_eV * math.expm1(exponent)
        # dE_bias/dE_m; they add up to zero, so that a force common to all members gives no bias force
        weights = -self.height_eV * math.exp(exponent) * scale / self.width**2 * deviations
        pull = np.tensordot(weights, forces, axes=1)
        stress = member_stress = None
        if found.stress is not None and stresses is not None:
            press = weights @ stresses
            stress, member_stress = found.stress + press, stresses + press
        return BiasedPrediction(
            energy=found.energy + energy,
            forces=found.forces + pull,
            stress=stress,
            spread=spread,
            member_energies=energies + energy if members else None,
            member_forces=forces + pull if members else None,
            member_stress=member_stress if members else None,
            unbiased=replace(found, member_energies=None, member_forces=None, member_stress=None),
        )

    def _forget(self) -> None:
        super()._forget()
        self._unbiased = None

    def _results_of(self, prediction: Prediction, atoms: Atoms) -> dict[str, Any]:
        results = super()._results_of(prediction, atoms)
        self._unbiased = getattr(prediction, "unbiased", None)
        return results


def _members_of(found: Prediction) -> tuple[Array, Array, Array | None, Spread]:
    if found.member_energies is None or found.member_forces is None or found.spread is None:
        raise TypeError("the ensemble's evaluate(atoms, members=True) gave no members")
    return found.member_energies, found.member_forces, found.member_stress, found.spread
