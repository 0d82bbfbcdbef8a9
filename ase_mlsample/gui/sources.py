"""Where the frames of a live view come from: the live folder of a run, or a file that grows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import ase.io
from ase import Atoms

from ase_mlsample.active.live import LAST, is_abandoned
from ase_mlsample.gui.run_state import RunState

__all__ = ["FileSource", "FrameSource", "News", "RunSource", "Sighting"]

Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A frame that was not there before.

    Attributes
    ----------
    name : str
        Of its trajectory.
    atoms : Atoms
    time : float
        When it was written, in seconds since the epoch.
    ended : bool
        Whether the trajectory is over with it.
    """

    name: str
    atoms: Atoms
    time: float
    ended: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """What one look found.

    Attributes
    ----------
    sightings : list of Sighting
        New frames, the oldest first.
    running : tuple of str
        Trajectories under way.
    extra : list of Atoms
        New frames of no trajectory: structures chosen for labelling.
    state : str
        One line for people.
    """

    sightings: list[Sighting]
    running: tuple[str, ...]
    extra: list[Atoms]
    state: str


class FrameSource(Protocol):
    """Anything that can be looked at again and again.

    Attributes
    ----------
    title : str
        Of the window.
    is_single : bool
        Whether there is but one trajectory, so that no choice is needed.
    """

    title: str
    is_single: bool

    def poll(self) -> News:
        """Look once; must not wait for anything, nor raise because a file changes meanwhile."""
        ...


class RunSource:
    """The folder of a run: ``live/*.extxyz`` and new files in ``candidates/``.

    Parameters
    ----------
    run : folder of the run; it may not be there yet.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.title, self.is_single = f"live: {run}", False
        self.state = RunState(run)
        self._seen: dict[Path, Signature] = {}
        self._newest: dict[Path, Atoms] = {}
        self._candidates: Path | None = None

    def poll(self) -> News:
        """Look at all files once."""
        sightings = [*self._fresh(self.run / "live" / LAST, ended=True), *self._fresh(self.run / "live")]
        sightings.sort(key=lambda sighting: sighting.time)
        extra = self._chosen()
        running = tuple(_trajectory(path, atoms) for path, atoms in self._under_way())
        state = self.state.look(moved=bool(sightings))
        if running:
            state += f", {len(running)} {'trajectory' if len(running) == 1 else 'trajectories'} under way"
        return News(sightings, running, extra, state)

    def _fresh(self, folder: Path, *, ended: bool = False) -> Iterator[Sighting]:
        """Frames of a folder that were replaced since the last look."""
        paths = [path for path in _entries(folder) if path.suffix == ".extxyz" and path.name[0] != "."]
        for gone in {path for path in self._seen if path.parent == folder} - set(paths):
            del self._seen[gone]
            self._newest.pop(gone, None)
        for path in paths:
            signature = _signature(path)
            if signature is None or self._seen.get(path) == signature:
                continue
            frames = _read(path)
            if not frames:
                continue  # it vanished or is not whole: the next look tells
            self._seen[path] = signature
            atoms = frames[-1]
            self._newest[path] = atoms
            if not is_abandoned(atoms):
                written = float(atoms.info.get("live_time", 0.0))
                yield Sighting(_trajectory(path, atoms), atoms, written, ended)

    def _under_way(self) -> list[tuple[Path, Atoms]]:
        """Frames whose worker lives; one that was killed leaves its file as it is."""
        live = [(path, atoms) for path, atoms in self._newest.items() if path.parent == self.run / "live"]
        return sorted((item for item in live if not is_abandoned(item[1])), key=lambda item: item[0])

    def _chosen(self) -> list[Atoms]:
        """Structures of a file of candidates that was not there before; of the newest one only."""
        paths = [path for path in _entries(self.run / "candidates") if path.suffix == ".extxyz"]
        newest = max((path for path in paths if path.name[0] != "."), default=None)
        if newest is None or newest == self._candidates:
            return []
        frames = _read(newest)
        if frames is None:
            return []
        self._candidates = newest
        return [atoms for atoms in frames if atoms.info.get("selected")] or frames


class FileSource:
    """A trajectory file that something else appends to, or replaces.

    Of extended XYZ only what was appended is read, and only whole frames; other formats are read again.

    Parameters
    ----------
    path : of the file; it may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title, self.is_single = f"live: {path}", True
        self._incremental = path.suffix in (".extxyz", ".xyz")
        self._inode = 0
        self._start = self._count = 0
        self._signature: Signature | None = None
        self._problem = ""

    def poll(self) -> News:
        """Look at the file once."""
        signature = _signature(self.path)
        if signature is None:
            state = "waiting for the file" if self._signature is None else "the file is gone"
            return News([], (), [], state)
        frames: list[Atoms] = []
        if signature != self._signature:
            if signature[1] != self._inode or signature[0] < self._start:
                self._start, self._count = 0, 0  # another file under the same name, or begun anew
            self._inode = signature[1]
            frames = self._appended() if self._incremental else self._read_on()
            self._signature = signature
            self._count += len(frames)
        time = signature[2] / 1e9
        sightings = [Sighting(self.path.name, atoms, time) for atoms in frames]
        state = f"{self._count} frames in {self.path.name}{self._problem}"
        return News(sightings, (self.path.name,), [], state)

    def _appended(self) -> list[Atoms]:
        """Whole frames after what was read before."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                content = file.read()
        except OSError as error:
            return self._failed(error)
        end = _whole_frames(content)
        if end == 0:
            self._problem = "; what was appended is no whole frame yet" if content.strip() else ""
            return []
        try:
            frames = list(ase.io.read(io.StringIO(content[:end].decode()), index=":", format="extxyz"))
        except Exception as error:
            return self._failed(error)
        self._start += end
        self._problem = ""
        return frames

    def _read_on(self) -> list[Atoms]:
        try:
            frames = list(ase.io.read(self.path, index=":"))
        except Exception as error:  # readers of a file cut in the middle raise whatever they stumble over
            return self._failed(error)
        self._problem = ""
        if len(frames) < self._count:
            self._count = 0
        return frames[self._count :]

    def _failed(self, error: Exception) -> list[Atoms]:
        self._problem = f"; it cannot be read at present: {type(error).__name__}: {error}"
        return []


def _whole_frames(content: bytes) -> int:
    """Length of the whole frames at the start of extended XYZ: number of atoms, header, a line an atom."""
    position = 0
    while True:
        line_end = content.find(b"\n", position)
        try:
            n_lines = int(content[position:line_end]) + 1 if line_end >= 0 else -1
        except ValueError:
            return position
        end = line_end
        for _ in range(n_lines):
            end = content.find(b"\n", end + 1)
            if end < 0:
                return position
        if n_lines < 0:
            return position
        position = end + 1


def _trajectory(path: Path, atoms: Atoms) -> str:
    return str(atoms.info.get("live_name", path.stem))


def _read(path: Path) -> list[Atoms] | None:
    """All frames of a file, or None if it is gone or not whole."""
    try:
        return list(ase.io.read(path, index=":"))
    except Exception:  # readers of a file cut in the middle raise whatever they stumble over
        return None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not there yet, or gone
        return []


def _signature(path: Path) -> Signature | None:
    """Size, identity and time of a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_ino, status.st_mtime_ns
