"""Workers in jobs of a batch system, by way of Parsl: Slurm, PBS Pro, and a rehearsal on one machine.

Parsl asks for the blocks, connects their workers and notices their loss. What is ours: a lost call is done
again elsewhere, results are in the run's folder before an answer is on its way, and no call begins in a block
whose remaining time is below the call's limit.

References
----------
Y. Babuji et al., Parsl: Pervasive Parallel Programming in Python, HPDC 2019.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ase_mlsample.active.executor_settings import ParslSettings
from ase_mlsample.active.label import LAUNCH

__all__ = ["ParslExecutor", "drain_period", "job_script", "require_parsl"]

P = ParamSpec("P")
T = TypeVar("T")

# start of the workers, and the writing of results at the end
_MARGIN_S = 120
# so many blocks that fail one after the other mean that none will come
_FAILED_BLOCKS = 3

# Parsl's own process outlives a killed run, and all blocks with it; and it dies of the run's first Ctrl-C
_INTERCHANGE = """
import os, runpy, signal, sys, threading, time
os.setsid()
signal.signal(signal.SIGINT, signal.SIG_IGN)
def watch(parent):
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
threading.Thread(target=watch, args=(int(sys.argv[1]),), daemon=True).start()
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def require_parsl() -> None:
    """Check that Parsl is there.

    Raises
    ------
    ValueError
        It is not installed.
    """
    try:
        import parsl  # noqa: F401
    except ImportError:
        raise ValueError(
            "executors of type parsl need the package parsl, which is not installed: "
            "pip install 'ase-mlsample[parsl]'"
        ) from None


def drain_period(settings: ParslSettings, limit_s: float | None, *, kind: str) -> int | None:
    """Seconds after which a block begins no more calls, so that those that run can end within its wall time.

    Parameters
    ----------
    settings : of the blocks.
    limit_s : longest that a call may take; None for calls that go on where they were.
    kind : of the calls, for the message.

    Returns
    -------
    int or None
        None where blocks have no end (on this machine) or calls no limit.

    Raises
    ------
    ValueError
        Not a single call fits into the wall time.
    """
    if settings.preset == "local" or limit_s is None:
        return None
    left = int(settings.walltime_s - limit_s - _MARGIN_S)
    if left < _MARGIN_S:
        raise ValueError(
            f"executors.{kind}: blocks of {settings.walltime} are too short for calls that may take "
            f"{limit_s:.0f} s (with timeout_s) and {2 * _MARGIN_S} s around them; "
            "give a longer walltime or a smaller timeout_s"
        )
    return left


class ParslExecutor(Executor):
    """An executor whose workers live in blocks that Parsl asks for.

    Parameters
    ----------
    settings : of the blocks.
    kind : "explore", "label" or "train", which names the jobs.
    folder : for Parsl's logs and job scripts.
    limit_s : longest that a call may take; see `drain_period`.

    Raises
    ------
    ValueError
        Parsl is not installed, or the blocks are too short.
    """

    disposable = True

    def __init__(self, settings: ParslSettings, *, kind: str, folder: Path, limit_s: float | None) -> None:
        require_parsl()
        from parsl import Config
        from parsl.dataflow.dflow import DataFlowKernel

        self.kind = kind
        self.capacity = settings.capacity
        self._engine = _engine(settings, kind=kind, limit_s=limit_s)
        folder.mkdir(parents=True, exist_ok=True)
        self._kernel = DataFlowKernel(
            Config(executors=[self._engine], run_dir=str(folder), initialize_logging=False, usage_tracking=0)
        )

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand a call to Parsl; its future raises Parsl's own exceptions when a worker is lost."""
        future: Future[T] = self._kernel.submit(
            fn, app_args=args, app_kwargs=kwargs, executors=[self.kind], cache=False, ignore_for_cache=[]
        )
        return future

    def at_workers(self) -> int:
        """Calls that are at workers now."""
        return sum(int(manager["tasks"]) for manager in self._engine.connected_managers())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Cancel the jobs and end Parsl's own processes; calls that run are lost."""
        if not self._kernel.cleanup_called:
            self._kernel.cleanup()


