"""Units of work with a key: computed once, written to the store before they return, retried, never fatal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ase_mlsample.active.store import ResultStore

__all__ = ["Task", "TaskTimeoutError", "failure", "perform", "run_tasks"]

_GRACE_S = 30.0
_TAIL = 2000


class TaskTimeoutError(Exception):
    """A task ran past its time limit."""


@dataclass(frozen=True)
class Task:
    """A call whose result is stored under a key.

    Attributes
    ----------
    key : name of the result; the same key always means the same work.
    function : importable, takes keyword arguments, returns a dict that JSON can hold (arrays included).
    arguments : what it is called with.
    retries : further attempts after a failure.
    timeout_s : limit of one attempt in seconds, or None.
    """

    key: str
    function: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    timeout_s: float | None = None


def perform(task: Task, directory: str) -> str:
    """Do a task if nobody has, and store its result or its failure; what a worker runs.

    Returns
    -------
    str
        The key. The result is in the store of ``directory`` by then, with ``status``, ``attempts`` and
        ``seconds`` added; a failure has the status "failed" and an ``error`` with type, message and tail.
    """
    store = ResultStore(directory)
    with store.lock(task.key):
        if task.key not in store:
            store.write(task.key, _attempts(task))
    return task.key


def failure(error: BaseException, *, attempts: int, seconds: float = 0.0) -> dict[str, Any]:
    """The record of a failed task."""
    tail = "".join(traceback.format_exception(error))[-_TAIL:]
    described = {"type": type(error).__name__, "message": str(error)[:_TAIL], "tail": tail}
    return {"status": "failed", "error": described, "attempts": attempts, "seconds": seconds}


def _attempts(task: Task) -> dict[str, Any]:
    began = time.monotonic()
    attempt = 0
    while True:
        attempt += 1
        try:
            with _time_limit(task.timeout_s):
                result = task.function(**task.arguments)
        except Exception as error:  # whatever a reference raises is recorded
            if attempt > task.retries:
                return failure(error, attempts=attempt, seconds=time.monotonic() - began)
        else:
            return {"status": "done", **result, "attempts": attempt, "seconds": time.monotonic() - began}


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt Python code by a signal; a worker that does not even react to this ends itself."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TaskTimeoutError(f"ran past its limit of {seconds:g} s")

    last_resort = threading.Timer(seconds + _GRACE_S, os._exit, (1,))
    last_resort.daemon = True
    if multiprocessing.parent_process() is not None:
        last_resort.start()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        last_resort.cancel()


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
    """
    queue = list(tasks)
    ready = [task for task in queue if task.key in store]
    if ready:
        take([(task, store.read(task.key)) for task in ready])
    waiting = deque(task for task in queue if task.key not in store)
    running: dict[Future[str], Task] = {}
    lost: Counter[str] = Counter()
    while waiting or running:
        while waiting and len(running) < window:
            task = waiting.popleft()
            running[executor.submit(perform, task, str(store.directory))] = task
        finished = []
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            if _lost(future) and not _give_up(task, lost, store):
                waiting.appendleft(task)
            else:
                finished.append((task, store.read(task.key)))
        if finished:
            take(finished)


def _lost(future: Future[str]) -> bool:
    try:
        future.result()
    except BrokenExecutor:
        return True
    return False


def _give_up(task: Task, lost: Counter[str], store: ResultStore) -> bool:
    """Record the failure of a task that cost too many workers; True if the task has a result now."""
    lost[task.key] += 1
    with store.lock(task.key):
        if task.key in store:  # it was written, and only the answer was lost
            return True
        if lost[task.key] <= max(1, task.retries):
            return False
        error = RuntimeError(
            f"its worker process died {lost[task.key]} times (killed, out of memory, a crash)"
        )
        store.write(task.key, failure(error, attempts=lost[task.key]))
        return True
