"""The example with density-functional theory, as far as it goes without the code."""

import inspect
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ase_mlsample import references
from ase_mlsample.active import read_config
from ase_mlsample.cli.settings_file import read_settings
from ase_mlsample.validation.held_out import HeldOutSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN, TESTSET = EXAMPLES / "silicon_dft.yaml", EXAMPLES / "silicon_dft_testset.yaml"


@pytest.mark.parametrize("factory", ["gpaw", "espresso"])
def test_the_same_arguments_serve_both_codes(factory):
    values = YAML(typ="safe", pure=True).load(RUN.read_text())["reference"]
    assert values["factory"] == "gpaw"
    assert set(values["kwargs"]) <= set(inspect.signature(getattr(references, factory)).parameters)


def test_one_line_changes_the_code():
    config = read_config(RUN, overrides=["testset=null", "reference.factory=espresso"])
    assert config.reference.factory == "ase_mlsample.references:espresso"
    calculator = references.espresso(**config.reference.kwargs)
    assert calculator.accuracy.cutoff == 200
    assert config.stop.max_generations >= 2
    first = sum(item.n for item in config.initial)
    assert first + (config.stop.max_generations - 1) * config.selection.batch >= 40


def test_the_held_out_set_has_the_same_reference():
    run = YAML(typ="safe", pure=True).load(RUN.read_text())
    settings = read_settings(TESTSET, HeldOutSettings)
    assert settings.reference.factory == run["reference"]["factory"]
    assert settings.reference.kwargs == run["reference"]["kwargs"]
    assert run["testset"] == f"{TESTSET.stem}.extxyz"
