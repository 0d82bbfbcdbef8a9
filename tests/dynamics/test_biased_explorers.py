"""What all explorers with a bias keep: the bias acts and is told of, gates, and interruptions."""

import json

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from ase_mlsample.biases import OPESBias, StaticBias
from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.cvs import Dihedral, Distance, stack
from ase_mlsample.dynamics import (
    DeepVESExplorer,
    Guards,
    MetadynamicsExplorer,
    OPESExplorer,
    StaticBiasExplorer,
    UncertaintyGate,
    VESExplorer,
)
from ase_mlsample.dynamics.biased_exploration import as_plain
from ase_mlsample.dynamics.snapshot import Snapshot
from ase_mlsample.dynamics.visiting_exploration import interleaved

COMMON = {"cv": Distance(0, 1), "temperature_K": 600.0, "duration_ps": 0.06, "check_every": 10}
COMMON |= {"keep_every": 1}
LEGENDRE = {"class": "Legendre", "order": 6, "interval": (1.8, 4.5)}
EXPLORERS = {
    MetadynamicsExplorer: {"sigma": 0.05, "height_eV": 0.2, "bias_factor": 10.0, "pace": 5},
    OPESExplorer: {"sigma": 0.05, "barrier_eV": 0.5, "pace": 5},
    VESExplorer: {"bases": LEGENDRE, "bias_factor": 10.0, "pace": 5, "step_size_eV": 0.1},
    DeepVESExplorer: {"bounds": [(1.8, 4.5)], "bias_factor": 10.0, "pace": 5, "energy_unit_eV": 1.0},
    StaticBiasExplorer: {},
}
EXPLORERS[DeepVESExplorer] |= {"hidden": (12, 8), "bins": 50, "learning_rate": 0.02}
ALL = pytest.mark.parametrize("kind", EXPLORERS)
CARRYING = pytest.mark.parametrize("kind", [MetadynamicsExplorer, OPESExplorer, VESExplorer, DeepVESExplorer])


@pytest.fixture
def made(tmp_path):
    """Make an explorer with settings of the table, and others."""
    grid = np.linspace(1.8, 4.5, 60)
    StaticBias([grid], -4.0 * np.tanh(grid - 2.3)).write(tmp_path / "bias.npz")

    def make(kind, **changes):
        own = {"bias": tmp_path / "bias.npz"} if kind is StaticBiasExplorer else EXPLORERS[kind]
        return kind(**(COMMON | own | changes))

    return make


def crystal():
    return bulk("Si", a=5.45, cubic=True)


def run(explorer, *, calc=None, seed=0, **options):
    return explorer.run(calc or StillingerWeber(), crystal(), np.random.default_rng(seed), **options)


def handed_on(kind, summaries):
    """Arguments with which the next trajectories start from the bias of some before."""
    if kind in (MetadynamicsExplorer, OPESExplorer):
        return {"visited": [interleaved([summary.visited for summary in summaries])]}
    from ase_mlsample.dynamics.learning_exploration import averaged

    return {"learned": averaged([summary.learned for summary in summaries])}


def same(frames, others):
    assert [frame.info for frame in frames] == [frame.info for frame in others]
    for frame, other in zip(frames, others, strict=True):
        assert frame.positions.tobytes() == other.positions.tobytes()
        assert frame.cell.array.tobytes() == other.cell.array.tobytes()


@ALL
@pytest.mark.parametrize("pressure", [None, 0.0])
def test_frames_tell_of_variable_and_bias(kind, pressure, made):
    explorer = made(kind, pressure_GPa=pressure, cv=Distance(0, 1))
    frames, summary = run(explorer)
    assert (summary.stop_reason, summary.steps, summary.evaluations) == ("finished", 60, 61)
    for frame in frames:
        assert Distance(0, 1)(frame)[0] == pytest.approx(frame.info["cv"], abs=1e-12)
        assert frame.info["source"] == kind.__name__
        assert np.isfinite(frame.info["bias"])
        assert frame.info["temperature_K"] == 600
    told = {name: value for name, value in frames[0].info.items() if name.endswith(("_carried", "_factor"))}
    if kind is StaticBiasExplorer:
        assert frames[0].info["static_bias"] == "bias.npz"
        assert frames[0].info["static_scale"] == 1
        at = explorer.carried_bias().potential([frames[-1].info["cv"]])[0]
        assert frames[-1].info["bias"] == pytest.approx(at, rel=1e-12)
    else:
        assert sorted(told.values())[0] == 0  # nothing was carried
        assert len(told) == 2


