"""The queue of structures to label in an asynchronous run; it lies in the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ase import Atoms

from ase_mlsample.active.candidates import Candidate
from ase_mlsample.active.explore import stream
from ase_mlsample.active.labelling import label_task, recorder
from ase_mlsample.active.ledger import Proposal
from ase_mlsample.active.proposing import bare_frame
from ase_mlsample.active.tasks import Task, Work
from ase_mlsample.active.workspace import Results, Workspace

__all__ = ["LabelQueue"]


class LabelQueue:
    """Structures that wait for a label, those that are at it, and how many have one.

    Parameters
    ----------
    workspace : of the run.
    work : where labels are computed.

    Attributes
    ----------
    labelled : accepted labels in all.
    """

    def __init__(self, workspace: Workspace, work: Work) -> None:
        self.workspace, self.work = workspace, work
        self._proposals: dict[str, Proposal] = {}
        waiting = workspace.ledger.waiting(workspace.reference)
        # the first model may be trained before all first structures have their label: no sampler comes last
        order = stream(*workspace.seed(0, "select")).permutation(len(waiting))
        tasks = self._tasks(waiting, workspace.ledger.atoms(waiting))
        self._waiting = deque(tasks[n] for n in order)
        self._record = recorder(workspace, self._proposals, 0)
        states = workspace.ledger.states(workspace.reference)
        self.labelled = sum(counts.get("labelled", 0) for counts in states.values())

    def __len__(self) -> int:
        """Structures without a label that are in the ledger, those at work included."""
        return len(self._waiting) + len(self.work.running)

    @property
    def waiting(self) -> int:
        """Structures that no worker has begun with."""
        return len(self._waiting)

    def submit(self, number: int) -> None:
        """Begin with so many of those that wait."""
        for _ in range(min(number, len(self._waiting))):
            self.work.submit(self._waiting.popleft())

    def put_back(self, task: Task, *, lost: bool) -> None:
        """Let a task be tried again: one whose worker was lost next, others last."""
        if lost:
            self._waiting.appendleft(task)
        else:
            self._waiting.append(task)

    def commit(self, candidates: Sequence[Candidate], generation: int) -> int:
        """Record candidates of one generation as structures to label, with the model that proposed them.

        Returns
        -------
        int
            How many were new.
        """
        ledger = self.workspace.ledger
        frames = []
        for one in candidates:
            atoms = bare_frame(one.atoms)
            atoms.info |= {"proposed_by": one.proposed_by, "judged_by": one.judged_by, "audited": one.audited}
            frames.append(atoms)
        new = ledger.propose(generation, frames, stage="wave", summary={})
        self._waiting += self._tasks(ledger.find([one.name for one in candidates]), frames)
        return new

    def use_model(self, generation: int) -> None:
        """Let the model of a generation look for outliers from here on."""
        self._record = recorder(self.workspace, self._proposals, generation + 1)

    def take(self, results: Results) -> None:
        """Record labels, good and failed ones.

        Raises
        ------
        RuntimeError
            The reference does not seem to work.
        """
        judged = self._record(results)
        self.labelled += sum(result["status"] == "labelled" for _, result in judged)
        for generation in {self._proposals[task.key].generation for task, _ in results}:
            mine = [pair for pair in results if self._proposals[pair[0].key].generation == generation]
            self.workspace.ledger.add_tasks(
                "label", generation, [(task.key, result) for task, result in mine]
            )
        for task, _ in results:
            del self._proposals[task.key]

    def _tasks(self, proposals: Sequence[Proposal], frames: Sequence[Atoms]) -> list[Task]:
        tasks = []
        for proposal, atoms in zip(proposals, frames, strict=True):
            key = self.workspace.label_key(proposal.structure)
            task = label_task(key, atoms, self.workspace.directory.reference, self.workspace.config.reference)
            self._proposals[key] = proposal
            tasks.append(task)
        return tasks
