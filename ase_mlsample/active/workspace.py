"""What the steps of a loop work with: the run's folder, its executors, its random streams and its voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console

from ase_mlsample.active.config import RunConfig
from ase_mlsample.active.dispatch import Dispatcher
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.progress import Bar, Pace
from ase_mlsample.active.run_directory import EventLog, RunDirectory
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.tasks import Task, run_tasks

__all__ = ["Results", "Workspace"]

Results = list[tuple[Task, dict[str, Any]]]

# names of random streams: the third number of a task's seed
STREAMS = {"initial": 0, "explore": 1, "select": 2, "train": 3}


class Workspace:
    """The run's folder with what is needed to get work done in it.

    Parameters
    ----------
    directory : open folder of the run.
    executors : by the names "explore", "label" and "train".
    console : where progress goes.
    """

    def __init__(
        self, directory: RunDirectory, executors: Mapping[str, Dispatcher], *, console: Console
    ) -> None:
        self.directory = directory
        self.executors = executors
        self.console = console

    @property
    def config(self) -> RunConfig:
        """Configuration of the run."""
        return self.directory.config

    @property
    def ledger(self) -> Ledger:
        """Ledger of the run."""
        return self.directory.ledger

    @property
    def store(self) -> ResultStore:
        """Results that workers wrote."""
        return self.directory.store

    @property
    def log(self) -> EventLog:
        """Events of the run."""
        return self.directory.log

    @property
    def reference(self) -> str:
        """Fingerprint of the reference."""
        return self.directory.reference.fingerprint

    def seed(self, generation: int, kind: str, index: int = 0) -> tuple[int, int, int, int]:
        """Numbers that name the random stream of a task: they do not depend on when or where it runs."""
        return (self.config.seed, generation, STREAMS[kind], index)

    def key(self, kind: str, generation: int, index: int = 0) -> str:
        """Key of a task's result; another configuration has other keys."""
        return f"{kind}-{self.directory.fingerprint}-{generation:04d}-{index:05d}"

    def label_key(self, structure: str) -> str:
        """Key of a label: the structure and the reference, nothing else."""
        return f"{structure}.{self.reference}"

    def say(self, generation: int, text: str) -> None:
        """Print one line of progress."""
        line = f"generation {generation}: {text}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def run(
        self,
        executor: str,
        kind: str,
        generation: int,
        tasks: list[Task],
        *,
        take: Callable[[Results], object] | None = None,
    ) -> Results:
        """Run tasks with a bar; results come back in the order of the tasks.

        Parameters
        ----------
        executor : name of the executor.
        kind, generation : what the ledger's table of tasks says of them.
        tasks : to run.
        take : called with batches of results as they come.
        """
        found: dict[str, dict[str, Any]] = {}
        quiet = kind in ("train", "evaluate")
        log = partial(self.log.write, "progress", kind=kind, generation=generation)
        with Bar(
            self.console, f"generation {generation}: {kind}", Pace(len(tasks)), log=log, quiet=quiet
        ) as bar:

            def taken(results: Results) -> None:
                found.update({task.key: result for task, result in results})
                if take is not None:
                    take(results)
                self.ledger.add_tasks(kind, generation, [(task.key, result) for task, result in results])
                bar.advance(len(results))

            chosen = self.executors[executor]
            run_tasks(tasks, chosen, store=self.store, window=2 * chosen.capacity, take=taken)
        return [(task, found[task.key]) for task in tasks]

    def run_needed(self, kind: str, generation: int, task: Task) -> dict[str, Any]:
        """Run one task that the run cannot do without, on the executor for training.

        Raises
        ------
        RuntimeError
            It failed; the failure is not kept, so that the next run tries it again.
        """
        ((_, result),) = self.run("train", kind, generation, [task])
        return self.needed(kind, generation, task, result)

    def needed(self, kind: str, generation: int, task: Task, result: Mapping[str, Any]) -> dict[str, Any]:
        """What a task that the run cannot do without has found.

        Raises
        ------
        RuntimeError
            It failed; the failure is not kept, so that the next run tries it again.
        """
        if result["status"] == "failed":
            self.store.remove(task.key)
            error = result["error"]
            self.log.write("task_failed", key=task.key, tail=error["tail"])
            raise RuntimeError(
                f"{kind} of generation {generation} failed: {error['type']}: {error['message']} "
                f"(the traceback is in {self.log.path})"
            )
        return {key: value for key, value in result.items() if key not in ("status", "attempts")}
