"""From the members' disagreement to error bars: one factor a quantity, and the coverage it achieves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.analysis.errors import calibration_factor, expected_coverage
from ase_mlsample.calculators.prediction import Calibration

__all__ = ["Coverage", "MemberErrors", "coverage", "fit_calibration"]


@dataclass(frozen=True, slots=True)
class MemberErrors:
    """Predictions of M members less the reference, for one kind of quantity: (M, n)."""

    values: NDArray[np.float64]

    @property
    def error(self) -> NDArray[np.float64]:
        """(n,) error of the ensemble mean."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(n,) standard deviation over members, ddof = 1."""
        return np.asarray(self.values.std(axis=0, ddof=1))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Fraction of errors within one standard deviation, before and after calibration.

    `expected` is that of Student's t with M − 1 degrees of freedom: 0.609 for four members, 0.650 for eight.
    """

    before: float
    after: float
    expected: float
    samples: int


def coverage(errors: MemberErrors, factor: float) -> Coverage:
    """Coverage of one quantity at 1 σ, raw and with the factor."""
    error, sigma = np.abs(errors.error), errors.sigma
    return Coverage(
        before=float(np.mean(error < sigma)),
        after=float(np.mean(error < factor * sigma)),
        expected=expected_coverage(len(errors.values)),
        samples=error.size,
    )


def fit_calibration(
    energies: MemberErrors | None, forces: MemberErrors | None, stress: MemberErrors | None
) -> tuple[Calibration, dict[str, Coverage]]:
    """Factors from frames that no member has seen, and the coverage of each quantity.

    Without forces (or stress) among the labels the factor of the quantity before it stands in, and no
    coverage is given for it. Members that agree exactly, or are exactly right, keep the factor 1.

    Parameters
    ----------
    energies
        Of the energy per atom, eV.
    forces
        Of force components, eV/Å.
    stress
        Of stress components, eV/Å³.
    """
    factors: dict[str, float] = {}
    covered: dict[str, Coverage] = {}
    previous = 1.0
    for name, errors in (("energy", energies), ("forces", forces), ("stress", stress)):
        if errors is not None and np.any(errors.sigma > 0) and np.any(errors.error != 0):
            previous = calibration_factor(errors.error, errors.sigma)
            covered[name] = coverage(errors, previous)
        factors[name] = previous
    return Calibration(**factors), covered
