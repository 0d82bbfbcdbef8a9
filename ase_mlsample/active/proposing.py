"""Steps of the loop that propose structures: the initial samplers, then exploration and selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.explore import explore, propose, stream, unpack
from ase_mlsample.active.select import TrustWindow, select_batch
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workplace import Workplace

__all__ = ["explore_and_select", "propose_initial"]

_REJECTED = ("unphysical", "exploded", "collapsed", "failed")


def propose_initial(place: Workplace, generation: int) -> None:
    """Draw the structures of the first generation.

    Raises
    ------
    RuntimeError
        A sampler failed.
    """
    tasks = [
        Task(
            place.key("initial", generation, index),
            propose,
            {"sampler": item, "n": item.n, "seed": place.seed(generation, "initial", index)},
        )
        for index, item in enumerate(place.config.initial)
    ]
    results = place.run("explore", "initial", generation, tasks)
    for task, result in results:
        if result["status"] == "failed":
            place.store.remove(task.key)
            error = result["error"]
            raise RuntimeError(f"an initial sampler failed: {error['type']}: {error['message']}")
    frames = [unpack(packed) for _, result in results for packed in result["frames"]]
    new = place.ledger.propose(generation, frames, stage="select", summary={"frames": len(frames)})
    place.say(generation, f"{new} structures proposed by {len(tasks)} samplers")


def explore_and_select(place: Workplace, generation: int) -> None:
    """Run trajectories with the model of before, and choose what to label among their candidates.

    Raises
    ------
    RuntimeError
        All trajectories failed.
    """
    before = place.ledger.stages()[generation - 1]["train"]
    window = TrustWindow.adaptive(place.config.selection, before["force_rmse"])
    tasks = _trajectories(place, generation, window)
    results = [result for _, result in place.run("explore", "explore", generation, tasks)]
    done = [result for result in results if result["status"] != "failed"]
    if not done:
        for task in tasks:
            place.store.remove(task.key)
        error = results[0]["error"]
        raise RuntimeError(f"all trajectories failed, the first with {error['type']}: {error['message']}")
    uncertain = [unpack(packed) for result in done for packed in result["frames"]]
    verdicts = [str(v) for v in window.judge([atoms.info["force_sigma_max"] for atoms in uncertain])]
    chosen = _choose(place, generation, uncertain, verdicts)
    _write_candidates(place, generation, uncertain, verdicts=verdicts, chosen=chosen)
    summary = {
        "lo": window.lo,
        "hi": window.hi,
        "trajectories": len(done),
        "failed_trajectories": len(results) - len(done),
        **_counts(verdicts, [result["run"] for result in done]),
    }
    frames = [_without_arrays(uncertain[n]) for n in chosen]
    new = place.ledger.propose(generation, frames, stage="select", summary=summary)
    place.say(
        generation,
        f"{summary['checks']} looks at {len(done)} trajectories: {summary['candidate']} candidates in "
        f"{window.lo:.2f}–{window.hi:.2f} eV/Å, {new} structures chosen",
    )


def _trajectories(place: Workplace, generation: int, window: TrustWindow) -> list[Task]:
    settings = place.config.explore
    weights = np.array([start.weight for start in settings.start])
    tasks = []
    for index in range(settings.n):
        seed = place.seed(generation, "explore", index)
        start = settings.start[int(stream(*seed, 1).choice(len(weights), p=weights / weights.sum()))]
        arguments = {
            "model": str(place.directory.model(generation - 1)),
            "start": start,
            "dynamics": settings.dynamics,
            "lo": window.lo,
            "hi": window.hi,
            "seed": seed,
        }
        key = place.key("explore", generation, index)
        tasks.append(Task(key, explore, arguments, timeout_s=settings.timeout_s))
    return tasks


def _choose(place: Workplace, generation: int, frames: Sequence[Atoms], verdicts: Sequence[str]) -> list[int]:
    settings, rng = place.config.selection, stream(*place.seed(generation, "select"))
    candidates = [n for n, verdict in enumerate(verdicts) if verdict == "candidate"]
    chosen = select_batch(
        [frames[n] for n in candidates],
        place.ledger.atoms(place.ledger.proposals()),
        settings=settings,
        elements=place.config.elements,
        rng=rng,
    )
    certain = [n for n, verdict in enumerate(verdicts) if verdict == "learned"]
    audited = rng.permutation(certain)[: settings.audit]
    return [candidates[n] for n in chosen] + sorted(int(n) for n in audited)


def _write_candidates(
    place: Workplace,
    generation: int,
    frames: Sequence[Atoms],
    *,
    verdicts: Sequence[str],
    chosen: Sequence[int],
) -> None:
    for n, (atoms, verdict) in enumerate(zip(frames, verdicts, strict=True)):
        atoms.info |= {"generation": generation, "trust": verdict, "selected": n in chosen}
    if frames:
        place.directory.write_frames(f"candidates/{generation:04d}.extxyz", frames)


def _counts(verdicts: Sequence[str], runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
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


def _without_arrays(atoms: Atoms) -> Atoms:
    bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    bare.info.update(atoms.info)
    return bare
