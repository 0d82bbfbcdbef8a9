import pytest
from ase.io import write

from ase_mlsample.cli import main
from tests.gui.frames import bare, coloured


@pytest.fixture
def frames():
    return [coloured(), bare()]


@pytest.fixture
def shown(monkeypatch):
    """What would be opened, in place of windows."""
    calls = []

    class Gui:
        def run(self):
            pass

    def still(frames, color, *, window, log, title, plot, md):
        calls.append((len(frames), color, window, log, title))
        return Gui()

    def live(path, color, *, window, log, history, interval_s, plot):
        calls.append((path, color, window, log, history, interval_s))
        return Gui()

    monkeypatch.setattr("ase_mlsample.gui.open_viewer", still, raising=False)
    monkeypatch.setattr("ase_mlsample.gui.open_live", live, raising=False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "has no extxyz file: nothing was proposed"),
        (["--generation", "7"], "no extxyz file of generation 7"),
        (["--live", "--generation", "7"], "--generation has no meaning with --live"),
        (["--range", "2", "1"], "--range goes from a smaller to a larger number, got 2 1"),
    ],
)
def test_a_run_without_candidates(tmp_path, capsys, arguments, message):
    assert main(["view", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_path_that_is_not_there(tmp_path, capsys):
    assert main(["view", str(tmp_path / "x")]) == 2
    assert "neither a run's directory nor a file" in capsys.readouterr().err
    assert main(["view", str(tmp_path / "x" / "y"), "--live"]) == 2
    assert "is not there" in capsys.readouterr().err


def test_a_file_has_no_generations(tmp_path, capsys, frames):
    write(tmp_path / "a.extxyz", frames)
    assert main(["view", str(tmp_path / "a.extxyz"), "--generation", "2"]) == 2
    assert "a.extxyz is a file" in capsys.readouterr().err


def test_vectors_cannot_be_colours(tmp_path, capsys, frames):
    write(tmp_path / "a.extxyz", frames)
    assert main(["view", str(tmp_path / "a.extxyz"), "--color", "REF_forces"]) == 2
    assert "--color '|REF_forces|'" in capsys.readouterr().err


@pytest.mark.parametrize(("generation", "n"), [(None, 2), (1, 1)])
def test_the_gui_gets_the_frames_of_the_generation(tmp_path, shown, capsys, frames, generation, n):
    folder = tmp_path / "candidates"
    folder.mkdir()
    write(folder / "0001.extxyz", frames[:1])
    write(folder / "0002.extxyz", frames)
    arguments = [] if generation is None else ["--generation", str(generation)]
    assert main(["view", str(tmp_path), *arguments]) == 0
    path = folder / ("0002.extxyz" if generation is None else "0001.extxyz")
    assert shown == [(n, "force_sigma", None, False, str(path))]
    assert f"{n} frames, force_sigma from 0.1 to 0.8 eV/Å" in capsys.readouterr().out


def test_without_the_array_elements_are_shown(tmp_path, shown, capsys):
    write(tmp_path / "a.extxyz", bare())
    assert main(["view", str(tmp_path / "a.extxyz"), "--range", "0", "1"]) == 0
    assert "no array 'force_sigma' in any frame; shown by element" in capsys.readouterr().out
    assert shown[0][2] == (0.0, 1.0)


def test_live_takes_a_run_or_a_file_that_may_come_later(tmp_path, shown):
    assert main(["view", str(tmp_path / "later"), "--live", "--history", "7"]) == 0
    assert (
        main(["view", str(tmp_path / "md.extxyz"), "--live", "--color", "force", "--interval", "2", "--log"])
        == 0
    )
    assert shown == [
        (tmp_path / "later", "force_sigma", None, False, 7, 0.5),
        (tmp_path / "md.extxyz", "force", None, True, 200, 2.0),
    ]
