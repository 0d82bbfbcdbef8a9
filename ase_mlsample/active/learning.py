"""Steps of the loop that train the model of a generation and judge it on the held-out set."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase_mlsample.active.models import evaluate, has_model, model_file, train
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workplace import Workplace

__all__ = ["evaluate_model", "publish", "train_model"]


def train_model(place: Workplace, generation: int) -> None:
    """Train on all labels so far; without a new one the model of before stays.

    Raises
    ------
    RuntimeError
        Training failed.
    """
    frames = place.ledger.training_set(place.reference)
    before = place.ledger.stages().get(generation - 1, {}).get("train")
    if before is not None and before["n_frames"] == len(frames):
        _keep_model(place, generation, before)
        return
    tuned = place.config.fine_tuning is not None and generation > 0
    arguments = {
        "frames": frames,
        "model": place.config.model,
        "settings": place.config.fine_tuning if tuned else place.config.training,
        "directory": str(place.directory.model(generation)),
        "start": str(place.directory.model(generation - 1)) if tuned else None,
        "seed": place.seed(generation, "train"),
        "elements": place.config.elements,
        "progress": place.console.is_terminal,
    }
    place.say(generation, f"training on {len(frames)} structures")
    task = Task(place.key("train", generation), train, arguments)
    if task.key in place.store and not has_model(place.directory.model(generation)):
        place.store.remove(task.key)  # somebody removed the model that the result speaks of
    place.ledger.finish_stage(generation, "train", place.run_needed("train", generation, task))


def evaluate_model(place: Workplace, generation: int) -> None:
    """Errors of the model on the held-out set.

    Raises
    ------
    RuntimeError
        The evaluation failed.
    """
    arguments = {"model": str(place.directory.model(generation)), "testset": str(place.config.testset)}
    task = Task(place.key("evaluate", generation), evaluate, arguments)
    place.ledger.finish_stage(generation, "evaluate", place.run_needed("evaluate", generation, task))


def publish(place: Workplace, generation: int) -> Path:
    """Copy the model of a generation to the top of the run's folder."""
    source = model_file(place.directory.model(generation))
    return _copy(source, place.directory.path / source.name)


def _keep_model(place: Workplace, generation: int, before: Mapping[str, Any]) -> None:
    source, target = model_file(place.directory.model(generation - 1)), place.directory.model(generation)
    target.mkdir(parents=True, exist_ok=True)
    _copy(source, target / source.name)
    place.ledger.finish_stage(generation, "train", {**before, "reused": True})
    place.say(generation, "no new labels: the model of before stays")


def _copy(source: Path, target: Path) -> Path:
    temporary = target.with_name(f".{target.name}")
    shutil.copyfile(source, temporary)
    return temporary.replace(target)
