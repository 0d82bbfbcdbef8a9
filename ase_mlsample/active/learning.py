"""Steps of the loop that train the model of a generation and judge it on the held-out set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from ase_mlsample._files import write_atomic
from ase_mlsample.active.models import evaluate, has_model, model_file, train
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Workspace

__all__ = [
    "evaluate_model",
    "evaluation_task",
    "keep_model",
    "publish",
    "train_model",
    "training_task",
]

# a training goes on from its checkpoint: so many blocks of a batch system may end under one
_LOSSES = 5


def train_model(workspace: Workspace, generation: int) -> None:
    """Train on all labels so far; without a new one the model of before stays.

    Raises
    ------
    RuntimeError
        Training failed.
    """
    frames = workspace.ledger.training_set(workspace.reference)
    before = workspace.ledger.stages().get(generation - 1, {}).get("train")
    if before is not None and before["n_frames"] == len(frames):
        keep_model(workspace, generation, before)
        return
    workspace.say(generation, f"training on {len(frames)} structures")
    task = training_task(workspace, generation, frames)
    workspace.ledger.finish_stage(generation, "train", workspace.run_needed("train", generation, task))


def training_task(workspace: Workspace, generation: int, frames: Sequence[Atoms]) -> Task:
    """The training of a generation's model on labelled structures."""
    tuned = workspace.config.fine_tuning is not None and generation > 0
    arguments = {
        "frames": frames,
        "model": workspace.config.model,
        "settings": workspace.config.fine_tuning if tuned else workspace.config.training,
        "directory": str(workspace.directory.model(generation)),
        "start": str(workspace.directory.model(generation - 1)) if tuned else None,
        "seed": workspace.seed(generation, "train"),
        "elements": workspace.config.elements,
        "progress": workspace.console.is_terminal,
    }
    task = Task(workspace.key("train", generation), train, arguments, losses=_LOSSES)
    if task.key in workspace.store and not has_model(workspace.directory.model(generation)):
        workspace.store.remove(task.key)  # somebody removed the model that the result speaks of
    return task


def evaluate_model(workspace: Workspace, generation: int) -> None:
    """Errors of the model on the held-out set.

    Raises
    ------
    RuntimeError
        The evaluation failed.
    """
    task = evaluation_task(workspace, generation)
    workspace.ledger.finish_stage(generation, "evaluate", workspace.run_needed("evaluate", generation, task))


def evaluation_task(workspace: Workspace, generation: int) -> Task:
    """The judgement of a generation's model on the held-out set."""
    arguments = {
        "model": str(workspace.directory.model(generation)),
        "testset": str(workspace.config.testset),
    }
    return Task(workspace.key("evaluate", generation), evaluate, arguments)


def publish(workspace: Workspace, generation: int) -> Path:
    """Copy the model of a generation to the top of the run's folder."""
    source = model_file(workspace.directory.model(generation))
    return _copy(source, workspace.directory.path / source.name)


def keep_model(workspace: Workspace, generation: int, before: Mapping[str, Any]) -> None:
    """Let the model of the generation before be that of this one, too: nothing was learned."""
    source, target = (
        model_file(workspace.directory.model(generation - 1)),
        workspace.directory.model(generation),
    )
    target.mkdir(parents=True, exist_ok=True)
    _copy(source, target / source.name)
    workspace.ledger.finish_stage(generation, "train", {**before, "reused": True})
    workspace.say(generation, "no new labels: the model of before stays")


def _copy(source: Path, target: Path) -> Path:
    write_atomic(target, source.read_bytes())
    return target
