import numpy as np
import pytest

from ase_mlsample.analysis.errors import calibration_factor
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.training.calibration import (
    MemberErrors,
    coverage,
    fit_calibration,
)


def gaussian_members(members: int, n: int, *, excess: float, rng: np.random.Generator) -> MemberErrors:
    """Members scattered about a common value whose distance to the truth is `excess` times their scatter."""
    scale = rng.lognormal(sigma=1.0, size=n)  # some quantities are much harder than others
    return MemberErrors(scale * (rng.normal(size=(members, n)) + excess * rng.normal(size=n)))


@pytest.mark.parametrize(("members", "excess"), [(4, 1.0), (4, 2.0), (8, 0.5)])
def test_known_factor_and_coverage_of_gaussian_members(
    members: int, excess: float, rng: np.random.Generator
) -> None:
    errors = gaussian_members(members, 200_000, excess=excess, rng=rng)
    known = np.sqrt(excess**2 + 1.0 / members)
    factor = calibration_factor(errors.error, errors.sigma)
    assert factor == pytest.approx(known, rel=0.03)
    covered = coverage(errors, factor)
    assert covered.expected == pytest.approx({4: 0.609, 8: 0.650}[members], abs=1e-3)
    assert covered.after == pytest.approx(covered.expected, abs=0.01)
    assert (covered.before < covered.expected) == (known > 1)
    assert covered.samples == 200_000


def test_the_smallest_deviations_do_not_rule(rng: np.random.Generator) -> None:
    errors = gaussian_members(4, 50_000, excess=np.sqrt(0.75), rng=rng)  # known factor one
    naive = np.sqrt(np.mean(errors.error**2 / errors.sigma**2))
    assert naive > 1.5
    assert calibration_factor(errors.error, errors.sigma) == pytest.approx(1.0, rel=0.05)


def test_missing_quantities_take_the_factor_before(rng: np.random.Generator) -> None:
    energies = gaussian_members(4, 400, excess=3.0, rng=rng)
    forces = gaussian_members(4, 4000, excess=1.0, rng=rng)
    calibration, covered = fit_calibration(energies, forces, None)
    assert set(covered) == {"energy", "forces"}
    assert calibration.stress == calibration.forces != calibration.energy
    same = MemberErrors(np.ones((4, 10)))
    assert fit_calibration(same, None, None) == (Calibration(), {})
