import gc
import weakref

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from ase_mlsample.cli import main
from ase_mlsample.cvs import Distance, EnvironmentSimilarity, Volume


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = []
    for number in range(4):
        atoms = bulk("Si", a=5.431, cubic=True) * 3
        atoms.rattle(0.02 + 0.15 * number, seed=number)
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * number, forces=np.ones((216, 3)))
        frames.append(atoms)
    write("md.extxyz", frames)
    return tmp_path


def test_values_in_info(capsys):
    assert main(["cv", "md.extxyz", "--cv", "Distance(0, 1)", "--cv", "Volume"]) == 0
    frames, original = read("md.cv.extxyz", ":"), read("md.extxyz", ":")
    assert len(frames) == 4
    for atoms, before in zip(frames, original, strict=True):
        np.testing.assert_allclose(atoms.info["cv"], [Distance(0, 1)(before)[0], Volume()(before)[0]])
        assert atoms.info["cv_names"] == "distance volume"
        assert atoms.get_potential_energy() == before.get_potential_energy()
        np.testing.assert_array_equal(atoms.get_forces(), before.get_forces())
    out = capsys.readouterr().out
    assert "md.cv.extxyz: 4 frames" in out
    assert "distance" in out


def test_crystallinity_and_clusters(here, capsys):
    assert (
        main(["cv", "md.extxyz", "--crystal", "Si:diamond:5.431", "-o", "c.extxyz", "--plot", "cv.png"]) == 0
    )
    frames = read("c.extxyz", ":")
    assert frames[0].info["cv_names"] == "crystallinity_mean crystalline largest_cluster"
    first, last = frames[0], frames[-1]
    assert first.info["cv"][2] == 216
    assert (first.arrays["cluster"] == 1).all()
    assert first.arrays["crystallinity"].mean() == pytest.approx(first.info["cv"][0], abs=1e-7)
    assert last.info["cv"][1] < 150
    assert set(last.arrays["cluster"][last.arrays["crystallinity"] <= 0.5]) == {0}
    assert "mlsample view c.extxyz --color crystallinity" in capsys.readouterr().out
    assert (here / "cv.png").read_bytes()[1:4] == b"PNG"


def test_atoms_that_diffused_away_are_written_inside(here):
    atoms = read("md.extxyz", 2)
    calc = atoms.calc
    atoms.positions += 40.0
    atoms.calc = SinglePointCalculator(atoms, **calc.results)
    write("far.extxyz", atoms)
    assert main(["cv", "far.extxyz", "--cv", "Distance(0, 1)", "--wrap"]) == 0
    near = read("far.cv.extxyz")
    assert 0 <= near.get_scaled_positions(wrap=False).min() <= near.get_scaled_positions(wrap=False).max() < 1
    assert near.info["cv"] == pytest.approx(Distance(0, 1)(atoms)[0])
    assert near.get_potential_energy() == -2.0
    np.testing.assert_array_equal(near.get_forces(), 1.0)


def test_own_variables_and_quantities_of_atoms(here):
    (here / "mine_for_cv.py").write_text(
        "from ase_mlsample.cvs import Distance\n"
        "from ase_mlsample.cvs.expressions import crystallinity\n"
        "def bond():\n    return Distance(0, 1)\n"
        "def similarity():\n    return crystallinity('Si:diamond:5.431')\n"
    )
    words = ["--cv", "mine_for_cv:bond", "--cv", "mine_for_cv:bond", "--cv", "mine_for_cv:similarity"]
    assert main(["cv", "md.extxyz", *words, "--every", "2"]) == 0
    frames = read("md.cv.extxyz", ":")
    assert len(frames) == 2
    assert frames[0].info["cv_names"] == "distance distance#2 crystallinity_mean"
    assert frames[0].arrays["crystallinity"].shape == (216,)


def test_quantities_of_one_name_are_kept_apart():
    diamond, other = (f"crystallinity('Si:diamond:5.431'{text})" for text in ("", ", sigma=0.6"))
    words = ["--cv", diamond, "--cv", other, "--cv", f"{diamond}.count(0.5)", "--crystal", "Si:diamond:5.431"]
    assert main(["cv", "md.extxyz", *words, "--every", "3"]) == 0
    for atoms in read("md.cv.extxyz", ":"):
        names = "crystallinity_mean crystallinity_mean#2 crystallinity_count crystallinity_mean#3 crystalline"
        assert atoms.info["cv_names"] == f"{names} largest_cluster"
        cv = atoms.info["cv"]
        assert (cv[0], cv[2]) == (pytest.approx(cv[3]), pytest.approx(cv[4]))
        for array, mean in (("crystallinity", cv[0]), ("crystallinity_2", cv[1])):
            assert atoms.arrays[array].mean() == pytest.approx(mean, abs=1e-7)
        assert "crystallinity_3" not in atoms.arrays


def test_one_evaluation_of_the_crystallinity_a_frame(monkeypatch):
    forward, seen = EnvironmentSimilarity.forward, []
    monkeypatch.setattr(
        EnvironmentSimilarity, "forward", lambda self, atoms: seen.append(1) or forward(self, atoms)
    )
    assert main(["cv", "md.extxyz", "--crystal", "Si:diamond:5.431"]) == 0
    assert len(seen) == 4


def test_a_trajectory_need_not_fit_into_memory(monkeypatch):
    written, alive = [], []

    def frames(*_, **__):
        for number in range(6):
            atoms = bulk("Si", a=5.431 + 0.01 * number)
            alive.append(weakref.ref(atoms))
            yield atoms
            del atoms
            gc.collect()
            written.append(sum(ref() is not None for ref in alive))

    monkeypatch.setattr("ase.io.iread", frames)
    assert main(["cv", "md.extxyz", "--cv", "Volume"]) == 0
    assert max(written) <= 1
    assert len(read("md.cv.extxyz", ":")) == 6


def test_a_frame_that_fails_leaves_no_output(here, capsys):
    frames = read("md.extxyz", ":")
    frames[2] = frames[2][:100]
    write("md.extxyz", frames)
    assert main(["cv", "md.extxyz", "--cv", "Distance(0, 150)", "--every", "2"]) == 2
    assert "frame 2 of the trajectory: distance: there is no atom 150" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["md.extxyz"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.extxyz", "--cv", "Volume"], "no trajectory absent.extxyz"),
        (["md.extxyz"], "no variable is asked for"),
        (["md.extxyz", "--cv", "Volme"], "did you mean 'Volume'"),
        (
            ["md.extxyz", "--cv", "Distance(0, 500)"],
            "frame 0 of the trajectory: distance: there is no atom 500",
        ),
        (["md.extxyz", "--cv", "Volume", "-o", "md.extxyz"], "the trajectory itself"),
        (["md.extxyz", "--cv", "Volume", "--every", "0"], "--every 0"),
        (["md.extxyz", "--cv", "Volume", "--plot", "a.doc"], "--plot a.doc"),
        (["md.extxyz", "--crystal", "Si:dimond"], "is no crystal"),
    ],
)
def test_bad_input(words, message, capsys):
    assert main(["cv", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_output_is_not_replaced_unasked(capsys):
    words = ["cv", "md.extxyz", "--cv", "Volume", "--every", "3"]
    assert main(words) == 0
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
