"""Training on from an earlier model: frozen parameters, self energies, another reference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from pydantic import ValidationError

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.training import (
    Dataset,
    ModelSettings,
    TrainingResult,
    TrainingSettings,
    continue_training,
    dataset_errors,
    train_ensemble,
)
from ase_mlsample.training.freezing import freeze, parameter_counts, parameter_names

Frames = Callable[..., list[Atoms]]


def train(
    dataset: Dataset, model: Any, settings: TrainingSettings, directory: Path, seed: int = 7
) -> TrainingResult:
    rng = np.random.default_rng(seed)
    return train_ensemble(
        dataset, model=model, settings=settings, rng=rng, directory=directory, progress=False
    )


def relabelled(frames: list[Atoms], reference: StillingerWeber, shift: float) -> list[Atoms]:
    """The frames with another reference's labels, whose zero of energy is off by eV per atom."""
    for atoms in frames:
        prediction = reference.evaluate(atoms)
        atoms.info["REF_energy"] = prediction.energy + shift * len(atoms)
        atoms.arrays["REF_forces"] = prediction.forces
        atoms.info["REF_stress"] = prediction.stress
    return frames


@pytest.fixture
def networks(rng: np.random.Generator) -> MemberNetworks:
    return MemberNetworks(
        2, 5, hidden={"Si": (4, 3, 2), "O": (3, 2)}, symbols=("O", "Si"), activation="gelu", rng=rng
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def frozen(networks: MemberNetworks) -> set[str]:
    names = parameter_names(networks)
    return {n for n, p in zip(names, networks.parameters(), strict=True) if not p.requires_grad}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), set()),
        (("Si.layers.1.bias",), {"Si.layers.1.bias"}),
        (("layers.1",), {f"{s}.layers.1.{k}" for s in ("O", "Si") for k in ("weight", "bias")}),
        (("layers.-1.weight",), {"O.layers.2.weight", "Si.layers.3.weight"}),
        (
            ("*.bias",),
            {*(f"O.layers.{k}.bias" for k in range(3)), *(f"Si.layers.{k}.bias" for k in range(4))},
        ),
        (("O",), {f"O.layers.{k}.{kind}" for k in range(3) for kind in ("weight", "bias")}),
        (
            ("alternate",),
            {
                f"{layer}.{k}"
                for layer in ("O.layers.0", "Si.layers.0", "Si.layers.2")
                for k in ("weight", "bias")
            },
        ),
        (
            ("O.layers.0.bias", "Si.layers.[12].bias"),
            {"O.layers.0.bias", "Si.layers.1.bias", "Si.layers.2.bias"},
        ),
    ],
)
def test_patterns_name_parameters(
    networks: MemberNetworks, patterns: tuple[str, ...], expected: set[str]
) -> None:
    freeze(networks, patterns)
    assert frozen(networks) == expected


def test_patterns_that_make_no_sense_list_the_names(networks: MemberNetworks) -> None:
    with pytest.raises(
        ValueError, match=r"nothing is called 'layer\.1'; parameters are O\.layers\.0\.weight, .*"
    ):
        freeze(networks, ["layer.1"])
    with pytest.raises(ValueError, match="leaves no parameter to train"):
        freeze(networks, ["*"])


def test_the_published_recipe_trains_sixty_of_325_thousand_parameters() -> None:
    hidden = {"H": (160, 128, 96), "C": (144, 112, 96), "N": (128, 112, 96), "O": (128, 112, 96)}
    ani = MemberNetworks(1, 384, hidden=hidden, symbols=tuple(hidden), rng=np.random.default_rng(0))
    freeze(ani, TrainingSettings(recipe="transfer").freeze)
    assert parameter_counts(ani) == (66132, 326660)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize(
    "patterns", [("alternate",), ("layers.0.bias",), ("layers.0.weight", "layers.-1"), ("layers.1",)]
)
def test_frozen_parameters_stay_bit_for_bit_and_the_others_move(
    silicon_set: Dataset,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    optimizer: str,
    patterns: tuple[str, ...],
) -> None:
    model = small_model.model_copy(update={"hidden": (12, 6)})
    one = short.model_copy(update={"epochs": 1, "validation_interval": 1})
    start = train(silicon_set[:16], model, one, tmp_path / "start").calculator.model
    settings = one.model_copy(
        update={"freeze": patterns, "optimizer": optimizer, "weight_decay": 0.1, "average": 0.9}
    )
    tuned = train(silicon_set, start, settings, tmp_path / "tuned")
    after = tuned.calculator.model.networks
    freeze(after, patterns)
    for name, p, q in zip(
        parameter_names(after), after.parameters(), start.networks.parameters(), strict=True
    ):
        assert torch.equal(p, q) == (not p.requires_grad), name
    counts = tuned.calculator.model.metadata["training"]["parameters"]
    assert counts["trained"] == sum(p.numel() for p in after.parameters() if p.requires_grad) // 2
    longer = continue_training(
        silicon_set, directory=tmp_path / "tuned", more_epochs=1, progress=False
    ).calculator.model.networks  # restored from the checkpoint
    for name, p, q in zip(parameter_names(after), after.parameters(), longer.parameters(), strict=True):
        assert torch.equal(p, q) or p.requires_grad, name
    again = ANIModel.load(tmp_path / "tuned" / "model.safetensors")
    assert all(
        torch.equal(p, q) for p, q in zip(again.networks.parameters(), longer.parameters(), strict=True)
    )


