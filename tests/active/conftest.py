"""Toy configurations, and runs in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ase_mlsample.active import ActiveLoop
from ase_mlsample.active.config_file import parse_config

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for the tests and, through PYTHONPATH, for worker processes


@pytest.fixture(autouse=True)
def toy_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def values(tmp_path):
    """A configuration with a counting reference and a committee that needs no training."""
    disorder = {"sampler": "RandomDisorder", "composition": "Si", "n_atoms": [4, 6], "density": [2.0, 2.4]}
    return {
        "directory": str(tmp_path / "run"),
        "seed": 3,
        "elements": ["Si"],
        "reference": {"factory": "active_toy:Witness", "kwargs": {"calls": str(tmp_path / "calls")}},
        "model": {
            "type": "committee",
            "factory": "ase_mlsample.calculators:StillingerWeber",
            "members": [{"lambda_": 23.0, "epsilon": 2.0}, {"lambda_": 20.0}],
        },
        "initial": [{**disorder, "n": 8}],
        "explore": {
            "n": 4,
            "start": [disorder],
            "dynamics": {"duration_ps": 0.04, "check_every": 5, "temperature_K": [500, 2000]},
        },
        "selection": {"batch": 3, "lo": 0.1},
        "stop": {"max_generations": 3},
    }


@pytest.fixture
def quiet():
    with Path(os.devnull).open("w") as nothing:
        yield Console(file=nothing)


@pytest.fixture
def run_here(quiet):
    """Run a configuration in this process."""

    def run(values, **options):
        return ActiveLoop(parse_config(values, source="test"), console=quiet).run(**options)

    return run


@pytest.fixture
def spawn(tmp_path):
    """Start ``active_drive.py`` with a configuration; what is left of it is killed at the end."""
    started = []

    def start(values, *arguments):
        config = tmp_path / f"config{len(started)}.yaml"
        config.write_text(json.dumps(values))  # JSON is YAML
        command = [sys.executable, str(HERE / "active_drive.py"), str(config), *map(str, arguments)]
        with (tmp_path / f"output{len(started)}").open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path)
        process.output = Path(output.name)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
