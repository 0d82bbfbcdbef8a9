"""The gate reads calibrated disagreement and decides as its limits say."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from ase_mlsample.calculators import Calibration, Committee, StillingerWeber
from ase_mlsample.dynamics import UncertaintyGate


def fixed(sigma, forces=None):
    """A stand-in whose disagreement and forces are given."""
    spread = SimpleNamespace(force_sigma=np.asarray(sigma, dtype=float))
    spread.calibrated = spread
    return SimpleNamespace(get_spread=lambda atoms: spread, get_forces=lambda atoms: np.asarray(forces))


ATOMS = Atoms("Si4")
SIGMA = [0.1, 0.2, 0.3, 0.6]


@pytest.mark.parametrize(("measure", "value"), [("max", 0.6), ("mean", 0.3), (0.5, 0.25), (0.9, 0.51)])
def test_measures(measure, value):
    reading = UncertaintyGate(0.4, measure=measure).check(fixed(SIGMA), ATOMS)
    assert reading.value == pytest.approx(value)
    assert reading.decision == ("candidate" if value >= 0.4 else "accurate")
    assert reading.force_sigma_max == 0.6
    np.testing.assert_array_equal(reading.force_sigma, SIGMA)


def test_limits_belong_to_the_upper_side():
    gate = UncertaintyGate(0.2, upper=0.6)
    assert gate.check(fixed([0.1999]), ATOMS).decision == "accurate"
    assert gate.check(fixed([0.2]), ATOMS).decision == "candidate"
    assert gate.check(fixed([0.6]), ATOMS).decision == "unphysical"
    assert UncertaintyGate(0.2).check(fixed([1e6]), ATOMS).decision == "candidate"
    assert UncertaintyGate(0.2).check(fixed([np.nan, 0.1]), ATOMS).decision == "unphysical"


def test_relative_measure():
    forces = [[3.0, 0, 4.0], [0, 0, 0], [0, 1.0, 0], [0, 0, 2.0]]
    reading = UncertaintyGate(0.3, relative=1.0).check(fixed(SIGMA, forces), ATOMS)
    assert reading.value == pytest.approx(max(0.1 / 6, 0.2 / 1, 0.3 / 2, 0.6 / 3))
    assert reading.decision == "accurate"
    assert reading.force_sigma_max == 0.6


def test_calibrated_spread_is_what_counts():
    members = [StillingerWeber(), StillingerWeber(epsilon=2.4), StillingerWeber(lambda_=19.0)]
    atoms = bulk("Si", a=5.43, cubic=True)
    atoms.positions += np.random.default_rng(0).normal(0, 0.1, (8, 3))
    raw = UncertaintyGate(0.1).check(Committee(members), atoms)
    doubled = UncertaintyGate(0.1).check(Committee(members, calibration=Calibration(forces=2.0)), atoms)
    assert raw.value > 0.01
    assert doubled.value == pytest.approx(2 * raw.value)


def test_without_members_there_is_no_reading():
    with pytest.raises(PropertyNotImplementedError):
        UncertaintyGate(0.1).check(StillingerWeber(), bulk("Si"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"threshold": 0.1, "measure": "median"},
        {"threshold": 0.1, "measure": 1.5},
        {"threshold": 0.1, "relative": 0.0},
        {"threshold": 0.1, "upper": 0.05},
    ],
)
def test_bad_settings(arguments):
    with pytest.raises(ValueError, match=r"threshold|measure|relative|upper"):
        UncertaintyGate(**arguments)
