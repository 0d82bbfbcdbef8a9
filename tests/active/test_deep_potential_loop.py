"""The loop and the command line with Deep Potentials: the same as with ANI networks."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.io import read, write

from ase_mlsample.active.config_file import check_config, parse_config
from ase_mlsample.active.models import load_model
from ase_mlsample.calculators import DeepPotentialEnsemble, StillingerWeber, load_ensemble
from ase_mlsample.cli import main
from ase_mlsample.samplers import RandomDisorder
from tests.calculators.ani_models import silicon_ensemble
from tests.calculators.dp_models import random_model

SMALL = {
    "type": "deep_potential",
    "members": 2,
    "cutoff": 4.0,
    "embedding": [4, 8],
    "axis_neurons": 2,
    "fitting": [8, 8],
}


@pytest.fixture
def learning(values):
    values["model"] = SMALL
    values["training"] = {"epochs": 2, "folds": 4, "validation_folds": 1}
    values["fine_tuning"] = {"recipe": "fine-tuning", "epochs": 1, "folds": 4, "validation_folds": 1}
    values["stop"] = {"max_generations": 2}
    values["selection"] = {"batch": 3, "lo": 1e-6, "hi": 1e6}
    return values


def test_a_loop_its_report_and_dynamics(learning, run_here, tmp_path):
    summary = run_here(learning)
    assert summary["finished"] == "2 generations are trained"
    first, second = (load_model(tmp_path / "run" / "models" / name) for name in ("0000", "0001"))
    assert isinstance(second, DeepPotentialEnsemble)
    assert (first.model.mean == second.model.mean).all()  # the second went on from the first
    assert main(["report", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "type deep_potential, cutoff 4.0 Å, embedding [4, 8], fitting [8, 8]" in page
    model, folder = tmp_path / "run" / "models" / "0001" / "model.safetensors", tmp_path / "md"
    command = ["md", "--structure", "Si:diamond:5.43", "--calculator", str(model), "--temperature", "300"]
    assert main([*command, "--steps", "4", "--directory", str(folder), "--quiet"]) == 0
    assert len(read(folder / "trajectory.extxyz")) == 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loop_evaluates_in_the_precision_of_the_training(dtype, tmp_path):
    ani = silicon_ensemble("float64").model
    networks = copy.deepcopy(ani.networks).to(getattr(torch, dtype))
    models = {"deep": random_model("Si", dtype=dtype), "ani": replace(ani, networks=networks)}
    for name, model in models.items():
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.safetensors")
        assert load_model(tmp_path / name).dtype == dtype


def test_train_verb(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frames = list(RandomDisorder("Si", n_atoms=(4, 6), density=(2.0, 2.4)).sample(16, rng))
    for atoms in frames:
        found = StillingerWeber().evaluate(atoms)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = found.energy, found.forces
    write(tmp_path / "data.extxyz", frames)
    out = tmp_path / "si.safetensors"
    (tmp_path / "small.yaml").write_text(
        "model: {cutoff: 4.0, embedding: [4, 8], axis_neurons: 2, fitting: [8]}"
    )
    command = ["train", str(tmp_path / "data.extxyz"), "--out", str(out), "--quiet", "--epochs", "1"]
    new = ["--settings", str(tmp_path / "small.yaml"), "--type", "deep_potential", "--members", "2"]
    assert main([*command, *new, "--recipe", "deepmd"]) == 0
    calculator = load_ensemble(out)
    assert isinstance(calculator, DeepPotentialEnsemble)
    assert calculator.n_members == 2
    assert "ensemble, held-out frames" in capsys.readouterr().out
    further = [*command[:2], "--start", str(out), "--quiet", "--epochs", "1"]
    assert main([*further, "--out", str(tmp_path / "next.safetensors"), "--recipe", "transfer"]) == 0
    assert main([*further, "--type", "ani"]) == 2
    assert "drop --members, --type" in capsys.readouterr().err


def test_a_resolved_configuration_says_which_rate_is_used(learning):
    config = parse_config(learning, source="test")
    assert config.to_dict()["training"]["learning_rate"] == 1e-3
    assert parse_config(config.to_dict(), source="again") == config
    del learning["training"]
    assert parse_config(learning, source="test").training.learning_rate == 1e-3
    learning["model"] = {"type": "ani"}
    assert parse_config(learning, source="test").training.learning_rate == 1e-2


def test_sel_must_be_for_the_elements_of_the_run(learning):
    learning["model"] = {**SMALL, "sel": {"Si": 40, "O": 20}}
    with pytest.raises(ValueError, match=r"model\.sel: it is for \['O', 'Si'\], the run for \['Si'\]"):
        check_config(parse_config(learning, source="test"))
