"""Steps of the loop that propose structures: the initial samplers, then exploration and selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.carried import earlier_biases, record_biases
from ase_mlsample.active.descriptors import KnownDescriptors
from ase_mlsample.active.explore import MEASURES, explore, propose, stream, unpack
from ase_mlsample.active.select import TrustWindow, select_batch
from ase_mlsample.active.store import write_frames
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Workspace

__all__ = [
    "bare_frame",
    "count_frames",
    "explore_and_select",
    "explorer_of",
    "propose_initial",
    "propose_nothing",
    "trajectory_task",
    "write_candidates",
]

_REJECTED = ("unphysical", "exploded", "collapsed", "failed")


def propose_initial(workspace: Workspace, generation: int) -> None:
    """Draw the structures of the first generation.

    Raises
    ------
    RuntimeError
        A sampler failed.
    """
    tasks = [
        Task(
            workspace.key("initial", generation, index),
            propose,
            {"sampler": item, "n": item.n, "seed": workspace.seed(generation, "initial", index)},
        )
        for index, item in enumerate(workspace.config.initial)
    ]
    results = workspace.run("explore", "initial", generation, tasks)
    for task, result in results:
        if result["status"] == "failed":
            workspace.store.remove(task.key)
            error = result["error"]
            raise RuntimeError(f"an initial sampler failed: {error['type']}: {error['message']}")
    frames = [unpack(packed) for _, result in results for packed in result["frames"]]
    new = workspace.ledger.propose(generation, frames, stage="select", summary={"frames": len(frames)})
    workspace.say(generation, f"{new} structures proposed by {len(tasks)} samplers")


def propose_nothing(workspace: Workspace, generation: int) -> None:
    """Begin a generation for structures that are known and wait for their label: it explores nothing."""
    waiting = len(workspace.ledger.waiting(workspace.reference))
    workspace.ledger.propose(generation, [], stage="select", summary={"retried": waiting})
    workspace.say(generation, f"{waiting} failed labels are tried again")


def explore_and_select(workspace: Workspace, generation: int) -> None:
    """Run trajectories with the model of before, and choose which candidates and certain frames to label.

    Raises
    ------
    RuntimeError
        All trajectories failed.
    """
    before = workspace.ledger.stages()[generation - 1]["train"]
    settings = workspace.config.selection
    window = TrustWindow.adaptive(settings, before["force_rmse"])
    explorers = _explorers(workspace, generation)
    tasks = _trajectories(workspace, generation, window, explorers)
    results = [result for _, result in workspace.run("explore", "explore", generation, tasks)]
    done = [result for result in results if result["status"] != "failed"]
    if not done:
        for task in tasks:
            workspace.store.remove(task.key)
        error = results[0]["error"]
        raise RuntimeError(f"all trajectories failed, the first with {error['type']}: {error['message']}")
    record_biases(workspace.ledger, generation, explorers, [result.get("run", {}) for result in results])
    kept = [unpack(packed) for result in done for packed in result["frames"]]
    measures = [atoms.info[MEASURES[settings.measure]] for atoms in kept]
    verdicts = [str(verdict) for verdict in window.judge(measures)]
    chosen = _choose(workspace, generation, kept, verdicts)
    write_candidates(workspace, generation, kept, verdicts=verdicts, chosen=chosen)
    summary = {
        "lo": window.lo,
        "hi": window.hi,
        "measure": settings.measure,
        "trajectories": len(done),
        "failed_trajectories": len(results) - len(done),
        **count_frames(verdicts, [result["run"] for result in done]),
    }
    frames = [bare_frame(kept[n]) for n in chosen]
    new = workspace.ledger.propose(generation, frames, stage="select", summary=summary)
    workspace.say(
        generation,
        f"{summary['checks']} looks at {len(done)} trajectories: {summary['candidate']} candidates in "
        f"{window.lo:.2f}–{window.hi:.2f} eV/Å, {new} structures chosen",
    )


def _trajectories(
    workspace: Workspace, generation: int, window: TrustWindow, explorers: Sequence[int]
) -> list[Task]:
    carried = earlier_biases(workspace.ledger, generation)
    return [
        trajectory_task(
            workspace, generation, index, explorer=explorer, window=window, carried=carried.get(explorer)
        )
        for index, explorer in enumerate(explorers)
    ]


def trajectory_task(
    workspace: Workspace, generation: int, index: int, *, explorer: int, window: TrustWindow, carried: Any
) -> Task:
    """One trajectory of a generation.

    Parameters
    ----------
    workspace : of the run.
    generation : that its frames belong to; the model of the generation before drives it.
    index : of the trajectory, which names its random streams.
    explorer : its number in the configuration.
    window : of the model.
    carried : what earlier generations hand to this explorer, or None.
    """
    settings, level = workspace.config.explore, workspace.config.selection.level
    seed = workspace.seed(generation, "explore", index)
    start = settings.start[_drawn([item.weight for item in settings.start], stream(*seed, 1))]
    arguments: dict[str, Any] = {
        "model": str(workspace.directory.model(generation - 1)),
        "start": start,
        "dynamics": settings.explorers[explorer],
        "lo": window.lo,
        "hi": window.hi,
        "seed": seed,
        "level": level,
        "limits": {**settings.limits, **start.limits},
    }
    if carried is not None:
        arguments["carried"] = carried
    if workspace.config.live:
        arguments["live"] = (str(workspace.directory.path / "live"), f"{generation:04d}-{index:05d}")
    key = workspace.key("explore", generation, index)
    return Task(key, explore, arguments, timeout_s=settings.timeout_s)


def _explorers(workspace: Workspace, generation: int) -> list[int]:
    return [explorer_of(workspace, generation, index) for index in range(workspace.config.explore.n)]


def explorer_of(workspace: Workspace, generation: int, index: int) -> int:
    """Which explorer a trajectory has, from a stream of its own: a single one changes no other draw."""
    weights = [item.weight for item in workspace.config.explore.explorers]
    return _drawn(weights, stream(*workspace.seed(generation, "explore", index), 3))


def _drawn(weights: Sequence[float], rng: np.random.Generator) -> int:
    shares = np.array(weights)
    return int(rng.choice(len(shares), p=shares / shares.sum()))


def _choose(
    workspace: Workspace, generation: int, frames: Sequence[Atoms], verdicts: Sequence[str]
) -> list[int]:
    settings, rng = workspace.config.selection, stream(*workspace.seed(generation, "select"))
    candidates = [n for n, verdict in enumerate(verdicts) if verdict == "candidate"]
    chosen = select_batch(
        [frames[n] for n in candidates],
        KnownDescriptors(workspace.ledger, workspace.config.elements),
        settings=settings,
        elements=workspace.config.elements,
        rng=rng,
    )
    certain = [n for n, verdict in enumerate(verdicts) if verdict == "learned"]
    audited = rng.permutation(certain)[: settings.audit]
    return [candidates[n] for n in chosen] + sorted(int(n) for n in audited)


def write_candidates(
    workspace: Workspace,
    generation: int,
    frames: Sequence[Atoms],
    *,
    verdicts: Sequence[str],
    chosen: Sequence[int],
) -> None:
    """Write the frames that were judged into ``candidates/``, coloured by disagreement."""
    for n, (atoms, verdict) in enumerate(zip(frames, verdicts, strict=True)):
        atoms.info |= {"generation": generation, "trust": verdict, "selected": n in chosen}
    if frames:
        write_frames(workspace.directory.path / f"candidates/{generation:04d}.extxyz", frames)


def count_frames(verdicts: Sequence[str], runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Frames looked at, by verdict, and trajectories by why they ended."""
    reasons = Counter(run["stop_reason"] for run in runs)
    found = Counter(verdicts)
    checks = sum(run["checks"] for run in runs)
    rejected = found["rejected"] + sum(reasons[reason] for reason in _REJECTED)
    return {
        "checks": checks,
        "learned": max(0, checks - found["candidate"] - rejected),
        "candidate": found["candidate"],
        "rejected": rejected,
        "candidate_fraction": found["candidate"] / max(1, checks),
        "uncertain_fraction": min(1.0, (found["candidate"] + rejected) / max(1, checks)),
        "ends": dict(reasons),
    }


def bare_frame(atoms: Atoms) -> Atoms:
    """A frame with what is known of it, without the arrays that its model gave it."""
    bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    bare.info.update(atoms.info)
    return bare
