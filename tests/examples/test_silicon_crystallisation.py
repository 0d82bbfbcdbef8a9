"""The silicon study, made short, and what its analysis finds where the answer is known."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from ase_mlsample.analysis import read_colvar

STUDY = Path(__file__).parents[2] / "examples" / "silicon_crystallisation"


def script(name, *words, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", STUDY / name, *words],
        cwd=folder,
        env={**os.environ, "MLSAMPLE_SHORT": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def analyse(monkeypatch):
    """The module analyse.py, which imports its neighbour run.py."""
    monkeypatch.syspath_prepend(STUDY)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delitem(sys.modules, "run", raising=False)
    spec = importlib.util.spec_from_file_location("silicon_analyse", STUDY / "analyse.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("run", None)


def test_run_go_on_and_analyse(tmp_path):
    assert "the bias is decaying" in script("run.py", "--steps", "200", folder=tmp_path)
    assert "the bias is static" in script("run.py", "--steps", "400", folder=tmp_path)
    out = script("analyse.py", folder=tmp_path)
    assert "barrier" in out
    assert "reweighted: no way between liquid and crystal" in out
    folder = tmp_path / "runs" / "silicon_crystallisation"
    assert (folder / "silicon.png").stat().st_size > 10_000
    log = read_colvar(folder / "COLVAR")
    assert len(log) == 600 // 5 + 1
    assert log["phase"][-1] == 2
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["time_ns"] == pytest.approx(1.2e-3)
    assert summary["snapshots"]["crystal"]["n"] > 180
    crystal = read(folder / "crystal.extxyz")
    assert set(crystal.arrays) >= {"crystallinity", "cluster"}
    assert crystal.info["largest_cluster"] == np.sum(crystal.arrays["cluster"] == 1) > 180


def test_barriers_of_a_known_free_energy(analyse):
    """Samples of a flattened double well with a static bias, crossing every block: barriers of 78 and 67."""
    n = np.linspace(0.05, 215.95, 2160)
    F = np.interp(n, [0, 1.5, 100.5, 214.5, 216], [4, 0, 78, 11, 20])
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(n), 60_000)
    curves = [analyse.reweighted(n[chosen], -F[chosen] * analyse.KT, blocks) for blocks in analyse.BLOCKS]
    found = analyse.barriers(curves)
    assert found["from_liquid"] == pytest.approx(78, abs=1)
    assert found["from_crystal"] == pytest.approx(67, abs=1)
    assert (found["liquid"], found["top"], found["crystal"]) == pytest.approx((1.5, 100.5, 214.5), abs=1.1)
    assert 0.02 < found["from_liquid_error"] < 0.3
    band = analyse.band(curves[0], 1)
    assert band[1] == 0
    assert 0.02 < np.median(band) < 0.3


def test_freezing_and_melting_are_counted(analyse):
    assert analyse.transitions(np.array([2, 100, 205, 210, 100, 205, 8, 100, 8, 214])) == (2, 1)
    assert analyse.transitions(np.array([100.0])) == (0, 0)
