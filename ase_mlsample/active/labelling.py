"""Steps of the loop that get labels: take in what is there, compute what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ase import Atoms

from ase_mlsample.active.label import compute_label
from ase_mlsample.active.ledger import Proposal
from ase_mlsample.active.store import write_frames
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Results, Workspace

__all__ = ["label_proposals", "take_in"]

# so many failures without a single label mean that the reference does not work at all
_HOPELESS = 10


def take_in(workspace: Workspace, *, retry_failed: bool = False) -> int:
    """Record the labels that workers wrote before the last end of the run, before any new work.

    Parameters
    ----------
    workspace : of the run.
    retry_failed : then forget failed labels, so that they are tried again.

    Returns
    -------
    int
        How many were taken in.
    """
    if not workspace.ledger.has_order:  # a new ledger, or one of a version that kept none
        labelled = [number for number, stages in workspace.ledger.stages().items() if "label" in stages]
        workspace.ledger.keep_order(workspace.reference, generations=labelled)
    keys = workspace.store.keys()
    found = [
        (proposal, workspace.store.read(key))
        for proposal in workspace.ledger.waiting(workspace.reference)
        if (key := workspace.label_key(proposal.structure)) in keys
    ]
    if found:
        workspace.ledger.add_labels(workspace.reference, found)
        workspace.log.write("taken_in", labels=len(found))
    if retry_failed:
        for structure in workspace.ledger.forget_failures(workspace.reference):
            workspace.store.remove(workspace.label_key(structure))
    return len(found)


def label_proposals(workspace: Workspace, generation: int) -> None:
    """Label every structure that has no label yet.

    Raises
    ------
    RuntimeError
        The reference has not given a single label.
    """
    settings = workspace.config.reference
    known = workspace.ledger.labels(workspace.reference)
    waiting = workspace.ledger.waiting(workspace.reference)
    by_key = {workspace.label_key(proposal.structure): proposal for proposal in waiting}
    tasks = [
        Task(
            key,
            compute_label,
            {"atoms": _bare(atoms), "reference": workspace.directory.reference},
            retries=settings.retries,
            timeout_s=settings.timeout_s,
        )
        for key, atoms in zip(by_key, workspace.ledger.atoms(waiting), strict=True)
    ]
    hopeful = any(label.status == "labelled" for label in known.values())
    workspace.run("label", "label", generation, tasks, take=_recorder(workspace, by_key, hopeful=hopeful))
    labels = workspace.ledger.labels(workspace.reference)
    if not any(label.status == "labelled" for label in labels.values()):
        _give_up([label.error for label in labels.values()])
    workspace.ledger.keep_order(workspace.reference)
    write_frames(
        workspace.directory.path / "dataset.extxyz", workspace.ledger.training_set(workspace.reference)
    )
    mine = workspace.ledger.proposals(generation)
    counts = Counter(labels[proposal.structure].status for proposal in mine)
    again = Counter(
        labels[proposal.structure].status for proposal in waiting if proposal.generation != generation
    )
    summary = {**counts, **({"retried": dict(again)} if again else {})}
    workspace.ledger.finish_stage(generation, "label", summary)
    text = f"labels: {_counted(counts) or 'none to compute'}"
    workspace.say(generation, text + (f"; tried again: {_counted(again)}" if again else ""))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def _recorder(
    workspace: Workspace, by_key: Mapping[str, Proposal], *, hopeful: bool
) -> Callable[[Results], None]:
    seen: Counter[str] = Counter()

    def record(results: Results) -> None:
        workspace.ledger.add_labels(
            workspace.reference, [(by_key[task.key], result) for task, result in results]
        )
        for task, result in results:
            seen[result["status"]] += 1
            workspace.log.write("label", structure=by_key[task.key].structure, **_described(result))
        if not hopeful and seen["failed"] >= _HOPELESS and seen["failed"] == seen.total():
            _give_up([_described(result)["error"] for _, result in results])

    return record


def _described(result: Mapping[str, Any]) -> dict[str, Any]:
    error = result.get("error")
    return {
        **{name: result.get(name) for name in ("status", "attempts", "seconds", "max_force")},
        "error": None if error is None else f"{error['type']}: {error['message']}",
    }


def _give_up(errors: Sequence[str | None]) -> None:
    common = Counter(error for error in errors if error).most_common(1)
    why = f"most often with: {common[0][0]}" if common else "all forces are over reference.max_force"
    raise RuntimeError(
        f"the reference gave no label that can be used ({why}). "
        "Mend the cause, then run again with --retry-failed"
    )


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
