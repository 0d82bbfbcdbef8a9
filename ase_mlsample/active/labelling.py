"""Steps of the loop that get labels: take in what is there, compute what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ase import Atoms

from ase_mlsample.active.config import ReferenceSettings
from ase_mlsample.active.exchange import with_reference
from ase_mlsample.active.frames import write_exact
from ase_mlsample.active.label import Reference, bare, compute_label
from ase_mlsample.active.ledger import Proposal
from ase_mlsample.active.outliers import OutlierCheck
from ase_mlsample.active.remedies import Streak
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Results, Workspace

__all__ = ["label_proposals", "label_task", "recorder", "refuse_nothing", "take_in"]


def label_task(key: str, atoms: Atoms, reference: Reference, settings: ReferenceSettings) -> Task:
    """The task that computes one label, with the policy of its failures."""
    return Task(
        key,
        compute_label,
        {"atoms": bare(atoms), "reference": reference},
        retries=settings.retries,
        timeout_s=settings.timeout_s,
        by_kind=True,
        recipes=len(reference.recipes) - 1,
    )


def take_in(workspace: Workspace, *, retry_failed: bool | None = None) -> int:
    """Record the labels that workers wrote before the last end of the run, before any new work.

    Parameters
    ----------
    workspace : of the run.
    retry_failed : at the start of a run, whether to forget all failed labels, so that they are tried again;
        those of the kind "setup" are in any case, since their cause lay outside the run and may be mended.
        None forgets none.

    Returns
    -------
    int
        How many were taken in.
    """
    ledger, reference = workspace.ledger, workspace.reference
    stages = ledger.stages()
    if not ledger.has_order:  # a new ledger, or one of a version that kept none
        labelled = [number for number, done in stages.items() if "label" in done]
        ledger.keep_order(reference, generations=labelled)
    trained = [number for number, done in stages.items() if "train" in done]
    check = OutlierCheck(workspace, max(trained, default=-1) + 1)
    found = _on_disk(workspace, check)
    if found:
        ledger.add_labels(reference, found)
        workspace.log.write("taken_in", labels=len(found))
    if retry_failed is not None:
        for structure in ledger.forget_failures(reference, kind=None if retry_failed else "setup"):
            workspace.store.remove(workspace.label_key(structure))
    return len(found)


def _on_disk(workspace: Workspace, check: OutlierCheck) -> list[tuple[Proposal, dict[str, Any]]]:
    """Results of structures that the ledger has no label of; a damaged one is computed again."""
    keys = workspace.store.keys()
    waiting = [
        proposal
        for proposal in workspace.ledger.waiting(workspace.reference)
        if workspace.label_key(proposal.structure) in keys
    ]
    found = []
    for proposal, atoms in zip(waiting, workspace.ledger.stream(waiting), strict=True):
        key = workspace.label_key(proposal.structure)
        result = workspace.store.take(key)
        if result is None:
            workspace.log.write("damaged", structure=proposal.structure, key=key)
        else:
            found.append((proposal, check(atoms, result)))
    return found


def label_proposals(workspace: Workspace, generation: int) -> None:
    """Label every structure that has no label yet.

    Raises
    ------
    ReferenceStoppedError
        So many labels failed one after the other that the reference does not seem to work.
    RuntimeError
        It has not given a single label.
    """
    ledger, reference = workspace.ledger, workspace.reference
    waiting = ledger.waiting(reference)
    by_key = {workspace.label_key(proposal.structure): proposal for proposal in waiting}
    settings, calculator = workspace.config.reference, workspace.directory.reference
    tasks = [
        label_task(key, atoms, calculator, settings)
        for key, atoms in zip(by_key, ledger.stream(waiting), strict=True)
    ]
    workspace.run("label", "label", generation, tasks, take=recorder(workspace, by_key, generation))
    refuse_nothing(workspace)
    ledger.keep_order(reference)
    write_exact(workspace.directory.path / "dataset.extxyz", with_reference(ledger))
    counts = Counter(ledger.states(reference).get(generation, {}))
    again = _states(workspace, [proposal for proposal in waiting if proposal.generation != generation])
    summary = {**counts, **({"retried": dict(again)} if again else {})}
    ledger.finish_stage(generation, "label", summary)
    text = f"labels: {_counted(counts) or 'none to compute'}"
    workspace.say(generation, text + (f"; tried again: {_counted(again)}" if again else ""))


def _states(workspace: Workspace, proposals: Sequence[Proposal]) -> Counter[str]:
    found: Counter[str] = Counter()
    for generation in {proposal.generation for proposal in proposals}:
        labels = workspace.ledger.labels(workspace.reference, generation)
        mine = [proposal for proposal in proposals if proposal.generation == generation]
        found.update(labels[proposal.structure].status for proposal in mine)
    return found


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def recorder(
    workspace: Workspace, by_key: Mapping[str, Proposal], generation: int
) -> Callable[[Results], Results]:
    """What records labels as they come, and ends the run when the reference does not seem to work.

    Parameters
    ----------
    workspace : of the run.
    by_key : structures by the keys of their tasks.
    generation : whose labels are had; the model of the one before looks for outliers.
    """
    check = OutlierCheck(workspace, generation)
    streak = Streak(workspace.config.reference.stop_after)

    def record(results: Results) -> Results:
        judged = [(task, check(task.arguments["atoms"], result)) for task, result in results]
        workspace.ledger.add_labels(
            workspace.reference, [(by_key[task.key], found) for task, found in judged]
        )
        for task, result in judged:
            workspace.log.write("label", structure=by_key[task.key].structure, **_described(result))
        for _, result in judged:
            streak.add(result)
        return judged

    return record


def _described(result: Mapping[str, Any]) -> dict[str, Any]:
    error = result.get("error")
    return {
        **{name: result.get(name) for name in ("status", "attempts", "seconds", "max_force")},
        **({"recipe": result["recipe"]} if "recipe" in result else {}),
        "error": None if error is None else f"{error['type']}: {error['message']}",
        **({} if error is None else {"kind": error.get("kind", "unknown")}),
    }


def refuse_nothing(workspace: Workspace) -> None:
    """A run without a single label cannot go on."""
    states = Counter[str]()
    for counts in workspace.ledger.states(workspace.reference).values():
        states.update(counts)
    if states["labelled"]:
        return
    failures = workspace.ledger.failures(workspace.reference)
    why = (
        f"most often with: {failures[0].error}"
        if failures
        else "all labels are rejected, see `mlsample status`"
    )
    raise RuntimeError(
        f"the reference gave no label that can be used ({why}). "
        "Mend the cause, then run again with --retry-failed"
    )
