"""Metadynamics as an explorer: hills, the gate, a bias that is carried on, and interruptions."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from ase_mlsample.biases.hills import MetadynamicsBias
from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.calculators.biased import BiasedCalculator
from ase_mlsample.cvs import Distance, stack
from ase_mlsample.dynamics import Guards, UncertaintyGate
from ase_mlsample.dynamics.snapshot import Snapshot
from ase_mlsample.dynamics.visiting_exploration import MetadynamicsExplorer, interleaved

SETTINGS = {"temperature_K": 600.0, "sigma": 0.05, "height_eV": 0.2, "bias_factor": 10.0, "pace": 5}
SETTINGS |= {"duration_ps": 0.06, "check_every": 10, "keep_every": 1, "cv": Distance(0, 1)}


def explorer(**changes):
    return MetadynamicsExplorer(**(SETTINGS | changes))


def run(made, *, calc=None, seed=0, **options):
    atoms = bulk("Si", a=5.45, cubic=True)
    return made.run(calc or StillingerWeber(), atoms, np.random.default_rng(seed), **options)


def committee():
    return Committee([StillingerWeber(), StillingerWeber(lambda_=25.0)])


def same(frames, others):
    assert [frame.info for frame in frames] == [frame.info for frame in others]
    for frame, other in zip(frames, others, strict=True):
        assert frame.positions.tobytes() == other.positions.tobytes()
        assert frame.cell.array.tobytes() == other.cell.array.tobytes()


class Counting(StillingerWeber):
    def __init__(self):
        super().__init__()
        self.count = 0

    def evaluate(self, atoms, members=False):
        self.count += 1
        return super().evaluate(atoms, members=members)


@pytest.mark.parametrize("pressure", [None, 0.0])
def test_hills_where_the_run_has_been(pressure):
    calc = Counting()
    frames, summary = run(explorer(pressure_GPa=pressure), calc=calc)
    assert (summary.stop_reason, summary.steps, len(summary.visited)) == ("finished", 60, 12)
    assert calc.count == summary.evaluations == 61
    values = [frame.info["cv"] for frame in frames]
    assert values == [summary.visited[k][0] for k in range(1, 12, 2)]
    assert [Distance(0, 1)(frame)[0] for frame in frames] == pytest.approx(values, abs=1e-12)
    bias = MetadynamicsBias(
        kT=units.kB * 600, sigma=0.05, height=0.2, bias_factor=10.0, pace=1, domains=(None,)
    )
    for step, (point,) in enumerate(summary.visited, start=1):
        bias.update([point], step)
        if step % 2 == 0:
            assert frames[step // 2 - 1].info["bias"] == pytest.approx(bias.potential([point])[0], rel=1e-12)
    assert frames[0].info["source"] == "MetadynamicsExplorer"
    assert frames[0].info["metadynamics_carried"] == 0


def test_the_bias_acts_from_the_next_step_on():
    """Forces along the run are those of model and bias, the hill of the step before included."""
    atoms, rng = bulk("Si", a=5.45, cubic=True), np.random.default_rng(0)
    made = explorer(duration_ps=0.011, pace=1, check_every=1)
    following = made._trajectory(StillingerWeber(), atoms, rng)
    momenta = following.atoms.get_momenta()
    for _ in range(3):
        following.advance()
    biased = BiasedCalculator(StillingerWeber(), Distance(0, 1), following.bias)
    expected = biased.evaluate(following.atoms).forces
    assert np.array_equal(following.atoms.get_forces(), expected)
    assert np.abs(expected - StillingerWeber().evaluate(following.atoms).forces).max() > 0.1
    assert not np.array_equal(momenta, following.atoms.get_momenta())


def test_equal_streams_give_equal_trajectories():
    (frames, summary), (others, other) = run(explorer()), run(explorer())
    same(frames, others)
    assert repr(summary) == repr(other)
    assert run(explorer(), seed=1)[1].visited != summary.visited


def test_carried_bias_is_that_of_the_points():
    first, second = run(explorer())[1].visited, run(explorer(), seed=1)[1].visited
    points = interleaved([first, second])
    assert points[:3] == [first[0], second[0], first[1]]
    carried = explorer(visited=[points])
    bias = carried.carried_bias()
    assert bias.n_hills == 24
    alone = explorer(visited=[first]).carried_bias()
    grid = np.linspace(2.0, 2.8, 50)[:, None]
    # two trajectories in one basin give less than the sum of their biases: tempering sees both
    total = alone.potential(grid)[0] + explorer(visited=[second]).carried_bias().potential(grid)[0]
    both = bias.potential(grid)[0]
    assert 0.6 * total.sum() < both.sum() < 0.98 * total.sum()
    assert both.max() < 0.98 * total.max()
    frames, summary = run(carried)
    assert len(summary.visited) == 12
    assert frames[0].info["metadynamics_carried"] == 24
    assert summary.visited != first
    assert run(explorer(visited=[points]))[1].visited == summary.visited


def test_memory_forgets_old_generations():
    old, new = [[2.2]], [[2.5], [2.6]]
    bias = explorer(visited=[old, new], memory=1).carried_bias()
    assert bias.n_hills == 2
    assert bias.potential([2.2])[0] == 0
    assert explorer(visited=[old, new]).carried_bias().n_hills == 3
    assert explorer(visited=[]).carried_bias().n_hills == 0


def test_stopped_by_the_gate():
    gate = UncertaintyGate(0.15)
    frames, summary = run(explorer(gate=gate, keep_every=None, duration_ps=1.0), calc=committee())
    assert summary.stop_reason == "uncertain"
    assert len(frames) == 1
    sigma = committee().get_spread(frames[0]).calibrated.force_sigma
    np.testing.assert_allclose(frames[0].arrays["force_sigma"], sigma, atol=1e-10)
    assert frames[0].info["force_sigma_max"] >= 0.15


def test_rare_event_is_reached():
    """The bias pulls a pair apart that would stay together."""
    settings = {"duration_ps": 0.6, "height_eV": 0.5, "bias_factor": 100.0, "pace": 10}
    limits = Guards(max_step=1.0, temperature_margin=1e5, contact_fraction=0.3)
    _, biased = run(explorer(**settings, guards=limits))
    _, free = run(explorer(**settings | {"height_eV": 1e-6}, guards=limits))
    assert max(biased.visited)[0] > max(free.visited)[0] + 0.5


def test_guards_end_a_run():
    frames, summary = run(explorer(height_eV=100.0, sigma=0.02, guards=Guards(max_step=0.1)))
    assert summary.stop_reason == "exploded"
    assert frames == []


@pytest.mark.parametrize("pressure", [None, 1.0])
@pytest.mark.parametrize("gate", [None, UncertaintyGate(50.0)])
def test_interrupted_and_continued(gate, pressure, tmp_path):
    path = tmp_path / "run.ckpt"
    variable = stack(Distance(0, 1), Distance(2, 3, name="other"))
    settings = {"cv": variable, "sigma": (0.05, 0.05), "gate": gate, "pressure_GPa": pressure, "pace": 7}
    settings["visited"] = [[[2.3, 2.4], [2.4, 2.3]]]
    whole, summary = run(explorer(**settings), calc=committee())
    atoms = bulk("Si", a=5.45, cubic=True)
    generator = explorer(**settings).explore(
        committee(), atoms, np.random.default_rng(0), checkpoint=path, checkpoint_every=1
    )
    for _ in range(3):
        next(generator)
    assert Snapshot.load(path).state["visited"]
    frames, continued = run(explorer(**settings), calc=committee(), checkpoint=path)
    same(frames, whole)
    assert repr(continued) == repr(summary)  # not a number is not equal to itself
    with pytest.raises(ValueError, match="of another trajectory"):
        run(explorer(**settings | {"visited": []}), calc=committee(), checkpoint=path)
    with pytest.raises(ValueError, match="of another trajectory"):
        run(explorer(**settings | {"height_eV": 0.3}), calc=committee(), checkpoint=path)


def test_frames_name_several_variables():
    variable = stack(Distance(0, 1, name="near"), Distance(0, 5, name="far"))
    frames, summary = run(explorer(cv=variable, sigma=[0.05, 0.1]))
    assert [frames[0].info["cv_near"], frames[0].info["cv_far"]] == summary.visited[1]


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"cv": 3}, TypeError, "cv must be a CollectiveVariable, got int"),
        ({"sigma": [0.1, 0.1]}, ValueError, "sigma has 2 numbers, but cv has 1: distance"),
        ({"sigma": 0.0}, ValueError, "sigma must be positive"),
        ({"bias_factor": 1.0}, ValueError, "bias_factor must be above 1"),
        ({"height_eV": -1.0}, ValueError, "height"),
        ({"pace": 0}, ValueError, "pace"),
        ({"temperature_K": 0.0}, ValueError, "temperature_K"),
        ({"memory": 0}, ValueError, "memory must be at least one"),
        ({"visited": [[[1.0, 2.0]]]}, ValueError, r"points of 1 variable\(s\)"),
        ({"visited": [[1.0]]}, ValueError, r"points of 1 variable\(s\)"),
        ({"visited": [[[np.nan]]]}, ValueError, "not finite"),
        ({"keep_every": None}, ValueError, "nothing would ever be yielded"),
    ],
)
def test_bad_settings(changes, error, told):
    with pytest.raises(error, match=told):
        explorer(**changes)


def test_a_variable_that_is_not_defined():
    with pytest.raises(ValueError, match=r"\d"):
        run(explorer(cv=Distance(0, 50)))


def test_biased_calculators_are_refused():
    bias = explorer().carried_bias()
    with pytest.raises(TypeError, match="biased already"):
        run(explorer(), calc=BiasedCalculator(StillingerWeber(), Distance(0, 1), bias))
