"""The silicon study, made short, and what its analysis finds where the answer is known."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from ase_mlsample.analysis import read_colvar
from ase_mlsample.analysis.free_energy import FreeEnergy
from ase_mlsample.training import Dataset, ModelSettings, TrainingSettings, train_ensemble

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
    assert "reweighted" not in out  # it never melted
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


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Runs a script of the study in this process, made short, in an empty folder."""
    monkeypatch.syspath_prepend(STUDY)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("MLSAMPLE_SHORT", "1")
    monkeypatch.chdir(tmp_path)
    names = ("run", "analyse", "learned", "compare")

    def forget():
        for name in names:
            sys.modules.pop(name, None)

    def main(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *words])
        importlib.import_module(name).main()

    forget()
    yield main
    forget()


@pytest.fixture
def model(call):
    """A small ensemble, of the frames of a short study, with its labels beside it."""
    call("run", "--steps", "400")
    frames = Dataset.read("runs/silicon_crystallisation/run.extxyz", calculator_labels=True)
    train_ensemble(
        frames,
        model=ModelSettings(members=2, hidden=(8,)),
        settings=TrainingSettings(epochs=10, batch_size=1, folds=4, validation_folds=1),
        rng=np.random.default_rng(0),
        directory="model",
        progress=False,
    )
    frames.write("model/dataset.extxyz")
    return ("--model", "model/model.safetensors", "--start", "crystal", "--rounds", "1")


def test_learned_potential(model, call, capsys):
    """Dynamics with a round of labels within; in pieces the same as in one; both free energies compared."""
    call("learned", *model)
    assert "60 steps so far" in capsys.readouterr().out
    for steps in ("15", "30", "15"):
        call("learned", *model, "--folder", "pieces", "--steps", steps)
    folder = Path("runs/silicon_crystallisation/learned")
    for name in ("COLVAR", "unsure.extxyz"):
        assert (folder / name).read_text() == Path("pieces", name).read_text()
    assert len(read_colvar(folder / "COLVAR")) == 60 // 5 + 1
    (line,) = [json.loads(text) for text in (folder / "rounds.jsonl").read_text().splitlines()]
    assert line["labels"] == len(read(folder / "models/1/labelled.extxyz", ":")) == 2
    assert line["step"] < 60
    assert line["after"]["force_rmse_eV_A"] < line["before"]["force_rmse_eV_A"]

    call("compare")
    assert "the learned run froze 0 and melted 0 times" in capsys.readouterr().out
    assert (folder / "learned.png").stat().st_size > 10_000
    summary = json.loads((folder / "summary_learned.json").read_text())
    assert (summary["rounds"], summary["labels"], summary["frames"]["bias"]) == (1, 2, "learning")


def test_a_known_difference_of_free_energies(call, tmp_path):
    """Gaussian U₂ − U₁ of mean 0.02 n and spread 0.5: F₂ is tilted by 4 k_BT, from either side's samples."""
    compare, analyse = importlib.import_module("compare"), importlib.import_module("analyse")
    rng = np.random.default_rng(0)
    n = rng.uniform(0, 216, 4000)
    frames = [Atoms(info={"cv": value, "bias": 0.0}) for value in n]
    samples, noise = compare.weighted(frames), rng.normal(0, 0.5, len(n))
    found = [
        compare.Difference.of(compare.perturbed(samples, 0.02 * n + noise)),
        compare.Difference.of(compare.perturbed(samples, -0.02 * n - noise), -1.0),
    ]
    for difference in found:
        change, error = difference.between(2, 202)
        assert change == pytest.approx(4, abs=4 * error)
        assert 0.02 < error < 0.2
        assert difference.estimate == "exponential"
    axis = np.arange(0.5, 216)
    first = FreeEnergy(
        (axis,), np.interp(axis, [0, 1.5, 100.5, 214.5, 216], [4, 0, 78, 11, 20]), 1.0, (None,)
    )
    before, now = (analyse.barriers([curve]) for curve in (first, found[0].added_to(first)))
    assert now["from_liquid"] - before["from_liquid"] == pytest.approx(2, abs=0.4)
    assert now["from_crystal"] - before["from_crystal"] == pytest.approx(-2.2, abs=0.4)


def test_without_a_model_it_says_what_to_do(call, tmp_path):
    with pytest.raises(SystemExit, match="make demo"):
        call("learned")
    assert not list(tmp_path.iterdir())


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
