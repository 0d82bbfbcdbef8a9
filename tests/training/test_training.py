import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_mlsample.calculators import ANIEnsemble
from ase_mlsample.training import Dataset, ModelSettings, TrainingResult, TrainingSettings, train_ensemble

Frames = Callable[..., list[Atoms]]


def train(
    dataset: Dataset,
    model: Any,
    settings: TrainingSettings,
    directory: Path,
    *,
    seed: int = 7,
    **options: Any,
) -> TrainingResult:
    rng = np.random.default_rng(seed)
    return train_ensemble(
        dataset, model=model, settings=settings, rng=rng, directory=directory, progress=False, **options
    )


def weights(result: TrainingResult) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in result.calculator.model.networks.parameters()]


def same(a: TrainingResult, b: TrainingResult) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_a_small_set_is_fitted_closely(silicon: Frames, small_model: ModelSettings, tmp_path: Path) -> None:
    dataset = Dataset(silicon(48, seed=11, rattle=0.05))
    model = small_model.model_copy(update={"hidden": (24, 24), "activation": "gelu"})
    settings = TrainingSettings(epochs=120, batch_size=6, learning_rate=1e-2)
    result = train(dataset, model, settings, tmp_path)
    rms = np.sqrt(np.mean(np.concatenate([labels.forces for labels in dataset.labels]) ** 2))
    assert result.held_out is not None
    assert result.held_out.forces_rmse < 0.1 * rms
    assert result.held_out.energy_rmse < 0.010
    assert result.held_out.stress_rmse < 0.008
    assert result.epochs == 120
    losses = [np.mean(record["validation_loss"]) for record in result.history]
    assert losses[-1] < 0.05 * losses[0]


