"""Trouble in every step: no recorded label is lost or computed twice, nothing half-written counts.

Killed drivers and workers are in test_kill.py, two runs in one folder in test_loop.py.
"""

import errno
import json
import os
import re
import signal
import subprocess
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
from active_helpers import alive, calls, data_set, wait_for
from active_toy import fill
from ase.build import bulk
from ase.io import read

from ase_mlsample import _files
from ase_mlsample.active import Ledger
from ase_mlsample.active.guardian import end_programs, guarded
from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.remedies import ReferenceStoppedError
from ase_mlsample.active.run_directory import EventLog
from ase_mlsample.active.store import ResultStore
from ase_mlsample.cli import main


@pytest.fixture
def undisturbed(values, run_here, tmp_path):
    """Data set of the same run, left in peace."""
    peaceful = deepcopy(values)
    peaceful["directory"] = str(tmp_path / "peace")
    peaceful["reference"]["kwargs"]["calls"] = str(tmp_path / "peaceful_calls")
    run_here(peaceful)
    return data_set(peaceful)


def troubled(values, factory="Troubled", **kwargs):
    changed = deepcopy(values)
    changed["reference"]["factory"] = f"active_toy:{factory}"
    changed["reference"]["kwargs"] |= kwargs
    return changed


def database(values):
    return Ledger.open(Path(values["directory"]) / "ledger.db")


def labels(values):
    ledger = database(values)
    return ledger.labels(ledger.meta("reference"))


