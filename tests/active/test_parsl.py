"""Workers in blocks: job scripts without a cluster, and a run on two blocks of this machine."""

import json
import os
import re
import signal
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from active_helpers import alive, calls, data_set, descendants, wait_for

from ase_mlsample.active.config_file import check_config, parse_config
from ase_mlsample.active.executor_settings import ParslSettings
from ase_mlsample.active.parsl_executor import drain_period
from ase_mlsample.cli import main

GOLDEN = Path(__file__).parent / "golden"


def settings(**values):
    return ParslSettings(type="parsl", **({"preset": "slurm", "walltime": "02:00:00"} | values))


class TestWallTime:
    def test_nothing_begins_that_could_outlast_a_block(self):
        assert drain_period(settings(), 1800.0, kind="label") == 7200 - 1800 - 120

    def test_what_goes_on_where_it_was_may_be_cut(self):
        assert drain_period(settings(), None, kind="train") is None

    def test_blocks_of_this_machine_have_no_end(self):
        assert drain_period(settings(preset="local"), 1e6, kind="label") is None

    def test_too_short_blocks_are_refused(self):
        with pytest.raises(ValueError, match=r"executors.label: blocks of 02:00:00 are too short"):
            drain_period(settings(), 7000.0, kind="label")

    def test_labels_need_a_limit(self, values):
        pytest.importorskip("parsl")
        values["executors"] = {"label": {"type": "parsl", "preset": "slurm"}}
        with pytest.raises(ValueError, match=r"give reference.timeout_s"):
            check_config(parse_config(values, source="test"))


def test_without_parsl_it_is_told_how_to_get_it(values, monkeypatch):
    monkeypatch.setitem(sys.modules, "parsl", None)
    values["executors"] = {"label": {"type": "parsl", "preset": "local"}}
    with pytest.raises(ValueError, match=r"pip install 'ase-mlsample\[parsl\]'"):
        check_config(parse_config(values, source="test"))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("slurm_mpi", {"nodes": 2, "launch": "srun -n 128 --ntasks-per-node=64 --exact"}),
        ("slurm_gpu", {"workers": 4, "accelerators": 4, "threads": 8, "queue": "gpu"}),
        ("pbs_mpi", {"preset": "pbs", "cores": 64, "launch": "mpirun -np 64", "queue": "normal"}),
    ],
)
def test_job_scripts(name, given, tmp_path, monkeypatch):
    pytest.importorskip("parsl", reason="parsl is not installed (the extra `parsl`)")
    from ase_mlsample.active.parsl_executor import job_script

    monkeypatch.delenv("PYTHONPATH")
    given = {"account": "abc", "init": "module load quantum-espresso", "blocks": 8} | given
    script = job_script(settings(**given), kind="label", folder=tmp_path, limit_s=1800.0)
    for text, stands_for in (
        (str(tmp_path), "FOLDER"),
        (str(Path.cwd()), "HERE"),
        (str(Path(sys.executable).parent), "PYTHON"),
    ):
        script = script.replace(text, stands_for)
    script = re.sub(r"label\.\d+\.\d+", "label.TIME", script)
    golden = GOLDEN / f"{name}.sh"
    if "MLSAMPLE_WRITE_GOLDEN" in os.environ:
        golden.write_text(script)
    assert script == golden.read_text()


def test_the_command_shows_what_it_would_submit(values, tmp_path, capsys):
    pytest.importorskip("parsl", reason="parsl is not installed (the extra `parsl`)")
    block = {"type": "parsl", "preset": "slurm", "address": "login1", "walltime": "00:30:00"}
    values["executors"] = {"label": block, "explore": block | {"queue": "gpu"}, "train": "explore"}
    values["reference"]["timeout_s"] = values["explore"]["timeout_s"] = 60.0
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(values))
    assert main(["run", str(path), "--job-scripts"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^# (\w+)$", printed, re.MULTILINE) == ["explore", "label"]
    assert printed.count("#SBATCH --time=30") == 2
    assert printed.count("#SBATCH --partition=gpu") == 1
    # walltime less what a call may take (one trajectory; two attempts at a label) and what is around it
    assert "--drain_period=1590" in printed
    assert "--drain_period=1530" in printed
    assert not (tmp_path / "run").exists()


def test_a_run_survives_the_loss_of_one_of_two_blocks(values, run_here, spawn, tmp_path):
    pytest.importorskip("parsl", reason="parsl is not installed (the extra `parsl`)")
    values["stop"] = {"max_generations": 2}
    peaceful = deepcopy(values) | {"directory": str(tmp_path / "peace")}
    peaceful["reference"]["kwargs"]["calls"] = str(tmp_path / "peaceful_calls")
    run_here(peaceful)
    values["executors"] = {
        "label": {"type": "parsl", "preset": "local", "blocks": 2, "heartbeat_s": 5},
        "scratch": str(tmp_path / "scratch"),
    }
    values["reference"]["kwargs"] |= {"block_at": 4, "blocked": str(tmp_path / "blocked")}
    process = spawn(values)
    victim = int(
        wait_for(lambda: (tmp_path / "blocked").exists() and (tmp_path / "blocked").read_text(), process)
    )
    started = descendants(process.pid)
    os.killpg(os.getpgid(victim), signal.SIGKILL)  # a block is a group of processes
    assert process.wait() == 0, process.output.read_text()
    made = [structure for structure, _ in calls(values)]
    assert len(made) == len(set(made)) + 1  # the call that was lost
    assert data_set(values) == data_set(peaceful)
    assert len({pid for _, pid in calls(values)}) >= 2
    assert not list((tmp_path / "scratch").iterdir())
    wait_for(lambda: not any(alive(pid) for pid in started))
