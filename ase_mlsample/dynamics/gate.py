"""The uncertainty gate: says whether a model still knows the structure it is asked about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.dynamics.base import UncertainCalculator

__all__ = ["GateReading", "UncertaintyGate", "model_forces", "relative_deviation"]

Decision = Literal["accurate", "candidate", "unphysical"]


@dataclass(frozen=True, slots=True)
class GateReading:
    """One look of a gate.

    Attributes
    ----------
    value : float
        The measure that the thresholds are compared with (eV/Å, or a plain number if relative).
    decision : {"accurate", "candidate", "unphysical"}
        Below the threshold; at or above it; at or above the upper limit.
    force_sigma : ndarray (N,)
        Calibrated disagreement of the forces by atom in eV/Å.
    """

    value: float
    decision: Decision
    force_sigma: NDArray[np.float64]

    @property
    def force_sigma_max(self) -> float:
        """Largest disagreement in eV/Å."""
        return float(self.force_sigma.max())


def model_forces(calc: UncertainCalculator, atoms: Atoms) -> NDArray[np.float64]:
    """Return the model's mean forces (N, 3) in eV/Å, those without the bias where the calculator has one."""
    unbiased = getattr(calc, "get_unbiased", None)
    forces = calc.get_forces(atoms) if unbiased is None else unbiased(atoms).forces
    return np.asarray(forces, dtype=np.float64)


def relative_deviation(
    sigma: NDArray[np.float64], forces: NDArray[np.float64], *, level: float
) -> NDArray[np.float64]:
    """Return σ / (|F| + level) for each atom.

    Parameters
    ----------
    sigma : ndarray (N,), eV/Å
    forces : ndarray (N, 3), eV/Å
    level : float
        eV/Å; keeps atoms without a force from counting as uncertain.
    """
    return np.asarray(sigma / (np.linalg.norm(forces, axis=1) + level), dtype=np.float64)


class UncertaintyGate:
    """Compares the calibrated force disagreement σ of an ensemble with a threshold.

    Parameters
    ----------
    threshold : float
        From here on a frame is a candidate for labelling; eV/Å, or a plain number with ``relative``.
    measure : "max", "mean" or float
        Frame measure of the atoms' σ; a number in (0, 1) is a quantile.
    relative : float or None
        With a level L in eV/Å, σ / (|F| + L) is measured in place of σ (the relative deviation of DP-GEN:
        Y. Zhang et al., Comput. Phys. Commun. 253, 107206, 2020). |F| is the model's, without a bias.
    upper : float or None
        From here on a frame is unphysical: the model is so wrong that it is not worth a label.

    Raises
    ------
    ValueError
        At construction for limits that are not positive or in the wrong order.
    """

    def __init__(
        self,
        threshold: float,
        *,
        measure: Literal["max", "mean"] | float = "max",
        relative: float | None = None,
        upper: float | None = None,
    ) -> None:
        if not 0 < threshold < math.inf:
            raise ValueError(f"threshold must be positive and finite, got {threshold!r}; give it in eV/Å")
        if measure not in ("max", "mean") and not (isinstance(measure, float) and 0 < measure < 1):
            raise ValueError(f"measure must be 'max', 'mean' or a quantile between 0 and 1, got {measure!r}")
        if relative is not None and not 0 < relative < math.inf:
            raise ValueError(f"relative is a positive force level in eV/Å or None, got {relative!r}")
        if upper is not None and not upper > threshold:
            raise ValueError(f"upper ({upper!r}) must lie above threshold ({threshold!r}), or be None")
        self.threshold, self.measure, self.relative, self.upper = threshold, measure, relative, upper

    def check(self, calc: UncertainCalculator, atoms: Atoms) -> GateReading:
        """Evaluate the members' disagreement for a structure.

        Parameters
        ----------
        calc : calculator with ``get_spread``
        atoms : Atoms

        Returns
        -------
        GateReading
            A disagreement that is not a number counts as unphysical.

        Raises
        ------
        PropertyNotImplementedError
            When the calculator has no members.
        """
        sigma = np.asarray(calc.get_spread(atoms).calibrated.force_sigma, dtype=np.float64)
        measured = sigma
        if self.relative is not None:
            measured = relative_deviation(sigma, model_forces(calc, atoms), level=self.relative)
        value = self._reduce(measured)
        return GateReading(value, self._decide(value), sigma)

    def _reduce(self, measured: NDArray[np.float64]) -> float:
        if self.measure == "max":
            return float(measured.max())
        if self.measure == "mean":
            return float(measured.mean())
        return float(np.quantile(measured, self.measure))

    def _decide(self, value: float) -> Decision:
        if math.isnan(value) or value == math.inf or (self.upper is not None and value >= self.upper):
            return "unphysical"
        return "candidate" if value >= self.threshold else "accurate"

    def __repr__(self) -> str:
        limits = f"{self.threshold}, measure={self.measure!r}, relative={self.relative}, upper={self.upper}"
        return f"UncertaintyGate({limits})"
