"""Who works in the folder of a run: one process at a time, which others can ask about."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

__all__ = ["hold", "is_running"]

_LOCK = "run.lock"


def is_running(directory: Path) -> bool:
    """Whether a process works in the folder of a run."""
    path = directory / _LOCK
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def hold(directory: Path) -> IO[str]:
    """Keep other processes from working in a folder, until the file that comes back is closed.

    Raises
    ------
    RuntimeError
        Another process works in it.
    """
    file = (directory / _LOCK).open("a+")
    if not _locked(file):
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise RuntimeError(
            f"another run (process {holder}) works in {directory}; wait for it or use another directory"
        )
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _locked(file: IO[str]) -> bool:
    """Take the lock, waiting out the instant for which `is_running` holds it."""
    for wait_s in (0.01, 0.1, 0.4, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait_s is not None:
                time.sleep(wait_s)
        else:
            return True
    return False
