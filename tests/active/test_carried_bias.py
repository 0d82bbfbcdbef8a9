"""Metadynamics in the loop: variables by name, and a bias that goes from generation to generation."""

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
from ase_mlsample.active.config_file import check_config, dump_config, parse_config
from ase_mlsample.active.factories import build_explorer
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.visits import earlier_visits, record_visits
from ase_mlsample.dynamics import UncertaintyGate
from ase_mlsample.dynamics.biased_exploration import interleaved

DISTANCE = {"variable": "Distance", "first": 0, "second": 1}


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


def candidates(values, generation):
    frames = read(Path(values["directory"]) / f"candidates/{generation:04d}.extxyz", ":")
    return [frame.info for frame in frames if frame.info["source"] == "MetadynamicsExplorer"]


def test_bias_goes_from_generation_to_generation(biased, run_here):
    run_here(biased)
    ledger = ledger_of(biased)
    results = ResultStore(Path(biased["directory"]) / "results")
    counts = [0]
    for generation in (1, 2, 3):
        explored = [key for key in sorted(results.keys()) if key.startswith("explore")]
        keys = [key for key in explored if f"-{generation:04d}-" in key]
        runs = [results.read(key)["run"] for key in keys]
        points = [run["visited"] for run in runs if "visited" in run]
        assert len(runs) == 6
        assert 0 < len(points) < 6
        found = earlier_visits(ledger, generation + 1)
        assert set(found) == {1}  # its number in the configuration
        assert found[1][generation - 1] == interleaved(points)
        carried = {info["metadynamics_carried"] for info in candidates(biased, generation)}
        assert carried <= {float(counts[-1])}
        counts.append(counts[-1] + len(found[1][-1]))
    assert counts[-1] > counts[1] > 0
    assert earlier_visits(ledger, 1) == {}


def test_without_the_carried_bias_the_second_generation_differs(biased, run_here, tmp_path, monkeypatch):
    run_here(biased)
    alone = deepcopy(biased) | {"directory": str(tmp_path / "alone")}
    monkeypatch.setattr(proposing_module, "earlier_visits", lambda ledger, generation: {})
    run_here(alone)
    infos = [[candidates(values, generation) for generation in (1, 2)] for values in (biased, alone)]
    assert infos[0][0] == infos[1][0]
    assert [info["cv"] for info in infos[0][1]] != [info["cv"] for info in infos[1][1]]


def test_again_and_with_workers_the_same(biased, run_here, tmp_path):
    run_here(biased)
    others = deepcopy(biased) | {"directory": str(tmp_path / "again"), "executors": {"workers": 2}}
    others["reference"]["kwargs"]["calls"] = str(tmp_path / "calls again")
    run_here(others)
    assert data_set(others) == data_set(biased)
    assert earlier_visits(ledger_of(others), 9) == earlier_visits(ledger_of(biased), 9)


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
    assert earlier_visits(ledger_of(biased), 9) == earlier_visits(ledger_of(peaceful), 9)


def test_visits_of_other_explorers_and_failures(tmp_path):
    ledger = Ledger.create(tmp_path / "ledger.db", reference="a", config={})
    record_visits(ledger, 1, [0, 2, 2], [{}, {"visited": np.zeros((0, 1))}, {"visited": [[1.0], [2.0]]}])
    record_visits(ledger, 2, [0, 0], [{}, {}])
    record_visits(ledger, 3, [0, 2], [{"visited": [[5.0]]}, {"visited": [[3.0]]}])
    assert earlier_visits(ledger, 4) == {2: [[[1.0], [2.0]], [[3.0]]], 0: [[[5.0]]]}
    assert earlier_visits(ledger, 3) == {2: [[[1.0], [2.0]]]}


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
    explorer = build_explorer(entry.explorer, entry.arguments, gate=UncertaintyGate(1.0), visited=[[[2.0]]])
    assert explorer.carried_bias().n_hills == 1
