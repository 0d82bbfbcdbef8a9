"""``ase.visualize.view`` with our viewer; no process is started, but what it would get is looked at."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import write
from ase.io.trajectory import Trajectory
from ase.visualize.viewers import PyViewer

from ase_mlsample.ase_plugins import VIEWER
from ase_mlsample.gui import ase_viewers
from ase_mlsample.gui.passing import unpack_frames
from tests.gui.frames import bare, coloured


@pytest.fixture
def view():
    """The viewer as ASE makes it from the entry point."""
    return PyViewer("mlsample", VIEWER.desc, VIEWER.module).view


@pytest.fixture
def started(monkeypatch):
    """Commands of processes that would start, and what is written to them."""
    commands = []

    class Pipe(io.BytesIO):
        def close(self):
            pass

    def start(command, stdin=None):
        commands.append(SimpleNamespace(command=command, stdin=Pipe(), wait=lambda: 0))
        return commands[-1]

    monkeypatch.setattr(ase_viewers.subprocess, "Popen", start)
    monkeypatch.setattr(ase_viewers, "require_window", lambda: None)
    return commands


@pytest.fixture
def read_trajectory(tmp_path):
    with Trajectory(tmp_path / "a.traj", "w") as file:
        file.write(bare())
        file.write(bare())
    with Trajectory(tmp_path / "a.traj") as frames:
        yield frames


def sent(process):
    process.stdin.seek(0)
    return unpack_frames(process.stdin)


@pytest.mark.parametrize("form", ["one", "list", "generator", "trajectory"])
def test_frames_in_any_form(form, view, started, request):
    if form == "trajectory":
        given, number = request.getfixturevalue("read_trajectory"), 2
    else:
        given, number = {"one": (coloured(), 1), "list": ([coloured(), bare()], 2), "generator": (
            (atoms for atoms in (bare(), bare(), coloured())), 3)}[form]  # fmt: skip
    view(given, data=None, repeat=None)
    frames, options = sent(started[0])
    assert len(frames) == number
    assert options == {"color": "force_sigma", "window": None, "log": False, "plot": False, "repeat": None}


def test_colours_and_forces_are_in_the_window(view, started, opened_by, monkeypatch):
    view([bare(), coloured()], repeat=(2, 1, 1), color="force", plot=True)
    started[0].stdin.seek(0)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=started[0].stdin))
    shown = []

    def run(viewer):
        shown.append(viewer)

    monkeypatch.setattr("ase_mlsample.gui.window.Viewer.run", run)
    opened_by(lambda: (ase_viewers.main(), shown[0])[1])
    (viewer,) = shown
    assert [len(atoms) for atoms in viewer.images] == [4, 16]
    assert viewer.scalar.key == "force"
    assert viewer.current_range() == (5.0, 5.0)
    assert np.array_equal(viewer.images[1].arrays["force_sigma"][:8], coloured().arrays["force_sigma"])
    assert viewer.plot_window.exists


def test_a_path_is_opened_by_the_verb(view, started, tmp_path):
    write(tmp_path / "a.extxyz", bare())
    view(tmp_path / "a.extxyz", window=(-1e-5, 0.5), log=True)
    view(str(tmp_path / "later.extxyz"), live=True, plot=True)
    found = [process.command[3:] for process in started]
    assert found == [
        [str(tmp_path / "a.extxyz"), "--color", "force_sigma", "--range", "-0.00001", "0.5", "--log"],
        [str(tmp_path / "later.extxyz"), "--color", "force_sigma", "--live", "--plot", "--history", "200"],
    ]


@pytest.mark.filterwarnings("always")
def test_what_is_lost_is_said(view, started):
    atoms = bare()
    atoms.info["model"] = object()
    with pytest.warns(UserWarning, match=r"does not get info\['model'\]"):
        view(atoms)


@pytest.mark.parametrize(
    ("given", "options", "error", "match"),
    [
        ([], {}, ValueError, "no structures"),
        ([1], {}, TypeError, "frame 0 is a int"),
        ([bare()], {"data": np.zeros(3)}, ValueError, "volumetric"),
        ([coloured()], {"color": "REF_forces"}, ValueError, r"\|REF_forces\|"),
        ([bare()], {"repeat": (1, 2)}, ValueError, "one or three"),
        ([bare()], {"live": True}, TypeError, "LiveView"),
        ([bare()], {"colour": "x"}, TypeError, "colour"),
        ("nowhere", {}, FileNotFoundError, "neither a run"),
    ],
)
def test_mistakes_are_told_before_a_process_starts(given, options, error, match, view, started):
    with pytest.raises(error, match=match):
        view(given, **options)
    assert started == []


def test_without_a_display_the_notebook_is_named(view, monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RuntimeError, match=r"DISPLAY is not set.*mlsample_notebook"):
        view(bare())


def test_without_tkinter_the_package_is_named(view, monkeypatch):
    monkeypatch.setattr(ase_viewers, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="apt install python3-tk"):
        view(bare())
