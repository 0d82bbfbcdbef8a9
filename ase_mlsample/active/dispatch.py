"""Calls under way: an executor of any make, with the same losses, the same end and a place to work in."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, wait
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ase_mlsample.active.executors import SerialExecutor, WorkerLost, WorkerStartError
from ase_mlsample.active.staging import Staging, in_scratch
from ase_mlsample.active.store import ResultStore

__all__ = ["Dispatcher", "NotStartedError", "capacity_of"]

P = ParamSpec("P")
T = TypeVar("T")

# seconds between two looks at which calls are at workers
_LOOK_S = 1.0
# calls handed to an executor that does not say how many it runs at a time
_UNKNOWN = 256
# engines whose own exceptions mean that a worker was lost, not that the call failed
_ENGINES = ("parsl", "distributed", "dask")
# names of theirs that mean that there will be no worker at all
_HOPELESS = ("BadStateException", "TooManyJobFailuresError", "ScalingFailed", "SubmitException")


class NotStartedError(RuntimeError):
    """A call that came to a worker when its run was being stopped already."""


def capacity_of(executor: Executor) -> int:
    """Calls that an executor runs at a time, as far as it says so."""
    if isinstance(executor, SerialExecutor):
        return 1
    for name in ("capacity", "workers", "_max_workers"):
        number = getattr(executor, name, None)
        if isinstance(number, int) and number > 0:
            return number
    return _UNKNOWN


class Dispatcher(Executor):
    """Hands calls to another executor and keeps sight of those under way.

    Exceptions by which Parsl and Dask say that a worker is gone come as `WorkerLost`, so that the call is
    done again elsewhere.

    Parameters
    ----------
    executor : that runs the calls; it is not ended here.
    stop : file whose presence tells workers to begin nothing more.
    staging : a folder of its own for each call, or None.
    """

    def __init__(
        self, executor: Executor, *, stop: Path | None = None, staging: Staging | None = None
    ) -> None:
        self.executor = executor
        self.capacity = capacity_of(executor)
        self.disposable = bool(getattr(executor, "disposable", False))
        self._stop = None if stop is None else str(stop)
        self._staging = staging
        self._under_way: set[Future[Any]] = set()
        self._numbers = itertools.count()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand over a call; its future speaks of losses in our own words."""
        number = next(self._numbers)
        given = self.executor.submit(_at_worker, number, self._stop, self._staging, fn, args, kwargs)
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()
        self._under_way.add(given)

        def done(given: Future[T]) -> None:
            self._under_way.discard(given)
            error = CancelledError() if given.cancelled() else given.exception()
            if error is None:
                answer.set_result(given.result())
            else:
                answer.set_exception(_in_our_words(error))

        given.add_done_callback(done)
        return answer

    def drain(self) -> int:
        """Let calls that run finish, and begin no other; returns how many were under way.

        Those that no worker has begun with are not waited for, where the executor has ``at_workers()``.
        """
        if self._stop is not None:  # a file, since Parsl cancels nothing and Dask also what runs
            Path(self._stop).touch()
        under_way = set(self._under_way)
        number, at_workers = len(under_way), getattr(self.executor, "at_workers", None)
        while under_way:
            under_way = wait(under_way, timeout=None if at_workers is None else _LOOK_S).not_done
            if at_workers is not None and not at_workers():
                break  # the others wait for workers, which may come in hours
        return number

    @property
    def under_way(self) -> int:
        """Calls handed over and not answered."""
        return len(self._under_way)


def _in_our_words(error: BaseException) -> BaseException:
    """What became of a call, whichever engine says it."""
    engine = type(error).__module__.partition(".")[0]
    if engine in _ENGINES and type(error).__name__ in _HOPELESS:
        return _because(WorkerStartError(f"{engine} has no workers ({type(error).__name__}: {error})"), error)
    if engine in _ENGINES or isinstance(error, CancelledError):
        return _because(WorkerLost(f"{type(error).__name__}: {error}"), error)
    return error


def _because(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def _at_worker(
    _number: int, stop: str | None, staging: Staging | None, fn: Callable[..., T], args: Any, kwargs: Any
) -> T:
    """What a worker runs; the number tells two calls apart where an engine remembers answers."""
    if stop is not None and Path(stop).exists():
        raise NotStartedError("the run is being stopped")
    if staging is None:
        return fn(*args, **kwargs)
    task, directory = args

    def failed() -> bool:
        found = ResultStore(directory).take(task.key)  # none where another worker shall try again
        return found is None or found["status"] == "failed"

    with in_scratch(staging, task.key, failed=failed):
        return fn(*args, **kwargs)
