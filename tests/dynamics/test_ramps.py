"""Ramped dynamics: ramps as written, stopped by the gate or a guard, and decided by the seed alone."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed

from ase_mlsample.calculators import Committee, MLCalculator, Prediction, Spread, StillingerWeber
from ase_mlsample.dynamics import Explorer, Guards, RampedMD, UncertaintyGate
from ase_mlsample.dynamics.base import internal_temperature
from ase_mlsample.dynamics.programme import Ramp


class Toy(MLCalculator):
    """Forces from a function of positions; two members that differ by a given field."""

    supports_spread = True

    def __init__(self, force, sigma=lambda positions: np.zeros(len(positions))):
        super().__init__()
        self.force, self.sigma, self.temperatures = force, sigma, []
        self.count = self.with_members = 0

    def evaluate(self, atoms, members=False):
        self.count += 1
        self.with_members += members
        if atoms.has("momenta"):
            self.temperatures.append(internal_temperature(atoms.get_masses(), atoms.get_velocities()))
        forces = self.force(atoms.positions)
        spread = None
        if members:
            half = np.zeros_like(forces)
            half[:, 0] = self.sigma(atoms.positions) / math.sqrt(2)
            spread = Spread.from_members([0.0, 0.0], [forces - half, forces + half])
        return Prediction(energy=0.0, forces=forces, spread=spread)


def free(positions):
    return np.zeros_like(positions)


def silicon(n=2):
    atoms = bulk("Si", a=5.43, cubic=True).repeat((n, 1, 1))
    atoms.info = {"config_type": "diamond", "source": "PerturbedCrystal"}
    return atoms


def committee():
    return Committee([StillingerWeber(), StillingerWeber(epsilon=2.3), StillingerWeber(lambda_=19.5)])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_ramp_formula():
    ramp = Ramp(start=100.0, end=500.0, amplitude=40.0, period_fs=2000.0, duration_fs=4000.0)
    assert ramp(0) == 100.0
    assert ramp(1000) == pytest.approx(100 * 0.75 + 500 * 0.25 + 40)
    assert ramp(2000) == pytest.approx(300.0)
    assert ramp(4000) == pytest.approx(500.0)


def test_frames_follow_the_drawn_ramps():
    plan = RampedMD(
        temperature_K=(300, 600),
        end_temperature_K=(900, 1500),
        amplitude_K=(10, 300),
        period_ps=(0.1, 0.3),
        density=(0.95, 1.05),
        density_amplitude=(0.01, 0.02),
        duration_ps=(0.2, 0.3),
        check_every=20,
        keep_every=1,
    )
    assert isinstance(plan, Explorer)
    start = silicon()
    frames, summary = plan.run(StillingerWeber(), start, rng(1))
    assert summary.stop_reason == "finished"
    assert 200 <= summary.time_fs <= 300
    assert [atoms.info["time_fs"] for atoms in frames][:3] == [20, 40, 60]
    assert frames[-1].info["time_fs"] == summary.time_fs
    for atoms in frames:
        info = atoms.info
        names = ("start_K", "end_K", "amplitude_K", "period_ps", "duration_ps")
        first, last, wave, period, duration = (info[f"ramp_{name}"] for name in names)
        assert 300 <= first <= 600
        assert 900 <= last <= 1500
        share = info["time_fs"] / (1000 * duration)
        expected = first * (1 - share) + last * share
        expected += wave * math.sin(math.pi * info["time_fs"] / (1000 * period)) ** 2
        assert info["temperature_K"] == pytest.approx(expected)
        assert start.get_volume() / atoms.get_volume() == pytest.approx(info["density_scale"])
        assert info["source"] == "RampedMD"
        assert info["start_source"] == "PerturbedCrystal"
        assert info["config_type"] == "diamond"
        assert atoms.calc is None
        assert not atoms.has("momenta")
    assert {atoms.info["stop_reason"] for atoms in frames[:-1]} == {"running"}
    assert len({atoms.info["density_scale"] for atoms in frames}) == len(frames)


def test_kinetic_temperature_follows_the_target():
    gas = Atoms("Si300", positions=rng().uniform(0, 60, (300, 3)), cell=[60, 60, 60], pbc=True)
    calc = Toy(free)
    plan = RampedMD(
        temperature_K=(500, 500),
        end_temperature_K=(2500, 2500),
        amplitude_K=(0, 0),
        density=None,
        duration_ps=1.0,
        friction_per_ps=50.0,
        guards=Guards(contact_fraction=1e-3),
        keep_every=100,
    )
    plan.run(calc, gas, rng())
    measured = np.array(calc.temperatures)
    target = 500 + 2000 * (np.arange(len(measured)) - 20) / 1000  # the thermostat lags by 1/(2 friction)
    assert measured[:100].mean() == pytest.approx(target[:100].mean(), rel=0.08)
    assert measured[400:600].mean() == pytest.approx(target[400:600].mean(), rel=0.05)
    assert measured[-200:].mean() == pytest.approx(target[-200:].mean(), rel=0.05)


def test_first_velocities_count_three_degrees_less():
    temperatures, atoms = [], silicon(1)[:3]
    for seed in range(300):
        calc = Toy(free)
        plan = RampedMD(
            temperature_K=(1000, 1000), amplitude_K=(0, 0), density=None, duration_ps=0.001, keep_every=1
        )
        plan.run(calc, atoms, rng(seed))
        temperatures.append(calc.temperatures[0])
    # mean of chi² with 6 degrees: standard error 1000·sqrt(2/6/300) = 33 K
    assert np.mean(temperatures) == pytest.approx(1000, abs=120)


def test_gate_stops_at_the_first_uncertain_frame_and_keeps_it():
    common = {"temperature_K": (300, 3000), "duration_ps": 0.6, "check_every": 25}
    open_plan = RampedMD(**common, keep_every=1, gate=UncertaintyGate(1e6))
    frames, summary = open_plan.run(committee(), silicon(), rng(4))
    sigmas = [atoms.info["force_sigma_max"] for atoms in frames]
    assert summary.checks == len(frames) + 1
    threshold = sorted(sigmas)[len(sigmas) // 2]
    expected = next(i for i, value in enumerate(sigmas) if value >= threshold)
    assert expected > 0

    (kept,), summary = RampedMD(**common, gate=UncertaintyGate(threshold)).run(committee(), silicon(), rng(4))
    assert summary.stop_reason == kept.info["stop_reason"] == "uncertain"
    assert kept.info["time_fs"] == frames[expected].info["time_fs"] == summary.time_fs
    np.testing.assert_array_equal(kept.positions, frames[expected].positions)
    np.testing.assert_array_equal(kept.cell, frames[expected].cell)
    assert kept.info["force_sigma_max"] == kept.arrays["force_sigma"].max() >= threshold
    spread = committee().get_spread(kept).calibrated
    np.testing.assert_allclose(spread.force_sigma, kept.arrays["force_sigma"], rtol=1e-6)


def test_uncertain_start_is_kept_at_once():
    frames, summary = RampedMD(gate=UncertaintyGate(0.5)).run(
        Toy(free, lambda positions: np.ones(len(positions))), silicon(), rng()
    )
    assert [atoms.info["time_fs"] for atoms in frames] == [0.0]
    assert (summary.steps, summary.evaluations, summary.checks) == (0, 1, 1)
    assert summary.force_sigma_max == pytest.approx(1.0)


def test_certain_run_yields_nothing_and_returns_its_summary():
    plan = RampedMD(gate=UncertaintyGate(0.5), duration_ps=0.1, density=None, temperature_K=(100, 300))
    generator = plan.explore(committee(), silicon(), rng())
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value.stop_reason == "finished"
    assert end.value.value.steps == 100


def test_unphysical_reading_falls_back_on_the_frame_before():
    start = silicon()
    start.positions += 1.0

    def moved(positions):
        return np.linalg.norm(positions - start.positions, axis=1).max()

    common = {"temperature_K": (2000, 2000), "density": None, "duration_ps": 0.2, "check_every": 40}
    common["guards"] = Guards(contact_fraction=1e-3)
    free_run, _ = RampedMD(**common, keep_every=1).run(Toy(free), start, rng())
    scale = 1.05 / moved(free_run[0].positions) ** 4

    def sigma(positions):
        return np.full(len(positions), scale * moved(positions) ** 4)

    gate = UncertaintyGate(0.01, upper=1.0)
    (kept,), summary = RampedMD(**common, gate=gate).run(Toy(free, sigma), start, rng())
    assert summary.stop_reason == kept.info["stop_reason"] == "unphysical"
    assert 0.01 <= kept.info["force_sigma_max"] < 1.0
    assert (kept.info["time_fs"], summary.time_fs) == (30, 40)


@pytest.mark.parametrize("gated", [False, True])
def test_evaluations_are_counted(gated):
    calc = Toy(free)
    plan = RampedMD(
        gate=UncertaintyGate(1.0) if gated else None,
        duration_ps=0.11,
        keep_every=1,
        guards=Guards(contact_fraction=1e-3),
    )
    frames, summary = plan.run(calc, silicon(), rng())
    assert summary.evaluations == calc.count == frames[-1].info["evaluations"]
    assert summary.steps == 110
    # a step costs one evaluation, a check one of the members; without a gate the first forces come extra,
    # and again after each change of the cell
    assert (calc.with_members, summary.evaluations) == ((4, 114) if gated else (0, 113))
    assert [atoms.info["time_fs"] for atoms in frames] == [50, 100, 110]


def test_seed_decides_everything():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    plan = RampedMD(duration_ps=0.2, keep_every=1, gate=UncertaintyGate(1e6))
    start = silicon()
    first, _ = plan.run(committee(), start, rng(7))
    second, _ = plan.run(committee(), start, rng(7))
    other, _ = plan.run(committee(), start, rng(8))
    assert len(first) == 4
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        assert a.info == b.info
    assert not np.array_equal(first[0].positions, other[0].positions)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert start == silicon()
    assert start.calc is None


def attraction(positions):
    delta = positions[None] - positions[:, None]
    delta -= 10 * np.round(delta / 10)
    distance = np.linalg.norm(delta, axis=2) + np.eye(len(positions))
    return (0.3 * delta / distance[..., None] ** 2).sum(axis=1)


def runaway(positions):
    return 1.0 * (positions - positions.mean(axis=0))


@pytest.mark.parametrize(("force", "reason"), [(attraction, "collapsed"), (runaway, "exploded")])
def test_guards_end_runs_of_bad_potentials(force, reason):
    corners = [[i, j, k] for i in (1, 4) for j in (1, 4) for k in (1, 4)]
    atoms = Atoms("Si8", positions=corners, cell=[10, 10, 10], pbc=True)
    plan = RampedMD(temperature_K=(300, 300), density=None, duration_ps=5.0, keep_every=1000)
    frames, summary = plan.run(Toy(force), atoms, rng())
    assert summary.stop_reason == reason
    assert summary.detail
    assert 0 < summary.steps < 5000
    assert frames == []

    uncertain = Toy(force, lambda positions: np.full(len(positions), 0.3))
    late = RampedMD(
        temperature_K=(300, 300), density=None, duration_ps=5.0, check_every=5000, gate=_OpenedLate(0.2)
    )
    (kept,), summary = late.run(uncertain, atoms, rng())
    assert summary.stop_reason == kept.info["stop_reason"] == reason
    assert summary.steps - 20 <= kept.info["time_fs"] < summary.steps
    assert Guards().contacts(kept) == ""


class _OpenedLate(UncertaintyGate):
    """Certain at its first look."""

    looks = 0

    def check(self, calc, atoms):
        self.looks += 1
        reading = super().check(calc, atoms)
        return type(reading)(0.0, "accurate", reading.force_sigma) if self.looks == 1 else reading


def test_failing_calculator_ends_the_run_but_not_at_the_start():
    def fails_later(positions):
        if calc.count > 30:
            raise CalculationFailed("out of its domain")
        return np.zeros_like(positions)

    calc = Toy(fails_later)
    plan = RampedMD(duration_ps=0.1, density=None, keep_every=1)
    frames, summary = plan.run(calc, silicon(), rng())
    assert frames == []
    assert summary.stop_reason == "failed"
    assert summary.detail == "CalculationFailed: out of its domain"
    assert summary.steps == 29
    with pytest.raises(CalculationFailed):
        plan.run(calc, silicon(), rng())


def test_forces_that_become_nan_end_the_run():
    calc = Toy(lambda positions: np.full_like(positions, np.nan if calc.count > 12 else 0.0))
    _, summary = RampedMD(duration_ps=0.1, density=None, keep_every=1).run(calc, silicon(), rng())
    assert summary.stop_reason in ("exploded", "failed")
    assert summary.steps in (11, 12)


def test_ramps_end_at_their_end_for_any_duration():
    """A duration that is no whole number of steps must not carry the target past its end, below zero."""
    plan = RampedMD(
        temperature_K=5000, end_temperature_K=1, amplitude_K=0, density=None, duration_ps=0.0026, keep_every=1
    )
    (last,), summary = plan.run(StillingerWeber(), silicon(), rng())
    assert summary.time_fs == last.info["time_fs"] == 3.0
    assert last.info["temperature_K"] == pytest.approx(1.0)


def test_a_number_is_a_window_of_no_width():
    plan = RampedMD(temperature_K=300, density=1.0, amplitude_K=0, duration_ps=0.05, keep_every=1)
    (frame,), _ = plan.run(StillingerWeber(), silicon(), rng())
    assert frame.info["ramp_start_K"] == frame.info["ramp_end_K"] == frame.info["temperature_K"] == 300
    assert frame.get_volume() == pytest.approx(silicon().get_volume())
    with pytest.raises(TypeError, match=r"temperature_K must be a number or a window \(low, high\)"):
        RampedMD(temperature_K=(1, 2, 3), keep_every=1)


def test_molecules_and_single_atoms_run():
    pair = Atoms("Si2", positions=[[0, 0, 0], [2.4, 0, 0]])
    plan = RampedMD(duration_ps=0.1, density=None, keep_every=1, temperature_K=(300, 300))
    assert len(plan.run(StillingerWeber(), pair, rng())[0]) == 2
    one = Atoms("Si", cell=[5, 5, 5], pbc=True)
    assert plan.run(Toy(free), one, rng())[1].stop_reason == "finished"


def test_bad_input():
    plan = RampedMD(keep_every=1)
    with pytest.raises(TypeError, match="default_rng"):
        plan.explore(StillingerWeber(), silicon(), np.random)
    with pytest.raises(ValueError, match="no atoms"):
        plan.explore(StillingerWeber(), Atoms(), rng())
    with pytest.raises(ValueError, match="density=None"):
        plan.explore(StillingerWeber(), Atoms("Si2"), rng())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": (500, 100)}, "temperature_K"),
        ({"temperature_K": (0, 100)}, "temperature_K"),
        ({"density": (-1, 1)}, "density"),
        ({"duration_ps": 0.0}, "duration_ps"),
        ({"timestep_fs": float("nan")}, "timestep_fs"),
        ({"amplitude_K": (-5, 1)}, "amplitude_K"),
        ({"check_every": 0}, "check_every"),
        ({"keep_every": 0}, "keep_every"),
        ({"keep_every": None}, "nothing would ever be yielded"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        RampedMD(**({"keep_every": 1} | change))
