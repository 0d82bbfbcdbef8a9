"""The viewer that ASE finds; the entry point itself is the package's metadata."""

import subprocess
import sys

from ase.visualize.viewers import CLIViewer

from ase_mlsample.ase_plugins import VIEWER
from tests.gui.frames import bare, coloured


def test_the_viewer_opens_our_verb_on_the_frames(monkeypatch):
    opened = []
    monkeypatch.setattr("ase.visualize.viewers.subprocess.check_call", opened.append)
    CLIViewer("mlsample", VIEWER.fmt, VIEWER.argv).view_blocking([coloured(), bare()])
    (command,) = opened
    assert command[:-1] == VIEWER.argv
    assert command[-1].endswith(".xyz")


def test_the_command_runs_and_says_what_is_wrong(tmp_path):
    done = subprocess.run([*VIEWER.argv, str(tmp_path / "x")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "neither a run's directory nor a file" in done.stderr


def test_asking_for_plugins_loads_nothing_heavy():
    code = "import sys, ase_mlsample.ase_plugins\nprint('tkinter' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
