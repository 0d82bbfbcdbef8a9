"""Several data sets with names and weights in one training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from pydantic import ValidationError

from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training import (
    Dataset,
    DataSettings,
    ModelSettings,
    TrainingResult,
    TrainingSettings,
    dataset_errors,
    train_ensemble,
)
from ase_mlsample.training.evaluation import training_output
from ase_mlsample.training.features import FeatureSet
from ase_mlsample.training.loss import Loss
from ase_mlsample.training.targets import reduced_labels

Frames = Callable[..., list[Atoms]]


def test_names_and_weights_go_with_the_frames(silicon: Frames, tmp_path: Path) -> None:
    one, other = Dataset(silicon(3, seed=1)), silicon(2, seed=2)
    other[0].info["config_weight"] = 0.5
    both = Dataset.combine({"dft": one, "cheap": (Dataset(other), 0.2)})
    assert both.dataset_names == ("dft",) * 3 + ("cheap",) * 2
    assert both.weights == pytest.approx([1, 1, 1, 0.1, 0.2])
    assert one.dataset_names == ("",) * 3
    both.write(tmp_path / "both.extxyz")
    again = Dataset.read(tmp_path / "both.extxyz")
    assert (again.dataset_names, again.weights.tolist()) == (both.dataset_names, both.weights.tolist())
    assert (both + one).dataset_names == (*both.dataset_names, "", "", "")


def test_sets_that_do_not_fit_are_refused(silicon: Frames) -> None:
    one = Dataset(silicon(1, seed=1))
    for weight in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="weight of the set 'a'"):
            Dataset.combine({"a": (one, weight)})
    with pytest.raises(ValueError, match="empty"):
        Dataset.combine({})
    with pytest.raises(TypeError, match="not a Dataset"):
        Dataset.combine({"a": [one]})  # type: ignore[dict-item]


def test_files_are_read_as_they_are_listed(silicon: Frames, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Dataset(silicon(2, seed=len(folder))).write(tmp_path / folder / "set.extxyz")
    first, second = ({"path": tmp_path / folder / "set.extxyz"} for folder in ("a", "b"))
    read = Dataset.read_all([DataSettings(**first), DataSettings(**second, name="b", weight=0.3)])
    assert read.dataset_names == ("set", "set", "b", "b")
    assert read.weights.tolist() == [1, 1, 0.3, 0.3]
    assert Dataset.read_all([DataSettings.model_validate(str(first["path"]))]).dataset_names == ("", "")
    with pytest.raises(ValueError, match="different names, not set, set"):
        Dataset.read_all([DataSettings(**first), DataSettings(**second)])
    with pytest.raises(ValueError, match="no data"):
        Dataset.read_all([])
    with pytest.raises(ValidationError, match="did you mean 'weight'"):
        DataSettings.model_validate({"path": "x", "weigth": 1})


@pytest.mark.parametrize("missing", [None, "REF_forces", "REF_stress"])
def test_a_weight_of_two_is_a_frame_twice(
    silicon: Frames, small_model: ModelSettings, missing: str | None
) -> None:
    one, other = silicon(4, seed=1), silicon(4, seed=2)
    for atoms in other:
        atoms.arrays.pop(missing, None) if missing != "REF_stress" else atoms.info.pop(missing, None)
    weighted = Dataset.combine({"one": Dataset(one), "other": (Dataset(other), 2.0)})
    doubled = Dataset([*one, *other, *other])
    aev = small_model.aev.parameters(("Si",))
    networks = MemberNetworks(
        2, aev.length, hidden=(8,), symbols=("Si",), rng=np.random.default_rng(0), dtype="float64"
    )

    def loss_and_gradients(dataset: Dataset) -> tuple[torch.Tensor, list[torch.Tensor]]:
        repulsion = Repulsion()
        features = FeatureSet(list(dataset), aev, double=True, cutoff=repulsion.cutoff(("Si",)))
        targets = reduced_labels(dataset, features.geometry, repulsion)
        settings = TrainingSettings(stress_weight=1.0, relative_forces=1.0)
        loss = Loss(settings, targets, torch.ones(2, len(dataset)))
        output = training_output(networks, features.batch(np.arange(len(dataset))), 1.0, with_forces=True)
        value = loss(features.batch(np.arange(len(dataset))), output)
        return value.detach(), list(torch.autograd.grad(value.sum(), list(networks.parameters())))

    one_way, other_way = loss_and_gradients(weighted), loss_and_gradients(doubled)
    torch.testing.assert_close(one_way[0], other_way[0], rtol=1e-10, atol=0)
    for a, b in zip(one_way[1], other_way[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_a_set_without_weight_is_only_measured(
    silicon: Frames, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    other = silicon(16, seed=2)
    for atoms in other:
        atoms.info["REF_energy"] += 1e6
        atoms.arrays["REF_forces"] *= 1e6
    one, wrong = Dataset(silicon(32, seed=1)), Dataset(other)

    def train(dataset: Dataset, name: str) -> TrainingResult:
        rng, folder = np.random.default_rng(1), tmp_path / name
        return train_ensemble(
            dataset, model=small_model, settings=short, rng=rng, directory=folder, progress=False
        )

    result = train(Dataset.combine({"one": one, "wrong": (wrong, 0.0)}), "both")
    assert result.held_out == result.held_out_by_set["one"]
    assert result.held_out.energy_rmse < 1.0
    assert result.held_out_by_set["wrong"].energy_rmse > 1e4
    with pytest.raises(ValueError, match="no frame to learn from has a positive weight"):
        train(Dataset.combine({"one": (one, 0.0), "wrong": (wrong, 0.0)}), "none")


def test_errors_of_each_set_are_reported(
    silicon: Frames, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    bare = silicon(24, seed=2)
    for atoms in bare:
        del atoms.arrays["REF_forces"], atoms.info["REF_stress"]
    both = Dataset.combine({"full": Dataset(silicon(24, seed=1)), "bare": (Dataset(bare), 0.5)})
    result = train_ensemble(
        both,
        model=small_model,
        settings=short,
        rng=np.random.default_rng(1),
        directory=tmp_path,
        progress=False,
    )
    assert set(result.held_out_by_set) == set(result.validation_by_set) == {"full", "bare"}
    assert result.held_out_by_set["bare"].forces_rmse is None
    assert result.validation_by_set["bare"].stress_rmse is None
    held_out = result.held_out
    assert held_out is not None
    assert held_out.forces_rmse == result.held_out_by_set["full"].forces_rmse
    for record in result.history:
        assert set(record["sets"]) == {"full", "bare"}
        assert record["sets"]["full"]["forces_rmse"] == pytest.approx(record["forces_rmse"])
        assert record["sets"]["bare"]["forces_rmse"] is None
    summary = result.calculator.model.metadata["training"]["held_out_by_set"]
    assert summary["full"]["energy_rmse"] == result.held_out_by_set["full"].energy_rmse
    full = dataset_errors(result.calculator, both[:24])
    assert full.forces_rmse is not None
    assert dataset_errors(result.calculator, both[24:]).forces_rmse is None
