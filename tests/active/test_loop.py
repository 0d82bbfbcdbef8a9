import fcntl
import hashlib
import io
import json
import sqlite3
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from active_helpers import calls, data_set, wait_for
from ase.io import read, write
from rich.console import Console

from ase_mlsample.active import ActiveLoop, Ledger, RunConfig
from ase_mlsample.active.config_file import parse_config
from ase_mlsample.active.models import load_model
from ase_mlsample.active.run_directory import EventLog, RunDirectory, is_running
from ase_mlsample.active.summary import generation_table, wide_console
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cli import main
from ase_mlsample.samplers import RandomDisorder


def changed(values, **sections):
    new = deepcopy(values)
    for name, section in sections.items():
        new[name] = {**new.get(name, {}), **section} if isinstance(section, dict) else section
    return new


@pytest.fixture
def testset(tmp_path, rng):
    """Held-out frames of two classes."""
    frames = list(RandomDisorder("Si", n_atoms=(4, 6), density=(2.0, 2.4)).sample(6, rng))
    for number, atoms in enumerate(frames):
        found = StillingerWeber().evaluate(atoms)
        atoms.info = {"config_type": "ab"[number % 2], "REF_energy": found.energy}
        atoms.arrays["REF_forces"] = found.forces
    path = tmp_path / "held_out.extxyz"
    write(path, frames)
    return path


def test_a_run_explains_itself(values, run_here, testset, tmp_path):
    values["testset"] = str(testset)
    summary = run_here(values)
    directory = tmp_path / "run"
    names = {path.name for path in directory.iterdir()}
    assert {
        "config.yaml",
        "ledger.db",
        "log.jsonl",
        "summary.json",
        "dataset.extxyz",
        "committee.json",
    } <= names
    assert json.loads((directory / "summary.json").read_text()) == summary
    assert [entry["generation"] for entry in summary["generations"]] == [0, 1, 2]
    assert summary["finished"] == "3 generations are trained"
    assert (
        summary["labels"]["labelled"] == len(data_set(values)) == len(read(directory / "dataset.extxyz", ":"))
    )
    first, last = summary["generations"][0], summary["generations"][-1]
    assert first["structures"]["labelled"] == 8
    assert set(last["evaluate"]["classes"]) == {"a", "b", "all"}
    assert last["evaluate"]["classes"]["all"]["n_structures"] == 6
    assert 0 <= last["evaluate"]["classes"]["all"]["coverage"] <= 1
    assert last["evaluate"]["expected_coverage"] == pytest.approx(0.5)
    assert last["select"]["lo"] == 0.1
    assert last["select"]["learned"] + last["select"]["candidate"] + last["select"]["rejected"] > 0
    candidates = read(directory / "candidates/0001.extxyz", ":")
    assert all(atoms.arrays["force_sigma"].shape == (len(atoms),) for atoms in candidates)
    assert all(atoms.info["generation"] == 1 for atoms in candidates)
    assert sum(atoms.info["selected"] for atoms in candidates) == last_proposed(summary, 1)
    model = load_model(directory / "models/0002")
    factors = model.calibration
    assert len({1.0, factors.energy, factors.forces, factors.stress}) == 4
    assert model.calibration.forces == last["train"]["calibration"]["forces"]
    events = [event["event"] for event in EventLog(directory / "log.jsonl").events()]
    assert events[0] == "started"
    assert events[-1] == "finished"


def last_proposed(summary, generation):
    return summary["generations"][generation]["select"]["proposed"]


def test_running_again_changes_nothing_and_computes_nothing(values, run_here):
    run_here(values)
    before, made = data_set(values), calls(values)
    run_here(values)
    assert data_set(values) == before
    assert calls(values) == made


def test_workers_give_the_same_data(values, run_here, tmp_path):
    run_here(values)
    other = changed(values, executors={"workers": 2}) | {"directory": str(tmp_path / "other")}
    run_here(other)
    assert data_set(other) == data_set(values)


def test_another_seed_gives_other_data(values, run_here, tmp_path):
    run_here(values)
    other = changed(values) | {"directory": str(tmp_path / "other"), "seed": 4}
    run_here(other)
    assert not {row[0] for row in data_set(other)} & {row[0] for row in data_set(values)}


def test_more_generations_later(values, run_here, tmp_path):
    run_here(changed(values, stop={"max_generations": 1}))
    summary = run_here(values)
    assert len(summary["generations"]) == 3
    straight = changed(values) | {"directory": str(tmp_path / "straight")}
    run_here(straight)
    assert data_set(straight) == data_set(values)


