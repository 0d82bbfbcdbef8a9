"""Ramps of the pressure: followed, guarded, and refused where they make no sense."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from ase_mlsample.calculators import Committee, MLCalculator, Prediction, StillingerWeber
from ase_mlsample.dynamics import Guards, RampedMD, UncertaintyGate


def silicon(n=2):
    atoms = bulk("Si", a=5.43, cubic=True).repeat(n)
    atoms.info = {"config_type": "diamond", "source": "PerturbedCrystal"}
    return atoms


def rng(seed=0):
    return np.random.default_rng(seed)


COMMON = {"temperature_K": 300, "amplitude_K": 0, "keep_every": 1}


def test_cell_follows_the_pressure():
    """20 GPa on a bulk modulus of 100 GPa; the barostat lags by its time constant."""
    plan = RampedMD(
        **COMMON,
        pressure_GPa=(-3, 20),
        pressure_amplitude_GPa=(-8, 8),
        period_ps=2.0,
        duration_ps=2.0,
        timestep_fs=2.0,
        barostat_fs=100.0,
    )
    start = silicon()
    frames, summary = plan.run(StillingerWeber(), start, rng(1))
    assert summary.stop_reason == "finished"
    assert (summary.steps, summary.evaluations) == (1000, 1001)
    targets = [frame.info["pressure_GPa"] for frame in frames]
    info = frames[0].info
    assert -3 <= info["ramp_start_GPa"] <= 20
    assert -3 <= info["ramp_end_GPa"] <= 20
    assert max(targets) - min(targets) > 4
    measured = []
    for frame in frames:
        assert start.get_volume() / frame.get_volume() == pytest.approx(frame.info["density_scale"])
        shape = frame.cell.array / frame.cell.array[0, 0]
        np.testing.assert_allclose(shape, np.eye(3), atol=1e-12)
        frame.calc = StillingerWeber()
        measured.append(-frame.get_stress()[:3].mean() / units.GPa)
    assert np.corrcoef(measured[2:], targets[2:])[0, 1] > 0.8
    assert np.mean(measured[2:]) == pytest.approx(np.mean(targets[2:]), abs=1.5)


def test_density_is_left_out_unless_asked_for():
    frames, _ = RampedMD(**COMMON, pressure_GPa=0, duration_ps=0.05).run(StillingerWeber(), silicon(1), rng())
    assert "ramp_density_start" not in frames[0].info
    assert frames[0].info["pressure_GPa"] == 0.0
    RampedMD(**COMMON, pressure_GPa=0, density=None)
    with pytest.raises(ValueError, match="cannot both be set"):
        RampedMD(**COMMON, pressure_GPa=0, density=(0.9, 1.1))
    with pytest.raises(ValueError, match="pressure_GPa must be finite"):
        RampedMD(**COMMON, pressure_GPa=(5, 1))
    with pytest.raises(ValueError, match="no pressure; give pressure_GPa"):
        RampedMD(**COMMON, pressure_amplitude_GPa=(-2, 2))
    with pytest.raises(ValueError, match="no density to ramp"):
        RampedMD(**COMMON, pressure_GPa=0, density_amplitude=0.1)
    with pytest.raises(ValueError, match="compressibility_per_GPa"):
        RampedMD(**COMMON, compressibility_per_GPa=0.0)


def test_gate_stops_at_constant_pressure_too():
    committee = Committee([StillingerWeber(), StillingerWeber(epsilon=2.3), StillingerWeber(lambda_=19.5)])
    plan = RampedMD(
        temperature_K=(300, 3000), pressure_GPa=(0, 5), gate=UncertaintyGate(0.25), duration_ps=2.0
    )
    (kept,), summary = plan.run(committee, silicon(), rng(4))
    assert summary.stop_reason == kept.info["stop_reason"] == "uncertain"
    assert summary.evaluations == summary.steps + summary.checks
    assert kept.arrays["force_sigma"].max() >= 0.25
    spread = committee.get_spread(kept).calibrated
    np.testing.assert_allclose(spread.force_sigma, kept.arrays["force_sigma"], rtol=1e-6)


class Squeezed(MLCalculator):
    """A pressure of its own that does not depend on the volume."""

    def __init__(self, pressure_GPa):
        super().__init__()
        self.stress = np.array([1.0, 1, 1, 0, 0, 0]) * -pressure_GPa * units.GPa

    def evaluate(self, atoms, members=False):
        return Prediction(energy=0.0, forces=np.zeros((len(atoms), 3)), stress=self.stress)


@pytest.mark.parametrize(("pressure", "reason"), [(30, "exploded"), (-30, "collapsed")])
def test_guard_of_the_volume(pressure, reason):
    guards = Guards(volume_window=(0.7, 1.3), contact_fraction=0.01)
    plan = RampedMD(**COMMON, pressure_GPa=0, guards=guards, duration_ps=20.0, barostat_fs=200.0)
    frames, summary = plan.run(Squeezed(pressure), silicon(1), rng())
    assert summary.stop_reason == reason
    assert summary.detail.startswith("the volume is ")
    assert 0 < summary.steps < 20_000
    assert all(0.7 <= 1 / frame.info["density_scale"] <= 1.3 for frame in frames)


def test_calculators_of_ase():
    plan = RampedMD(**COMMON, pressure_GPa=(0, 2), duration_ps=0.05, check_every=25)
    frames, summary = plan.run(EMT(), bulk("Cu", cubic=True) * 2, rng())
    assert summary.stop_reason == "finished"
    assert len(frames) == 2


def test_bad_input():
    plan = RampedMD(**COMMON, pressure_GPa=0)

    class OnlyForces(Calculator):
        implemented_properties = ("energy", "forces")

    with pytest.raises(
        PropertyNotImplementedError, match="OnlyForces gives no stress, which a pressure needs"
    ):
        plan.explore(OnlyForces(), silicon(), rng())
    with pytest.raises(ValueError, match="periodic in three directions"):
        plan.explore(StillingerWeber(), Atoms("Si2", positions=[[0, 0, 0], [2.4, 0, 0]]), rng())
    fixed = silicon()
    fixed.set_constraint(FixAtoms([0]))
    with pytest.raises(ValueError, match="FixAtoms"):
        plan.explore(StillingerWeber(), fixed, rng())
    with pytest.raises(ValueError, match="at least two atoms"):
        plan.explore(StillingerWeber(), Atoms("Si", cell=[3, 3, 3], pbc=True), rng())
