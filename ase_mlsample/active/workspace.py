"""What the steps of a loop work with: the run's folder, its executors, its random streams and its voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ase_mlsample.active.config import ExecutorSettings, RunConfig
from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.run_directory import EventLog, RunDirectory
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.tasks import Task, run_tasks

__all__ = ["Results", "Workspace", "open_executors"]

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
        self, directory: RunDirectory, executors: Mapping[str, Executor], *, console: Console
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
        take: Callable[[Results], None] | None = None,
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
        quiet = kind in ("train", "evaluate") or not self.console.is_terminal
        with Progress(console=self.console, disable=quiet, transient=True) as progress:
            bar = progress.add_task(f"generation {generation}: {kind}", total=len(tasks))

            def taken(results: Results) -> None:
                found.update({task.key: result for task, result in results})
                if take is not None:
                    take(results)
                self.ledger.add_tasks(kind, generation, [(task.key, result) for task, result in results])
                progress.advance(bar, len(results))

            window = 2 * self.config.executors.workers
            run_tasks(tasks, self.executors[executor], store=self.store, window=window, take=taken)
        return [(task, found[task.key]) for task in tasks]

    def run_needed(self, kind: str, generation: int, task: Task) -> dict[str, Any]:
        """Run one task that the run cannot do without, on the executor for training.

        Raises
        ------
        RuntimeError
            It failed; the failure is not kept, so that the next run tries it again.
        """
        ((_, result),) = self.run("train", kind, generation, [task])
        if result["status"] == "failed":
            self.store.remove(task.key)
            error = result["error"]
            self.log.write("task_failed", key=task.key, tail=error["tail"])
            raise RuntimeError(
                f"{kind} of generation {generation} failed: {error['type']}: {error['message']} "
                f"(the traceback is in {self.log.path})"
            )
        return {key: value for key, value in result.items() if key not in ("status", "attempts")}


@contextmanager
def open_executors(
    settings: ExecutorSettings, given: Mapping[str, Executor | None]
) -> Iterator[dict[str, Executor]]:
    """Executors of a run: those given, others as configured; ours end when the context does."""
    own: list[ProcessExecutor] = []

    def made(workers: int, threads: int) -> Executor:
        if settings.workers == 1:
            return SerialExecutor(threads=threads)
        own.append(ProcessExecutor(workers, threads=threads))
        return own[-1]

    executors = {name: executor for name, executor in given.items() if executor is not None}
    try:
        if not {"explore", "label"} <= set(executors):
            shared = made(settings.workers, settings.threads)
            executors = {"explore": shared, "label": shared} | executors
        if "train" not in executors:
            executors["train"] = made(1, settings.train_threads or settings.workers * settings.threads)
        yield executors
    finally:
        for executor in own:
            executor.shutdown(wait=False)
