"""Where work runs, as a configuration says it: processes, blocks of a batch system through Parsl, or Dask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

__all__ = [
    "KINDS",
    "DaskSettings",
    "ExecutorSettings",
    "ParslSettings",
    "ProcessSettings",
    "WorkerSettings",
    "common_executors",
]

# the three kinds of work, each of which may have workers of its own
KINDS = ("explore", "label", "train")

_Kind = Literal["explore", "label", "train"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProcessSettings(_Settings):
    """Worker processes on this machine.

    Attributes
    ----------
    workers : number of processes; 1 runs the work of a synchronous run in the process of the run itself.
    threads : of each.
    """

    type: Literal["processes"] = "processes"
    workers: PositiveInt = 1
    threads: PositiveInt = 1


class ParslSettings(_Settings):
    """Workers in blocks (jobs) that Parsl asks a batch system for; needs the extra ``parsl``.

    Attributes
    ----------
    preset : "slurm", "pbs" (PBS Pro), or "local", whose blocks are processes of this machine: a rehearsal.
    blocks : jobs at a time, at most; they are asked for as there is work.
    nodes : of each block.
    workers : on each node; with ``launch`` in each block.
    threads : of each worker.
    accelerators : GPUs of each node, one a worker.
    launch : by which the reference's program is started, such as ``srun -n 128 --exact``; it is put before
        the ``command`` of the reference. The workers of such a block sit on its first node alone.
    walltime : of a block, ``HH:MM:SS``. No work begins that could outlast it.
    queue : partition of Slurm, queue of PBS.
    account : that pays.
    cores : of a node, asked for; None leaves it to the batch system.
    options : lines for the head of the job script (``#SBATCH --constraint=icelake``).
    init : lines of shell before the workers start (``module load quantum-espresso``).
    address : of this machine as the nodes see it; None tries all that it has.
    heartbeat_s : a block that is silent for this long is given up, and its work done elsewhere.
    """

    type: Literal["parsl"]
    preset: Literal["local", "slurm", "pbs"]
    blocks: PositiveInt = 1
    nodes: PositiveInt = 1
    workers: PositiveInt = 1
    threads: PositiveInt = 1
    accelerators: NonNegativeInt = 0
    launch: str | None = None
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None
    cores: PositiveInt | None = None
    options: str = ""
    init: str = ""
    address: str | None = None
    heartbeat_s: PositiveInt = 60

    @field_validator("walltime")
    @classmethod
    def _hours_minutes_seconds(cls, walltime: str) -> str:
        if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", walltime):
            raise ValueError(f"{walltime!r} is no wall time; write it as HH:MM:SS, in quotes")
        return walltime

    @property
    def walltime_s(self) -> int:
        """Wall time of a block in seconds."""
        hours, minutes, seconds = (int(part) for part in self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds

    @property
    def capacity(self) -> int:
        """Calls that can run at a time when all blocks are there."""
        return self.blocks * self.workers * (1 if self.launch is not None else self.nodes)


class DaskSettings(_Settings):
    """Workers of a Dask cluster that runs already; needs the package ``distributed``.

    Attributes
    ----------
    address : of its scheduler, such as ``tcp://10.0.0.1:8786``.
    scheduler_file : written by ``dask scheduler --scheduler-file``, in place of the address.
    """

    type: Literal["dask"]
    address: str | None = None
    scheduler_file: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> DaskSettings:
        if (self.address is None) == (self.scheduler_file is None):
            raise ValueError("give the address of the Dask scheduler or a scheduler_file, one of the two")
        return self


WorkerSettings = ProcessSettings | ParslSettings | DaskSettings


def _form(value: Any) -> str:
    if isinstance(value, str):
        return "as"
    kind = value.get("type", "processes") if isinstance(value, Mapping) else getattr(value, "type", None)
    return str(kind)


_Workers = Annotated[
    Annotated[_Kind, Tag("as")]
    | Annotated[ProcessSettings, Tag("processes")]
    | Annotated[ParslSettings, Tag("parsl")]
    | Annotated[DaskSettings, Tag("dask")],
    Discriminator(_form),
]


class ExecutorSettings(_Settings):
    """Where work runs: processes of this machine, unless a kind of work has workers of its own.

    ``type: parsl`` or ``type: dask`` with its keys, given here, is short for the same workers for all.

    Attributes
    ----------
    workers : processes for labels and trajectories; 1 runs everything in this process.
    threads : of each worker.
    train_threads : of the training process; workers × threads where None.
    explore, label, train : workers of a kind of work in place of these: a mapping with ``type`` (processes,
        parsl or dask), or the name of another kind to share its workers.
    scratch : folder on the workers' machine in which each label gets a folder of its own, which it runs in
        and which is removed afterwards; ``$VARIABLES`` are those of the worker.
    keep : patterns of files copied from there into ``files/`` of the run when a label fails (``*.pwo``).
    keep_always : copy them when it does not fail, too.
    """

    workers: PositiveInt = 1
    threads: PositiveInt = 1
    train_threads: PositiveInt | None = None
    explore: _Workers | None = None
    label: _Workers | None = None
    train: _Workers | None = None
    scratch: str | None = Field(default=None, min_length=1)
    keep: tuple[str, ...] = ()
    keep_always: bool = False

    @model_validator(mode="before")
    @classmethod
    def _same_for_all(cls, values: Any) -> Any:
        return common_executors(values)

    @model_validator(mode="after")
    def _can_work(self) -> ExecutorSettings:
        for kind in KINDS:
            self.found(kind)
        if self.keep and self.scratch is None:
            raise ValueError("keep names files of scratch folders; give scratch, or leave keep out")
        if self.scratch is not None and isinstance(self.found("label"), DaskSettings):
            raise ValueError("Dask runs work in threads, which cannot each have a folder; leave out scratch")
        return self

    def source(self, kind: str) -> str:
        """The kind of work whose workers do this kind: itself, unless it shares.

        Raises
        ------
        ValueError
            Kinds share with each other in a circle.
        """
        seen = [kind]
        while isinstance(other := getattr(self, seen[-1]), str):
            if other in seen:
                raise ValueError(f"{' → '.join([*seen, other])}: one of them must have workers of its own")
            seen.append(other)
        return seen[-1]

    def found(self, kind: str) -> WorkerSettings | None:
        """Workers of a kind of work, or None for the processes that are not said to belong to one."""
        settings: WorkerSettings | None = getattr(self, self.source(kind))
        return settings


def common_executors(values: Any) -> Any:
    """Plain values of the section with ``type: parsl`` or ``dask`` written out for each kind of work."""
    if not isinstance(values, Mapping) or "type" not in values:
        return values
    shared = {"explore", "label", "train", "scratch", "keep", "keep_always", "train_threads"}
    own = {key: value for key, value in values.items() if key in shared}
    workers = {key: value for key, value in values.items() if key not in shared}
    if workers["type"] == "processes":
        del workers["type"]
        return {**own, **workers}
    return {"explore": workers, "label": workers, "train": "explore", **own}
