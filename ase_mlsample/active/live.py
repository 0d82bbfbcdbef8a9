"""The frame that a trajectory has reached, in a small file for whoever looks on (``mlsample view --live``).

A worker replaces ``<run>/live/<name>.extxyz`` from time to time and removes it at the end of the trajectory;
``<run>/live/last/<pid>.extxyz`` keeps how the worker's trajectory before ended. The files are for the eye:
they are replaced whole but not flushed to the disk, and nothing reads them back into a run.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

__all__ = ["LAST", "LiveFrames", "clear_live", "is_abandoned"]

# folder of the frames with which trajectories ended, one a worker
LAST = "last"
# a frame of another machine, whose processes cannot be asked for, counts as left behind after this time
_ABANDONED_AFTER_S = 600.0
# at most this share of a worker's time goes into writing, whatever the interval and the number of atoms
_SHARE = 0.02
# words of the format itself, and what its writer expects to be an array
_RESERVED = {"Lattice", "Properties", "pbc", "stress"}


class LiveFrames:
    """Shows the newest frame of one trajectory; use it as a context manager, or call ``close``.

    It must not harm a run: when the folder cannot be written to (disk full, no permission, removed), or a
    frame does not go into extended XYZ, it stops showing frames without a word, since nothing but the live
    view is lost.

    Parameters
    ----------
    folder : for example ``<run>/live``; made when missing.
    name : of the trajectory, which becomes the name of its file.
    interval_s : least time between two frames; the first frame, and one that says why the trajectory ended,
        are always written.
    notes : plain values that are added to the ``info`` of what is shown.

    Raises
    ------
    ValueError
        The name is not that of a file, or the interval is negative.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        interval_s: float = 1.0,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        if not name or name.startswith(".") or Path(name).name != name:
            raise ValueError(f"name {name!r} cannot be that of a file; use letters, digits and dashes")
        if not interval_s >= 0:
            raise ValueError(f"interval_s must be zero or more seconds, got {interval_s!r}")
        self.folder, self.name, self.interval_s = Path(folder), name, interval_s
        self.notes = dict(notes or {})
        self.path = self.folder / f"{name}.extxyz"
        self._temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        self._due = -np.inf
        self._works = True
        self._ended = False

    def __enter__(self) -> LiveFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, atoms: Atoms) -> None:
        """Show a frame, unless the one before is too recent.

        Parameters
        ----------
        atoms : left as it is; shown are the structure, numeric arrays such as ``force_sigma`` (N,), and plain
            values of ``info`` such as ``time_fs``, ``temperature_K`` and ``stop_reason``.
        """
        began = time.monotonic()
        ended = atoms.info.get("stop_reason", "running") != "running"
        if not self._works or (began < self._due and not ended):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._temporary.write_text(_text(atoms, self.name, self.notes))
            self._temporary.replace(self.path)  # whoever reads has the frame before or this one, both whole
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
        ):  # not a task's time limit
            self._give_up()
            return
        self._ended = ended
        now = time.monotonic()
        self._due = began + max(self.interval_s, (now - began) / _SHARE)

    def close(self) -> None:
        """Remove the file; a frame that says why the trajectory ended is kept until the worker's next one."""
        if not self._works:
            return
        try:
            if self._ended:
                (self.folder / LAST).mkdir(exist_ok=True)
                self.path.replace(self.folder / LAST / f"{os.getpid()}.extxyz")
            self.path.unlink(missing_ok=True)
        except OSError:
            self._give_up()
        self._works = False

    def _give_up(self) -> None:
        self._works = False
        for path in (self._temporary, self.path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def clear_live(run: Path) -> None:
    """Remove the live frames that killed workers left in the folder of a run; for when none is at work."""
    shutil.rmtree(run / "live", ignore_errors=True)


def is_abandoned(atoms: Atoms, *, now: float | None = None) -> bool:
    """Whether the worker that published a frame is gone.

    A worker of this machine is gone when its process is; one of another machine when its frame is older than
    ten minutes.

    Parameters
    ----------
    atoms : as read from a live file.
    now : seconds since the epoch; the present by default.
    """
    if atoms.info.get("live_host") == socket.gethostname():
        try:
            os.kill(int(atoms.info["live_pid"]), 0)
        except (ProcessLookupError, OverflowError, KeyError):
            return True
        except PermissionError:  # it is somebody else's, and alive
            return False
        return False
    age = (time.time() if now is None else now) - float(atoms.info.get("live_time", 0.0))
    return age > _ABANDONED_AFTER_S


def _text(atoms: Atoms, name: str, notes: Mapping[str, Any]) -> str:
    """Extended XYZ of what can be shown of a frame."""
    shown = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    shown.info = {
        "live_name": name,
        "live_pid": os.getpid(),
        "live_host": socket.gethostname(),
        "live_time": time.time(),
    }
    for key, value in {**atoms.info, **notes}.items():
        # a line break would end the header, and an empty text would swallow the next word
        plain = " ".join(value.split()) if isinstance(value, str) else value
        if _is_plain(plain) and plain != "" and key not in _RESERVED:
            shown.info[str(key)] = plain
    for key, array in atoms.arrays.items():
        columns = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 3)
        if key not in shown.arrays and columns and array.dtype.kind in "fiu":
            shown.arrays[key] = array.astype(np.int64) if array.dtype.kind == "u" else array
    text = io.StringIO()
    ase.io.write(text, shown, format="extxyz")
    return text.getvalue()


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | np.integer | np.floating | np.bool_)
