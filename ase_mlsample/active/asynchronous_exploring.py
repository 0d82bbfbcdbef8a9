"""Trajectories of an asynchronous run, by the newest model, and what becomes of their frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from ase_mlsample.active.candidates import Candidate, CandidatePool
from ase_mlsample.active.carried import earlier_biases, record_biases
from ase_mlsample.active.descriptors import KnownDescriptors
from ase_mlsample.active.explore import MEASURES, stream, unpack
from ase_mlsample.active.judging import judging_task
from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.proposing import (
    bare_frame,
    count_frames,
    explorer_of,
    trajectory_task,
    write_candidates,
)
from ase_mlsample.active.select import TrustWindow
from ase_mlsample.active.tasks import Task
from ase_mlsample.active.workspace import Workspace

__all__ = ["Exploration"]

# frames judged again by one call
_JUDGED_TOGETHER = 16
# descriptors read from the ledger at a time
_BLOCK = 8192


@dataclass
class _Generation:
    """Trajectories by one model."""

    window: TrustWindow
    carried: Mapping[int, Any]
    begun: set[int] = field(default_factory=set)
    first: int = 0
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    frames: list[Atoms] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    failed: int = 0
    barren: int = 0


class Exploration:
    """Begins trajectories, judges their frames, and keeps those worth a label until one is free to be had.

    Frames of trajectories by the model of a generation belong to the next one, as in a synchronous run.

    Parameters
    ----------
    workspace : of the run.
    newest : generation of the newest model, -1 before the first.
    """

    def __init__(self, workspace: Workspace, newest: int) -> None:
        self.workspace, self.newest = workspace, newest
        self.settings = workspace.config.selection
        known = KnownDescriptors(workspace.ledger, workspace.config.elements)
        self.pool = CandidatePool(
            workspace.config.elements,
            known=known.blocks(_BLOCK),
            names=(proposal.structure for proposal in workspace.ledger.proposals()),
            strategy=self.settings.strategy,
            rng=stream(*workspace.seed(max(newest, 0), "select")),
        )
        self._generations: dict[int, _Generation] = {}
        self._judged: dict[str, list[Candidate]] = {}
        self._asked: set[Candidate] = set()
        closed = newest < 1 or "select" in workspace.ledger.stages()[newest]
        staleness = workspace.config.asynchronous.max_staleness
        self._recover(max(1, newest + 1 - (staleness if closed else max(1, staleness))))
        if not closed:  # an earlier start was killed in between
            self.close(newest)

    # -- trajectories

    def next_trajectory(self) -> tuple[int, Task]:
        """Another trajectory by the newest model, and its number."""
        generation = self.newest + 1
        here = self._of(generation)
        while here.first in here.begun:
            here.first += 1
        index = here.first
        here.begun.add(index)
        explorer = explorer_of(self.workspace, generation, index)
        carried = here.carried.get(explorer)
        task = trajectory_task(
            self.workspace, generation, index, explorer=explorer, window=here.window, carried=carried
        )
        return index, task

    def take(self, generation: int, index: int, result: Mapping[str, Any]) -> None:
        """Judge the frames of a trajectory that ended.

        Raises
        ------
        RuntimeError
            All trajectories of a generation failed, as many as it should have.
        """
        here = self._of(generation)
        if result["status"] == "failed":
            self._count_failure(here, generation, index, result)
            return
        here.runs[index] = result["run"]
        frames = [unpack(packed) for packed in result["frames"]]
        verdicts = [str(verdict) for verdict in here.window.judge([self._measure(one) for one in frames])]
        rate = min(1.0, self.settings.audit / self.workspace.config.explore.n)
        audited = stream(*self.workspace.seed(generation, "select", index + 1)).random() < rate
        new = []
        for atoms, verdict in zip(frames, verdicts, strict=True):
            here.frames.append(atoms)
            here.verdicts.append(verdict)
            if verdict == "candidate":
                new.append(Candidate(atoms, generation, generation - 1))
            elif verdict == "learned" and audited:
                new.append(Candidate(atoms, generation, generation - 1, audited=True))
        here.barren = 0 if any(not one.audited for one in new) else here.barren + 1
        self.pool.add([one for one in new if self._is_fresh(one)])

    @property
    def looked(self) -> int:
        """Trajectories by the newest model that have ended."""
        here = self._of(self.newest + 1)
        return len(here.runs) + here.failed

    @property
    def is_barren(self) -> bool:
        """Whether the newest model was certain all along, for as many trajectories as a generation has."""
        here = self._of(self.newest + 1)
        return here.barren >= self.workspace.config.explore.n

    # -- what the newest model says of frames that older ones proposed

    def second_opinions(self) -> list[Task]:
        """Judgements by the newest model of candidates that older models proposed."""
        waiting = [one for one in self.pool.outdated(self.newest) if one not in self._asked]
        tasks = []
        for start in range(0, len(waiting), _JUDGED_TOGETHER):
            group = waiting[start : start + _JUDGED_TOGETHER]
            task = judging_task(
                self.workspace,
                self.newest,
                [one.name for one in group],
                [bare_frame(one.atoms) for one in group],
            )
            self._judged[task.key] = group
            self._asked.update(group)
            tasks.append(task)
        return tasks

    def take_opinion(self, generation: int, key: str, result: Mapping[str, Any]) -> None:
        """Drop candidates that a newer model is certain of, or finds unphysical; keep the others."""
        group = self._judged.pop(key)
        self._asked.difference_update(group)
        if result["status"] == "failed":  # then nothing is known of them
            self.workspace.log.write("judging_failed", key=key, error=result["error"]["message"])
            self.pool.drop(group)
            return
        verdicts = self._of(generation + 1).window.judge(result["measures"])
        for candidate in group:
            candidate.judged_by = generation
        pairs = zip(group, verdicts, strict=True)
        self.pool.drop([candidate for candidate, verdict in pairs if str(verdict) != "candidate"])
        self.workspace.log.write(
            "judged", model=generation, frames=len(group), kept=int((verdicts == "candidate").sum())
        )

    @property
    def is_judging(self) -> bool:
        """Whether opinions are waited for."""
        return bool(self._judged) or bool(self.pool.outdated(self.newest))

    # -- generations

    def choose(self, number: int) -> dict[int, list[Candidate]]:
        """The most novel candidates, by the generation they belong to."""
        chosen: dict[int, list[Candidate]] = {}
        for one in self.pool.choose(number, self.newest):
            chosen.setdefault(one.generation, []).append(one)
        return chosen

    def summary(self, generation: int) -> dict[str, Any]:
        """Numbers of a generation's exploration so far, as the stage "select" has them."""
        here = self._of(generation)
        counts = count_frames(here.verdicts, list(here.runs.values()))
        if len(here.runs) + here.failed < self.workspace.config.explore.n:
            del counts["uncertain_fraction"]  # of too few to end the run for
        return {
            "lo": here.window.lo,
            "hi": here.window.hi,
            "measure": self.settings.measure,
            "trajectories": len(here.runs),
            "failed_trajectories": here.failed,
            **counts,
        }

    def close(self, generation: int) -> None:
        """Write down what a generation has explored, now that it has a model, which explores from here on."""
        self.newest = generation
        if generation > 0:
            here = self._of(generation)
            indices = sorted(here.runs)
            explorers = [explorer_of(self.workspace, generation, index) for index in indices]
            record_biases(self.workspace.ledger, generation, explorers, [here.runs[n] for n in indices])
            names = {proposal.structure for proposal in self.workspace.ledger.proposals(generation)}
            chosen = [n for n, atoms in enumerate(here.frames) if structure_hash(atoms) in names]
            write_candidates(self.workspace, generation, here.frames, verdicts=here.verdicts, chosen=chosen)
        oldest = generation - self.workspace.config.asynchronous.max_staleness
        for earlier in range(max(1, oldest), generation + 1):  # some of theirs were chosen since
            proposed = len(self.workspace.ledger.proposals(earlier))
            summary = {**self.summary(earlier), "proposed": proposed}
            self.workspace.ledger.finish_stage(earlier, "select", summary)
        self._generations = {number: here for number, here in self._generations.items() if number >= oldest}
        dropped = self.pool.drop_stale(oldest)
        if dropped:
            self.workspace.log.write("dropped", stale=dropped, older_than=oldest)

    def _of(self, generation: int) -> _Generation:
        if generation not in self._generations:
            before = self.workspace.ledger.stages()[generation - 1]["train"]
            self._generations[generation] = _Generation(
                TrustWindow.adaptive(self.settings, before["force_rmse"]),
                earlier_biases(self.workspace.ledger, generation),
            )
        return self._generations[generation]

    def _is_fresh(self, candidate: Candidate) -> bool:
        return self.newest - candidate.proposed_by <= self.workspace.config.asynchronous.max_staleness

    def _measure(self, atoms: Atoms) -> float:
        return float(atoms.info[MEASURES[self.settings.measure]])

    def _count_failure(
        self, here: _Generation, generation: int, index: int, result: Mapping[str, Any]
    ) -> None:
        here.failed += 1
        error = result["error"]
        self.workspace.log.write("trajectory_failed", generation=generation, index=index, tail=error["tail"])
        if not here.runs and here.failed >= self.workspace.config.explore.n:
            for number in here.begun:
                self.workspace.store.remove(self.workspace.key("explore", generation, number))
            raise RuntimeError(f"all trajectories failed, the last with {error['type']}: {error['message']}")

    def _recover(self, oldest: int) -> None:
        """Take the trajectories of an earlier start from the store, as far as they still matter."""
        generations = range(oldest, self.newest + 2)
        wanted = {self.workspace.key("explore", g, 0)[:-5]: g for g in generations}
        keys = self.workspace.store.keys() if wanted else set()
        found = [(wanted[key[:-5]], int(key[-5:]), key) for key in keys if key[:-5] in wanted]
        for generation, index, key in sorted(found):
            self._of(generation).begun.add(index)
            result = self.workspace.store.take(key)
            if result is None:
                self._of(generation).begun.discard(index)
            else:
                self.take(generation, index, result)