def test_the_calculator_has_the_errors_that_were_reported(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    settings = short.model_copy(update={"precision": "float64"})
    result = train(silicon_set, small_model, settings, tmp_path)
    calculator = ANIEnsemble.load(tmp_path / "model.safetensors", dtype="float64")
    held_out = [silicon_set[int(k)] for k in held_out_frames(len(silicon_set))]
    predictions = calculator.evaluate_many(held_out, members=True)
    errors = np.concatenate(
        [p.forces - a.arrays["REF_forces"] for p, a in zip(predictions, held_out, strict=True)]
    )
    energies = [
        (p.energy - a.info["REF_energy"]) / len(a) for p, a in zip(predictions, held_out, strict=True)
    ]
    stress = [p.stress - a.info["REF_stress"] for p, a in zip(predictions, held_out, strict=True)]
    assert result.held_out is not None
    assert result.held_out.forces_rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    assert result.held_out.energy_rmse == pytest.approx(np.sqrt(np.mean(np.square(energies))), rel=1e-6)
    assert result.held_out.stress_rmse == pytest.approx(np.sqrt(np.mean(np.square(stress))), rel=1e-6)
    sigmas = np.concatenate([p.spread.forces_std for p in predictions])
    alpha = np.sqrt(np.mean(errors**2) / np.mean(sigmas**2))
    assert calculator.model.calibration.forces == pytest.approx(alpha, rel=1e-6)
    assert calculator.model.calibration == result.calibration
    assert set(result.coverage) == {"energy", "forces", "stress"}
    assert calculator.model.metadata["training"]["frames"] == len(silicon_set)


def held_out_frames(n_frames: int) -> np.ndarray:
    from ase_mlsample.training.folds import strided_split

    return np.flatnonzero(strided_split(n_frames, members=2).held_out)


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 4])
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_resumed_training_ends_as_the_undisturbed_one(
    silicon_set: Dataset,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    epoch: int,
    schedule: str,
) -> None:
    settings = short.model_copy(update={"schedule": schedule, "plateau_patience": 1, "optimizer": "adamw"})
    undisturbed = train(silicon_set, small_model, settings, tmp_path / "whole")

    def stop(done: int) -> None:
        if done == epoch:
            raise StopHereError

    with pytest.raises(StopHereError):
        train(silicon_set, small_model, settings, tmp_path / "parts", on_epoch=stop)
    seen: list[int] = []
    resumed = train(silicon_set, small_model, settings, tmp_path / "parts", on_epoch=seen.append)
    assert seen == list(range(epoch + 1, 7))
    assert same(undisturbed, resumed)
    strip = [{k: v for k, v in record.items() if k != "seconds"} for record in undisturbed.history]
    assert strip == [{k: v for k, v in record.items() if k != "seconds"} for record in resumed.history]
    lines = (tmp_path / "parts" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [2, 4, 6]
    assert undisturbed.calibration == resumed.calibration


def test_a_killed_training_ends_as_the_undisturbed_one(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    silicon_set.write(tmp_path / "set.extxyz")
    dataset = Dataset.read(tmp_path / "set.extxyz")
    script = Path(__file__).with_name("killed_training.py")
    command = [sys.executable, str(script), str(tmp_path / "set.extxyz"), str(tmp_path / "killed")]
    with subprocess.Popen([*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"third epoch\n"
        process.kill()
        process.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    seen: list[int] = []
    resumed = train(dataset, small_model, short, tmp_path / "killed", on_epoch=seen.append)
    assert seen == [4, 5, 6]
    assert same(resumed, train(dataset, small_model, short, tmp_path / "whole"))


def test_a_finished_training_is_not_repeated(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    first = train(silicon_set, small_model, short, tmp_path)
    seen: list[int] = []
    again = train(silicon_set, small_model, short, tmp_path, on_epoch=seen.append)
    assert seen == []
    assert same(first, again)
    assert again.calibration == first.calibration


def test_a_checkpoint_of_another_training_is_refused(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    train(silicon_set, small_model, short.model_copy(update={"epochs": 1}), tmp_path)
    for dataset, settings, seed in (
        (silicon_set, short, 7),
        (silicon_set[:31], short.model_copy(update={"epochs": 1}), 7),
        (silicon_set, short.model_copy(update={"epochs": 1}), 8),
    ):
        with pytest.raises(ValueError, match="belongs to another data set, model, seed or other settings"):
            train(dataset, small_model, settings, tmp_path, seed=seed)
    (tmp_path / "checkpoint.pt").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="cannot be read"):
        train(silicon_set, small_model, short, tmp_path)


def test_a_checkpoint_of_version_1_is_good(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    first = train(silicon_set, small_model, short, tmp_path)
    path = tmp_path / "checkpoint.pt"
    seen: list[int] = []
    content = torch.load(path, weights_only=True)
    assert content["state"].pop("buffers") == []
    torch.save(content | {"version": 1}, path)
    assert same(first, train(silicon_set, small_model, short, tmp_path, on_epoch=seen.append))
    assert seen == []
    torch.save(content | {"version": 3}, path)
    with pytest.raises(ValueError, match=r"version 3, not 2; delete it .* or start from its model"):
        train(silicon_set, small_model, short, tmp_path)


def test_warm_start_goes_on_from_the_earlier_weights(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    settings = short.model_copy(update={"epochs": 30, "learning_rate": 1e-2, "batch_size": 4})
    first = train(silicon_set, small_model, settings, tmp_path / "first")
    gentle = short.model_copy(update={"epochs": 1, "learning_rate": 1e-6, "final_learning_rate": 1e-7})
    second = train(silicon_set, first.calculator.model, gentle, tmp_path / "second")
    before, after = first.calculator.model, second.calculator.model
    assert after.self_energies == before.self_energies
    assert (after.scale, after.aev, after.repulsion) == (before.scale, before.aev, before.repulsion)
    assert second.held_out is not None
    assert first.held_out is not None
    assert second.held_out.forces_rmse == pytest.approx(first.held_out.forces_rmse, rel=1e-2)
    assert second.validation[0].forces_rmse == pytest.approx(first.validation[0].forces_rmse, rel=1e-2)


@pytest.mark.parametrize("missing", [("REF_forces",), ("REF_stress",), ("REF_forces", "REF_stress")])
def test_labels_may_be_missing(
    silicon: Frames,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    missing: tuple[str, ...],
) -> None:
    some, none = silicon(32, seed=13), silicon(32, seed=13)
    for key in missing:
        for atoms in (*some[::3], *none):
            (atoms.arrays if key in atoms.arrays else atoms.info).pop(key)
    partly = train(Dataset(some), small_model, short, tmp_path / "some")
    without = train(Dataset(none), small_model, short, tmp_path / "none")
    assert partly.held_out is not None
    assert without.held_out is not None
    for quantity in ("forces", "stress"):
        error = getattr(partly.held_out, f"{quantity}_rmse")
        assert error is not None
        assert np.isfinite(error)
        assert (getattr(without.held_out, f"{quantity}_rmse") is None) == (f"REF_{quantity}" in missing)
        assert (quantity in without.coverage) == (f"REF_{quantity}" not in missing)


def test_members_differ_and_one_member_is_not_calibrated(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    bagged = short.model_copy(update={"validation": "bagging"})
    pair = train(silicon_set, small_model, bagged, tmp_path / "pair")
    spread = pair.calculator.get_spread(silicon_set[0])
    assert spread.force_sigma.min() > 0
    assert len(pair.validation) == 2
    one = train(silicon_set, small_model.model_copy(update={"members": 1}), short, tmp_path / "one")
    assert one.coverage == {}
    assert one.calibration.forces == 1.0
    assert one.held_out is not None


def test_molecules_and_crystals_of_several_elements_train_together(
    small_model: ModelSettings, short: TrainingSettings, tmp_path: Path, rng: np.random.Generator
) -> None:
    frames = []
    for k in range(16):
        atoms = bulk("GaAs", "zincblende", a=5.65) if k % 2 else Atoms("Ga2As", 2.5 * np.eye(3))
        atoms.rattle(0.05, rng=rng)
        atoms.info["REF_energy"] = float(
            -3.0 * (atoms.numbers == 31).sum() - 4.5 * (atoms.numbers == 33).sum()
        )
        atoms.arrays["REF_forces"] = rng.normal(scale=0.1, size=(len(atoms), 3))
        frames.append(atoms)
    result = train(Dataset(frames), small_model, short, tmp_path)
    model = result.calculator.model
    assert model.symbols == ("Ga", "As")
    assert model.self_energies["Ga"] == pytest.approx(-3.0, abs=0.3)
    assert model.self_energies["As"] == pytest.approx(-4.5, abs=0.3)


def test_time_and_patience_end_a_training(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    hurried = train(
        silicon_set, small_model, short.model_copy(update={"max_minutes": 1e-9}), tmp_path / "time"
    )
    assert hurried.epochs == 1
    assert len(hurried.history) == 1
    stuck = short.model_copy(
        update={"epochs": 200, "patience": 3, "learning_rate": 0.5, "average": 0.0, "schedule": "constant"}
    )
    assert train(silicon_set, small_model, stuck, tmp_path / "patience").epochs < 200


def test_a_diverging_training_says_so_and_keeps_its_checkpoint(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    wild = short.model_copy(update={"learning_rate": 1e20, "warmup_steps": 8, "gradient_clip": None})
    with pytest.raises(RuntimeError, match="not finite"):
        train(silicon_set, small_model, wild, tmp_path)
    seen: list[int] = []
    with pytest.raises(RuntimeError, match="not finite"):
        train(silicon_set, small_model, wild, tmp_path, on_epoch=seen.append)
    assert not (tmp_path / "model.safetensors").exists()


def test_bad_input_is_refused_before_any_work(
    silicon: Frames, silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    target = tmp_path / "never"
    with pytest.raises(ValueError, match="8 frames cannot be cut into 16 folds"):
        train(silicon_set[:8], small_model, short, target)
    with pytest.raises(ValueError, match="holds Si, for which the model has no parameters"):
        train(silicon_set, small_model.model_copy(update={"symbols": ("Al",)}), short, target)
    frames = silicon(32, seed=1)
    frames[5].positions[1] = frames[5].positions[0]
    with pytest.raises(ValueError, match=r"frame 5 \(Si8\)"):
        train(Dataset(frames), small_model, short, target)
    with pytest.raises(TypeError, match=r"Dataset\(frames\) makes one"):
        train(frames, small_model, short, target)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not str"):
        train(silicon_set, "ani", short, target)
    assert not target.exists()


def test_progress_is_a_plain_line_off_a_terminal(
    silicon_set: Dataset,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    train_ensemble(silicon_set, model=small_model, settings=short, rng=rng, directory=tmp_path, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("training: epoch 6/6, validation ")
    assert err.endswith("meV/Å\n")
    train(silicon_set, small_model, short, tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")


def test_the_average_of_the_weights_is_exponential_and_forgets_its_start(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    def state(epochs: int, average: float) -> dict[str, Any]:
        change = {"epochs": epochs, "average": average, "batch_size": 32, "warmup_steps": 0}
        settings = short.model_copy(update={**change, "schedule": "constant"})
        folder = tmp_path / f"{epochs}-{average}"
        train(silicon_set, small_model, settings, folder)
        return torch.load(folder / "checkpoint.pt", weights_only=True)["state"]

    one, two = state(1, 0.15), state(2, 0.15)  # one step an epoch
    keep = 0.15  # less than 2/11, the memory of the second step
    for before, after, weights in zip(one["averaged"], two["averaged"], two["weights"], strict=True):
        torch.testing.assert_close(after, keep * before + (1 - keep) * weights)
    without = state(2, 0.0)
    assert all(torch.equal(a, w) for a, w in zip(without["averaged"], without["weights"], strict=True))
