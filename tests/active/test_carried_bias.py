"""Explorers with a bias in the loop: variables by name, and a bias that goes on through generations."""

import json
import signal
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from active_helpers import data_set, wait_for
from ase.io import read

from ase_mlsample.active import Ledger
from ase_mlsample.active import proposing as proposing_module
from ase_mlsample.active.carried import earlier_biases, record_biases
from ase_mlsample.active.config_file import check_config, dump_config, parse_config, read_config
from ase_mlsample.active.factories import build_explorer
from ase_mlsample.active.store import ResultStore
from ase_mlsample.biases import StaticBias
from ase_mlsample.dynamics import UncertaintyGate
from ase_mlsample.dynamics.learning_exploration import averaged
from ase_mlsample.dynamics.visiting_exploration import interleaved

DISTANCE = {"variable": "Distance", "first": 0, "second": 1}
LEGENDRE = {"class": "Legendre", "order": 6, "interval": [1.5, 5.0]}
OTHERS = {
    "OPESExplorer": {"barrier_eV": 0.5, "sigma": 0.1},
    "VESExplorer": {"bases": LEGENDRE, "bias_factor": 10, "step_size_eV": 0.05, "memory": 2},
    "DeepVESExplorer": {"bounds": [[1.5, 5.0]], "bias_factor": 30, "energy_unit_eV": 0.5, "hidden": [8, 6]},
}
FORMER = ("sigma", "height_eV", "bias_factor")


@pytest.fixture
def biased(values):
    """A run that explores by metadynamics, and by ramps."""
    metadynamics = {
        "explorer": "MetadynamicsExplorer", "cv": DISTANCE, "temperature_K": 800, "sigma": 0.1,
        "height_eV": 0.2, "bias_factor": 10, "pace": 4, "duration_ps": 0.03, "check_every": 10, "weight": 3.0,
    }  # fmt: skip
    ramps = values["explore"]["dynamics"]
    values["explore"] |= {"n": 6, "dynamics": [ramps, metadynamics]}
    values["stop"] = {"max_generations": 4, "uncertain_fraction": 0.0}
    values["selection"] |= {"lo": 50.0, "hi": 1e3}
    return values


def ledger_of(values):
    return Ledger.open(Path(values["directory"]) / "ledger.db")


def done(folder, generation):
    """Whether the third trajectory of a generation is done."""
    return list(folder.glob(f"explore-*-{generation:04d}-00002.json"))


def candidates(values, generation, source="MetadynamicsExplorer"):
    frames = read(Path(values["directory"]) / f"candidates/{generation:04d}.extxyz", ":")
    return [frame.info for frame in frames if frame.info["source"] == source]


def runs_of(values, generation):
    """Summaries of the trajectories of a generation, in their order."""
    results = ResultStore(Path(values["directory"]) / "results")
    explored = [key for key in sorted(results.keys()) if key.startswith("explore")]
    return [results.read(key)["run"] for key in explored if f"-{generation:04d}-" in key]


def test_bias_goes_from_generation_to_generation(biased, run_here):
    run_here(biased)
    ledger = ledger_of(biased)
    counts = [0]
    for generation in (1, 2, 3):
        runs = runs_of(biased, generation)
        points = [run["visited"] for run in runs if "visited" in run]
        assert len(runs) == 6
        assert 0 < len(points) < 6
        found = earlier_biases(ledger, generation + 1)
        assert set(found) == {1}  # its number in the configuration
        assert found[1]["visited"][generation - 1] == interleaved(points)
        carried = {info["metadynamics_carried"] for info in candidates(biased, generation)}
        assert carried <= {float(counts[-1])}
        counts.append(counts[-1] + len(found[1]["visited"][-1]))
    assert counts[-1] > counts[1] > 0
    assert earlier_biases(ledger, 1) == {}


def test_without_the_carried_bias_the_second_generation_differs(biased, run_here, tmp_path, monkeypatch):
    run_here(biased)
    alone = deepcopy(biased) | {"directory": str(tmp_path / "alone")}
    monkeypatch.setattr(proposing_module, "earlier_biases", lambda ledger, generation: {})
    run_here(alone)
    infos = [[candidates(values, generation) for generation in (1, 2)] for values in (biased, alone)]
    assert infos[0][0] == infos[1][0]
    assert [info["cv"] for info in infos[0][1]] != [info["cv"] for info in infos[1][1]]


@pytest.mark.parametrize("name", ["MetadynamicsExplorer", "DeepVESExplorer"])
def test_again_and_with_workers_the_same(name, biased, run_here, tmp_path):
    if name in OTHERS:
        with_explorer(biased, name)
    run_here(biased)
    others = deepcopy(biased) | {"directory": str(tmp_path / "again"), "executors": {"workers": 2}}
    others["reference"]["kwargs"]["calls"] = str(tmp_path / "calls again")
    run_here(others)
    assert data_set(others) == data_set(biased)
    assert earlier_biases(ledger_of(others), 9) == earlier_biases(ledger_of(biased), 9)


