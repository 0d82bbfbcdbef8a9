"""Steps of the loop that get labels: take in what is there, compute what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ase import Atoms

from ase_mlsample.active.label import compute_label
from ase_mlsample.active.ledger import Proposal
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workplace import Results, Workplace

__all__ = ["label_proposals", "take_in"]

# so many failures without a single label mean that the reference does not work at all
_HOPELESS = 10


def take_in(place: Workplace, *, retry_failed: bool = False) -> int:
    """Record the labels that workers wrote before the last end of the run, before any new work.

    Parameters
    ----------
    place : of the run.
    retry_failed : forget failed labels, so that they are tried again.

    Returns
    -------
    int
        How many were taken in.
    """
    if retry_failed:
        for structure in place.ledger.forget_failures(place.reference):
            place.store.remove(place.label_key(structure))
    known, keys = place.ledger.labels(place.reference), place.store.keys()
    found = [
        (proposal, place.store.read(key))
        for proposal in place.ledger.proposals()
        if proposal.structure not in known and (key := place.label_key(proposal.structure)) in keys
    ]
    if found:
        place.ledger.add_labels(place.reference, found)
        place.log.write("taken_in", labels=len(found))
    return len(found)


def label_proposals(place: Workplace, generation: int) -> None:
    """Label every structure that has no label yet.

    Raises
    ------
    RuntimeError
        The reference has not given a single label.
    """
    settings = place.config.reference
    known = place.ledger.labels(place.reference)
    waiting = [proposal for proposal in place.ledger.proposals() if proposal.structure not in known]
    by_key = {place.label_key(proposal.structure): proposal for proposal in waiting}
    tasks = [
        Task(
            key,
            compute_label,
            {"atoms": _bare(atoms), "reference": place.directory.reference},
            retries=settings.retries,
            timeout_s=settings.timeout_s,
        )
        for key, atoms in zip(by_key, place.ledger.atoms(waiting), strict=True)
    ]
    hopeful = any(label.status == "labelled" for label in known.values())
    place.run("label", "label", generation, tasks, take=_recorder(place, by_key, hopeful=hopeful))
    labels = place.ledger.labels(place.reference)
    if not any(label.status == "labelled" for label in labels.values()):
        _give_up([label.error for label in labels.values()])
    place.directory.write_frames("dataset.extxyz", place.ledger.training_set(place.reference))
    mine = place.ledger.proposals(generation)
    counts = Counter(labels[proposal.structure].status for proposal in mine)
    place.ledger.finish_stage(generation, "label", dict(counts))
    text = ", ".join(f"{number} {status}" for status, number in counts.items())
    place.say(generation, f"labels: {text or 'none to compute'}")


def _recorder(
    place: Workplace, by_key: Mapping[str, Proposal], *, hopeful: bool
) -> Callable[[Results], None]:
    seen: Counter[str] = Counter()

    def record(results: Results) -> None:
        place.ledger.add_labels(place.reference, [(by_key[task.key], result) for task, result in results])
        for task, result in results:
            seen[result["status"]] += 1
            place.log.write("label", structure=by_key[task.key].structure, **_described(result))
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
