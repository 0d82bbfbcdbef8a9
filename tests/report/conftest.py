"""The folder of a small run, made through its ledger once, and copies of it."""

import shutil

import pytest

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.report import write_report
from tests.report.report_run import REFERENCE, crystals, make_run, write_testset


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a held-out set and a run; nobody may change it."""
    folder = tmp_path_factory.mktemp("made")
    write_testset(folder / "held_out.extxyz")
    (folder / "run").mkdir()
    make_run(folder / "run", folder / "held_out.extxyz")
    return folder


@pytest.fixture(scope="session")
def written(made, tmp_path_factory):
    """A run whose report is written; nobody may change it."""
    directory = tmp_path_factory.mktemp("written") / "run"
    shutil.copytree(made / "run", directory)
    write_report(directory)
    return directory


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made but not drawn, which takes most of the time of a report."""
    monkeypatch.setattr("ase_mlsample.report.drawn.as_png", lambda figure: b"PNG")
    monkeypatch.setattr("ase_mlsample.report.drawn.as_svg", lambda figure, name: b"<svg></svg>")


@pytest.fixture
def run(made, tmp_path):
    """A run of one's own, with a held-out set of its own beside it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    ledger = Ledger.open(tmp_path / "run/ledger.db")
    ledger.set_meta("config", ledger.meta("config") | {"testset": str(tmp_path / "held_out.extxyz")})
    return tmp_path / "run"


@pytest.fixture
def testset(made):
    return made / "held_out.extxyz"


@pytest.fixture
def begun(tmp_path):
    """A run that has only proposed structures."""
    directory = tmp_path / "begun"
    directory.mkdir()
    config = {"name": "new", "elements": ["Ar"], "reference": {}}
    ledger = Ledger.create(directory / "ledger.db", reference=REFERENCE, config=config)
    ledger.propose(0, crystals(3, 0.1), stage="select", summary={})
    return directory