def job_script(settings: ParslSettings, *, kind: str, folder: Path, limit_s: float | None) -> str:
    """The script that a block is submitted with; nothing is submitted.

    Parameters
    ----------
    settings, kind, limit_s : as of `ParslExecutor`.
    folder : an empty one, where the script is written; what only the run knows is in capitals.

    Raises
    ------
    ValueError
        The preset has no batch system.
    """
    if settings.preset == "local":
        raise ValueError("blocks on this machine have no job script; give preset slurm or pbs")
    require_parsl()
    known = settings.model_copy(update={"address": settings.address or "ADDRESS"})
    engine = _engine(known, kind=kind, limit_s=limit_s)
    engine.run_dir, engine.logconf_path = str(folder), None
    engine.worker_port, engine.cert_dir = "PORT", "CERTIFICATES"
    engine.initialize_scaling()
    provider = engine.provider
    provider.script_dir = str(folder)
    provider.execute_wait = _submitted
    provider.submit(engine.launch_cmd.format(block_id="BLOCK"), 1, kind)
    (script,) = folder.glob(f"{kind}.*")
    return script.read_text()


def _submitted(*_: Any) -> tuple[int, str, str]:
    return 0, "Submitted batch job 1", ""


def _engine(settings: ParslSettings, *, kind: str, limit_s: float | None) -> Any:
    from parsl.executors import HighThroughputExecutor
    from parsl.jobs.error_handlers import windowed_error_handler

    return HighThroughputExecutor(
        label=kind,
        provider=_provider(settings),
        interchange_launch_cmd=_interchange(),
        address="127.0.0.1" if settings.preset == "local" else settings.address,
        max_workers_per_node=settings.workers,
        cores_per_worker=1e-6,  # `workers` says how many there are
        available_accelerators=settings.accelerators,
        heartbeat_threshold=settings.heartbeat_s,
        heartbeat_period=max(1, settings.heartbeat_s // 4),
        drain_period=drain_period(settings, limit_s, kind=kind),
        block_error_handler=partial(windowed_error_handler, threshold=_FAILED_BLOCKS),
    )


def _interchange() -> list[str]:
    """Command of the process that speaks to the blocks; it ends with this one, and with it the blocks."""
    program = Path(sys.executable).parent / "interchange.py"
    return [sys.executable, "-P", "-c", _INTERCHANGE, str(os.getpid()), str(program)]


def _provider(settings: ParslSettings) -> Any:
    from parsl.launchers import SimpleLauncher, SingleNodeLauncher, SrunLauncher

    common: dict[str, Any] = {
        "nodes_per_block": settings.nodes,
        "init_blocks": settings.blocks if settings.preset == "local" else 0,
        "min_blocks": 0,
        "max_blocks": settings.blocks,
        "worker_init": _worker_init(settings),
    }
    alone = settings.launch is not None  # one pool of workers, on the first node
    if settings.preset == "local":
        from parsl.providers import LocalProvider

        return LocalProvider(launcher=SingleNodeLauncher(debug=False), **common)
    common |= {"walltime": settings.walltime, "account": settings.account}
    if settings.preset == "slurm":
        from parsl.providers import SlurmProvider

        return SlurmProvider(
            partition=settings.queue,
            launcher=SimpleLauncher() if alone else SrunLauncher(),
            scheduler_options=settings.options,
            gpus_per_node=settings.accelerators or None,
            cores_per_node=None if alone else settings.cores,
            exclusive=True,
            **common,
        )
    from parsl.launchers import MpiExecLauncher
    from parsl.providers import PBSProProvider

    return PBSProProvider(
        queue=settings.queue,
        launcher=SimpleLauncher() if alone else MpiExecLauncher(),
        scheduler_options=settings.options,
        select_options=f"ngpus={settings.accelerators}" if settings.accelerators else "",
        cpus_per_node=settings.cores or settings.workers * settings.threads,
        **common,
    )


def _worker_init(settings: ParslSettings) -> str:
    """Shell lines that make a node like this machine: the same folder, the same Python, its threads."""
    folder, path = shlex.quote(str(Path.cwd())), shlex.quote(str(Path(sys.executable).parent))
    lines = [settings.init.strip(), f"cd {folder}", f'export PATH={path}:"$PATH"']
    if "PYTHONPATH" in os.environ:
        lines.append(f"export PYTHONPATH={shlex.quote(os.environ['PYTHONPATH'])}")
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    lines.append("export " + " ".join(f"{name}={settings.threads}" for name in names))
    lines.append("export OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1")
    if settings.launch is not None:
        lines.append(f"export {LAUNCH}={shlex.quote(settings.launch)}")
        lines.append("unset SLURM_NTASKS_PER_NODE")  # of the job script: srun would take it for its own
    return "\n".join(line for line in lines if line)
