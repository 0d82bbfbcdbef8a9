"""PLUMED's command line, from PATH or from the wheel `hillclimber` on PYTHONPATH."""

import shutil
import subprocess
import sys

import pytest


def run_plumed(*arguments, folder):
    """Run `plumed`; skip where there is none."""
    command = [*_command(), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def _command():
    if shutil.which("plumed"):
        return ["plumed"]
    # in a process of its own: an import may load libraries that stay
    probe = [sys.executable, "-c", "import plumed; plumed.cli, plumed.BUNDLED_PLUMED_BIN"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs PLUMED: its command, or pip install --no-deps hillclimber==0.1.8")
    return [sys.executable, "-c", "import sys, plumed; sys.argv[0] = 'plumed'; sys.exit(plumed.cli())"]
