"""A folder for each calculation, gone afterwards, whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ase_mlsample.references.failures import ReferenceFailure, SetupFailure, classify

__all__ = ["Scratch"]

_PREFIX = "mlsample-scratch-"
_LOCK = ".in-use"
_AGE_S = 600.0


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where calculations have their files.

    Attributes
    ----------
    parent : folder of the folders; that of temporary files where None.
    keep_failed : folder that those of failed calculations are moved to; they are removed where None.
    """

    parent: Path | None = None
    keep_failed: Path | None = None

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A new folder for one calculation.

        Parameters
        ----------
        name : of the structure and the code, for people who look at kept folders.

        Raises
        ------
        SetupFailure
            No folder can be made there. A full disk stays the OSError that it is.
        """
        parent = Path(tempfile.gettempdir()) if self.parent is None else self.parent
        folder = _new(parent, name)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield folder
            except Exception as error:
                if self.keep_failed is not None:
                    _say(error, _kept(folder, self.keep_failed))
                raise
        finally:
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)


def _say(error: Exception, line: str) -> None:
    if isinstance(error, ReferenceFailure):
        error.args = (f"{error}\n{line}",)
    else:
        error.add_note(line)


def _kept(folder: Path, target: Path) -> str:
    """Copy a folder and say where; a copy that fails (full disk) does not hide why the calculation did."""
    kept = target / folder.name.removeprefix(_PREFIX)
    try:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns(_LOCK), dirs_exist_ok=True)
    except OSError as error:
        return f"its files could not be kept in {target}: {error}"
    return f"its files are in {kept}"


def _new(parent: Path, name: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}-", dir=parent))
    except OSError as error:
        if classify(error) == "resource":
            raise
        raise SetupFailure(
            f"no folder for calculations can be made in {parent}: {error}; give scratch"
        ) from error


@lru_cache(maxsize=8)
def _sweep(parent: Path) -> None:
    """Remove what processes that were killed have left; once a process and place."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):
            if time.time() - lock.stat().st_mtime > _AGE_S and _abandoned(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)


def _abandoned(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
