"""What a training's folder remembers of it, so that it can be told from another one and gone on with."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from ase_mlsample._files import write_atomic
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.loading import Model, load_model
from ase_mlsample.training.checkpoint import fingerprint
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.models import AnyModelSettings, model_settings
from ase_mlsample.training.settings import TrainingSettings

__all__ = ["CHECKPOINT", "MODEL", "TrainingRecord", "later_legs", "marks_of"]

CHECKPOINT = "checkpoint.pt"
MODEL = "model.safetensors"
_RECORD = "training.json"
_START = "start.safetensors"

# These do not change what is learned.
_FREE = {"max_minutes", "checkpoint_seconds", "recipe"}
# Settings that came later: at their defaults they are left out, so that older checkpoints stay good.
_LATER = ("more_epochs", "freeze", "self_energies", "outliers", "prefactors")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """All that determines a training, besides its data.

    Attributes
    ----------
    seed
        Of everything random.
    model
        Built, or gone on from.
    settings
        How to train.
    """

    seed: int
    model: AnyModelSettings | Model
    settings: TrainingSettings

    def first_pass(self) -> Self:
        """The shorter training by which outliers are found."""
        limits, minutes = self.settings.outliers, self.settings.max_minutes
        assert limits is not None  # noqa: S101 - there is no first pass without
        labels_only = None
        if limits.energy_deviation is not None or limits.max_force is not None:
            labels_only = limits.model_copy(update={"model_error": None})
        changes = {
            "outliers": labels_only,
            "more_epochs": (),
            "epochs": max(1, round(self.settings.epochs * limits.first_pass)),
            "max_minutes": None if minutes is None else minutes * limits.first_pass,
        }
        return replace(self, settings=self.settings.model_copy(update=changes))

    def write(self, directory: Path, *, mark: str) -> None:
        """Leave ``training.json``, and with an earlier model ``start.safetensors``, in a folder."""
        path = directory / _RECORD
        description = {
            "mark": mark,
            "seed": self.seed,
            "model": None if isinstance(self.model, Model) else self.model.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
        }
        content = json.dumps(description, indent=1).encode()
        if path.exists() and path.read_bytes() == content:
            return
        directory.mkdir(parents=True, exist_ok=True)
        if isinstance(self.model, Model):
            self.model.save(directory / _START)
        write_atomic(path, content)

    @classmethod
    def read(cls, directory: Path) -> "tuple[TrainingRecord, str]":
        """The record in a folder, and the mark of the training.

        Raises
        ------
        FileNotFoundError
            If the folder holds none.
        ValueError
            If it cannot be read.
        """
        path = directory / _RECORD
        if not path.exists():
            raise FileNotFoundError(
                f"{directory} holds no training to go on with (there is no {_RECORD}); "
                "name the folder that `train` made, beside its model file"
            )
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            described = content["model"]
            model = load_model(directory / _START) if described is None else model_settings(described)
            settings = TrainingSettings.model_validate(content["settings"])
            return cls(int(content["seed"]), model, settings), str(content["mark"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}); train anew in another folder") from error


def marks_of(dataset: Dataset, record: TrainingRecord) -> tuple[str, ...]:
    """What a checkpoint must have in common with this training; first its own, then those of fewer legs."""
    legs = record.settings.more_epochs
    shorter = [
        record.settings.model_copy(update={"more_epochs": legs[:n]}) for n in range(len(legs) - 1, -1, -1)
    ]
    return tuple(_mark(dataset, replace(record, settings=s)) for s in (record.settings, *shorter))


def later_legs(directory: Path, dataset: Dataset, record: TrainingRecord) -> tuple[int, ...]:
    """The legs by which a folder's training is longer than this one; none where it is another training."""
    try:
        found, mark = TrainingRecord.read(directory)
    except (FileNotFoundError, ValueError):
        return ()  # it will be written anew; the checkpoint says itself whether it fits
    own, legs = record.settings.more_epochs, found.settings.more_epochs
    longer = replace(record, settings=record.settings.model_copy(update={"more_epochs": legs}))
    extended = legs[: len(own)] == own and marks_of(dataset, longer)[0] == mark
    return legs[len(own) :] if extended else ()


def _mark(dataset: Dataset, record: TrainingRecord) -> str:
    model = record.model
    start = model.describe() if isinstance(model, Model) else model.model_dump(mode="json")
    settings = record.settings.model_dump(mode="json", exclude=_FREE)
    defaults = TrainingSettings().model_dump(mode="json")
    for name in _LATER:
        if settings[name] == defaults[name]:
            del settings[name]
    return fingerprint(dataset, {"model": start, "settings": settings}, _weights(model), record.seed)


def _weights(model: AnyModelSettings | Model) -> list[torch.Tensor]:
    if isinstance(model, ANIModel):
        return list(model.networks.parameters())
    if isinstance(model, Model):
        return [torch.from_numpy(array) for array in model.tensors().values()]
    return []