@ALL
def test_forces_are_those_of_model_and_bias(kind, made):
    """Along the run, what changed at the last step included; by finite differences of the energy."""
    explorer = made(kind, duration_ps=0.021, check_every=1, keep_every=1)
    following = explorer._trajectory(StillingerWeber(), crystal(), np.random.default_rng(0))
    for _ in range(20):
        following.advance()
    atoms, h = following.atoms, 1e-4
    forces = atoms.get_forces()
    bias = np.abs(forces - StillingerWeber().evaluate(atoms).forces).max()
    assert bias > 0.005
    for index, axis in ((0, 0), (0, 2), (1, 1), (3, 0)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[index, axis] += sign * h
            energies.append(following.calc.evaluate(moved).energy)
        assert forces[index, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * h), abs=1e-4)


@ALL
def test_the_variable_goes_farther_than_without(kind, made):
    strong = {
        MetadynamicsExplorer: {"height_eV": 0.5, "bias_factor": 100.0, "pace": 10},
        OPESExplorer: {"barrier_eV": 10.0, "sigma": 0.1, "explore": True},
        VESExplorer: {"step_size_eV": 2.0, "bias_factor": 100.0},
        DeepVESExplorer: {"learning_rate": 0.1, "bias_factor": 100.0, "energy_unit_eV": 4.0},
        StaticBiasExplorer: {},
    }[kind]
    limits = Guards(max_step=1.0, temperature_margin=1e5, contact_fraction=0.3)
    how = {"duration_ps": 0.5, "guards": limits}
    biased, _ = run(made(kind, **strong, **how))
    free, _ = run(made(MetadynamicsExplorer, height_eV=1e-6, **how))
    farthest = [max(frame.info["cv"] for frame in frames) for frames in (biased, free)]
    assert farthest[0] > farthest[1] + 0.2


@ALL
def test_stopped_by_the_gate(kind, made):
    committee = Committee([StillingerWeber(), StillingerWeber(lambda_=25.0)])
    explorer = made(kind, gate=UncertaintyGate(0.1), keep_every=None, duration_ps=1.0)
    frames, summary = run(explorer, calc=committee)
    assert summary.stop_reason == "uncertain"
    assert len(frames) == 1
    sigma = committee.get_spread(frames[0]).calibrated.force_sigma
    np.testing.assert_allclose(frames[0].arrays["force_sigma"], sigma, atol=1e-10)


@ALL
@pytest.mark.parametrize("pressure", [None, 1.0])
def test_interrupted_and_continued(kind, pressure, made, tmp_path):
    path = tmp_path / "run.ckpt"
    committee = Committee([StillingerWeber(), StillingerWeber(lambda_=25.0)])
    settings = {"gate": UncertaintyGate(50.0), "pressure_GPa": pressure}
    if kind is not StaticBiasExplorer:
        settings["pace"] = 7  # checks fall between iterations
        settings |= handed_on(kind, [run(made(kind, pace=7))[1]])
    whole, summary = run(made(kind, **settings), calc=committee)
    generator = made(kind, **settings).explore(
        committee, crystal(), np.random.default_rng(0), checkpoint=path, checkpoint_every=1
    )
    for _ in range(3):
        next(generator)
    assert Snapshot.load(path).state["step"] > 20
    frames, continued = run(made(kind, **settings), calc=committee, checkpoint=path)
    same(frames, whole)
    assert repr(continued) == repr(summary)  # not a number is not equal to itself
    with pytest.raises(ValueError, match="of another trajectory"):
        run(made(kind, **settings | {"friction_per_ps": 5.0}), calc=committee, checkpoint=path)
    if kind is not StaticBiasExplorer:
        nothing = {"visited": ()} if "visited" in settings else {"learned": None}
        with pytest.raises(ValueError, match="of another trajectory"):
            run(made(kind, **settings | nothing), calc=committee, checkpoint=path)


