from pathlib import Path

import pytest
from ase.io import read

from ase_mlsample.active import ActiveLoop, read_config

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


SHORT = {
    "model.members": 2, "model.hidden": [6], "training.epochs": 2, "initial.0.n": 9, "initial.1.n": 12,
    "explore.n": 4, "explore.dynamics.0.duration_ps": 0.05, "explore.dynamics.1.duration_ps": 0.05,
    "explore.dynamics.1.weight": 9, "explore.dynamics.1.pace": 5, "selection.lo": 500, "selection.audit": 4,
    "stop.max_generations": 3, "executors": "{workers: 1}", "live": "false",
}  # fmt: skip


def test_rare_events_run(tmp_path, quiet):
    """The example from end to end, made short."""
    overrides = [f"{key}={value}" for key, value in SHORT.items()]
    config = read_config(
        EXAMPLES / "silicon_rare_events.yaml", overrides=[*overrides, f"directory={tmp_path / 'run'}"]
    )
    assert config.name == "silicon_rare_events"
    assert [item.explorer for item in config.explore.explorers] == ["RampedMD", "DeepVESExplorer"]
    ActiveLoop(config, console=quiet).run()
    frames = [read(tmp_path / f"run/candidates/{generation:04d}.extxyz", ":") for generation in (1, 2)]
    biased = [[f for f in some if f.info["source"] == "DeepVESExplorer"] for some in frames]
    for atoms in biased[0] + biased[1]:
        assert len(atoms) == 64
        assert -0.01 < atoms.info["cv"] < 64.01
    assert biased[1][0].info["deep_ves_carried"] > biased[0][0].info["deep_ves_carried"] == 0
    assert (tmp_path / "run/models/0002").is_dir()
