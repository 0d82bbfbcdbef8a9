import fcntl
import json

import pytest

from ase_mlsample.gui.run_state import RunState


@pytest.fixture
def run(tmp_path):
    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path


def log(run, *events, end="\n"):
    with (run / "log.jsonl").open("a") as file:
        file.write("\n".join(json.dumps(event) for event in events) + end)


@pytest.mark.parametrize(
    ("stage", "activity"),
    [("select", "labelling"), ("label", "training"), ("train", "evaluating"), ("evaluate", "summing up")],
)
def test_what_follows_a_stage(run, stage, activity):
    log(run, {"event": "started"}, {"event": "stage", "generation": 3, "stage": stage}, {"event": "label"})
    assert RunState(run).look() == f"generation 3: {activity}"


def test_a_run_from_start_to_end(run):
    state = RunState(run)
    assert state.look(now=0) == "waiting for the run to start"
    log(run, {"event": "started"})
    assert state.look(now=1) == "generation 0: starting"
    log(run, {"event": "generation", "generation": 0})
    assert state.look(now=2) == "generation 1: exploring"
    log(run, {"event": "finished", "reason": "2 generations are trained"})
    assert state.look(now=3) == "the run is finished: 2 generations are trained"
    log(run, {"event": "resumed"})
    assert state.look(now=4) == "generation 1: exploring"
    log(run, {"event": "interrupted"})
    assert "interrupted" in state.look(now=5)
    log(run, {"event": "failed", "error": "ValueError: no"})
    assert state.look(now=6) == "the run failed: ValueError: no"


def test_a_line_that_is_half_written_waits(run):
    state = RunState(run)
    log(run, {"event": "started"}, {"event": "generation", "generation": 0}, end="")
    assert state.look() == "generation 0: starting"
    log(run, end="\n")
    assert state.look() == "generation 1: exploring"


def test_a_line_cut_by_a_kill_is_passed_over(run):
    (run / "log.jsonl").write_text('{"event": "sta\n[1]\n{"event": "generation", "generation": 1}\n')
    assert RunState(run).look() == "generation 2: exploring"


def test_a_killed_run_is_told_from_one_at_work(tmp_path):
    log(tmp_path, {"event": "started"}, {"event": "generation", "generation": 0})
    (tmp_path / "run.lock").touch()
    state = RunState(tmp_path)
    assert state.look(now=0) == "the run is not at work; run it again to go on"
    assert state.look(now=1, moved=True) == "generation 1: exploring"  # a frame came: it lives
    assert state.look(now=2) == "generation 1: exploring"  # the lock is not asked for at every look
    assert state.look(now=7) == "the run is not at work; run it again to go on"


def test_another_run_in_the_same_folder(run):
    log(run, {"event": "started"}, {"event": "generation", "generation": 7})
    state = RunState(run)
    assert state.look() == "generation 8: exploring"
    (run / "log.jsonl").unlink()
    log(run, {"event": "generation", "generation": 0})
    assert state.look() == "generation 1: exploring"
