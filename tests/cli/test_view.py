import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from ase_mlsample.cli import main
from ase_mlsample.cli.view import open_gui, prepare


@pytest.fixture
def frames():
    coloured, plain = bulk("Si", cubic=True), bulk("Si")
    coloured.new_array("force_sigma", np.linspace(0.1, 0.8, 8))
    return [coloured, plain]


def test_prepare_spans_all_frames_and_fills_the_bare_ones(frames):
    assert prepare(frames, "force_sigma") == (0.1, 0.8)
    assert np.isnan(frames[1].arrays["force_sigma"]).all()


def test_prepare_without_the_array_changes_nothing(frames):
    assert prepare(frames, "energy_sigma") is None
    assert "energy_sigma" not in frames[0].arrays


def test_vectors_cannot_be_colours(frames):
    with pytest.raises(ValueError, match=r"shape \(8, 3\)"):
        prepare(frames, "positions")


def test_no_display_is_said(frames, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RuntimeError, match="ASE GUI"):
        open_gui(frames, "force_sigma", (0.1, 0.8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "has no extxyz file: nothing was proposed"),
        (["--generation", "7"], "no extxyz file of generation 7"),
    ],
)
def test_a_run_without_candidates(tmp_path, capsys, arguments, message):
    assert main(["view", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_path_that_is_not_there(tmp_path, capsys):
    assert main(["view", str(tmp_path / "x")]) == 2
    assert "neither a run's directory nor a file" in capsys.readouterr().err


@pytest.mark.parametrize(("generation", "n"), [(None, 2), (1, 1)])
def test_the_gui_gets_the_frames_of_the_generation(tmp_path, monkeypatch, capsys, frames, generation, n):
    folder = tmp_path / "candidates"
    folder.mkdir()
    write(folder / "0001.extxyz", frames[:1])
    write(folder / "0002.extxyz", frames)
    shown = []

    class Gui:
        def run(self):
            pass

    def fake(frames, color, window):
        shown.append((len(frames), color, window))
        return Gui()

    monkeypatch.setattr("ase_mlsample.cli.view.open_gui", fake)
    arguments = [] if generation is None else ["--generation", str(generation)]
    assert main(["view", str(tmp_path), *arguments]) == 0
    assert shown == [(n, "force_sigma", (0.1, 0.8))]
    assert f"{n} frames, force_sigma from 0.1 to 0.8" in capsys.readouterr().out
