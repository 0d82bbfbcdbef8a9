"""Workers in blocks: job scripts without a cluster, and a run on two blocks of this machine."""

import json
import os
import re
import signal
import sys
from copy import deepcopy
from itertools import takewhile
from pathlib import Path

import pytest
from active_helpers import alive, calls, data_set, descendants, wait_for

from ase_mlsample.active.config_file import check_config, parse_config
from ase_mlsample.active.executor_settings import ParslSettings
from ase_mlsample.active.parsl_executor import drain_period
from ase_mlsample.active.store import ResultStore
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

    monkeypatch.delenv("PYTHONPATH", raising=False)
    given = {"account": "abc", "init": "module load quantum-espresso", "blocks": 8} | given
    script = job_script(settings(**given), kind="label", folder=tmp_path, limit_s=1800.0)
    for text, stands_for in (
        (str(tmp_path), "FOLDER"),
        (str(Path(sys.executable).parent), "PYTHON"),
        (str(Path.cwd()), "HERE"),
    ):
        script = script.replace(text, stands_for)
    script = re.sub(r"label\.\d+\.\d+", "label.TIME", script)
    golden = GOLDEN / f"{name}.sh"
    if "MLSAMPLE_WRITE_GOLDEN" in os.environ:
        golden.write_text(script)
    assert ours(script) == ours(golden.read_text())


def ours(script):
    """What of a job script is of our making, whichever version of Parsl wrote it."""
    lines = [" ".join(line.split()) for line in script.splitlines()]
    head = sorted(line for line in lines if line.startswith(("#SBATCH", "#PBS")))
    start = next(n for n, line in enumerate(lines) if line == "module load quantum-espresso")
    shell = list(takewhile(lambda line: not line.startswith("export JOBNAME"), filter(None, lines[start:])))
    (pool,) = (line for line in lines if line.startswith("process_worker_pool.py"))
    options = {}
    for word in pool.replace("=", " ").split()[1:]:
        if word.startswith("-"):
            options[name := word] = []
        else:
            options[name].append(word)
    options = {name: options[name] for name in OPTIONS}
    launchers = [line.split()[0] for line in lines if line.startswith(("srun", "mpiexec"))]
    return {"head": head, "shell": shell, "options": options, "launchers": launchers}


# of the workers of a block; the others are Parsl's own
OPTIONS = ("--max_workers_per_node", "-a", "-c", "--port", "--block_id", "--hb_period", "--hb_threshold")
OPTIONS += ("--drain_period", "--available-accelerators")


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
    # walltime less what a call may take (one trajectory; twice the limit of a label) and what is around it
    assert "--drain_period=1590" in printed
    assert "--drain_period=1530" in printed
    assert not (tmp_path / "run").exists()


def test_a_run_survives_the_loss_of_a_block_and_then_of_its_driver(values, run_here, spawn, tmp_path):
    pytest.importorskip("parsl", reason="parsl is not installed (the extra `parsl`)")
    values["stop"] = {"max_generations": 2}
    peaceful = deepcopy(values) | {"directory": str(tmp_path / "peace")}
    peaceful["reference"]["kwargs"]["calls"] = str(tmp_path / "peaceful_calls")
    run_here(peaceful)
    assert len(calls(peaceful)) > 8
    values["executors"] = {
        "label": {"type": "parsl", "preset": "local", "blocks": 2, "heartbeat_s": 8},
        "scratch": str(tmp_path / "scratch"),
    }
    # the fourth call, and the first of the second generation: nine are made for the eight labels of the first
    values["reference"]["kwargs"] |= {"block_at": [4, 10], "blocked": str(tmp_path / "blocked")}
    process = spawn(values)
    victim = blocked_at(4, process, tmp_path)
    os.killpg(os.getpgid(victim), signal.SIGKILL)  # a block is a group of processes
    other = blocked_at(10, process, tmp_path)
    assert os.getpgid(other) != os.getpgid(process.pid)  # Ctrl-C is for the driver
    assert other != victim
    assert not {os.getpgid(pid) for pid in descendants(process.pid)} & {os.getpgid(process.pid)}
    assert processes_of(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not processes_of(tmp_path) and not alive(other))  # the blocks hear nothing any more
    kept = {key.split(".")[0] for key in ResultStore(tmp_path / "run/results").keys() if key[0] == "s"}  # noqa: SIM118
    made = [structure for structure, _ in calls(values)]
    assert len(made) == len(set(made)) + 1  # the call that was lost
    del values["executors"]
    run_here(values)
    assert not {structure for structure, _ in calls(values)[len(made) :]} & kept
    assert data_set(values) == data_set(peaceful)


def blocked_at(number, process, tmp_path):
    """Process of the call that waits to be killed."""
    path = tmp_path / f"blocked-{number}"
    return int(wait_for(lambda: path.exists() and path.read_text(), process))


def processes_of(folder):
    """Processes whose command line names a folder: the job scripts and managers of blocks."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder).encode() in words and alive(int(path.parent.name)):
            found.add(int(path.parent.name))
    return found
