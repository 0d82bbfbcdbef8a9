from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pydantic import ValidationError

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.training import (
    Dataset,
    ModelSettings,
    OutlierSettings,
    TrainingResult,
    TrainingSettings,
    continue_training,
    train_ensemble,
)
from ase_mlsample.training.folds import fold_numbers
from ase_mlsample.training.optimisation import Optimisation
from ase_mlsample.training.outliers import label_outliers, model_outliers

Frames = Callable[..., list[Atoms]]


def train(
    frames: list[Atoms], model: ModelSettings, settings: TrainingSettings, directory: Path, **options: object
) -> TrainingResult:
    rng = np.random.default_rng(7)
    return train_ensemble(
        Dataset(frames),
        model=model,
        settings=settings,
        rng=rng,
        directory=directory,
        **{"progress": False, **options},
    )


def weights_differ(a: TrainingResult, b: TrainingResult) -> bool:
    pairs = zip(
        a.calculator.model.networks.parameters(), b.calculator.model.networks.parameters(), strict=True
    )
    return any(not bool((p == q).all()) for p, q in pairs)


def test_labels_far_from_the_rest_are_found_and_nothing_else(silicon: Frames) -> None:
    frames = silicon(60, seed=21)
    frames[7].info["REF_energy"] += 80.0
    frames[30].info["REF_energy"] -= 400.0
    frames[41].arrays["REF_forces"][2] = (30.0, 40.0, 0.0)
    del frames[9].arrays["REF_forces"]
    found = label_outliers(Dataset(frames), OutlierSettings(energy_deviation=10, max_force=49.0))
    assert [(item.index, item.kinds) for item in found] == [
        (7, ("energy",)),
        (30, ("energy",)),
        (41, ("force",)),
    ]
    assert "force of 50.00 eV/Å, limit 49" in found[2].reason
    assert not label_outliers(Dataset(frames), OutlierSettings(max_force=51.0))


def test_energies_are_judged_by_composition(rng: np.random.Generator) -> None:
    frames = []
    for k in range(40):
        atoms = Atoms(("NaCl", "Na2Cl", "NaCl3")[k % 3], rng.normal(size=(2 + (k % 3 > 0) + (k % 3 > 1), 3)))
        n = atoms.get_chemical_symbols().count("Na")
        atoms.info["REF_energy"] = -1300.0 * n - 410.0 * (len(atoms) - n) + rng.normal(scale=0.01)
        frames.append(atoms)
    frames[11].info["REF_energy"] += 1300.0 - 410.0  # as of another composition
    found = label_outliers(Dataset(frames), OutlierSettings(energy_deviation=10))
    assert [item.index for item in found] == [11]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def test_frames_that_are_alike_make_no_outliers_of_each_other(silicon: Frames) -> None:
    same = silicon(2, seed=1)[1:] * 20
    slightly = [atoms.copy() for atoms in same[:2]]
    slightly[1].info["REF_energy"] += 0.02
    found = label_outliers(Dataset([*same, *slightly]), OutlierSettings(energy_deviation=5))
    assert found == ()


def test_cut_frames_are_listed_and_the_others_keep_their_folds(
    silicon: Frames,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clean, dirty = silicon(40, seed=22), silicon(40, seed=22)
    planted = [3, 17, 18]
    for k in planted:
        dirty[k].info["REF_energy"] += 100.0
    settings = short.model_copy(update={"outliers": OutlierSettings(energy_deviation=10)})
    cut = train(dirty, small_model, settings, tmp_path / "cut", progress=True)
    assert (
        f"cut 3 of 40 frames (energy 3), see {tmp_path / 'cut' / 'outliers.extxyz'}"
        in capsys.readouterr().err
    )
    assert [item.index for item in cut.cut] == planted
    listed = ase.io.read(tmp_path / "cut" / "outliers.extxyz", index=":")
    assert [atoms.info["outlier_index"] for atoms in listed] == planted
    assert all("eV/atom from the composition's" in atoms.info["outlier"] for atoms in listed)
    assert cut.calculator.model.metadata["training"]["frames"] == 37
    # the held-out fold is that of the whole set, less what was cut
    assert cut.held_out is not None
    held_out = [clean[k] for k in np.flatnonzero(fold_numbers(40, n_folds=16) == 15) if k not in planted]
    predictions = cut.calculator.evaluate_many(held_out)
    errors = np.concatenate(
        [p.forces - a.arrays["REF_forces"] for p, a in zip(predictions, held_out, strict=True)]
    )
    assert cut.held_out.forces_rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-3)
    again = train(clean, small_model, settings, tmp_path / "clean")
    assert again.cut == ()
    assert not (tmp_path / "clean" / "outliers.extxyz").exists()


