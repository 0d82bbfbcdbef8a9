"""What ASE finds by the entry points, as pyproject.toml declares them and as an installation has them."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from ase.visualize.viewers import VIEWERS, define_external_viewer

from ase_mlsample import ase_plugins
from ase_mlsample.ase_plugins import VIEWER
from ase_mlsample.gui.ase_viewers import view_mlsample, view_mlsample_notebook

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
DECLARED = PROJECT["entry-points"]["ase.visualize"]


@pytest.mark.parametrize(
    ("name", "function"), [("mlsample", view_mlsample), ("mlsample_notebook", view_mlsample_notebook)]
)
def test_ase_makes_our_viewers_of_what_is_declared(name, function, monkeypatch):
    monkeypatch.delitem(VIEWERS, name, raising=False)
    define_external_viewer(EntryPoint(name, DECLARED[name], "ase.visualize"))
    assert VIEWERS[name]._viewfunc() is function


def test_the_installation_has_what_is_declared():
    assert "mlsample" in VIEWERS  # by the metadata; else ASE would know no such viewer


def test_the_plugins_of_ase_list_them():
    collection = pytest.importorskip("ase._4.plugins").PluginCollection
    entry = EntryPoint("mlsample", PROJECT["entry-points"]["ase.plugins"]["mlsample"], "ase.plugins")
    plugins = entry.load().__ase_plugins__
    found = {plugin.name: plugin for plugin in collection(plugins)}
    assert set(found) == set(DECLARED)
    assert found["mlsample"].implementation._viewfunc() is view_mlsample


def test_a_later_ase_without_its_experiment_finds_no_plugins(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase._4.plugins.viewer", None)
    assert not hasattr(ase_plugins, "__ase_plugins__")
    assert not hasattr(ase_plugins, "anything_else")


def test_a_window_that_cannot_open_is_told_by_its_process():
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    code = (
        "import io, sys, types\nfrom ase.build import bulk\n"
        "from ase_mlsample.gui import ase_viewers, passing\n"
        "options = dict(color='x', window=None, log=False, plot=False, repeat=None)\n"
        "content, _ = passing.pack_frames([bulk('Si')], **options)\n"
        "sys.stdin = types.SimpleNamespace(buffer=io.BytesIO(content))\nase_viewers.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert "ase_mlsample: the ASE GUI" in done.stderr


def test_asking_for_plugins_loads_nothing_heavy():
    code = "import sys, ase_mlsample.ase_plugins\nprint('tkinter' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert VIEWER.module == "ase_mlsample.gui.ase_viewers"
