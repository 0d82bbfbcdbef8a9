"""The three executors of a run: those given, others as configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ase_mlsample.active.dispatch import Dispatcher
from ase_mlsample.active.executor_settings import (
    KINDS,
    DaskSettings,
    ExecutorSettings,
    ParslSettings,
    ProcessSettings,
)
from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor
from ase_mlsample.active.factories import resolve
from ase_mlsample.active.label import command_of
from ase_mlsample.active.parsl_executor import ParslExecutor, drain_period, job_script, require_parsl
from ase_mlsample.active.staging import Staging

if TYPE_CHECKING:
    from ase_mlsample.active.config import RunConfig

__all__ = ["STOP", "check_executors", "job_scripts", "open_executors", "time_limits"]

# file in the folder of a run that tells workers to begin nothing more
STOP = "stop"
# what a call needs besides its attempts
_AROUND_S = 30.0


def time_limits(config: RunConfig) -> dict[str, float | None]:
    """Longest that a call of each kind of work may take in seconds, or None."""
    # no attempt begins in a call that took as long as one may
    label = None if config.reference.timeout_s is None else 2 * config.reference.timeout_s
    limits = {"explore": config.explore.timeout_s, "label": label, "train": None}
    return {kind: None if limit is None else limit + _AROUND_S for kind, limit in limits.items()}


def check_executors(config: RunConfig) -> None:
    """Whether the workers that a configuration names can be had, and its work fits into their blocks.

    Raises
    ------
    ValueError
        With the key and the remedy.
    """
    limits = time_limits(config)
    for kind in KINDS:
        workers = config.executors.found(kind)
        if isinstance(workers, DaskSettings):
            _require_distributed()
            if limits[kind] is not None:
                raise ValueError(
                    f"executors.{kind}: Dask runs work in threads, where nothing can interrupt it, so that "
                    "no time limit can be kept; leave out timeout_s, or use processes or parsl"
                )
        if isinstance(workers, ParslSettings):
            require_parsl()
            if workers.preset != "local" and limits[kind] is None and kind != "train":
                section = {"label": "reference", "explore": "explore"}[kind]
                raise ValueError(
                    f"executors.{kind}: blocks end after {workers.walltime}, and nobody knows which work "
                    f"still fits into one: give {section}.timeout_s"
                )
            drain_period(workers, limits[kind], kind=kind)
            if kind == "label" and workers.launch is not None:
                _check_launched(config)


def _check_launched(config: RunConfig) -> None:
    reference = config.reference
    known = signature(resolve(reference.factory)).parameters
    if "command" in known and command_of(reference.factory, reference.kwargs) is None:
        raise ValueError(
            "executors.label: launch has nothing to start, since the reference runs in the worker itself; "
            "give reference.kwargs.command, the program that does its work"
        )


@contextmanager
def open_executors(
    config: RunConfig, given: Mapping[str, Executor | None], *, folder: Path
) -> Iterator[dict[str, Dispatcher]]:
    """Executors of a run by kind of work; ours end when the context does.

    Parameters
    ----------
    config : of the run.
    given : executors to use for kinds of work instead of the configured ones; they are not ended, but calls
        under way are waited for.
    folder : of the run.
    """
    settings, stop = config.executors, folder / STOP
    stop.unlink(missing_ok=True)
    with ExitStack() as stack:
        stack.callback(stop.unlink, missing_ok=True)
        made: dict[str, Executor] = {}

        def own(source: str, workers: Any) -> Executor:
            if source not in made:
                kinds = [
                    kind for kind in KINDS if given.get(kind) is None and _source(settings, kind) == source
                ]
                made[source] = executor = _make(workers, config, kinds=kinds, name=source, folder=folder)
                stack.callback(executor.shutdown, wait=False)
            return made[source]

        executors = {}
        for kind in KINDS:
            executor = given.get(kind)
            if executor is None:
                mine = own(_source(settings, kind), settings.found(kind))
                executors[kind] = Dispatcher(mine, stop=stop, staging=_staging(settings, kind, folder))
            else:
                executors[kind] = Dispatcher(executor, stop=stop, staging=_staging(settings, kind, folder))
                stack.push(partial(_leave, executors[kind]))
        yield executors


def _leave(
    dispatcher: Dispatcher,
    kind: type[BaseException] | None,  # noqa: ARG001
    error: BaseException | None,
    trace: TracebackType | None,  # noqa: ARG001
) -> None:
    """Wait for calls at workers that go on without us, unless the run is to end at once."""
    if not getattr(error, "at_once", False):
        dispatcher.drain()


def job_scripts(config: RunConfig) -> dict[str, str]:
    """Scripts that blocks of a batch system would be submitted with, by kind of work; nothing is submitted.

    Raises
    ------
    ValueError
        Parsl is not installed, or the blocks are too short.
    """
    scripts = {}
    for kind in KINDS:
        workers = config.executors.found(kind)
        source = config.executors.source(kind)
        if isinstance(workers, ParslSettings) and workers.preset != "local" and source not in scripts:
            with TemporaryDirectory() as folder:
                scripts[source] = job_script(
                    workers,
                    kind=source,
                    folder=Path(folder),
                    limit_s=_longest(config, _sharing(config, source)),
                )
    return scripts


def _sharing(config: RunConfig, source: str) -> list[str]:
    return [kind for kind in KINDS if _source(config.executors, kind) == source]


def _longest(config: RunConfig, kinds: list[str]) -> float | None:
    """Longest that a call of any of these kinds of work may take, as far as there are limits."""
    limits = time_limits(config)
    return max((limit for kind in kinds if (limit := limits[kind]) is not None), default=None)


def _source(settings: ExecutorSettings, kind: str) -> str:
    """Name of the workers of a kind of work; those of nobody in particular train apart from the rest."""
    source = settings.source(kind)
    if getattr(settings, source) is not None:
        return source
    return "training" if source == "train" else "shared"


def _make(
    workers: ProcessSettings | ParslSettings | DaskSettings | None,
    config: RunConfig,
    *,
    kinds: list[str],
    name: str,
    folder: Path,
) -> Executor:
    settings = config.executors
    if workers is None:
        number = settings.workers
        if name == "training":
            return _processes(
                1, settings.train_threads or number * settings.threads, serial=number == 1, config=config
            )
        return _processes(number, settings.threads, serial=number == 1, config=config)
    if isinstance(workers, ProcessSettings):
        return _processes(workers.workers, workers.threads, serial=workers.workers == 1, config=config)
    if isinstance(workers, ParslSettings):
        return ParslExecutor(
            workers, kind=name, folder=folder / "parsl" / name, limit_s=_longest(config, kinds)
        )
    return _dask(workers)


def _processes(workers: int, threads: int, *, serial: bool, config: RunConfig) -> Executor:
    # overlapping needs a process that is free to hand out work
    if serial and config.mode == "synchronous":
        return SerialExecutor(threads=threads)
    return ProcessExecutor(workers, threads=threads)


def _staging(settings: ExecutorSettings, kind: str, folder: Path) -> Staging | None:
    if kind != "label" or settings.scratch is None:
        return None
    return Staging(
        settings.scratch, files=str(folder / "files"), keep=settings.keep, always=settings.keep_always
    )


def _require_distributed() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ValueError(
            "executors of type dask need the package distributed, which is not installed: "
            "pip install 'ase-mlsample[dask]'"
        ) from None


def _dask(settings: DaskSettings) -> Executor:
    _require_distributed()
    return _DaskExecutor(settings)


class _DaskExecutor(Executor):
    """The executor of a Dask client that is closed with it."""

    def __init__(self, settings: DaskSettings) -> None:
        from distributed import Client

        self._client = Client(
            settings.address, scheduler_file=settings.scheduler_file, set_as_default=False, timeout=60
        )
        self._executor = self._client.get_executor(pure=False)
        self.capacity = max(1, sum(self._client.nthreads().values()))

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._executor.submit(fn, *args, **kwargs)

    def at_workers(self) -> int:
        """Calls that are at workers now."""
        return sum(len(calls) for calls in self._client.processing().values())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        self._executor.shutdown(wait=wait)
        self._client.close()
