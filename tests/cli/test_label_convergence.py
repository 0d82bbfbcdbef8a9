import sys
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write

from ase_mlsample.cli import main

TOYS = Path(__file__).parents[1] / "references"


@pytest.fixture
def structures(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOYS))
    monkeypatch.chdir(tmp_path)
    frames = [Atoms("Si2", [(x, 0, 0), (x + 2, 0, 0)], cell=[5, 5, 5], pbc=True) for x in range(9)]
    write("some.extxyz", frames)
    yield "some.extxyz"
    sys.modules.pop("reference_toy", None)


def study(structures, *options):
    return main(["label", structures, "--factory", "reference_toy:toy", "--check-convergence", *options])


def test_table_plot_and_recommendation(structures, capsys):
    options = ["--cutoff", "20", "200", "400", "--kwargs", "{cutoff: 50}", "--frames", "3"]
    assert study(structures, *options) == 0
    out = capsys.readouterr().out
    assert "9 labels of 3 structures: Si2, Si2, Si2" in out
    assert "cutoff: 200 eV is within 1 meV/atom, 10 meV/Å, 0.1 GPa of the finest" in out
    assert Path("some.convergence.png").exists()


def test_all_settings_about_those_in_use(structures, capsys):
    options = ["--kwargs", "{cutoff: 100, k_spacing: 0.02}", "--frames", "1", "--plot", "p.svg"]
    assert study(structures, *options, "--tolerances", "1", "2", "3") == 0
    out = capsys.readouterr().out
    assert "10 labels of 1 structures" in out
    assert "k_spacing (1/Å)" in out
    assert "smearing_width" not in out  # the factory has none
    assert "1 meV/atom, 2 meV/Å, 3 GPa" in out
    assert Path("p.svg").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--smearing-width", "0.1", "0.2"], "'toy' has no smearing_width among its arguments"),
        (["--kwargs", "{k_spacing: 0.2}"], "cutoff has no ready value for Si; give --cutoff values"),
        (["--frames", "0", "--cutoff", "1", "2"], "at least one structure"),
        (["--cutoff", "10"], "two values or more"),
    ],
)
def test_bad_input(structures, capsys, options, message):
    assert study(structures, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("elements", ["{elements: [Si]}", "{elements: Si}"])
def test_ready_settings_are_the_middle(structures, capsys, monkeypatch, elements):
    from ase_mlsample.references import espresso

    monkeypatch.setattr(espresso, "_function", _toy)
    command = ["label", structures, "--factory", "espresso", "--check-convergence", "--frames", "1"]
    assert main([*command, "--kwargs", elements]) == 0
    cutoff = espresso.ready["Si"].cutoff
    out = capsys.readouterr().out
    assert f"cutoff = {cutoff:g} eV" in out
    assert "15 labels" in out


def _toy(*, cutoff=100.0, k_spacing=0.1, **_):
    from reference_toy import Toy

    return Toy(cutoff=cutoff, k_spacing=k_spacing)
