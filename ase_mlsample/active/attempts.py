"""How a task is attempted: its time limit, what is kept of a failure, whether it is tried again and where."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from ase_mlsample.active.store import ResultStore
from ase_mlsample.references.failures import classify

__all__ = ["Task", "TaskTimeoutError", "WorkerDiedError", "attempt", "failure", "record_loss"]

_TAIL = 2000

Attempts = list[dict[str, Any]]


class TaskTimeoutError(Exception):
    """A task ran past its time limit."""


class WorkerDiedError(RuntimeError):
    """The worker process of a task died while it worked on it."""


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
    by_kind : whether the kind of a failure (`ase_mlsample.references.classify`) decides what comes next:
        "geometry" is never tried again; "convergence" is with the next recipe, as long as there is one;
        "resource" is ``retries`` times, by another worker process; others are ``retries`` times at once.
    recipes : how many gentler recipes there are; the function is given ``recipe=n`` for the n-th of them.
    losses : how many workers it may cost and still be tried again; ``retries``, but at least one, where None.
    grace_s : seconds past the limit after which a worker that has not reacted ends itself.
    """

    key: str
    function: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    timeout_s: float | None = None
    by_kind: bool = False
    recipes: int = 0
    losses: int | None = None
    grace_s: float = 30.0


def failure(error: BaseException, *, attempts: int, seconds: float = 0.0) -> dict[str, Any]:
    """The record of a failed task."""
    return _failed([_described(error, seconds=seconds)], attempts=attempts)


def attempt(task: Task, store: ResultStore) -> dict[str, Any] | None:
    """Attempt a task as often as its policy says.

    Returns
    -------
    dict or None
        Its result or its failure, for the store; None if another call shall go on, by another worker or in a
        block that has the time for it, after what failed here was put down.
    """
    past, started = store.past(task.key), time.monotonic()
    while True:
        failed = sum(one["kind"] == "convergence" for one in past) if task.by_kind else 0
        recipe = min(failed, task.recipes)  # there may be fewer than when it failed
        began = time.monotonic()
        try:
            with _time_limit(task, store):
                result = task.function(**task.arguments, **({"recipe": recipe} if recipe else {}))
        except Exception as error:  # whatever a reference raises is recorded
            past.append(_described(error, seconds=time.monotonic() - began, recipe=recipe))
            step = _next(task, past)
            late = task.timeout_s is not None and time.monotonic() - started > task.timeout_s
            if step == "elsewhere" or (step == "here" and late):
                store.keep_past(task.key, past)
                return None
            if step == "stop":
                return _failed(past)
        else:
            seconds = time.monotonic() - began + sum(one["seconds"] for one in past)
            found = {"status": "done", **result, "attempts": len(past) + 1, "seconds": seconds}
            return found | ({"recipe": recipe} if recipe else {})


def record_loss(task: Task, store: ResultStore) -> bool:
    """Note that a task cost a worker process; True if it is given up, with its failure in the store."""
    past = store.past(task.key)
    hang = store.hang_file(task.key)
    if hang.exists() and hang.stat().st_size:
        error: Exception = TaskTimeoutError(
            f"ran past its limit of {task.timeout_s:g} s and did not react to being interrupted"
        )
        tail = hang.read_text(errors="replace")[-_TAIL:]
        hang.unlink()
    else:
        error, tail = WorkerDiedError("its worker process died"), ""
    past.append(_described(error, seconds=0.0) | {"lost": True, "tail": tail})
    lost = sum(bool(one.get("lost")) for one in past)
    if lost <= (max(1, task.retries) if task.losses is None else task.losses):
        store.keep_past(task.key, past)
        return False
    if not tail:
        told = f"its worker process died {lost} times (killed, out of memory, a crash)"
        past[-1]["message"] = told
    store.write(task.key, _failed(past))
    return True


def _next(task: Task, past: Attempts) -> Literal["stop", "here", "elsewhere"]:
    kind = past[-1]["kind"] if task.by_kind else None
    alike = [one for one in past if not one.get("lost") and (kind is None or one["kind"] == kind)]
    allowed = {"geometry": 0, "convergence": task.recipes}.get(kind or "", task.retries)
    if len(alike) > allowed:
        return "stop"
    return "elsewhere" if kind == "resource" else "here"


def _described(error: BaseException, *, seconds: float, recipe: int = 0) -> dict[str, Any]:
    return {
        "kind": classify(error),
        "type": type(error).__name__,
        "message": str(error)[:_TAIL],
        "tail": "".join(traceback.format_exception(error))[-_TAIL:],
        "seconds": seconds,
        "recipe": recipe,
    }


def _failed(past: Attempts, *, attempts: int | None = None) -> dict[str, Any]:
    last = past[-1]
    return {
        "status": "failed",
        "error": {name: last[name] for name in ("kind", "type", "message", "tail")},
        "attempts": len(past) if attempts is None else attempts,
        "seconds": sum(one["seconds"] for one in past),
        **({"recipe": last["recipe"]} if last["recipe"] else {}),
    }


@contextmanager
def _time_limit(task: Task, store: ResultStore) -> Iterator[None]:
    """Interrupt Python code by a signal; a worker that does not even react to this ends itself."""
    seconds = task.timeout_s
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TaskTimeoutError(f"ran past its limit of {seconds:g} s")

    with _last_resort(task, store, seconds + task.grace_s):
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


@contextmanager
def _last_resort(task: Task, store: ResultStore, seconds: float) -> Iterator[None]:
    """End a worker that hangs in compiled code, and keep where: faulthandler's watchdog needs no Python."""
    if multiprocessing.parent_process() is None:
        yield
        return
    path = store.hang_file(task.key)
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