def test_freezing_needs_an_earlier_model(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    for change in ({"freeze": ("layers.0",)}, {"recipe": "transfer"}, {"self_energies": "refit"}):
        with pytest.raises(ValueError, match="is for training on from an earlier model"):
            train(silicon_set, small_model, short.model_copy(update=change), tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_recipes_are_presets_that_explicit_settings_outweigh() -> None:
    recipe = TrainingSettings(recipe="transfer", learning_rate=5e-3)
    assert (recipe.freeze, recipe.self_energies, recipe.learning_rate) == (("alternate",), "refit", 5e-3)
    assert TrainingSettings.model_validate(recipe.model_dump(mode="json")) == recipe
    assert TrainingSettings.model_validate({"freeze": "layers.0"}).freeze == ("layers.0",)
    with pytest.raises(ValidationError, match="'fine-tuning', 'transfer' or 'deepmd'"):
        TrainingSettings(recipe="magic")


def test_self_energies_move_by_the_shift_between_references(
    silicon: Frames, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    first = train(Dataset(silicon(32, seed=1)), small_model, short, tmp_path / "first").calculator.model
    shifted = Dataset(relabelled(silicon(32, seed=1), StillingerWeber(), 50.0))
    gentle = short.model_copy(update={"epochs": 1, "learning_rate": 1e-7, "final_learning_rate": 1e-7})
    tuned = train(shifted, first, gentle.model_copy(update={"self_energies": "refit"}), tmp_path / "refit")
    kept = train(shifted, first, gentle, tmp_path / "kept")
    moved = tuned.calculator.model
    assert moved.self_energies["Si"] - first.self_energies["Si"] == pytest.approx(50.0, abs=0.1)
    assert moved.scale == first.scale
    assert kept.calculator.model.self_energies == first.self_energies
    assert tuned.held_out is not None
    assert kept.held_out is not None
    assert tuned.held_out.energy_rmse < 0.5
    assert kept.held_out.energy_rmse == pytest.approx(50.0, abs=0.5)


def test_refitted_self_energies_are_those_of_each_element_and_absent_ones_stay(
    small_model: ModelSettings, short: TrainingSettings, tmp_path: Path, rng: np.random.Generator
) -> None:
    def frames(offsets: dict[str, float], formulas: tuple[str, ...]) -> Dataset:
        made = []
        for k in range(18):
            n = len(Atoms(formulas[k % len(formulas)]))
            atoms = Atoms(
                formulas[k % len(formulas)], 2.4 * np.eye(3)[:n] + rng.normal(scale=0.02, size=(n, 3))
            )
            atoms.info["REF_energy"] = sum(offsets[s] for s in atoms.get_chemical_symbols())
            atoms.arrays["REF_forces"] = np.zeros((n, 3))
            made.append(atoms)
        return Dataset(made)

    model = small_model.model_copy(update={"symbols": ("O", "Si", "Ge")})
    # frames without an element must not trip the networks of that element
    everything = frames({"Si": -5.0, "O": -3.0, "Ge": -4.0}, ("SiO", "Si2O", "Ge2", "O2"))
    first = train(everything, model, short.model_copy(update={"batch_size": 1}), tmp_path / "first")
    before = first.calculator.model.self_energies
    refit = short.model_copy(
        update={"epochs": 1, "learning_rate": 1e-7, "final_learning_rate": 1e-7, "self_energies": "refit"}
    )
    other = frames({"Si": -15.0, "O": 4.0}, ("SiO", "Si2O", "O2"))
    after = train(other, first.calculator.model, refit, tmp_path / "second").calculator.model.self_energies
    assert after["Ge"] == before["Ge"]
    assert after["Si"] - before["Si"] == pytest.approx(-10.0, abs=0.5)
    assert after["O"] - before["O"] == pytest.approx(7.0, abs=0.5)


def test_a_tenth_of_other_labels_does_more_on_an_earlier_model_than_alone(
    silicon: Frames, small_model: ModelSettings, tmp_path: Path
) -> None:
    other = StillingerWeber(lambda_=23.0, epsilon=2.4)
    model = small_model.model_copy(update={"hidden": (24, 16, 12)})
    base = TrainingSettings(epochs=30, batch_size=4)
    start = train(Dataset(silicon(128, seed=1)), model, base, tmp_path / "start").calculator.model
    few = Dataset(relabelled(silicon(14, seed=2), other, 5.0))
    test = Dataset(relabelled(silicon(24, seed=3), other, 5.0))
    folds = {"folds": 7, "validation_folds": 1, "batch_size": 2, "epochs": 60}
    alone = train(few, model, TrainingSettings(**folds), tmp_path / "alone")
    recipe = TrainingSettings(recipe="transfer", **folds)
    tuned = train(few, start, recipe, tmp_path / "tuned")
    errors, reference = dataset_errors(tuned.calculator, test), dataset_errors(alone.calculator, test)
    assert errors.forces_rmse is not None
    assert reference.forces_rmse is not None
    assert errors.forces_rmse < 0.6 * reference.forces_rmse
    assert errors.energy_rmse < 0.6 * reference.energy_rmse
    zero = bulk("Si", a=5.43, cubic=True)
    difference = tuned.calculator.evaluate(zero).energy - other.evaluate(zero).energy
    assert difference / len(zero) == pytest.approx(5.0, abs=0.1)
