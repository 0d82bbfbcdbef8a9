from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.io import read

from ase_mlsample.cli import main
from ase_mlsample.cli.settings_file import read_settings
from ase_mlsample.validation.held_out import HeldOutSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = """
reference: {factory: "ase.calculators.emt:EMT"}
symbol: Al
n_atoms: 4
seed: 3
crystals: {prototypes: [fcc], frames: 2}
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_writes_a_labelled_file_under_the_settings_name(small, capsys):
    assert main(["testset", str(small)]) == 0
    frames = read("small.extxyz", ":")
    assert [atoms.info["config_type"] for atoms in frames] == ["fcc", "fcc"]
    assert all(
        {"REF_energy", "REF_stress"} <= set(atoms.info) and "REF_forces" in atoms.arrays for atoms in frames
    )
    assert "small.extxyz: 2 fcc" in capsys.readouterr().out


def test_does_not_replace_a_file_unasked(small, capsys):
    assert main(["testset", str(small), "-o", "a.xyz"]) == 0
    before = Path("a.xyz").read_bytes()
    assert main(["testset", str(small), "-o", "a.xyz", "--seed", "4"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert Path("a.xyz").read_bytes() == before
    assert main(["testset", str(small), "-o", "a.xyz", "--seed", "4", "--frames", "1", "--overwrite"]) == 0
    assert len(read("a.xyz", ":")) == 1


@pytest.mark.parametrize(
    ("old", "new", "status", "message"),
    [
        ("seed", "sede", 2, "did you mean 'seed'?"),
        ("calculators.emt:EMT", "calculators.emt:EMTT", 2, "EMTT"),
        ("[fcc]", "[fct]", 2, "no prototype is called 'fct'"),
        ("Al", "Xx", 2, "Xx"),
    ],
)
def test_bad_settings_leave_nothing_behind(small, capsys, old, new, status, message):
    small.write_text(SMALL.replace(old, new))
    assert main(["testset", str(small)]) == status
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == [Path("small.yaml")]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*_testset.yaml")), ids=lambda path: path.stem)
def test_examples_are_valid(file):
    settings = read_settings(file, HeldOutSettings)
    if settings.reference.factory == "gpaw":  # dear: small, and crystals alone
        assert (settings.crystals.frames, settings.liquid, settings.n_atoms) == (16, None, 8)
    else:
        assert settings.crystals.frames == settings.liquid.frames == 50
        assert settings.n_atoms == 64


class Failing(EMT):
    """Counts its labels in a file, and fails where another file says so."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        rattled = np.ptp(self.results["forces"]) > 1e-6  # the crystal itself is no label
        if rattled:
            with Path("calls").open("a") as file:
                file.write("x")
            if Path("fail").exists() and len(Path("calls").read_text()) > 1:
                raise RuntimeError("out of luck")


def test_labels_survive_a_failure(small, capsys):
    small.write_text(SMALL.replace("ase.calculators.emt:EMT", f"{__name__}:Failing"))
    Path("fail").touch()
    Path("small.labels").mkdir()  # of mlsample label -o small.extxyz
    assert main(["testset", str(small)]) == 1
    assert "1 of 2 labels failed" in capsys.readouterr().err
    assert not Path("small.extxyz").exists()
    Path("fail").unlink()
    Path("calls").unlink()
    assert main(["testset", str(small)]) == 0
    assert Path("calls").read_text() == "x"  # the other label was there
    assert len(read("small.extxyz", ":")) == 2
    assert not Path("small.testset").exists()
    assert Path("small.labels").exists()


def test_workers_label_the_same(small):
    assert main(["testset", str(small), "-o", "one.extxyz"]) == 0
    assert main(["testset", str(small), "-o", "two.extxyz", "--workers", "2"]) == 0
    assert Path("one.extxyz").read_bytes() == Path("two.extxyz").read_bytes()