@CARRYING
def test_what_was_carried_is_there_from_the_first_step(kind, made):
    summaries = [run(made(kind), seed=seed)[1] for seed in (1, 2, 3)]
    carried = json.loads(json.dumps(as_plain(handed_on(kind, summaries))))
    explorer = made(kind, **carried)
    following = explorer._trajectory(StillingerWeber(), crystal(), np.random.default_rng(0))
    at = [[2.2], [2.35], [2.5]]
    expected = explorer.carried_bias().potential(at)[0]
    assert np.array_equal(following.bias.potential(at)[0], expected)
    fresh = made(kind).carried_bias().potential(at)[0]
    assert np.abs((expected - expected.mean()) - (fresh - fresh.mean())).max() > 1e-3
    frames, _ = run(explorer)
    others, _ = run(made(kind))
    assert frames[-1].info["cv"] != others[-1].info["cv"]
    again, _ = run(explorer)
    same(frames, again)  # a trajectory changes nothing for the next
    name = next(key for key in frames[0].info if key.endswith("_carried"))
    assert frames[0].info[name] > others[0].info[name] == 0


def test_replayed_kernels_are_those_of_a_bias_that_saw_the_points(made):
    """One that had a walker in each trajectory, one after the other."""
    summaries = [run(made(OPESExplorer), seed=seed)[1] for seed in (1, 2)]
    points = interleaved([summary.visited for summary in summaries])
    assert points[:3] == [summaries[0].visited[0], summaries[1].visited[0], summaries[0].visited[1]]
    found = made(OPESExplorer, visited=[points[:10], points[10:]]).carried_bias()
    saw = OPESBias(kT=units.kB * 600, sigma=0.05, barrier=0.5, pace=1)
    for step, point in enumerate(points, start=1):
        saw.update(point, step)
    grid = np.linspace(2.0, 2.8, 60)[:, None]
    assert np.array_equal(found.potential(grid)[0], saw.potential(grid)[0])
    assert (found.n_deposited, found.rct, found.zed) == (25, saw.rct, saw.zed)
    recent = made(OPESExplorer, visited=[points[:10], points[10:]], memory=1)
    assert recent.carried_bias().n_deposited == 15


def test_learned_biases_are_averaged_by_iterations(made):
    """Trajectories that the gate stopped early count for less."""
    summaries = [
        run(made(VESExplorer, duration_ps=duration), seed=seed)[1]
        for duration, seed in ((0.06, 1), (0.03, 2), (0.004 + 0.001, 3))
    ]
    assert [summary.learned["iterations"] for summary in summaries] == [12, 6, 1]
    explorer = made(VESExplorer, **handed_on(VESExplorer, summaries))
    grid = np.linspace(2.0, 2.8, 60)[:, None]
    expected = 0.0
    for summary, weight in zip(summaries, (12 / 19, 6 / 19, 1 / 19), strict=True):
        bias = made(VESExplorer).carried_bias()
        bias.load_state_dict(summary.learned["bias"])
        expected = expected + weight * bias.potential(grid)[0]
    np.testing.assert_allclose(explorer.carried_bias().potential(grid)[0], expected, rtol=1e-12, atol=1e-14)
    assert run(explorer)[0][0].info["ves_carried"] == round((12 * 12 + 6 * 6 + 1) / 19)


@pytest.mark.parametrize("kind", [VESExplorer, DeepVESExplorer])
def test_generations_and_memory(kind, made):
    learned = None
    for generation in (1, 2, 3):
        explorer = made(kind, learned=learned, memory=2)
        assert explorer.generations == (0, 1, 0)[generation - 1]
        assert explorer.carried_bias().iterations == (0, 12, 0)[generation - 1]
        learned = handed_on(kind, [run(explorer, seed=generation)[1]])["learned"]
    assert learned["generations"] == 1
    assert made(kind, learned=learned).generations == 1


def test_static_networks_go_on_as_they_are(made):
    how = {"kl_threshold": 1e9, "decay": 2, "static_below": 0.1}
    first = run(made(DeepVESExplorer, **how), seed=1)[1]
    learned = handed_on(DeepVESExplorer, [first])["learned"]
    assert learned["iterations"] == 4
    explorer = made(DeepVESExplorer, learned=learned, **how)
    assert explorer.carried_bias().phase == "static"
    later = [run(explorer, seed=seed)[1].learned for seed in (2, 3)]
    assert [item["iterations"] for item in later] == [0, 0]
    again = handed_on(DeepVESExplorer, [run(explorer, seed=seed)[1] for seed in (2, 3)])["learned"]
    assert again["bias"]["state"]["parameters"] == learned["bias"]["state"]["parameters"]
    assert again["generations"] == 2


