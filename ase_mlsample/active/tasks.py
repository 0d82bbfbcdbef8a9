"""Units of work with a key: computed once, written to the store before they return, retried, never fatal."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import SimpleQueue
from typing import Any

from ase_mlsample.active.attempts import Task, TaskTimeoutError, attempt, failure, record_loss
from ase_mlsample.active.shutdown import interruption_point
from ase_mlsample.active.store import ResultStore

__all__ = ["Task", "TaskTimeoutError", "Work", "failure", "perform", "run_tasks"]


# the time that a kernel needs to release the locks of a process that has died
_PATIENCE_S = 1.0


def perform(task: Task, directory: str, *, disposable: bool = False) -> str:
    """Do a task if nobody has, and store its result or its failure; what a worker runs.

    Parameters
    ----------
    task : what to do.
    directory : of the store.
    disposable : whether this process may end itself when another one shall try again.

    Returns
    -------
    str
        The key. The result is in the store of ``directory`` by then, with ``status``, ``attempts`` and
        ``seconds`` added; a failure has the status "failed" and an ``error`` with type, message, tail and
        kind. There is none if another worker shall try again.

    Raises
    ------
    OSError
        The result could not be written.
    """
    store = ResultStore(directory)
    with store.lock(task.key):
        if store.take(task.key) is None:
            result = attempt(task, store)
            if result is not None:
                store.write(task.key, result)
            elif disposable and multiprocessing.parent_process() is not None and _lacked(store, task.key):
                os._exit(1)  # what this process lacked, memory for one, a new one may have
    return task.key


def _lacked(store: ResultStore, key: str) -> bool:
    past = store.past(key)
    return bool(past) and past[-1]["kind"] == "resource"


def run_tasks(
    tasks: Iterable[Task],
    executor: Executor,
    *,
    store: ResultStore,
    window: int,
    take: Callable[[list[tuple[Task, dict[str, Any]]]], None],
) -> None:
    """Run tasks until each has a result or a recorded failure.

    Parameters
    ----------
    tasks : those whose result is in the store already are only handed over.
    executor : where `perform` runs.
    store : of the results.
    window : how many are submitted at a time.
    take : called in this thread with batches of finished tasks and their results.

    Raises
    ------
    RuntimeError
        Workers cannot be started.
    OSError
        A result could not be written, for instance because the disk is full.
    """
    present, waiting = _sorted_out(tasks, store)
    if present:
        take(present)
    work = Work(executor, store)
    while waiting or work.running:
        while waiting and len(work.running) < window:
            work.submit(waiting.popleft())
        finished, again = work.collect()
        # what was lost is tried next, what shall go elsewhere last: until then others may be at work
        waiting.extendleft(task for task, lost in again if lost)
        waiting.extend(task for task, lost in again if not lost)
        if finished:
            take(finished)


def _sorted_out(
    tasks: Iterable[Task], store: ResultStore
) -> tuple[list[tuple[Task, dict[str, Any]]], deque[Task]]:
    present: list[tuple[Task, dict[str, Any]]] = []
    waiting: deque[Task] = deque()
    for task in tasks:
        result = store.take(task.key) if task.key in store else None
        if result is None:
            waiting.append(task)
        else:
            present.append((task, result))
    return present, waiting


class Work:
    """Tasks in progress.

    Parameters
    ----------
    executor : where `perform` runs.
    store : of the results.
    ended : queue that calls go to as they end; several can share one.
    """

    def __init__(
        self, executor: Executor, store: ResultStore, ended: SimpleQueue[Future[str]] | None = None
    ) -> None:
        self.executor, self.store = executor, store
        self.ended = SimpleQueue() if ended is None else ended
        self.running: dict[Future[str], tuple[Task, int]] = {}
        # whether the end of a worker process is noticed, and another one started
        self.options = {"disposable": True} if getattr(executor, "disposable", False) else {}

    def submit(self, task: Task) -> None:
        """Begin a task."""
        known = len(self.store.past(task.key))  # before: a serial executor does the task at once
        future = self.executor.submit(perform, task, str(self.store.directory), **self.options)
        self.running[future] = task, known
        future.add_done_callback(self.ended.put)

    def collect(self) -> tuple[list[tuple[Task, dict[str, Any]]], list[tuple[Task, bool]]]:
        """Wait for some to end: those with a result, and those to try again with whether they were lost."""
        return self.settle(self.wait())

    def wait(self) -> list[Future[str]]:
        """Wait for some calls to end, of any that share the queue."""
        with interruption_point():
            found = [self.ended.get()]
        while not self.ended.empty():
            found.append(self.ended.get())
        return found

    def settle(
        self, ended: Iterable[Future[str]]
    ) -> tuple[list[tuple[Task, dict[str, Any]]], list[tuple[Task, bool]]]:
        """What became of calls that ended, as `collect` has it; those of others are left out."""
        finished, again = [], []
        for future in ended:
            if future not in self.running:
                continue
            task, known = self.running.pop(future)
            try:
                future.result()
            except BrokenExecutor:
                lost = True
            else:
                lost = False
            with self.store.lock(task.key, patience_s=_PATIENCE_S) as mine:
                result = self.store.take(task.key)
                if result is None and not mine:
                    # given up, and still at it: whoever is next at this key waits for the result
                    lost = True
                elif result is None and len(self.store.past(task.key)) == known:
                    # nobody put down why: its worker died, or its file was damaged since
                    lost = True
                    result = self.store.take(task.key) if record_loss(task, self.store) else None
                elif result is None:
                    lost = False
            if result is None:
                again.append((task, lost))
            else:
                finished.append((task, result))
        return finished, again
