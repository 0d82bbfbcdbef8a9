"""The end that somebody asks for."""

import json
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from active_helpers import alive, calls, data_set, descendants, wait_for

from ase_mlsample.active.run_directory import EventLog
from ase_mlsample.active.shutdown import Interrupted, interruptible, interruption_point


@pytest.fixture
def gated(values, tmp_path):
    """Two workers, one of which waits in the middle of its label until it is let go on."""
    values["executors"] = {"workers": 2}
    values["stop"] = {"max_generations": 2}
    values["reference"]["factory"] = "active_gate:Gated"
    values["reference"]["kwargs"] |= {
        "gate": str(tmp_path / "gate"),
        "blocked": str(tmp_path / "blocked"),
        "wait_at": 4,
    }
    return values


def events(values):
    return {event["event"]: event for event in EventLog(Path(values["directory"]) / "log.jsonl").events()}


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_the_first_signal_lets_labels_finish(mode, gated, run_here, spawn, tmp_path):
    gated["mode"] = mode
    process = spawn(gated)
    wait_for((tmp_path / "blocked").exists, process)
    children = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "interrupted" in events(gated), process)
    assert process.poll() is None
    (tmp_path / "gate").touch()
    assert process.wait() != 0
    wait_for(lambda: not any(alive(pid) for pid in children))
    end = events(gated)["wound_down"]
    assert end["finished"] >= 1
    assert end["finished"] + end["waiting"] <= 8
    output = " ".join(process.output.read_text().split())
    assert "labels that run are finished first; once more ends the run at once" in output
    assert "run it again to go on in" in output
    assert not (Path(gated["directory"]) / "stop").exists()
    made = len(calls(gated))
    assert spawn(gated).wait() == 0
    names = [structure for structure, _ in calls(gated)]
    assert len(names) == len(set(names)) > made
    if mode == "synchronous":
        peaceful = deepcopy(gated) | {"directory": str(tmp_path / "peace")}
        run_here(peaceful)
        assert data_set(gated) == data_set(peaceful)


def test_labels_that_are_checked_against_isolated_atoms(gated, spawn, tmp_path):
    """Whose energies are not computed any more: the next start has them, and takes the labels in."""
    gated["reference"]["outliers"] = {"isolated_atoms": "compute", "window_eV": [-9.0, 20.0]}
    gated["reference"]["kwargs"]["wait_at"] = 1
    gated["initial"][0]["n"] = 1
    process = spawn(gated)
    wait_for((tmp_path / "blocked").exists, process)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "interrupted" in events(gated), process)
    (tmp_path / "gate").touch()
    assert process.wait() != 0
    assert "run it again to go on in" in " ".join(process.output.read_text().split())
    assert events(gated)["wound_down"]["finished"] == 0
    made = len(calls(gated))
    assert spawn(gated).wait() == 0
    names = [structure for structure, _ in calls(gated)]
    assert len(names) == len(set(names)) > made


def test_the_second_signal_ends_it_at_once(gated, spawn, tmp_path):
    process = spawn(gated)
    wait_for((tmp_path / "blocked").exists, process)
    children = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "interrupted" in events(gated), process)
    process.send_signal(signal.SIGINT)
    assert process.wait() != 0
    wait_for(lambda: not any(alive(pid) for pid in children))
    assert "interrupted_again" in events(gated)
    assert "wound_down" not in events(gated)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_status_of_the_command(number, status, gated, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(json.dumps(gated))
    code = f"import sys; from ase_mlsample.cli import main; sys.exit(main(['run', {str(config)!r}]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    wait_for((tmp_path / "blocked").exists)
    process.send_signal(number)
    wait_for(lambda: "interrupted" in events(gated))
    (tmp_path / "gate").touch()
    _, told = process.communicate()
    assert process.returncode == status
    assert "run the same command again to go on in" in told.decode()


class TestSignals:
    def test_the_first_waits_for_a_point_where_it_may_come(self):
        before = signal.getsignal(signal.SIGTERM)
        with interruptible():
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(Interrupted, match="interrupted by SIGTERM") as caught, interruption_point():
                raise AssertionError("it was not interrupted")
            assert (caught.value.signal, caught.value.at_once) == (signal.SIGTERM, False)
            with interruption_point():
                pass
        assert signal.getsignal(signal.SIGTERM) is before

    def test_it_comes_at_once_where_it_may(self):
        with interruptible(), pytest.raises(Interrupted), interruption_point():
            signal.raise_signal(signal.SIGINT)

    def test_the_second_waits_for_nothing_and_the_third_is_not_ours(self):
        with interruptible():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(Interrupted) as caught:
                signal.raise_signal(signal.SIGINT)
            assert caught.value.at_once
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL

    def test_what_is_outside_a_run_is_left_alone(self):
        with interruptible():
            signal.raise_signal(signal.SIGTERM)
        with interruption_point():
            pass