def test_a_first_pass_finds_wrong_labels_but_leaves_held_out_frames(
    silicon: Frames, small_model: ModelSettings, tmp_path: Path
) -> None:
    frames = silicon(64, seed=23, rattle=0.05)
    held_out = np.flatnonzero(fold_numbers(64, n_folds=16) == 15)
    training = [k for k in range(64) if k not in held_out][10:14]
    for k in (*training[:2], held_out[0]):
        frames[k].arrays["REF_forces"] = -3.0 * frames[k].arrays["REF_forces"]
    frames[training[2]].info["REF_energy"] += 8.0
    settings = TrainingSettings(
        epochs=20, batch_size=8, outliers=OutlierSettings(model_error=6, first_pass=0.5), checkpoint_seconds=0
    )
    seen: list[int] = []

    class StopHereError(Exception):
        pass

    def stop(epoch: int) -> None:
        seen.append(epoch)
        if epoch == 3:
            raise StopHereError

    with pytest.raises(StopHereError):
        train(frames, small_model, settings, tmp_path / "parts", on_epoch=stop)
    resumed = train(frames, small_model, settings, tmp_path / "parts", on_epoch=seen.append)
    assert seen == list(range(1, 21))
    assert [item.index for item in resumed.cut] == sorted(training[:3])
    assert (tmp_path / "parts" / "first-pass" / "model.safetensors").exists()
    whole = train(frames, small_model, settings, tmp_path / "whole")
    assert not weights_differ(resumed, whole)


def test_a_training_killed_in_its_first_pass_can_be_continued(
    silicon: Frames,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = silicon(32, seed=23)
    settings = short.model_copy(update={"outliers": OutlierSettings(model_error=8, first_pass=0.5)})
    whole = train(frames, small_model, settings, tmp_path / "whole")
    epochs: list[int] = []
    epoch = Optimisation._epoch

    def killed(self: Optimisation) -> object:
        epochs.append(self.epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return epoch(self)

    monkeypatch.setattr(Optimisation, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(frames, small_model, settings, tmp_path / "killed")
    resumed = continue_training(Dataset(frames), directory=tmp_path / "killed", progress=False)
    assert epochs == [0, 1, 1, 2, 0, 1, 2, 3, 4, 5]  # three of the first pass, and six
    assert not weights_differ(whole, resumed)


def test_frames_without_forces_make_no_outliers_of_the_others(silicon: Frames) -> None:
    perfect = silicon(1, seed=1)[0]
    perfect.positions = bulk("Si", "fcc", a=4.15, cubic=True).positions
    perfect.cell = bulk("Si", "fcc", a=4.15, cubic=True).cell
    frames = [perfect.copy() for _ in range(12)] + silicon(8, seed=2)
    reference, other = StillingerWeber(), StillingerWeber(lambda_=21.5)
    for atoms in frames:
        prediction = reference.evaluate(atoms)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = prediction.energy, prediction.forces
        atoms.info.pop("REF_stress", None)
    everything = np.arange(20)
    kinds = [item.kinds for item in model_outliers(Dataset(frames), other, factor=6, frames=everything)]
    assert not any("model forces" in kind for kind in kinds)
    frames[0].arrays["REF_forces"] = frames[0].arrays["REF_forces"] + 5.0
    found = model_outliers(Dataset(frames), other, factor=6, frames=everything)
    assert [item.index for item in found if "model forces" in item.kinds] == [0]


def test_limits_are_needed_and_must_leave_frames(
    silicon: Frames, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="outliers sets no limit"):
        OutlierSettings()
    with pytest.raises(ValidationError, match="did you mean 'max_force'"):
        TrainingSettings(outliers={"maxforce": 3})
    settings = short.model_copy(update={"outliers": OutlierSettings(max_force=1e-9)})
    with pytest.raises(ValueError, match="cuts every frame"):
        train(silicon(20, seed=1), small_model, settings, tmp_path / "never")
