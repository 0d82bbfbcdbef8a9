"""Why a reference calculation gave no label: in the words of the code, classed by what can be done."""

from __future__ import annotations

import errno
from concurrent.futures import BrokenExecutor
from typing import ClassVar, Literal, get_args

__all__ = [
    "KINDS",
    "GeometryFailure",
    "Kind",
    "NotConverged",
    "OutOfResources",
    "ReferenceFailure",
    "SetupFailure",
    "classify",
]

Kind = Literal["geometry", "convergence", "resource", "setup", "unknown"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class ReferenceFailure(RuntimeError):  # noqa: N818 - what happened, not an error of the program
    """A reference code gave no label, for a reason that is not known better.

    The message holds the code's own words, the structure's formula and what can be done. Instances can be
    pickled, so that they reach the driver from worker processes.

    Attributes
    ----------
    kind : "geometry", "convergence", "resource", "setup" or "unknown".
    """

    kind: ClassVar[Kind] = "unknown"


class GeometryFailure(ReferenceFailure):
    """The structure itself cannot be computed: atoms on top of each other, a cell without volume."""

    kind = "geometry"


class NotConverged(ReferenceFailure):
    """The electrons did not reach self-consistency with these settings; gentler ones may do it."""

    kind = "convergence"


class OutOfResources(ReferenceFailure):
    """Memory, disk or time ran out, or the process was killed: another worker may do it."""

    kind = "resource"


class SetupFailure(ReferenceFailure):
    """The code is not installed, a pseudopotential is missing or the input is wrong: no label can succeed."""

    kind = "setup"


def classify(error: BaseException) -> Kind:
    """Kind of the failure behind any exception that a reference calculation ended with.

    Parameters
    ----------
    error : the exception; where it says nothing itself, the one that it was raised from is asked.

    Returns
    -------
    str
        The kind of a `ReferenceFailure`; "resource" for a lack of memory, disk space or time and for workers
        that died; "setup" for modules and programs that are not there; else "unknown".
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        kind = _own_kind(current)
        if kind != "unknown":
            return kind
        seen.add(id(current))
        current = current.__cause__
    return "unknown"


def _own_kind(error: BaseException) -> Kind:
    if isinstance(error, ReferenceFailure):
        return error.kind
    if isinstance(error, MemoryError | TimeoutError | BrokenExecutor) or "Timeout" in type(error).__name__:
        return "resource"
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return "resource"
    if isinstance(error, ImportError | FileNotFoundError | NotADirectoryError | PermissionError):
        return "setup"
    return "unknown"
