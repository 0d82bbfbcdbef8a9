"""SIGKILL at the worst moments: nothing recorded is lost or computed again, and nobody stays behind."""

import os
import signal
from collections import Counter
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from active_helpers import alive, calls, data_set, descendants, wait_for
from safetensors.numpy import load_file

from ase_mlsample.active.store import ResultStore


@pytest.fixture
def undisturbed(values, run_here, tmp_path):
    """Data set of the same run, left in peace, and the calls that it took."""
    peaceful = deepcopy(values)
    peaceful["directory"] = str(tmp_path / "peace")
    peaceful["reference"]["kwargs"]["calls"] = str(tmp_path / "peaceful_calls")
    run_here(peaceful)
    return data_set(peaceful), [structure for structure, _ in calls(peaceful)]


def blocking(values, tmp_path, **executors):
    """The same run, with a reference that waits to be killed at its fourth call."""
    changed = deepcopy(values)
    changed["executors"] = executors
    changed["reference"]["kwargs"] |= {"block_at": 4, "blocked": str(tmp_path / "blocked")}
    return changed


def kill_at(process, blocked):
    wait_for(lambda: blocked.exists() and blocked.read_text(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()


def recorded(values):
    """Labels on disk: structures."""
    keys = ResultStore(Path(values["directory"]) / "results").keys()
    return {key.split(".")[0] for key in keys if key.startswith("s")}


def test_driver_killed_while_labelling(values, undisturbed, spawn, tmp_path):
    changed = blocking(values, tmp_path)
    kill_at(spawn(changed), tmp_path / "blocked")
    before, kept = calls(changed), recorded(changed)
    assert len(kept) == 3
    assert spawn(changed).wait() == 0
    after = {structure for structure, _ in calls(changed)[len(before) :]}
    assert not after & kept
    assert data_set(changed) == undisturbed[0]


def test_driver_killed_with_workers(values, undisturbed, spawn, tmp_path):
    changed = blocking(values, tmp_path, workers=2)
    process = spawn(changed)
    wait_for((tmp_path / "blocked").exists, process)
    children = descendants(process.pid)
    assert {int(pid) for _, pid in calls(changed)} <= children
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(alive(pid) for pid in children))
    before, kept = calls(changed), recorded(changed)
    assert spawn(changed).wait() == 0
    assert not {structure for structure, _ in calls(changed)[len(before) :]} & kept
    assert data_set(changed) == undisturbed[0]


def test_worker_killed_while_labelling(values, undisturbed, spawn, tmp_path):
    changed = blocking(values, tmp_path, workers=2)
    process = spawn(changed)
    victim = int(
        wait_for(lambda: (tmp_path / "blocked").exists() and (tmp_path / "blocked").read_text(), process)
    )
    os.kill(victim, signal.SIGKILL)
    assert process.wait() == 0, process.output.read_text()
    counts = Counter(structure for structure, _ in calls(changed))
    assert sorted(counts.values()) == [1] * (len(counts) - 1) + [2]
    assert data_set(changed) == undisturbed[0]
    assert not any(alive(int(pid)) for _, pid in calls(changed))


@pytest.mark.parametrize(
    "point", ["in_ledger", "in_large_transaction", "in_proposals", "in_result", "in_training"]
)
def test_driver_killed_at(point, values, undisturbed, spawn, tmp_path):
    kill_at(spawn(values, point, tmp_path / "blocked"), tmp_path / "blocked")
    before, kept = calls(values), recorded(values)
    assert spawn(values).wait() == 0
    assert not {structure for structure, _ in calls(values)[len(before) :]} & kept
    assert data_set(values) == undisturbed[0]
    if point != "in_result":  # there the label that was being written is computed again
        assert [structure for structure, _ in calls(values)] == undisturbed[1]


def test_killed_while_networks_train(values, spawn, run_here, tmp_path):
    values["model"] = {"members": 2, "hidden": [8], "aev": {"radial_cutoff": 4.0, "angular_cutoff": 3.0}}
    values["model"]["aev"] |= {"n_radial": 4, "n_angular": 2}
    values["training"] = {"epochs": 80, "checkpoint_seconds": 0, "validation_interval": 1}
    values["fine_tuning"] = {"epochs": 2}
    values["initial"][0]["n"] = 16
    values["stop"] = {"max_generations": 2}
    peaceful = deepcopy(values) | {"directory": str(tmp_path / "peace")}
    run_here(peaceful)
    process = spawn(values)
    wait_for((tmp_path / "run/models/0000/checkpoint.pt").exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run/model.safetensors").exists()
    assert spawn(values).wait() == 0
    assert data_set(values) == data_set(peaceful)
    weights = [
        load_file(run / "models/0001/model.safetensors") for run in (tmp_path / "run", tmp_path / "peace")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("ask", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(ask, values, spawn, tmp_path):
    changed = blocking(values, tmp_path)
    process = spawn(changed)
    wait_for((tmp_path / "blocked").exists, process)
    process.send_signal(ask)
    assert process.wait() != 0
    assert '"interrupted"' in (tmp_path / "run/log.jsonl").read_text()
    assert len(recorded(changed)) == 3
