"""Training of all members of an ensemble at once, from a data set to a calibrated calculator."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.loading import Model
from ase_mlsample.training.checkpoint import load_checkpoint
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.folds import Split, bagged_split, strided_split
from ase_mlsample.training.freezing import parameter_counts
from ase_mlsample.training.models import AnyModelSettings, DeepPotentialSettings
from ase_mlsample.training.optimisation import Optimisation
from ase_mlsample.training.outliers import CutFrame, label_outliers, model_outliers, write_cut
from ase_mlsample.training.progress import TrainingProgress
from ase_mlsample.training.record import CHECKPOINT, MODEL, TrainingRecord, later_legs, marks_of
from ase_mlsample.training.result import TrainingResult
from ase_mlsample.training.settings import ModelSettings, TrainingSettings
from ase_mlsample.training.setup import Setup

__all__ = ["train_ensemble", "train_seeded"]

_HISTORY = "history.jsonl"
_OUTLIERS = "outliers.extxyz"
_PRELIMINARY = "first-pass"


def train_ensemble(
    dataset: Dataset,
    *,
    model: AnyModelSettings | Model | None = None,
    settings: TrainingSettings | None = None,
    rng: np.random.Generator,
    directory: str | Path,
    progress: bool = True,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingResult:
    """Train an ensemble of ANI networks, or of Deep Potentials, on energies, forces and stress.

    A folder that holds a checkpoint of the same training (same data, model, settings and seed) is resumed,
    and ends with the weights of the undisturbed run, bit for bit. A finished one is
    returned after its final evaluation; `continue_training` adds epochs to it.

    Parameters
    ----------
    dataset
        Labelled frames.
    model
        What to build (`ModelSettings` are of ANI networks, `DeepPotentialSettings` of Deep Potentials), or an
        earlier model to go on from (a warm start): its descriptor, scale and weights are kept, and its self
        energies too unless the settings refit them. ``TrainingSettings(recipe=…)`` has
        settings for more data of the same reference ("fine-tuning") and of another one ("transfer").
    settings
        How to train.
    rng
        One number is drawn from it, which seeds everything.
    directory
        Gets ``checkpoint.pt``, ``history.jsonl``, ``training.json`` and ``model.safetensors``; with outliers
        cut, ``outliers.extxyz``.
    progress
        Show epochs and validation errors.
    on_epoch
        Called with the number of finished epochs after each of them.

    Raises
    ------
    TypeError
        If the data or the model are of another kind.
    ValueError
        If there are too few frames, elements without parameters, atoms on top of each other, nothing to
        freeze, or the folder holds another training or a continued one.
    RuntimeError
        If the loss stops being finite; the last checkpoint stays.
    """
    settings = settings or TrainingSettings()
    model = model or ModelSettings()
    _check(dataset, model, settings)
    if isinstance(model, DeepPotentialSettings | DeepPotentialModel):
        settings = settings.suited_to("deep_potential")
    record, directory = TrainingRecord(int(rng.integers(2**63)), model, settings), Path(directory)
    if later := later_legs(directory, dataset, record):
        raise ValueError(
            f"the training in {directory} was continued for {sum(later)} epochs beyond the end of this one; "
            f"go on with continue_training (on the command line: --continue {directory}), or train elsewhere"
        )
    return train_seeded(dataset, record, directory=directory, progress=progress, on_epoch=on_epoch)


def train_seeded(
    dataset: Dataset,
    record: TrainingRecord,
    *,
    directory: Path,
    progress: bool = True,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingResult:
    """As `train_ensemble`, with everything that it needs besides the data in a record."""
    model, settings, seed = record.model, record.settings, record.seed
    marks = marks_of(dataset, record)
    split = _split(dataset, record)
    if not np.any(~split.held_out & (dataset.weights > 0)):
        raise ValueError("no frame to learn from has a positive weight; raise config_weight")
    state = load_checkpoint(directory / CHECKPOINT, marks=marks)
    with _torch_threads(settings.torch_threads):
        cut = _outliers(dataset, record, split, directory, mark=marks[0], progress=progress)
        gone = {item.index for item in cut}
        kept = np.array([k for k in range(len(dataset)) if k not in gone], dtype=np.int64)
        learned = dataset.subset(kept.tolist()) if cut else dataset
        rng = np.random.default_rng([seed, 2])
        setup = Setup.of(learned, model, settings, split=split.select(kept) if cut else split, rng=rng)
        run = Optimisation(setup.problem, settings, np.random.default_rng([seed, 3]))
        if state is not None:
            run.restore(state)
        record.write(directory, mark=marks[0])
        write_cut(directory / _OUTLIERS, dataset, cut)
        if progress:
            _announce(setup, dataset, cut, directory)
        _optimise(run, directory, mark=marks[0], settings=settings, progress=progress, on_epoch=on_epoch)
        return setup.finish(run, directory / MODEL, settings, cut=cut)


def _check(dataset: object, model: object, settings: TrainingSettings) -> None:
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"the data must be a Dataset, not {type(dataset).__name__}; Dataset(frames) makes one"
        )
    if not isinstance(model, AnyModelSettings | Model):
        raise TypeError(
            "model must be ModelSettings, DeepPotentialSettings or an earlier model to go on from, not "
            f"{type(model).__name__}"
        )
    plain = TrainingSettings()
    changed = [n for n in ("recipe", "freeze", "self_energies") if getattr(settings, n) != getattr(plain, n)]
    if settings.recipe == "deepmd":
        changed.remove("recipe")
    if isinstance(model, AnyModelSettings) and changed:
        raise ValueError(
            f"{changed[0]} is for training on from an earlier model; give one (model=load_model(…), on "
            f"the command line --start), or drop {changed[0]}"
        )


def _outliers(
    dataset: Dataset, record: TrainingRecord, split: Split, directory: Path, *, mark: str, progress: bool
) -> tuple[CutFrame, ...]:
    """Frames to cut, by their labels and, where asked, by a first model's errors on frames not held out."""
    limits = record.settings.outliers
    if limits is None:
        return ()
    cut = label_outliers(dataset, limits)
    if limits.model_error is not None:
        gone = {item.index for item in cut}
        judged = np.array([k for k in np.flatnonzero(~split.held_out).tolist() if k not in gone])
        record.write(directory, mark=mark)  # a kill in the first pass must leave something to continue
        first = train_seeded(
            dataset, record.first_pass(), directory=directory / _PRELIMINARY, progress=progress
        )
        cut += model_outliers(dataset, first.calculator, factor=limits.model_error, frames=judged)
    if len(cut) == len(dataset):
        raise ValueError("outliers cuts every frame; raise its limits")
    return tuple(sorted(cut, key=lambda item: item.index))


