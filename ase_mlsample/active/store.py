"""Results on disk, one file a key: a worker's answer is safe before the driver hears of it.

A result is written to a temporary file, flushed to the disk and renamed, so that a file under its final
name is whole; its last line is a checksum, so that a file which something else damaged is recognised. A lock
file per key (``flock``, which the kernel releases when its holder dies) keeps two workers from computing the
same key at once. Failed attempts at a key that is to be tried again elsewhere lie in ``attempts/``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ase.io import jsonio

from ase_mlsample._files import write_atomic
from ase_mlsample.active.frames import write_frames

__all__ = ["ResultStore", "write_frames"]

_CHECK = "sha256 "
# between two looks at a lock that somebody holds
_LOOK_S = 0.02


class ResultStore:
    """The folder ``results/``: JSON files named by their key, and the locks of keys in progress.

    Parameters
    ----------
    directory : path of the folder; it is made when missing.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.locks = self.directory / "locks"
        self.attempts = self.directory / "attempts"
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
        """Store the result of a key; floats and arrays survive exactly.

        Raises
        ------
        OSError
            It could not be written; there is no result then.
        """
        text = jsonio.encode(result)
        path = self.path(key)
        try:
            write_atomic(path, f"{text}\n{_CHECK}{_digest(text)}\n".encode())
        except OSError as error:
            told = (
                f"{os.strerror(error.errno or 0)}: this result could not be kept, and is computed again by "
                "the next run. What was recorded before is safe; make room, then run again"
            )
            raise OSError(error.errno, told, str(path)) from error
        self.forget_attempts(key)

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
            result = jsonio.decode(_checked(text))
        except Exception as error:
            raise ValueError(
                f"{self.path(key)} is damaged ({error}); remove the file to have it computed again"
            ) from error
        if not isinstance(result, dict):
            raise ValueError(f"{self.path(key)} does not hold a result; remove the file")
        return result

    def take(self, key: str) -> dict[str, Any] | None:
        """Result of a key, or None; a damaged file is put aside as ``<key>.damaged``, and counts as none."""
        try:
            return self.read(key)
        except KeyError:
            return None
        except ValueError:
            self.path(key).replace(self.directory / f"{key}.damaged")
            return None

    def remove(self, key: str) -> None:
        """Forget the result of a key and all attempts at it, so that it is computed again."""
        self.path(key).unlink(missing_ok=True)
        self.forget_attempts(key)

    @contextlib.contextmanager
    def lock(self, key: str, *, patience_s: float | None = None) -> Iterator[bool]:
        """Hold a key against every other process.

        Parameters
        ----------
        key : to hold.
        patience_s : how long to wait for the present holder, if there is one; for ever where None.

        Returns
        -------
        bool
            Whether it is held now, or somebody else goes on holding it.
        """
        with (self.locks / key).open("a+b") as file:
            yield _flocked(file, patience_s)  # closing the file releases the lock

    # -- failed attempts at a key that has no result yet

    def past(self, key: str) -> list[dict[str, Any]]:
        """Failed attempts at a key, oldest first."""
        try:
            found = jsonio.decode((self.attempts / f"{key}.json").read_text())
        except FileNotFoundError:
            return []
        except ValueError:  # damaged: they are made again
            return []
        return list(found)

    def keep_past(self, key: str, attempts: list[dict[str, Any]]) -> None:
        """Keep the failed attempts at a key, for whoever tries next."""
        self.attempts.mkdir(exist_ok=True)
        write_atomic(self.attempts / f"{key}.json", jsonio.encode(attempts).encode())

    def hang_file(self, key: str) -> Path:
        """Where a worker that does not react any more writes what it was at."""
        return self.attempts / f"{key}.hang"

    def forget_attempts(self, key: str) -> None:
        """Drop what is kept of failed attempts at a key."""
        (self.attempts / f"{key}.json").unlink(missing_ok=True)
        self.hang_file(key).unlink(missing_ok=True)


def _flocked(file: IO[bytes], patience_s: float | None) -> bool:
    if patience_s is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return True
    limit = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > limit:
                return False
            time.sleep(_LOOK_S)
        else:
            return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checked(text: str) -> str:
    """The JSON part of a file, after a look at its checksum; files of earlier versions have none."""
    content, _, rest = text.partition("\n")
    if rest.strip() and rest.strip() != f"{_CHECK}{_digest(content)}":
        raise ValueError("its checksum does not fit its content")
    return content
