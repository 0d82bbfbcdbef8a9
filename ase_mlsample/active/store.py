"""Results on disk, one file a key: a worker's answer is safe before the driver hears of it.

A result is written to a temporary file, flushed to the disk and renamed, so that a file under its final
name is always whole. A lock file per key (``flock``, which the kernel releases when its holder dies) keeps
two workers from computing the same key at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.io import jsonio

from ase_mlsample._files import write_atomic

__all__ = ["ResultStore", "write_frames"]


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ, whole or not at all; the folder is made when missing."""
    text = io.StringIO()
    ase.io.write(text, list(frames), format="extxyz")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue().encode())


class ResultStore:
    """The folder ``results/``: JSON files named by their key, and the locks of keys in progress.

    Parameters
    ----------
    directory : path of the folder; it is made when missing.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.locks = self.directory / "locks"
        self.locks.mkdir(parents=True, exist_ok=True)

    def __contains__(self, key: str) -> bool:
        return self.path(key).exists()

    def path(self, key: str) -> Path:
        """File of a key."""
        return self.directory / f"{key}.json"

    def keys(self) -> set[str]:
        """Keys with a result."""
        return {
            entry.name[:-5]
            for entry in os.scandir(self.directory)
            if entry.name.endswith(".json") and not entry.name.startswith(".")
        }

    def write(self, key: str, result: dict[str, Any]) -> None:
        """Store the result of a key; floats and arrays survive exactly."""
        write_atomic(self.path(key), jsonio.encode(result).encode())

    def read(self, key: str) -> dict[str, Any]:
        """Result of a key.

        Raises
        ------
        KeyError
            There is none.
        ValueError
            The file is damaged (only possible if something else than this package wrote to it).
        """
        try:
            text = self.path(key).read_text()
        except FileNotFoundError:
            raise KeyError(f"no result with key {key!r} in {self.directory}") from None
        try:
            result = jsonio.decode(text)
        except Exception as error:
            raise ValueError(
                f"{self.path(key)} is damaged ({error}); remove the file to have it computed again"
            ) from error
        if not isinstance(result, dict):
            raise ValueError(f"{self.path(key)} does not hold a result; remove the file")
        return result

    def remove(self, key: str) -> None:
        """Forget the result of a key, so that it is computed again."""
        self.path(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a key against every other process; waits for the present holder, if there is one."""
        with (self.locks / key).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file releases the lock