def test_a_reference_that_fails_on_a_tenth_does_not_stop_the_run(values, run_here):
    values["reference"]["kwargs"]["fail_below"] = 40  # of 256
    values["initial"][0]["n"] = 40
    values["stop"] = {"max_generations": 2}
    summary = run_here(values)
    failed = summary["labels"]["failed"]
    assert 2 <= failed <= 12
    assert summary["labels"]["labelled"] + failed == len(Ledger.open(ledger(values)).proposals())
    assert sum(summary["failures"].values()) == failed
    unlucky = [name for name, _ in calls(values) if int(name[1:3], 16) < 40]
    assert len(unlucky) == 2 * failed  # one retry each
    made = len(calls(values))
    run_here(values)
    assert len(calls(values)) == made
    run_here(values, retry_failed=True)
    assert summary["labels"]["failed"] == failed


def ledger(values):
    return Path(values["directory"]) / "ledger.db"


def test_failed_labels_can_be_tried_again(values, run_here):
    values["reference"]["kwargs"]["fail_below"] = 256
    with pytest.raises(RuntimeError, match=r"SCF did not converge.*--retry-failed"):
        run_here(values)
    made = len(calls(values))
    with pytest.raises(RuntimeError, match="no label"):
        run_here(values)
    assert len(calls(values)) == made
    with pytest.raises(RuntimeError, match="no label"):
        run_here(values, retry_failed=True)
    assert len(calls(values)) == 2 * made


class TestRetriesOfAFinishedRun:
    @pytest.fixture
    def finished(self, values, run_here, tmp_path):
        """A run that has ended with failed labels, and how to mend its reference."""
        values["reference"]["kwargs"] |= {"fail_below": 60, "mended": str(tmp_path / "mended")}
        values["initial"][0]["n"] = 20
        values["stop"] = {"max_generations": 2}
        summary = run_here(values)
        assert summary["labels"]["failed"] >= 2
        return summary

    def test_what_is_recovered_is_learned_from(self, finished, values, run_here, tmp_path):
        before, failed = data_set(values), finished["labels"]["failed"]
        (tmp_path / "mended").touch()
        summary = run_here(values, retry_failed=True)
        last = summary["generations"][-1]
        assert (last["generation"], len(summary["generations"])) == (2, 3)
        assert last["select"] == {"retried": failed, "proposed": 0}
        assert last["label"] == {"retried": {"labelled": failed}}
        assert last["train"]["n_frames"] == len(before) + failed
        assert "reused" not in last["train"]
        assert summary["finished"] == "3 generations are trained"
        assert "failed" not in summary["labels"]
        after = data_set(values)
        assert after[: len(before)] == before  # a place in the training set is for good
        assert {row[-1] for row in after[len(before) :]} <= {0, 1}
        assert run_here(values, retry_failed=True) == summary  # nothing is left to try
        more = run_here(changed(values, stop={"max_generations": 4}))
        assert len(more["generations"]) == 4
        assert more["generations"][3]["select"]["checks"] > 0
        assert data_set(values)[: len(after)] == after

    def test_without_any_recovered_the_model_stays(self, finished, values, run_here):
        summary = run_here(values, retry_failed=True)
        last = summary["generations"][-1]
        assert last["label"] == {"retried": {"failed": finished["labels"]["failed"]}}
        assert last["train"]["reused"]
        assert summary["labels"] == finished["labels"]

    def test_a_retry_that_is_killed_goes_on(self, finished, values, run_here, tmp_path, monkeypatch):
        (tmp_path / "mended").touch()
        labelled = Ledger.keep_order

        def killed(self, reference, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(Ledger, "keep_order", killed)
        with pytest.raises(KeyboardInterrupt):
            run_here(values, retry_failed=True)
        monkeypatch.setattr(Ledger, "keep_order", labelled)
        summary = run_here(values)
        assert len(summary["generations"]) == 3
        assert "failed" not in summary["labels"]


def test_labels_had_again_in_the_course_of_a_run_move_no_others(values, run_here, tmp_path):
    values["reference"]["kwargs"] |= {"fail_below": 60, "mended": str(tmp_path / "mended")}
    values["initial"][0]["n"] = 20
    run_here(changed(values, stop={"max_generations": 1}))
    before = data_set(values)
    (tmp_path / "mended").touch()
    run_here(values, retry_failed=True)
    assert data_set(values)[: len(before)] == before
    written = read(Path(values["directory"]) / "dataset.extxyz", ":")
    assert [atoms.info["REF_energy"] for atoms in written] == pytest.approx([r[2] for r in data_set(values)])


class TestRunsOfEarlierVersions:
    """Their configuration lacks settings that were added since."""

    @pytest.fixture
    def earlier(self, values, run_here):
        run_here(changed(values, stop={"max_generations": 2}))
        database = Ledger.open(ledger(values))
        config = database.meta("config")
        del config["live"], config["selection"]["measure"], config["selection"]["level"]
        del config["explore"]["limits"], config["explore"]["start"][0]["limits"]
        config["explore"]["dynamics"] = values["explore"]["dynamics"]
        for sampler in (*config["initial"], *config["explore"]["start"]):
            del sampler["filters"]
        database.set_meta("config", config)
        with database._write() as connection:
            connection.execute("DELETE FROM meta WHERE key IN ('fingerprint', 'order')")
        return config

    def test_they_go_on(self, earlier, values, run_here, tmp_path):
        before = data_set(values)
        run_here(values)
        assert data_set(values)[: len(before)] == before
        straight = changed(values) | {"directory": str(tmp_path / "straight")}
        run_here(straight)
        assert data_set(straight) == data_set(values)

    def test_their_tasks_keep_their_keys(self, earlier, values):
        frozen = {key: value for key, value in earlier.items() if key in RunConfig.model_fields}
        for free in ("name", "directory", "executors", "stop", "testset"):
            del frozen[free]
        expected = hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:8]
        config = parse_config(values, source="test")
        for _ in range(2):  # the second time the ledger holds the completed configuration
            with RunDirectory(config) as directory:
                assert directory.fingerprint == expected
                assert directory.ledger.meta("config")["live"] is True

    def test_what_is_new_must_have_its_default(self, earlier, values, run_here):
        values["selection"] |= {"measure": "relative", "level": 1.0}
        with pytest.raises(ValueError, match=r"selection.measure: 'force' before, 'relative' now"):
            run_here(values)


