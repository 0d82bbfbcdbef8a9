"""Runs whose sampling, labelling and training overlap."""

import json
import signal
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
from active_helpers import alive, calls, data_set, descendants, wait_for
from ase.io import read

from ase_mlsample.active import Ledger
from ase_mlsample.active.run_directory import EventLog
from ase_mlsample.active.store import ResultStore


@pytest.fixture
def overlapping(values):
    values["mode"] = "asynchronous"
    values["asynchronous"] = {"train_after": 4}
    values["executors"] = {"workers": 2}
    return values


def events(values, name):
    found = EventLog(Path(values["directory"]) / "log.jsonl").events()
    return [event for event in found if event["event"] == name]


def ledger(values):
    return Ledger.open(Path(values["directory"]) / "ledger.db")


def test_a_run_goes_through_its_generations(overlapping, run_here):
    summary = run_here(overlapping)
    assert summary["finished"] == "3 generations are trained"
    assert [entry["generation"] for entry in summary["generations"] if "train" in entry] == [0, 1, 2]
    learned = [entry["train"]["n_frames"] for entry in summary["generations"][:3]]
    assert 4 <= learned[0] < learned[1] < learned[2]
    assert learned[2] == summary["labels"]["labelled"] == len(data_set(overlapping))
    made = Counter(structure for structure, _ in calls(overlapping))
    assert set(made.values()) == {1}
    for atoms in ledger(overlapping).atoms(ledger(overlapping).proposals()):
        if atoms.info["generation"] > 0:
            assert atoms.info["proposed_by"] == atoms.info["generation"] - 1
            assert 0 <= atoms.info["judged_by"] - atoms.info["proposed_by"] <= 2
    assert (Path(overlapping["directory"]) / "dataset.extxyz").exists()
    assert json.loads((Path(overlapping["directory"]) / "summary.json").read_text()) == summary


def test_a_finished_run_computes_nothing(overlapping, run_here):
    overlapping["stop"] = {"max_generations": 2}
    first = run_here(overlapping)
    made, before = calls(overlapping), data_set(overlapping)
    assert run_here(overlapping) == first
    assert calls(overlapping) == made
    more = run_here(deepcopy(overlapping) | {"stop": {"max_generations": 3}})
    assert more["finished"] == "3 generations are trained"
    assert data_set(overlapping)[: len(before)] == before
    assert [structure for structure, _ in calls(overlapping)[: len(made)]] == [name for name, _ in made]


def test_a_run_without_candidates_ends(overlapping, run_here):
    overlapping["selection"] = {"lo": 50.0, "hi": 60.0, "audit": 0, "batch": 3}
    overlapping["stop"] = {"max_generations": 9, "rounds": 2}
    overlapping["asynchronous"] = {"train_after": 8}
    summary = run_here(overlapping)
    assert summary["finished"].startswith("fewer than")
    trained = [entry for entry in summary["generations"] if "train" in entry]
    assert len(trained) == 3
    assert all(entry["train"]["reused"] for entry in trained[1:])


def test_killed_at_any_moment_it_goes_on(overlapping, spawn, tmp_path):
    overlapping["reference"]["kwargs"] |= {"block_at": 10, "blocked": str(tmp_path / "blocked")}
    process = spawn(overlapping)
    wait_for((tmp_path / "blocked").exists, process)
    children = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(alive(pid) for pid in children))
    keys = ResultStore(Path(overlapping["directory"]) / "results").keys()
    kept = {key.split(".")[0] for key in keys if key.startswith("s")}
    assert len(kept) >= 8
    before = len(calls(overlapping))
    again = spawn(overlapping)
    assert again.wait() == 0, again.output.read_text()
    assert not {structure for structure, _ in calls(overlapping)[before:]} & kept
    labels = ledger(overlapping).labels(ledger(overlapping).meta("reference"))
    assert kept <= set(labels)
    assert ledger(overlapping).stages()[2]["end"]["reason"] == "3 generations are trained"
    assert ledger(overlapping).stages()[2]["train"]["n_frames"] == len(data_set(overlapping))


@pytest.mark.parametrize("max_staleness", [0, 2])
def test_killed_before_it_wrote_down_what_a_generation_has_explored(
    max_staleness, overlapping, spawn, run_here, tmp_path
):
    overlapping["asynchronous"]["max_staleness"] = max_staleness
    process = spawn(overlapping, "in_closing", tmp_path / "blocked")
    wait_for(lambda: (tmp_path / "blocked").exists() and (tmp_path / "blocked").read_text(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stages = ledger(overlapping).stages()[1]
    assert "train" in stages
    assert "select" not in stages
    keys = ResultStore(tmp_path / "run/results").keys()
    explored = {key for key in keys if key.startswith("explore") and "-0001-" in key}
    chosen = {proposal.structure for proposal in ledger(overlapping).proposals(1)}
    summary = run_here(overlapping)
    assert [entry["generation"] for entry in summary["generations"] if "train" in entry] == [0, 1, 2]
    assert 1 <= summary["generations"][1]["select"]["trajectories"] <= len(explored)
    frames = read(tmp_path / "run/candidates/0001.extxyz", ":")
    assert sum(atoms.info["selected"] for atoms in frames) == len(chosen)
    assert len(frames) >= len(chosen)


def test_failed_labels_do_not_stop_it_and_are_tried_again(overlapping, run_here, tmp_path):
    overlapping["reference"]["kwargs"] |= {"fail_below": 60, "mended": str(tmp_path / "mended")}
    overlapping["initial"][0]["n"] = 20
    overlapping["stop"] = {"max_generations": 2}
    summary = run_here(overlapping)
    failed = summary["labels"]["failed"]
    assert failed >= 2
    (tmp_path / "mended").touch()
    again = run_here(overlapping, retry_failed=True)
    assert "failed" not in again["labels"]
    assert again["labels"]["labelled"] == summary["labels"]["labelled"] + failed
    assert again["generations"][-1]["train"]["n_frames"] == again["labels"]["labelled"]
