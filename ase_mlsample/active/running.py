"""Whether a process works in the folder of a run."""

from __future__ import annotations

import fcntl
from pathlib import Path

__all__ = ["is_running"]


def is_running(directory: Path) -> bool:
    """Whether a process works in the folder of a run."""
    path = directory / "run.lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
