"""A second opinion: what the newest model says of frames that an older one proposed; a task of the loop."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ase import Atoms

from ase_mlsample.active.models import load_model
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Workspace

__all__ = ["judge", "judging_task"]


def judge(*, model: str, frames: Sequence[Atoms], level: float | None) -> dict[str, Any]:
    """Disagreement of a model about frames.

    Parameters
    ----------
    model : folder of the model.
    frames : bare structures.
    level : eV/Å, of the relative measure, or None for σ itself.

    Returns
    -------
    dict
        ``measures``: of each frame in eV/Å, as `ase_mlsample.active.config.SelectionSettings` defines it.
    """
    calculator = load_model(model)
    measures = []
    for atoms in frames:
        sigma = calculator.get_spread(atoms).calibrated.force_sigma
        if level is not None:
            from ase_mlsample.dynamics.gate import relative_deviation

            sigma = level * relative_deviation(sigma, calculator.get_forces(atoms), level=level)
        measures.append(float(sigma.max()))
    return {"measures": measures}


def judging_task(
    workspace: Workspace, generation: int, names: Sequence[str], frames: Sequence[Atoms]
) -> Task:
    """The judgement of frames, known by their hashes, by a generation's model."""
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]
    arguments = {
        "model": str(workspace.directory.model(generation)),
        "frames": frames,
        "level": workspace.config.selection.level,
    }
    key = f"{workspace.key('judge', generation)}-{digest}"
    return Task(key, judge, arguments, timeout_s=workspace.config.explore.timeout_s)