def test_killed_and_continued(biased, run_here, spawn, tmp_path):
    peaceful = deepcopy(biased) | {"directory": str(tmp_path / "peace")}
    peaceful["reference"]["kwargs"]["calls"] = str(tmp_path / "peaceful calls")
    run_here(peaceful)
    for generation in (1, 2):
        process = spawn(biased)
        folder = Path(biased["directory"]) / "results"
        wait_for(partial(done, folder, generation), process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = spawn(biased)
    assert process.wait() == 0, process.output.read_text()
    assert data_set(biased) == data_set(peaceful)
    assert earlier_biases(ledger_of(biased), 9) == earlier_biases(ledger_of(peaceful), 9)


def test_biases_of_other_explorers_and_failures(tmp_path):
    ledger = Ledger.create(tmp_path / "ledger.db", reference="a", config={})
    record_biases(ledger, 1, [0, 2, 2], [{}, {"visited": np.zeros((0, 1))}, {"visited": [[1.0], [2.0]]}])
    record_biases(ledger, 2, [0, 0], [{}, {}])
    record_biases(ledger, 3, [0, 2], [{"visited": [[5.0]]}, {"visited": [[3.0]]}])
    found = earlier_biases(ledger, 4)
    assert found == {2: {"visited": [[[1.0], [2.0]], [[3.0]]]}, 0: {"visited": [[[5.0]]]}}
    assert earlier_biases(ledger, 3) == {2: {"visited": [[[1.0], [2.0]]]}}


def test_older_ledgers_have_points_alone(tmp_path):
    ledger = Ledger.create(tmp_path / "ledger.db", reference="a", config={})
    ledger.set_meta("visited 0001", {"1": [[1.0], [2.0]]})
    record_biases(ledger, 2, [1], [{"visited": [[3.0]]}])
    assert earlier_biases(ledger, 3) == {1: {"visited": [[[1.0], [2.0]], [[3.0]]]}}


def with_explorer(values, name):
    """The run with another explorer in place of metadynamics."""
    entry = {key: item for key, item in values["explore"]["dynamics"][1].items() if key not in FORMER}
    values["explore"]["dynamics"][1] = entry | {"explorer": name} | OTHERS[name]
    return values


@pytest.mark.parametrize("name", OTHERS)
def test_every_bias_goes_on(name, biased, run_here):
    """Each generation starts from what the one before handed on."""
    run_here(with_explorer(biased, name))
    ledger = ledger_of(biased)
    settings = parse_config(biased, source="test").explore.explorers[1]
    at = np.array([[2.2], [2.6], [3.5]])
    before = np.zeros(3)
    for generation in (1, 2, 3):
        carried = earlier_biases(ledger, generation).get(1)
        explorer = build_explorer(
            settings.explorer, settings.arguments, gate=UncertaintyGate(1.0), carried=carried
        )
        V = explorer.carried_bias().potential(at)[0]
        started_anew = generation == 1 or (name == "VESExplorer" and generation == 3)  # its memory is 2
        assert started_anew or not np.array_equal(V, before)
        before = V
        if name == "OPESExplorer":
            expected = sum(map(len, (carried or {"visited": []})["visited"]))
        else:
            expected = explorer.carried_bias().iterations
            learned = [run["learned"] for run in runs_of(biased, generation) if "learned" in run]
            recorded = earlier_biases(ledger, generation + 1)[1]["learned"]
            assert recorded == averaged(learned)
            assert recorded["iterations"] == sum(item["iterations"] for item in learned) > 0
        assert (expected == 0) == started_anew
        told = [list(info.items()) for info in candidates(biased, generation, name)]
        assert {value for items in told for key, value in items if key.endswith("_carried")} <= {expected}


def test_a_bias_from_a_file(biased, run_here, tmp_path, monkeypatch):
    """Its path is relative to the configuration; it is the same in every generation."""
    grid = np.linspace(1.0, 6.0, 60)
    (tmp_path / "inputs").mkdir()
    StaticBias([grid], -2.0 * grid).write(tmp_path / "inputs/bias.npz")
    entry = biased["explore"]["dynamics"][1]
    entry = {key: item for key, item in entry.items() if key not in (*FORMER, "pace")}
    entry |= {"explorer": "StaticBiasExplorer", "bias": "bias.npz"}
    biased["explore"]["dynamics"][1] = entry
    path = tmp_path / "inputs/config.yaml"
    path.write_text(json.dumps(biased))
    config = read_config(path)
    assert config.explore.explorers[1].arguments["bias"] == str(tmp_path / "inputs/bias.npz")
    alone = parse_config(with_entry(biased, entry), source="test", folder=path.parent)
    assert alone.explore.explorers[0].arguments == config.explore.explorers[1].arguments
    run_here(config.to_dict())
    assert earlier_biases(ledger_of(biased), 9) == {}
    infos = [info for generation in (1, 2) for info in candidates(biased, generation, "StaticBiasExplorer")]
    assert {info["static_bias"] for info in infos} == {"bias.npz"}
    for info in infos:
        assert info["bias"] == pytest.approx(-2 * info["cv"], abs=1e-9)
    entry["bias"] = "nowhere.npz"
    path.write_text(json.dumps(biased))
    with pytest.raises(ValueError, match=r"explore\.dynamics\.1: .*no file .*nowhere\.npz"):
        read_config(path)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("OPESExplorer", {"sigma": None}, "sigma must be given"),
        ("OPESExplorer", {"barier_eV": 1.0}, "barier_eV"),
        ("VESExplorer", {"bases": [LEGENDRE, LEGENDRE]}, "2 bases, but one is needed for each of"),
        ("VESExplorer", {"bases": LEGENDRE | {"order": 0}}, "order must be a whole number"),
        ("VESExplorer", {"pace": 500}, "30 steps at most end before the first iteration"),
        (
            "DeepVESExplorer",
            {"bounds": [[0, 1], [0, 1]]},
            "bounds must hold .low, high., or None, for each of",
        ),
        ("DeepVESExplorer", {"bounds": None}, "needs bounds"),
        ("DeepVESExplorer", {"bias_factor": 0.5}, "bias_factor must be above 1"),
        ("DeepVESExplorer", {"learned": {}}, "leave out learned: the loop carries it"),
    ],
)
def test_wrong_biases_are_told_before_the_run(name, changes, told, biased):
    with_explorer(biased, name)["explore"]["dynamics"][1] |= changes
    with pytest.raises(ValueError, match=rf"explore\.dynamics\.1: .*{told}"):
        check_config(parse_config(biased, source="test"))