@CARRYING
def test_several_variables(kind, made):
    variable = stack(Distance(0, 1, name="near"), Distance(0, 5, name="far"))
    own = {
        MetadynamicsExplorer: {"sigma": [0.05, 0.1]},
        OPESExplorer: {"sigma": 0.05, "sigma_min": 0.01},
        VESExplorer: {"bases": [LEGENDRE, LEGENDRE | {"interval": (2.0, 6.0)}]},
        DeepVESExplorer: {"bounds": [(1.8, 4.5), (2.0, 6.0)], "bins": 20},
    }[kind]
    frames, _ = run(made(kind, cv=variable, **own))
    assert {"cv_near", "cv_far", "bias"} <= set(frames[0].info)


@pytest.mark.parametrize(
    ("kind", "changes", "error", "told"),
    [
        *((kind, {"cv": 3}, TypeError, "cv must be a CollectiveVariable, got int") for kind in EXPLORERS),
        *((kind, {"temperature_K": 0.0}, ValueError, "temperature_K") for kind in EXPLORERS),
        *((kind, {"keep_every": None}, ValueError, "nothing would ever be") for kind in EXPLORERS),
        *((kind, {"duration": 3}, TypeError, "'duration'") for kind in EXPLORERS),
        *((kind, {"memory": 0}, ValueError, "memory must be") for kind in list(EXPLORERS)[:4]),
        *((kind, {"pace": 1000}, ValueError, "60 steps at most") for kind in list(EXPLORERS)[1:4]),
        (OPESExplorer, {"sigma": None}, ValueError, "sigma must be given: widths"),
        (OPESExplorer, {"sigma": [0.1, 0.1]}, ValueError, "sigma must hold"),
        (OPESExplorer, {"barrier_eV": 0.01}, ValueError, "barrier is"),
        (OPESExplorer, {"barrier_eV": -1.0}, ValueError, "barrier must be a positive"),
        (OPESExplorer, {"visited": [[[1.0, 2.0]]]}, ValueError, r"points of 1 variable\(s\)"),
        (VESExplorer, {"bases": [LEGENDRE, LEGENDRE]}, ValueError, "2 bases, but one is needed"),
        (VESExplorer, {"bases": {"class": "Legendr"}}, ValueError, "no basis 'Legendr'"),
        (VESExplorer, {"bases": {"class": "Fourier", "order": 3}}, ValueError, "not periodic, but its basis"),
        (VESExplorer, {"cv": Dihedral(0, 1, 2, 3)}, ValueError, "has the period .*take"),
        (VESExplorer, {"bias_factor": None}, ValueError, "either bias_factor"),
        (VESExplorer, {"target": {"class": "Flat"}, "bias_factor": None}, ValueError, "no target 'Flat'"),
        (DeepVESExplorer, {"bounds": [(0, 1), (0, 1)]}, ValueError, "for each of distance"),
        (DeepVESExplorer, {"bounds": None}, ValueError, "not periodic and needs bounds"),
        (DeepVESExplorer, {"bounds": [(2, 1)]}, ValueError, "low < high"),
        (DeepVESExplorer, {"bias_factor": 1.0}, ValueError, "bias_factor must be above 1"),
        (DeepVESExplorer, {"activation": "gelu"}, ValueError, "activation must be one of"),
        (StaticBiasExplorer, {"bias": "nowhere.npz"}, FileNotFoundError, "no file nowhere.npz"),
        (StaticBiasExplorer, {"scale": 0.0}, ValueError, "scale must be"),
        (StaticBiasExplorer, {"cv": Dihedral(0, 1, 2, 3)}, ValueError, "with the periods"),
        (StaticBiasExplorer, {"cv": stack(Distance(0, 1), Distance(0, 2, name="b"))}, ValueError, "cv has 2"),
    ],
)  # fmt: skip
def test_wrong_settings(kind, changes, error, told, made):
    with pytest.raises(error, match=told):
        made(kind, **changes)


def test_what_was_learned_otherwise_is_refused(made):
    summary = run(made(VESExplorer))[1]
    learned = handed_on(VESExplorer, [summary])["learned"]
    with pytest.raises(ValueError, match="other settings: step_size"):
        made(VESExplorer, step_size_eV=0.2, learned=learned)
    with pytest.raises(ValueError, match="of a VariationalBias"):
        made(DeepVESExplorer, learned=learned)