def test_failures_that_only_the_store_knows_are_tried_again_too(values, run_here):
    values["reference"]["kwargs"]["fail_below"] = 256
    with pytest.raises(RuntimeError, match="no label"):
        run_here(values)
    made = len(calls(values))
    database = Ledger.open(ledger(values))
    assert len(database.forget_failures(database.meta("reference"))) == 8  # as if killed before recording
    with pytest.raises(RuntimeError, match="no label"):
        run_here(values, retry_failed=True)
    assert len(calls(values)) == 2 * made


def test_a_reference_that_does_not_work_is_found_out_early(values, run_here):
    values["reference"] = {"factory": "active_toy:WithoutNumbers", "retries": 0}
    values["initial"][0]["n"] = 40
    with pytest.raises(RuntimeError, match="not finite"):
        run_here(values)
    assert len(Ledger.open(ledger(values)).labels(Ledger.open(ledger(values)).meta("reference"))) < 20


def test_structures_with_large_forces_are_not_learned_from(values, run_here):
    values["reference"]["max_force"] = 6.0
    values["stop"] = {"max_generations": 1}
    summary = run_here(values)
    assert summary["labels"]["rejected"] >= 1
    database = Ledger.open(ledger(values))
    forces = [atoms.arrays["REF_forces"] for atoms in database.training_set(database.meta("reference"))]
    assert max(np.linalg.norm(f, axis=1).max() for f in forces) <= 6.0


def test_hanging_references_are_stopped(values, run_here):
    values["reference"] = {"factory": "active_toy:hanging", "retries": 0, "timeout_s": 0.05}
    with pytest.raises(RuntimeError, match="TaskTimeoutError"):
        run_here(values)


def test_results_outlive_the_ledger(values, run_here, tmp_path):
    run_here(values)
    before, made = data_set(values), calls(values)
    for path in (tmp_path / "run").iterdir():
        if path.is_file():
            path.unlink()
        elif path.name != "results":
            path.rename(tmp_path / f"old-{path.name}")
    run_here(values)
    assert data_set(values) == before
    assert calls(values) == made