@pytest.mark.parametrize(
    ("cv", "names", "sigma"),
    [
        (DISTANCE, ("distance",), 0.1),
        ("Distance(0, 1)", ("distance",), 0.1),
        ([DISTANCE, "Distance(2, 3, name='b')"], ("distance", "b"), [0.1, 0.2]),
        ({"variable": "ase_mlsample.cvs:Volume"}, ("volume",), 5.0),
        ('crystallinity("Si:diamond:5.431").count(threshold=0.5)', ("crystallinity_count",), 1.0),
    ],
)
def test_variables_in_a_configuration(cv, names, sigma, biased):
    entry = biased["explore"]["dynamics"][1] | {"cv": cv, "sigma": sigma}
    config = parse_config(with_entry(biased, entry), source="test")
    check_config(config)
    settings = config.explore.explorers[-1]
    explorer = build_explorer(settings.explorer, settings.arguments, gate=UncertaintyGate(1.0))
    assert explorer.cv.names == names


@pytest.mark.parametrize(
    ("cv", "told"),
    [
        ({"variable": "Distanc"}, "no collective variable 'Distanc'; did you mean 'Distance'"),
        ("Distance(0, secnd=1)", "secnd"),
        ({"variable": "Distance", "first": 0, "secnd": 1}, "secnd"),
        ({"name": "Distance"}, "names no variable; write"),
        ('crystallinity("Xx:diamond:5")', "Xx"),
        ('crystallinity("Si:diamond:5.431")', r"EnvironmentSimilarity; pool it, with \.mean"),
        (3, "makes a int"),
    ],
)
def test_wrong_variables_are_told_before_the_run(cv, told, biased):
    biased["explore"]["dynamics"][1]["cv"] = cv
    with pytest.raises(ValueError, match=rf"explore\.dynamics\.1: .*{told}"):
        check_config(parse_config(biased, source="test"))


def test_settings_that_the_loop_makes(biased):
    entry = biased["explore"]["dynamics"][1]
    with pytest.raises(ValueError, match="leave out visited: the loop carries it"):
        check_config(parse_config(with_entry(biased, entry | {"visited": []}), source="test"))
    doubled = entry | {"uncertainty_bias": {"height_eV": 1.0, "width": 0.1}}
    with pytest.raises(ValueError, match="MetadynamicsExplorer has a bias of its own"):
        check_config(parse_config(with_entry(biased, doubled), source="test"))


def with_entry(values, entry):
    return values | {"explore": values["explore"] | {"dynamics": [entry]}}


def test_configuration_is_written_as_it_was_read(biased):
    config = parse_config(biased, source="test")
    check_config(config)
    assert f"variable: {DISTANCE['variable']}" in dump_config(config)
    entry = config.explore.explorers[-1]
    explorer = build_explorer(
        entry.explorer, entry.arguments, gate=UncertaintyGate(1.0), carried={"visited": [[[2.0]]]}
    )
    assert explorer.carried_bias().n_hills == 1
