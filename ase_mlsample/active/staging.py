"""A folder of its own for a call on a worker's machine: made, worked in, emptied into the run's, removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Staging", "in_scratch"]


@dataclass(frozen=True)
class Staging:
    """Where calls work, and what is kept of their files.

    Attributes
    ----------
    scratch : folder on the worker's machine; ``$VARIABLES`` are the worker's.
    files : folder that kept files go to, one folder a call.
    keep : patterns of their names.
    always : keep them of calls that succeed, too.
    """

    scratch: str
    files: str
    keep: tuple[str, ...] = ()
    always: bool = False


@contextmanager
def in_scratch(staging: Staging, name: str, *, failed: Callable[[], bool]) -> Iterator[Path]:
    """Work in a new folder, which is also that of temporary files, and remove it afterwards.

    Parameters
    ----------
    staging : where, and what is kept.
    name : of the call; files are kept in a folder of this name.
    failed : asked at the end whether the call failed.

    Raises
    ------
    RuntimeError
        Not in the main thread: the working folder belongs to the whole process.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "scratch folders need workers that run one call at a time in their main thread "
            "(processes, Parsl); leave out executors.scratch"
        )
    scratch = Path(os.path.expandvars(staging.scratch)).expanduser().absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    _sweep(scratch)
    before, temporary = Path.cwd(), tempfile.tempdir
    prefix = f"mlsample-{socket.gethostname()}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=scratch))
    if str(before) not in sys.path:
        sys.path.append(str(before))  # modules beside the run are still found
    try:
        os.chdir(folder)
        tempfile.tempdir = str(folder)
        yield folder
        if staging.keep and (staging.always or failed()):
            _copy(folder, Path(staging.files) / name, staging.keep)
    finally:
        os.chdir(before)
        tempfile.tempdir = temporary
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    found = sorted({path for pattern in patterns for path in source.rglob(pattern) if path.is_file()})
    with contextlib.suppress(OSError):  # they are for the eye: a full disk must not cost the result
        for path in found:
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def _sweep(scratch: Path) -> None:
    """Remove what workers of this machine that were killed have left behind."""
    for path in scratch.glob(f"mlsample-{socket.gethostname()}-*"):
        pid = path.name.removeprefix(f"mlsample-{socket.gethostname()}-").partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (PermissionError, ValueError):
            continue
