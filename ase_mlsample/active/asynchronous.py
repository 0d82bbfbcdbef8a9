"""A run in which sampling, labelling and training overlap (``mode: asynchronous``).

Labels are computed all the time, trajectories run with the newest model, and a training begins whenever
enough new labels are there. What was found while a model was the newest is judged again by its successors
before it is labelled, and dropped when they are certain of it or when it is too old.

Everything goes through the same ledger and results as in a synchronous run: a structure is recorded before
its label is begun, a label before it counts, and the labels that a model learns from are fixed before its
training begins. A run that is killed goes on with all of this; candidates that were not chosen yet come back
from the trajectories' results. What is proposed when depends on how fast things go, so that two runs of the
same seed differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ase import Atoms

from ase_mlsample.active.asynchronous_exploring import Exploration
from ase_mlsample.active.asynchronous_labels import LabelQueue
from ase_mlsample.active.executor_settings import KINDS
from ase_mlsample.active.frames import write_exact
from ase_mlsample.active.labelling import refuse_nothing
from ase_mlsample.active.learning import evaluation_task, keep_model, publish, training_task
from ase_mlsample.active.models import train
from ase_mlsample.active.progress import Bar, Pace
from ase_mlsample.active.proposing import propose_initial
from ase_mlsample.active.stop import stop_reason
from ase_mlsample.active.tasks import Task, Work
from ase_mlsample.active.workspace import Results, Workspace

__all__ = ["Course", "run_asynchronously", "train_recorded"]

Show = Callable[..., dict[str, Any]]

# an answer and the next call cross: so much more than the workers can do at a time is handed to them
_AHEAD = 8


def run_asynchronously(workspace: Workspace, *, show: Show, retry_failed: bool = False) -> dict[str, Any]:
    """Run, or go on, until a stop rule holds.

    Parameters
    ----------
    workspace : of the run.
    show : called with the workspace and the generation when it has a model, and ``report=False`` unless it is
        the last; returns the run's summary.
    retry_failed : whether failed labels were forgotten: a run that had ended adds a generation for them.

    Returns
    -------
    dict
        The content of ``summary.json``.

    Raises
    ------
    RuntimeError
        As of a synchronous run.
    """
    if "select" not in workspace.ledger.stages().get(0, {}):
        propose_initial(workspace, 0)
    return Course(workspace, show=show, retry_failed=retry_failed).run()


def train_recorded(*, dataset: str, **arguments: Any) -> dict[str, Any]:
    """Train, and write what is learned from as extended XYZ before."""
    write_exact(Path(dataset), arguments["frames"])
    return train(**arguments)


@dataclass(frozen=True)
class _About:
    """What a task under way is for."""

    kind: str
    generation: int
    index: int = 0


class Course:
    """What is under way, and what is to be done next.

    Parameters
    ----------
    workspace, show, retry_failed : see `run_asynchronously`.

    Attributes
    ----------
    newest : generation of the newest model, -1 before the first.
    """

    def __init__(self, workspace: Workspace, *, show: Show, retry_failed: bool = False) -> None:
        self.workspace, self.show = workspace, show
        config = workspace.config
        self.ended: SimpleQueue[Future[str]] = SimpleQueue()
        self.work = {kind: Work(workspace.executors[kind], workspace.store, self.ended) for kind in KINDS}
        self.newest = self._trained()
        self.labels = LabelQueue(workspace, self.work["label"])
        self.exploration = Exploration(workspace, self.newest)
        self.labels.use_model(self.newest)
        selection = config.selection
        self.train_after = config.asynchronous.train_after or selection.batch + selection.audit
        self._learned = self._learned_by(self.newest)
        self._about: dict[str, _About] = {}
        self._again: dict[str, deque[Task]] = {kind: deque() for kind in ("explore", "train")}
        self._wave = 0
        self._training = False
        self._reason = self._stop_reason()
        self._last = self._reason is not None or self.newest + 2 >= config.stop.max_generations
        # only what is in the ledger is labelled any more, for the last model
        self._closing = False
        if self._reason is not None and retry_failed and self.labels.waiting:
            self._reason, self._closing = None, True
        self._bar: Bar | None = None
        self._bars = ExitStack()

    def run(self) -> dict[str, Any]:
        """Go on until a stop rule holds; labels that are under way then are waited for."""
        ledger = self.workspace.ledger
        if self._reason is None and self.newest >= 0:
            ledger.finish_stage(self.newest, "end", {"reason": None})
            publish(self.workspace, self.newest)
        with self._bars:
            self._show_progress()
            self._resume_training()
            while self._reason is None or self.work["label"].running:
                self._step()
        ledger.finish_stage(self.newest, "end", {"reason": self._reason})
        summary = self.show(self.workspace, self.newest)
        self.workspace.log.write("finished", reason=self._reason)
        return summary

    def _step(self) -> None:
        newest = self.newest
        self._fill()
        if any(work.running for work in self.work.values()):
            self._collect()
        elif self.newest == newest:  # and no generation was closed for want of anything new
            raise RuntimeError(
                f"nothing is under way and nothing is left to do in generation {newest + 1}; "
                "the log says what came before"
            )

    # -- what to do next

    def _fill(self) -> None:
        if self._reason is not None:
            return
        for kind in ("train", "explore"):
            while self._again[kind]:
                self.work[kind].submit(self._again[kind].popleft())
        if self.newest >= 0 and not self._closing:
            for task in self.exploration.second_opinions():
                self._begin("explore", task, _About("judge", self.newest))
        self._fill_labels()
        self._fill_trajectories()
        if self._is_training_due():
            self._begin_training()

    def _fill_labels(self) -> None:
        room = self._room("label")
        if not self._closing:
            wanted = min(room, self._allowed()) - self.labels.waiting
            if wanted > 0 and self.newest >= 0:
                self._commit(wanted)
        self.labels.submit(room)

    def _commit(self, number: int) -> None:
        """Choose candidates and record them: from a whole batch of them while there is other work."""
        ready = self.exploration.pool.ready(self.newest)
        if ready == 0:
            return
        batch = self.workspace.config.selection.batch
        if self._wave == 0 and (ready >= batch or self._starving()):
            self._wave = batch
        number = min(number, self._wave, ready)
        if number < 1:
            return
        self._wave -= number
        for generation, chosen in self.exploration.choose(number).items():
            self.labels.commit(chosen, generation)

    def _fill_trajectories(self) -> None:
        if self.newest < 0 or self._closing or self.exploration.is_barren:
            return
        label, explore = self.workspace.executors["label"], self.work["explore"]
        enough = max(2 * self.workspace.config.selection.batch, label.capacity)
        missing = enough - len(self.exploration.pool) - len(explore.running)
        for _ in range(min(missing, self._room("explore"))):
            index, task = self.exploration.next_trajectory()
            self._begin("explore", task, _About("explore", self.newest + 1, index))

    def _room(self, kind: str) -> int:
        """How many more calls workers of a kind of work can be given, without a queue in front of them."""
        mine = self.workspace.executors[kind]
        sharing = [other for other in KINDS if self.workspace.executors[other].executor is mine.executor]
        ahead = max(1, mine.capacity // _AHEAD)
        return mine.capacity + ahead - sum(len(self.work[other].running) for other in sharing)

    def _allowed(self) -> int:
        """How many more labels may be had without a model that has learned from them."""
        limit = (self.workspace.config.asynchronous.max_staleness + 1) * self.train_after
        return limit - (self.labels.labelled - self._learned) - len(self.work["label"].running)

    def _starving(self) -> bool:
        """Whether workers for labels have nothing to do, and exploring gives them nothing better soon."""
        explore, label = (self.workspace.executors[kind] for kind in ("explore", "label"))
        if self.exploration.is_barren or not self.work["explore"].running:
            return True
        return explore.executor is not label.executor and len(self.work["label"].running) < label.capacity

    # -- training

    def _is_training_due(self) -> bool:
        if self._training:
            return False
        enough = self.labels.labelled - self._learned >= self.train_after
        idle = len(self.labels) == 0
        if self._last and enough:
            self._closing = True  # what is under way is waited for, so that the last model learns from it
        return (idle and (self._closing or self._is_exhausted())) or (enough and not self._last)

    def _is_exhausted(self) -> bool:
        """Whether nothing is left to label, for all that the newest model has been asked."""
        if self.newest < 0:
            return True
        exploration = self.exploration
        asked = exploration.looked >= self.workspace.config.explore.n
        return asked and not exploration.is_judging and not exploration.pool.ready(self.newest)

    def _begin_training(self) -> None:
        workspace, generation = self.workspace, self.newest + 1
        refuse_nothing(workspace)
        workspace.ledger.keep_order(workspace.reference)
        new = self.labels.labelled - self._learned
        summary = {"labelled": new, "n_frames": self.labels.labelled}
        workspace.ledger.finish_stage(generation, "label", summary)
        workspace.log.write("stage", generation=generation, stage="label", **summary)
        self._resume_training()

    def _resume_training(self) -> None:
        """Train, or evaluate, the generation whose labels are fixed."""
        workspace, generation = self.workspace, self.newest + 1
        stages = workspace.ledger.stages().get(generation, {})
        if "label" not in stages or self._training:
            return
        self._training = True
        if "train" in stages:
            self._evaluate(generation)
            return
        number = stages["label"]["n_frames"]
        before = workspace.ledger.stages().get(self.newest, {}).get("train")
        if before is not None and before["n_frames"] == number:
            keep_model(workspace, generation, before)
            self._evaluate(generation)
            return
        frames: list[Atoms] = workspace.ledger.atoms(workspace.ledger.accepted(workspace.reference)[:number])
        task = training_task(workspace, generation, frames)
        dataset = str(workspace.directory.path / "dataset.extxyz")
        task = replace(task, function=train_recorded, arguments={**task.arguments, "dataset": dataset})
        workspace.say(generation, f"training on {number} structures")
        self._begin("train", task, _About("train", generation))

    def _evaluate(self, generation: int) -> None:
        if self.workspace.config.testset is None:
            self._has_model(generation)
        else:
            self._begin("train", evaluation_task(self.workspace, generation), _About("evaluate", generation))

    def _has_model(self, generation: int) -> None:
        """Everything from here on is done with the model of this generation."""
        workspace = self.workspace
        self.newest, self._training, self._wave = generation, False, 0
        self._learned = self._learned_by(generation)
        self.exploration.close(generation)
        self.labels.use_model(generation)
        self._reason = self._stop_reason()
        if self._reason is None:
            self._last = generation + 2 >= workspace.config.stop.max_generations
            self._closing = False
            workspace.ledger.finish_stage(generation, "end", {"reason": None})
            self.show(workspace, generation, report=False)
            self._show_progress()

    # -- what has ended

    def _collect(self) -> None:
        ended = self.work["label"].wait()
        for kind, work in self.work.items():
            finished, again = work.settle(ended)
            for task, lost in again:
                if kind == "label":
                    self.labels.put_back(task, lost=lost)
                else:
                    self._again[kind].append(task)
            if kind == "label" and finished:
                self.labels.take(finished)
                if self._bar is not None:
                    self._bar.advance(len(finished))
            elif finished:
                self._take(finished)

    def _take(self, results: Results) -> None:
        grouped: dict[_About, Results] = {}
        for task, result in results:
            grouped.setdefault(replace(self._about[task.key], index=0), []).append((task, result))
        for about, group in grouped.items():
            found = [(task.key, result) for task, result in group]
            self.workspace.ledger.add_tasks(about.kind, about.generation, found)
        for task, result in results:
            about = self._about.pop(task.key)
            if about.kind == "explore":
                self.exploration.take(about.generation, about.index, result)
            elif about.kind == "judge":
                self.exploration.take_opinion(about.generation, task.key, result)
            else:
                self._take_needed(about, task, result)

    def _take_needed(self, about: _About, task: Task, result: dict[str, Any]) -> None:
        found = self.workspace.needed(about.kind, about.generation, task, result)
        self.workspace.ledger.finish_stage(about.generation, about.kind, found)
        self.workspace.log.write("stage", generation=about.generation, stage=about.kind)
        if about.kind == "train":
            self._evaluate(about.generation)
        else:
            self._has_model(about.generation)

    # -- small things

    def _begin(self, kind: str, task: Task, about: _About) -> None:
        self._about[task.key] = about
        self.work[kind].submit(task)

    def _trained(self) -> int:
        """Newest generation with a model, judged where there is a held-out set."""
        last = "train" if self.workspace.config.testset is None else "evaluate"
        return max((g for g, done in self.workspace.ledger.stages().items() if last in done), default=-1)

    def _learned_by(self, generation: int) -> int:
        """Labels that the model of a generation has learned from."""
        stages = self.workspace.ledger.stages().get(generation, {})
        return int(stages["train"]["n_frames"]) if "train" in stages else 0

    def _stop_reason(self) -> str | None:
        stages = self.workspace.ledger.stages()
        judged = {number: done for number, done in stages.items() if number <= self.newest}
        return stop_reason(judged, self.workspace.config.stop)

    def _show_progress(self) -> None:
        """A new bar for the labels of the next model."""
        generation = self.newest + 1
        log = partial(self.workspace.log.write, "progress", kind="label", generation=generation)
        name = f"generation {generation}: labels for the next model"
        self._bars.close()
        bar = Bar(self.workspace.console, name, Pace(self.train_after), log=log)
        self._bar = self._bars.enter_context(bar)