class TestRefusals:
    @pytest.fixture(autouse=True)
    def finished(self, values, run_here):
        values["stop"] = {"max_generations": 1}
        run_here(values)

    def test_another_reference(self, values, run_here):
        values["reference"]["kwargs"]["fail_below"] = 1
        with pytest.raises(ValueError, match=r"labels of another reference .*fail_below"):
            run_here(values)

    def test_another_configuration(self, values, run_here):
        values["selection"]["batch"] = 4
        values["seed"] = 5
        with pytest.raises(ValueError, match=r"seed: 3 before, 5 now; selection.batch: 3 before, 4 now"):
            run_here(values)

    def test_another_version(self, values, run_here):
        Ledger.open(ledger(values)).set_meta("format", 0)
        with pytest.raises(ValueError, match="ledger format 0"):
            run_here(values)

    def test_a_damaged_ledger(self, values, run_here):
        ledger(values).write_bytes(b"SQLite format 3\x00 but no more")
        with pytest.raises(ValueError, match="not a ledger"):
            run_here(values)

    def test_a_folder_with_other_things(self, values, run_here, tmp_path):
        other = tmp_path / "home"
        other.mkdir()
        (other / "config.yaml").write_text("precious")
        with pytest.raises(ValueError, match=r"holds no ledger but other files \(config.yaml\)"):
            run_here(values | {"directory": str(other)})
        assert (other / "config.yaml").read_text() == "precious"
        with pytest.raises(ValueError, match="is a file"):
            run_here(values | {"directory": str(other / "config.yaml")})


def test_two_runs_cannot_share_a_folder(values, spawn, run_here, tmp_path):
    values["reference"]["kwargs"] |= {"block_at": 2, "blocked": str(tmp_path / "blocked")}
    process = spawn(values)
    wait_for((tmp_path / "blocked").exists, process)
    with pytest.raises(RuntimeError, match=rf"another run \(process {process.pid}\)"):
        run_here(values)
    assert main(["status", values["directory"]]) == 0


def test_whoever_only_asks_whether_a_run_is_at_work_keeps_none_from_starting(values, monkeypatch):
    folder = Path(values["directory"])
    folder.mkdir()
    asking = (folder / "run.lock").open("w")
    fcntl.flock(asking, fcntl.LOCK_SH)  # as `is_running` does, for an instant
    monkeypatch.setattr("ase_mlsample.active.run_directory.time.sleep", lambda _: asking.close())
    with RunDirectory(parse_config(values, source="test")):
        assert asking.closed
        assert is_running(folder)
    assert not is_running(folder)


def test_a_report_that_fails_does_not_end_the_run(values, quiet):
    def report(directory):
        raise OSError("no space for plots")

    values["stop"] = {"max_generations": 1}
    ActiveLoop(parse_config(values, source="test"), console=quiet, report=report).run()
    events = EventLog(Path(values["directory"]) / "log.jsonl").events()
    assert [event["error"] for event in events if event["event"] == "report_failed"] == [
        "OSError: no space for plots"
    ]


def test_without_candidates_the_model_stays(values, run_here):
    values["selection"] = {"lo": 50.0, "hi": 60.0, "audit": 0}
    values["stop"] = {"max_generations": 9, "rounds": 2}
    summary = run_here(values)
    assert len(summary["generations"]) == 3
    assert summary["finished"].startswith("fewer than")
    assert all(entry["train"]["reused"] for entry in summary["generations"][1:])


def test_command_line(values, tmp_path, capsys):
    values["stop"] = {"max_generations": 1}
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(values))
    assert main(["run", str(path), "--check"]) == 0
    assert not (tmp_path / "run").exists()
    assert main(["run", str(path), "--set", "selection.bach=3"]) == 2
    assert "did you mean 'batch'" in capsys.readouterr().err
    assert main(["run", str(path), "--workers", "1"]) == 0
    assert main(["status", values["directory"], "--json"]) == 0
    status = json.loads(capsys.readouterr().out.split("\n{", 1)[1].join(["{", ""]))
    assert status["labels"] == {"labelled": 8}
    assert status["running"] is False
    assert main(["run", str(path), "--set", "seed=9"]) == 2
    assert "another configuration" in capsys.readouterr().err
    assert main(["status", str(tmp_path)]) == 2


def test_tables_fit_into_80_columns(values, run_here, testset):
    summary = run_here(values | {"testset": str(testset)})
    console = Console(width=80, file=io.StringIO())
    console.print(generation_table(summary))
    text = console.file.getvalue()
    assert "…" not in text
    assert all(word in text for word in ("lo–hi", "uncertain", "1σ", " a ", " b "))


def test_logs_are_wide(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    console = wide_console()
    assert not console.is_terminal
    assert console.width == 120
    monkeypatch.setenv("COLUMNS", "200")
    assert wide_console().width == 200


def test_ledger_is_read_while_it_is_written(values, run_here):
    run_here(changed(values, stop={"max_generations": 1}))
    database = Ledger.open(ledger(values))
    connection = sqlite3.connect(ledger(values))
    connection.execute("BEGIN IMMEDIATE")
    assert len(database.proposals()) == 8
    connection.rollback()
    connection.close()