class TestFullDisk:
    @pytest.fixture
    def small_disk(self, tmp_path):
        """A file system of 16 MB."""
        path = tmp_path / "disk"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small file system")
        yield path
        subprocess.run(["umount", "-l", str(path)], check=True)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_small_file_system(self, workers, small_disk, values, undisturbed, spawn):
        ballast = small_disk / "ballast"
        changed = troubled(values, "Filling", ballast=str(ballast)) | {
            "directory": str(small_disk / "run"),
            "executors": {"workers": workers},
        }
        process = spawn(changed)
        assert process.wait() == 1
        assert "No space left on device: this result could not be kept" in process.output.read_text()
        before, kept = calls(changed), set(stored(changed))
        assert 2 <= len(kept) <= 3
        assert not list((small_disk / "run").rglob("*.tmp"))
        ballast.unlink()
        assert spawn(changed).wait() == 0
        assert not {structure for structure, _ in calls(changed)[len(before) :]} & kept
        assert data_set(changed) == undisturbed

    def test_any_write_may_be_the_one(self, values, undisturbed, run_here, monkeypatch):
        """Every fifth write of a file fails, whichever it is, until the run comes to its end."""
        writes, failed = [], []
        original = _files.os.fsync

        def fsync(number):
            writes.append(number)
            if len(writes) % 5 == 0 and len(writes) < 60:
                raise OSError(errno.ENOSPC, "No space left on device")
            original(number)

        monkeypatch.setattr("ase_mlsample._files.os.fsync", fsync)
        for _ in range(20):
            try:
                run_here(values)
            except (OSError, RuntimeError) as error:
                failed.append(str(error))
                continue
            break
        assert len(failed) >= 5
        assert all("No space left on device" in message for message in failed)
        assert data_set(values) == undisturbed

    def test_a_ledger_that_cannot_grow(self, small_disk):
        ledger = Ledger.create(small_disk / "ledger.db", reference="r", config={})
        frames = [bulk("Si", a=5 + 1e-3 * n) * (3, 3, 3) for n in range(40)]
        ledger.propose(0, frames[:20], stage="wave", summary={})
        before, ballast = ledger.proposals(), small_disk / "ballast"
        fill(ballast)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left on device: this change of the ledger is taken"):
                ledger.propose(0, frames[20:], stage="wave", summary={})
            assert ledger.proposals() == before
        ballast.unlink()
        assert ledger.propose(0, frames[20:], stage="wave", summary={}) == 20
        found = ledger.atoms(ledger.proposals())
        assert sorted(map(structure_hash, found)) == sorted(map(structure_hash, frames))

    def test_the_log_ends_a_line_that_was_cut(self, tmp_path):
        log = EventLog(tmp_path / "log.jsonl")
        log.write("first")
        with log.path.open("a") as file:
            file.write('{"event": "cu')
        log.write("second")
        assert [event["event"] for event in log.events()] == ["first", "second"]

    def test_a_log_without_space_ends_nothing(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        log = EventLog(tmp_path / "log.jsonl")
        monkeypatch.setattr("ase_mlsample.active.run_directory.os.write", full)
        log.write("lost")


def stored(values):
    """Structures with a result on disk."""
    keys = ResultStore(Path(values["directory"]) / "results").keys()
    return [key.split(".")[0] for key in keys if key.startswith("s")]


def test_workers_killed_in_every_step_that_is_no_label(values, undisturbed, run_here, tmp_path):
    died = {step: str(tmp_path / f"died-{step}") for step in ("initial", "train", "explore")}
    changed = deepcopy(values)
    changed["executors"] = {"explore": {"workers": 2}, "train": "explore"}
    changed["initial"][0] |= {"sampler": "active_toy:disorder", "died": died["initial"]}
    changed["explore"]["start"][0] |= {"sampler": "active_toy:disorder", "died": died["explore"]}
    changed["model"]["factory"] = "active_toy:stillinger_weber"
    for member in changed["model"]["members"]:
        member["died"] = died["train"]  # a model is made for the first time where it is trained
    run_here(changed)
    assert all(Path(path).exists() for path in died.values())
    assert data_set(changed) == undisturbed
    assert set(Counter(name for name, _ in calls(changed)).values()) == {1}


def test_a_trajectory_that_hangs_is_given_up(values, run_here, tmp_path):
    start = values["explore"]["start"][0] | {"sampler": "active_toy:hanging_disorder"}
    values["explore"] |= {"start": [start | {"asked": str(tmp_path / "asked")}], "timeout_s": 3.0}
    values["stop"] = {"max_generations": 2}
    select = run_here(values)["generations"][1]["select"]
    assert (select["failed_trajectories"], select["trajectories"]) == (1, 3)
    store = ResultStore(tmp_path / "run/results")
    results = [store.read(key) for key in sorted(store.keys())]
    (failed,) = [result for result in results if result["status"] == "failed"]
    assert failed["error"]["type"] == "TaskTimeoutError"


class TestTruncatedResults:
    @pytest.fixture
    def cut(self, values, run_here, tmp_path):
        """A run that ended before its labels were recorded, three of whose results were damaged since."""
        values["stop"] = {"max_generations": 1}
        run_here(values)
        before = data_set(values)
        results = Path(values["directory"]) / "results"
        first, second, third, *_ = sorted(results.glob("s*.json"))
        first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
        text = second.read_text()
        second.write_text(text.replace('"energy": -', '"energy": -1', 1))  # still JSON, and wrong
        assert second.read_text() != text
        third.write_bytes(b"")
        for path in Path(values["directory"]).iterdir():
            if path != results:
                path.rename(tmp_path / f"old-{path.name}")
        return {path.name.split(".")[0] for path in (first, second, third)}, before

    def test_are_recognised_and_computed_again(self, cut, values, run_here):
        cut, before = cut
        made = len(calls(values))
        run_here(values)
        assert {name for name, _ in calls(values)[made:]} == cut
        assert len(calls(values)) == made + 3
        assert data_set(values) == before
        results = Path(values["directory"]) / "results"
        assert {path.name.split(".")[0] for path in results.glob("*.damaged")} == cut

    def test_result_cut_between_worker_and_driver(self, values, undisturbed, run_here, monkeypatch):
        original, seen = ResultStore.write, []

        def write(self, key, result):
            original(self, key, result)
            seen.append(key)
            if len(seen) == 3:
                path = self.path(key)
                path.write_bytes(path.read_bytes()[:50])

        monkeypatch.setattr(ResultStore, "write", write)
        run_here(values)
        assert data_set(values) == undisturbed


class TestFailures:
    def test_scf_that_needs_gentler_settings(self, values, undisturbed, run_here, capsys):
        changed = troubled(values, "troubled", needs_recipe=1)
        version(changed).write_text("1.0")
        run_here(changed)
        assert data_set(changed) == undisturbed
        assert {row.recipe for row in labels(changed).values()} == {1}
        assert {row.attempts for row in labels(changed).values()} == {2}
        assert main(["status", changed["directory"]]) == 0
        assert f"{len(undisturbed)} labels took gentler recipe 1" in capsys.readouterr().out

    def test_recipes_of_the_configuration_come_before_those_of_the_factory(self, values, run_here):
        changed = troubled(values, "troubled", needs_recipe=5)
        changed["reference"]["gentler"] = [{"gentle": 3}, {"gentle": 4}, {"gentle": 5}]
        changed["stop"] = {"max_generations": 1}
        version(changed).write_text("1.0")
        run_here(changed)
        assert {row.recipe for row in labels(changed).values()} == {3}

    def test_scf_that_never_converges_ends_the_run_with_reason_and_remedy(self, values, run_here):
        changed = troubled(values, trouble="convergence")
        changed["initial"][0]["n"] = 30
        changed["reference"]["stop_after"] = 4
        with pytest.raises(ReferenceStoppedError, match=r"last 4 labels.*'convergence'.*reference.gentler"):
            run_here(changed)
        assert {row.kind for row in labels(changed).values()} == {"convergence"}
        assert 4 <= len(labels(changed)) <= 6
        assert max(Counter(name for name, _ in calls(changed)).values()) == 1

    def test_a_code_that_is_not_there_is_tried_again_by_the_next_run(
        self, values, undisturbed, run_here, tmp_path, capsys
    ):
        changed = troubled(values, trouble="setup", mended=str(tmp_path / "mended"))
        changed["reference"] |= {"stop_after": 3, "retries": 0}
        with pytest.raises(ReferenceStoppedError, match="install the code"):
            run_here(changed)
        assert main(["status", changed["directory"]]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert re.search("setup [34] SetupFailure: trouble of kind setup install the code", shown)
        (tmp_path / "mended").touch()
        run_here(changed)
        assert data_set(changed) == undisturbed

    def test_bad_luck_in_three_of_ten_calls(self, values, undisturbed, run_here):
        changed = troubled(values, "Unlucky")
        changed["reference"]["retries"] = 30
        run_here(changed)
        assert data_set(changed) == undisturbed
        assert sum(row.attempts for row in labels(changed).values()) == len(calls(changed)) > len(undisturbed)

    def test_settings_of_attempts_may_change_in_the_course_of_a_run(self, values, run_here):
        values["stop"] = {"max_generations": 1}
        run_here(values)
        values["reference"] |= {"retries": 3, "timeout_s": 100.0, "stop_after": 5}
        run_here(values)
        values["reference"]["max_force"] = 10.0
        with pytest.raises(ValueError, match="max_force"):
            run_here(values)

    def test_labels_of_another_version_of_the_code_do_not_mix(self, values, run_here):
        changed = troubled(values, "troubled")
        changed["stop"] = {"max_generations": 1}
        version(changed).write_text("code 1.0")
        run_here(changed)
        version(changed).write_text("code 1.1")
        with pytest.raises(ValueError, match=r"reports 'code 1.1' now, 'code 1.0' before"):
            run_here(changed)


def version(values):
    return Path(values["reference"]["kwargs"]["calls"]).with_name("version")


def test_a_clock_that_goes_backwards(values, undisturbed, spawn, tmp_path):
    values["executors"] = {"workers": 2}
    process = spawn(values, "clock_goes_backwards", tmp_path / "unused")
    assert process.wait() == 0, process.output.read_text()
    assert data_set(values) == undisturbed
    stamps = [event["time"] for event in EventLog(tmp_path / "run/log.jsonl").events()]
    assert stamps
    assert list(database(values).stages()[1]) == ["select", "label", "train", "end"]
    assert main(["status", values["directory"], "--json"]) == 0


class TestPrograms:
    """What a reference starts ends with who started it."""

    @pytest.fixture
    def launching(self, values, tmp_path):
        values["reference"] = {
            "factory": "active_toy:Launching",
            "kwargs": {"started": str(tmp_path / "started")},
            "retries": 0,
        }
        return values

    @pytest.mark.parametrize("workers", [1, 2])
    def test_driver_killed(self, workers, launching, spawn, tmp_path):
        process = spawn(launching | {"executors": {"workers": workers}})
        program = wait_for_program(tmp_path, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not alive(program))

    def test_worker_killed(self, launching, spawn, tmp_path):
        process = spawn(launching | {"executors": {"workers": 2}})
        program = wait_for_program(tmp_path, process)
        worker = int(Path(f"/proc/{program}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not alive(program))

    def test_time_limit(self, launching, run_here, tmp_path):
        launching["reference"]["timeout_s"] = 1.0
        launching["reference"]["stop_after"] = 1
        with pytest.raises(ReferenceStoppedError, match=r"'resource'.*timeout_s"):
            run_here(launching)
        assert not alive(int((tmp_path / "started").read_text()))

    def test_programs_of_another_thread_are_left_alone(self):
        with guarded():
            program = subprocess.Popen(["sleep", "1000"])
            # the kernel shows the environment of a program a moment after it has begun
            wait_for(lambda: Path(f"/proc/{program.pid}/environ").read_bytes())
            assert end_programs() == []  # as the failure of another label would ask for
        assert alive(program.pid)
        assert end_programs() == [program.pid]
        assert program.wait() == -signal.SIGTERM
        assert "MLSAMPLE_PROGRAMS_OF" not in os.environ


def wait_for_program(tmp_path, process):
    return int(
        wait_for(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text(), process)
    )


class TestOutliers:
    def test_energies_relative_to_isolated_atoms(self, values, run_here):
        values["reference"]["outliers"] = {"isolated_atoms": {"Si": 0.0}, "window_eV": [-3.0, -2.0]}
        values["initial"][0]["n"] = 20
        values["stop"] = {"max_generations": 1}
        summary = run_here(values)
        kinds = Counter(row.kind for row in labels(values).values())
        assert kinds["outlier"] == summary["labels"]["rejected"] >= 1
        for atoms in read(Path(values["directory"]) / "dataset.extxyz", ":"):
            assert -3.0 <= atoms.info["REF_energy"] / len(atoms) <= -2.0
        (row, *_) = [row for row in labels(values).values() if row.kind == "outlier"]
        assert "eV/atom relative to isolated atoms, outside [-3, -2]" in row.error

    def test_the_reference_computes_the_atoms_itself(self, values, run_here):
        values["reference"]["outliers"] = {"isolated_atoms": "compute", "window_eV": [-9.0, 20.0]}
        values["stop"] = {"max_generations": 1}
        run_here(values)
        assert len(calls(values)) == 1 + len(labels(values))
        assert {row.status for row in labels(values).values()} == {"labelled"}

    def test_energies_off_the_ensemble(self, values, run_here):
        values["reference"]["outliers"] = {"deviation_eV": 1e-6, "deviation_sigma": 0.0}
        values["stop"] = {"max_generations": 2}
        run_here(values)
        ledger = database(values)
        reference = ledger.meta("reference")
        assert {row.status for row in ledger.labels(reference, 0).values()} == {"labelled"}
        assert {row.kind for row in ledger.labels(reference, 1).values()} == {"outlier"}


def test_status_says_what_failed_and_why(values, run_here, capsys):
    values["reference"]["kwargs"]["fail_below"] = 60
    values["initial"][0]["n"] = 20
    values["stop"] = {"max_generations": 1}
    run_here(values)
    capsys.readouterr()
    assert main(["status", values["directory"], "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    (row,) = status["failed"]
    assert row["kind"] == "unknown"
    assert row["count"] == status["labels"]["failed"]
    assert row["example"] == "RuntimeError: SCF did not converge"
    assert "--retry-failed" in row["remedy"]
    (cost,) = status["costs"]
    assert cost["labels"] == status["labels"]["labelled"]
    assert cost["seconds_per_label"] == pytest.approx(cost["label_seconds"] / cost["labels"])
