from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_mlsample.training import (
    Dataset,
    ModelSettings,
    TrainingResult,
    TrainingSettings,
    continue_training,
    train_ensemble,
)
from ase_mlsample.training.checkpoint import fingerprint
from ase_mlsample.training.record import TrainingRecord, marks_of
from ase_mlsample.training.schedule import Schedule

Frames = Callable[..., list[Atoms]]


class StopHereError(Exception):
    pass


def stop_at(epoch: int) -> Callable[[int], None]:
    def stop(done: int) -> None:
        if done == epoch:
            raise StopHereError

    return stop


def train(
    dataset: Dataset, model: Any, settings: TrainingSettings, directory: Path, **options: Any
) -> TrainingResult:
    rng = np.random.default_rng(7)
    return train_ensemble(
        dataset, model=model, settings=settings, rng=rng, directory=directory, progress=False, **options
    )


def go_on(dataset: Dataset, directory: Path, **options: Any) -> TrainingResult:
    return continue_training(dataset, directory=directory, progress=False, **options)


def same(a: TrainingResult, b: TrainingResult) -> bool:
    pairs = zip(
        a.calculator.model.networks.parameters(), b.calculator.model.networks.parameters(), strict=True
    )
    return all(torch.equal(x, y) for x, y in pairs)


def test_an_interrupted_training_goes_on_exactly_from_its_folder(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    whole = train(silicon_set, small_model, short, tmp_path / "whole")
    with pytest.raises(StopHereError):
        train(silicon_set, small_model, short, tmp_path / "parts", on_epoch=stop_at(2))
    seen: list[int] = []
    resumed = go_on(silicon_set, tmp_path / "parts", on_epoch=seen.append)
    assert seen == [3, 4, 5, 6]
    assert same(whole, resumed)
    with pytest.raises(ValueError, match=r"is finished; say how many epochs to add .*--epochs \+N"):
        go_on(silicon_set, tmp_path / "parts")


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_added_epochs_are_a_leg_that_may_be_interrupted(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path, schedule: str
) -> None:
    settings = short.model_copy(update={"schedule": schedule, "plateau_patience": 1, "optimizer": "adamw"})
    for name in ("whole", "parts"):
        train(silicon_set, small_model, settings, tmp_path / name)
    whole = go_on(silicon_set, tmp_path / "whole", more_epochs=3)
    assert whole.epochs == 9
    with pytest.raises(StopHereError):
        go_on(silicon_set, tmp_path / "parts", more_epochs=3, on_epoch=stop_at(8))
    seen: list[int] = []
    parts = go_on(silicon_set, tmp_path / "parts", more_epochs=3, on_epoch=seen.append)
    assert seen == [9]
    assert same(whole, parts)
    assert [r["epoch"] for r in parts.history] == [2, 4, 6, 8, 9]
    twice = go_on(silicon_set, tmp_path / "parts", more_epochs=3)
    assert twice.epochs == 12
    assert twice.calculator.model.metadata["training"]["settings"]["more_epochs"] == [3, 3]


def test_a_training_that_was_meant_to_be_longer_is_the_one_that_was_extended(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    planned = short.model_copy(update={"more_epochs": (3, 2)})
    whole = train(silicon_set, small_model, planned, tmp_path / "planned")
    with pytest.raises(StopHereError):
        train(silicon_set, small_model, short, tmp_path / "extended", on_epoch=stop_at(4))
    go_on(silicon_set, tmp_path / "extended", more_epochs=3)  # before the end of the first leg
    extended = go_on(silicon_set, tmp_path / "extended", more_epochs=2)
    assert extended.epochs == whole.epochs == 11
    assert same(whole, extended)
    assert extended.validation == whole.validation


def test_a_leg_ends_where_time_or_patience_end_it_and_never_makes_the_best_worse(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    hurried = short.model_copy(update={"max_minutes": 1e-9})
    first = train(silicon_set, small_model, hurried, tmp_path)
    longer = go_on(silicon_set, tmp_path, more_epochs=4)
    assert (first.epochs, longer.epochs) == (1, 2)
    losses = [np.array(r["validation_loss"]) for r in longer.history]
    assert np.all(np.min(losses, axis=0) <= losses[0])


def test_other_data_are_a_warm_start_that_is_resumed(
    silicon: Frames,
    silicon_set: Dataset,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grown = silicon_set + Dataset(silicon(8, seed=5))
    with pytest.raises(StopHereError):
        train(silicon_set, small_model, short, tmp_path, on_epoch=stop_at(2))
    with pytest.raises(FileNotFoundError, match="no finished model"):
        go_on(grown, tmp_path)
    first = go_on(silicon_set, tmp_path)
    with pytest.raises(StopHereError):
        continue_training(grown, directory=tmp_path, more_epochs=3, on_epoch=stop_at(1))
    assert "the data differ from those of" in capsys.readouterr().err
    seen: list[int] = []
    second = go_on(grown, tmp_path, more_epochs=3, on_epoch=seen.append)
    assert seen == [2, 3]
    assert second.calculator.model.self_energies == first.calculator.model.self_energies
    settings = second.calculator.model.metadata["training"]["settings"]
    assert (settings["recipe"], settings["learning_rate"], settings["epochs"]) == ("fine-tuning", 1e-3, 3)
    (folder,) = tmp_path.glob("continued-*")
    assert go_on(grown, folder, more_epochs=2).epochs == 5  # a warm start can be gone on with too
    assert same(first, train(silicon_set, small_model, short, tmp_path))  # which is as it was


def test_a_kill_before_the_model_is_written_leaves_nothing_to_add(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    first = train(silicon_set, small_model, short, tmp_path)
    before = model.read_bytes()
    model.unlink()
    assert same(first, go_on(silicon_set, tmp_path))
    assert model.exists()
    longer = go_on(silicon_set, tmp_path, more_epochs=2)
    model.write_bytes(before)
    again = go_on(silicon_set, tmp_path, more_epochs=2)
    assert again.epochs == 8
    assert same(longer, again)


def test_the_original_training_is_not_mistaken_for_another_after_it_was_continued(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    train(silicon_set, small_model, short, tmp_path)
    go_on(silicon_set, tmp_path, more_epochs=2)
    go_on(silicon_set, tmp_path, more_epochs=1)
    with pytest.raises(
        ValueError, match=r"was continued for 3 epochs beyond .*; go on with continue_training"
    ):
        train(silicon_set, small_model, short, tmp_path)
    partly = short.model_copy(update={"more_epochs": (2,)})
    with pytest.raises(ValueError, match="was continued for 1 epochs"):
        train(silicon_set, small_model, partly, tmp_path)
    all_of_it = short.model_copy(update={"more_epochs": (2, 1)})
    assert train(silicon_set, small_model, all_of_it, tmp_path).epochs == 9
    with pytest.raises(ValueError, match="belongs to another data set"):
        train(silicon_set[:20], small_model, short, tmp_path)


def test_limits_that_change_nothing_learned_are_those_of_the_last_call(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    for minutes in (5.0, 60.0):
        settings = short.model_copy(update={"max_minutes": minutes, "epochs": 1})
        train(silicon_set, small_model, settings, tmp_path)
        assert TrainingRecord.read(tmp_path)[0].settings.max_minutes == minutes


def test_folders_without_a_training_and_bad_numbers_are_refused(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="holds no training to go on with"):
        go_on(silicon_set, tmp_path)
    train(silicon_set, small_model, short, tmp_path)
    with pytest.raises(ValueError, match="more_epochs is 0"):
        go_on(silicon_set, tmp_path, more_epochs=0)
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot be read"):
        go_on(silicon_set, tmp_path, more_epochs=1)


def test_legs_rise_to_a_peak_by_their_length_and_decay() -> None:
    settings = TrainingSettings(learning_rate=1e-2, final_learning_rate=1e-5, warmup_steps=0)
    schedule = Schedule(settings, total_steps=100)
    schedule.begin_leg(100, steps=20)
    schedule.begin_leg(120, steps=400)
    assert [schedule.rate(s) for s in (0, 99, 100, 119, 120, 519)] == pytest.approx(
        [1e-2, 1e-5, 2e-3, 1e-5, 1e-2, 1e-5]
    )
    assert schedule.end == 520
    other = Schedule(settings, total_steps=100)
    other.restore(schedule.state())
    assert [other.rate(s) for s in range(520)] == [schedule.rate(s) for s in range(520)]
    constant = Schedule(TrainingSettings(schedule="constant", warmup_steps=0), total_steps=100)
    constant.begin_leg(100, steps=10)
    assert constant.rate(105) == 1e-2


def test_settings_that_came_later_leave_marks_of_older_checkpoints_alone(
    silicon_set: Dataset, small_model: ModelSettings, short: TrainingSettings
) -> None:
    later = {"recipe", "more_epochs", "freeze", "self_energies", "outliers", "prefactors"}
    settings = short.model_dump(mode="json", exclude={"max_minutes", "checkpoint_seconds", *later})
    description = {"model": small_model.model_dump(mode="json"), "settings": settings}
    before = fingerprint(silicon_set, description, [], 3)
    record = TrainingRecord(3, small_model, short)
    assert marks_of(silicon_set, record) == (before,)
    changes: list[dict[str, Any]] = [
        {"more_epochs": (4,)},
        {"freeze": ("layers.0",)},
        {"self_energies": "refit"},
        {"outliers": {"max_force": 3.0}},
    ]
    marks = {
        marks_of(silicon_set, TrainingRecord(3, small_model, TrainingSettings(**(short.model_dump() | c))))[0]
        for c in changes
    }
    assert len({before, *marks}) == 5
