from pathlib import Path

import pytest

from ase_mlsample.active import read_config

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["silicon", "aluminium"])
def test_example_configurations_are_valid(name):
    config = read_config(EXAMPLES / f"{name}.yaml", overrides=["testset=null"])
    assert config.name == name
    assert config.model.members >= 4
    assert config.stop.max_generations >= 4
    assert {item.sampler for item in config.initial} == {
        "RandomDisorder",
        "RandomSpaceGroup",
        "PerturbedCrystal",
    }
