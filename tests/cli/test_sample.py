import numpy as np
import pytest
from ase.io import read

from ase_mlsample.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_arguments_by_set(capsys):
    words = ["--set", "composition=Si", "--set", "density=[2.2, 2.5]", "--set", "n_atoms=[4, 6]", "-n", "3"]
    assert main(["sample", "RandomDisorder", *words, "-o", "a.extxyz"]) == 0
    frames = read("a.extxyz", ":")
    assert len(frames) == 3
    assert all(4 <= len(atoms) <= 6 and set(atoms.symbols) == {"Si"} for atoms in frames)
    assert "3 frames of" in capsys.readouterr().out


def test_the_seed_decides():
    words = ["sample", "PerturbedCrystal", "--set", "crystals=diamond", "--set", "symbol=Si", "-n", "2"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main([*words, "--seed", str(seed), "-o", f"{name}.extxyz"]) == 0
    a, b, c = (read(f"{name}.extxyz", 0).positions for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_yaml_file_as_in_a_run(here):
    transforms = "[{transform: Strain, maximum: 0.01}]"
    text = f"{{sampler: PerturbedCrystal, crystals: fcc, symbol: Al, n: 2, transforms: {transforms}}}"
    (here / "s.yaml").write_text(text)
    assert main(["sample", "s.yaml"]) == 0
    frames = read("samples.extxyz", ":")
    assert len(frames) == 2
    assert all("Strain" in str(atoms.info["transforms"]) for atoms in frames)
    assert main(["sample", "s.yaml", "-n", "3", "--set", "symbol=Cu", "--overwrite"]) == 0
    assert [set(atoms.symbols) for atoms in read("samples.extxyz", ":")] == [{"Cu"}] * 3


def test_filters_of_a_yaml_file_hold(here):
    window = "{filter: Density, window: [2.0, 2.3]}"
    sampler = "sampler: PerturbedCrystal, crystals: diamond, symbol: Si, volume: [0.7, 1.3]"
    text = f"{{{sampler}, filters: [{window}]}}"
    (here / "s.yaml").write_text(text)
    assert main(["sample", "s.yaml", "-n", "6"]) == 0
    for atoms in read("samples.extxyz", ":"):
        assert 2.0 <= atoms.get_masses().sum() / atoms.get_volume() * 1.66053907 <= 2.3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RandomDisorde"], "did you mean 'RandomDisorder'?"),
        (["RandomDisorder", "--set", "composition"], "write it as key=value"),
        (["RandomDisorder", "--set", "composition=[Si"], "not valid YAML"),
        (["RandomDisorder", "--set", "composition=Si", "--set", "density=99"], "99"),
        (["RandomDisorder", "--set", "composition=Si", "-n", "-1"], "at least one frame"),
        (["RandomDisorder", "--set", "composition=Si", "--seed", "-1"], "must not be negative"),
        (["nothing.yaml"], "nothing.yaml: No such file"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    assert main(["sample", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
