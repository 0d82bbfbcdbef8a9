"""Executors of the loop: worker processes that end with their parent, one pool slot each, rebuilt when lost.

Anything with the interface of ``concurrent.futures.Executor`` can take their place; retries, time limits and
locks are in `ase_mlsample.active.tasks` and do not depend on the engine.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from ase_mlsample.active.shutdown import interruption_point

__all__ = ["ProcessExecutor", "SerialExecutor", "WorkerLost", "WorkerStartError", "check_main_guard"]

P = ParamSpec("P")
T = TypeVar("T")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PR_SET_PDEATHSIG = 1
_start = threading.Lock()  # the environment is shared: one worker starts at a time


class WorkerLost(BrokenExecutor):
    """The worker process of a task died (killed, out of memory, a crash of compiled code)."""


class WorkerStartError(RuntimeError):
    """Worker processes cannot be started."""


def check_main_guard() -> None:
    """Refuse to start work inside a worker that is still importing the script.

    Raises
    ------
    RuntimeError
        The script that starts the run has no main guard.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "a worker process imports the script that started it, and this script would start the run again: "
            'put the call under `if __name__ == "__main__":`, or use workers=1'
        )


class SerialExecutor(Executor):
    """Runs each call at once, in this process.

    Parameters
    ----------
    threads : that a call may use; None leaves those of the process.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the call; the future that comes back is done."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            with _limited_threads(self.threads), interruption_point():
                future.set_result(fn(*args, **kwargs))
        except Exception as error:  # handed on to whoever asks for the result
            future.set_exception(error)
        return future


@contextmanager
def _limited_threads(number: int | None) -> Iterator[None]:
    """Compiled kernels and torch use this many threads; torch waits in a spin, so too many cost both."""
    if number is None:
        yield
        return
    import torch

    from ase_mlsample import _core

    before = torch.get_num_threads(), _core.num_threads()
    torch.set_num_threads(number)
    _core.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        _core.set_num_threads(before[1])


class ProcessExecutor(Executor):
    """A set of single worker processes; the loss of one costs only the call that it was running.

    Parameters
    ----------
    workers : number of processes.
    threads : threads that each may use, set in its environment before anything is imported.

    Raises
    ------
    ValueError
        Fewer than one worker or thread.
    """

    disposable = True

    def __init__(self, workers: int, *, threads: int = 1) -> None:
        if workers < 1 or threads < 1:
            raise ValueError(f"workers={workers}, threads={threads}: at least one of each is needed")
        check_main_guard()
        self.workers = workers
        self.threads = threads
        self._slots = ThreadPoolExecutor(workers, thread_name_prefix="mlsample-slot")
        self._local = threading.local()
        self._pools: set[ProcessPoolExecutor] = set()
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call.

        Its future raises `WorkerLost` if the worker dies, `WorkerStartError` if none can be started.
        """
        return self._slots.submit(self._run, partial(fn, *args, **kwargs))

    def processes(self) -> list[int]:
        """Process ids of the workers that run now."""
        pools = list(self._pools)
        return [pid for pool in pools for pid in list(getattr(pool, "_processes", None) or {})]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers; with ``wait=False`` also those in the middle of a call."""
        if not wait:
            self._closed = True
            for pid in self.processes():
                _kill(pid)
        self._slots.shutdown(wait=True, cancel_futures=cancel_futures or not wait)
        for pool in list(self._pools):
            pool.shutdown(wait=True, cancel_futures=True)
        self._pools.clear()

    def _run(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise WorkerLost("the executor is closed")
        pool = getattr(self._local, "pool", None)
        if pool is None:
            pool = self._local.pool = self._start_pool()
        if self._closed:  # while it started, when there was nobody to kill yet
            raise WorkerLost("the executor is closed")
        try:
            return pool.submit(call).result()
        except BrokenProcessPool as error:
            _kill_group(self._local.pid)  # what the dead worker had started may run on
            self._local.pool = None
            self._pools.discard(pool)
            pool.shutdown(wait=True)
            raise WorkerLost("the worker process died (killed, out of memory, or a crash)") from error

    def _start_pool(self) -> ProcessPoolExecutor:
        # the process is made by this thread, which lives as long as the pool: PDEATHSIG watches the thread
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
        self._pools.add(pool)
        with _start, _environment(self.threads):
            ready = pool.submit(os.getpid)
        try:
            self._local.pid = ready.result()
        except BrokenProcessPool as error:
            self._pools.discard(pool)
            pool.shutdown(wait=True)
            raise WorkerStartError(
                "a worker process ended while it started. If a script starts the run, its call must stand "
                'under `if __name__ == "__main__":` (worker processes import the script); otherwise see the '
                "message of the worker above, or use workers=1"
            ) from error
        return pool


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    wanted = {name: str(threads) for name in _THREAD_VARIABLES}
    wanted |= {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(parent: int) -> None:
    """First thing in a worker: a group of its own, the end with the parent; Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    # where there is no PDEATHSIG, and for a parent that died before it was set
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    """Kill a worker and the programs that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill(pid: int) -> None:
    _kill_group(pid)
    with contextlib.suppress(ProcessLookupError):  # one that has no group yet
        os.kill(pid, signal.SIGKILL)