def _announce(setup: Setup, dataset: Dataset, cut: tuple[CutFrame, ...], directory: Path) -> None:
    if cut:
        kinds = [kind for item in cut for kind in item.kinds]
        counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
        sys.stderr.write(
            f"training: cut {len(cut)} of {len(dataset)} frames ({counts}), see {directory / _OUTLIERS}\n"
        )
    trained, parameters = parameter_counts(setup.networks)
    if trained < parameters:
        sys.stderr.write(f"training: {trained} of {parameters} parameters of each member, the rest frozen\n")


def _optimise(
    run: Optimisation,
    directory: Path,
    *,
    mark: str,
    settings: TrainingSettings,
    progress: bool,
    on_epoch: Callable[[int], None] | None,
) -> None:
    epochs = settings.epochs + sum(settings.more_epochs)
    with TrainingProgress(epochs, done=run.epoch, enabled=progress) as bar:

        def report(record: dict[str, Any] | None) -> None:
            bar.epoch(run.epoch, record)
            if on_epoch is not None:
                on_epoch(run.epoch)

        run.run(directory / CHECKPOINT, directory / _HISTORY, mark=mark, report=report)


@contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _split(dataset: Dataset, record: TrainingRecord) -> Split:
    model, settings = record.model, record.settings
    members = model.n_members if isinstance(model, Model) else model.members
    if settings.validation == "bagging":
        return bagged_split(
            len(dataset),
            members=members,
            rng=np.random.default_rng([record.seed, 1]),
            n_folds=settings.folds,
            held_out_folds=settings.held_out_folds,
        )
    return strided_split(
        len(dataset),
        members=members,
        n_folds=settings.folds,
        validation_folds=settings.validation_folds,
        held_out_folds=settings.held_out_folds,
    )
