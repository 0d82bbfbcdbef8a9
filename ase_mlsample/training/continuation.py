"""Going on with a training that a folder holds: to its end, beyond it, or with other data."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ase_mlsample.calculators.loading import load_model
from ase_mlsample.training.checkpoint import load_checkpoint
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.record import CHECKPOINT, MODEL, TrainingRecord, marks_of
from ase_mlsample.training.result import TrainingResult
from ase_mlsample.training.settings import RECIPES, TrainingSettings
from ase_mlsample.training.trainer import train_ensemble, train_seeded

__all__ = ["continue_training"]


def continue_training(
    dataset: Dataset,
    *,
    directory: str | Path,
    more_epochs: int | None = None,
    progress: bool = True,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingResult:
    """Go on with the training that a folder holds, with its own model, settings and seed.

    With the data it was begun with, an interrupted training goes on exactly. `more_epochs` then adds a leg:
    optimiser, averages and best weights stay, and the learning rate rises once more, to a peak that is as
    much lower than the first as the leg is shorter, and decays again. Repeated after an interruption, the
    same call finishes the leg instead of adding another.

    With other data a new training starts from the folder's model, with the settings of the recipe
    "fine-tuning", in ``directory/continued-<hash of the data>``. Frames that are appended to the first
    training's leave its held-out frames held out; in another order these may be learned from, and errors and
    calibration then look too good.

    Parameters
    ----------
    dataset
        Labelled frames.
    directory
        Of an earlier `train_ensemble`.
    more_epochs
        Epochs to add; with other data, epochs to train (those of the first training where None).
    progress, on_epoch
        As for `train_ensemble`.

    Raises
    ------
    FileNotFoundError
        If the folder holds no training, or with other data no finished one.
    ValueError
        If a finished training is to go on with the same data but `more_epochs` is not given, or is below 1.
    """
    directory = Path(directory)
    if more_epochs is not None and more_epochs < 1:
        raise ValueError(f"more_epochs is {more_epochs}; it must be at least 1")
    record, mark = TrainingRecord.read(directory)
    marks = marks_of(dataset, record)
    if mark != marks[0]:
        return _with_other_data(
            dataset, record, directory, epochs=more_epochs, progress=progress, on_epoch=on_epoch
        )
    legs = record.settings.more_epochs
    if _is_finished(record, directory, marks):
        if more_epochs is None:
            raise ValueError(
                f"the training in {directory} is finished; say how many epochs to add "
                "(more_epochs, on the command line --epochs +N), or give other data"
            )
        legs = (*legs, more_epochs)
    elif more_epochs is not None and legs[-1:] != (more_epochs,):
        legs = (*legs, more_epochs)
    longer = replace(record, settings=record.settings.model_copy(update={"more_epochs": legs}))
    return train_seeded(dataset, longer, directory=directory, progress=progress, on_epoch=on_epoch)


def _is_finished(record: TrainingRecord, directory: Path, marks: tuple[str, ...]) -> bool:
    """Whether all legs are over and their model is written."""
    state, path = load_checkpoint(directory / CHECKPOINT, marks=marks), directory / MODEL
    if state is None or not state["finished"] or not path.exists():
        return False
    begun = len(state["schedule"].get("legs", [None]))
    written = load_model(path).metadata["training"]["epochs"]
    return begun > len(record.settings.more_epochs) and written == state["epoch"]


def _with_other_data(
    dataset: Dataset,
    record: TrainingRecord,
    directory: Path,
    *,
    epochs: int | None,
    progress: bool,
    on_epoch: Callable[[int], None] | None,
) -> TrainingResult:
    path = directory / MODEL
    if not path.exists():
        raise FileNotFoundError(
            f"the data differ from those of the training in {directory}, which has no finished model to "
            "start from; finish it with its own data first"
        )
    changes = {"recipe": "fine-tuning", **RECIPES["fine-tuning"], "self_energies": "keep", "more_epochs": ()}
    if epochs is not None:
        changes["epochs"] = epochs
    settings = TrainingSettings.model_validate(record.settings.model_dump() | changes)
    model = load_model(path)
    fresh = TrainingRecord(record.seed, model, settings)
    folder = directory / f"continued-{marks_of(dataset, fresh)[0][:8]}"
    if progress:
        sys.stderr.write(
            f"training: the data differ from those of {directory}: a warm start from its model, in {folder}\n"
        )
    rng = np.random.default_rng([record.seed, len(dataset)])
    return train_ensemble(
        dataset,
        model=model,
        settings=settings,
        rng=rng,
        directory=folder,
        progress=progress,
        on_epoch=on_epoch,
    )
