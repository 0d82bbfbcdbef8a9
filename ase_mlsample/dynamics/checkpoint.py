"""A biased run as it stands after a step, in one file that is whole or absent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.dynamics.integrator_state import capture, restore
from ase_mlsample.dynamics.packed_file import read_packed, write_packed

__all__ = [
    "Checkpoint",
    "FileMark",
    "read_checkpoint",
    "require_files",
    "truncate_files",
    "write_checkpoint",
]

_VERSION = "ase-mlsample run 1"
_TAIL = 4096  # bytes by which a file is known again

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FileMark:
    """How far a file of a run had been written.

    Attributes
    ----------
    path : str
        Relative to the folder of the checkpoint.
    size : int
        In bytes.
    tail : str
        Digest of its last bytes, by which it is known again.
    """

    path: str
    size: int
    tail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """All that the rest of a run depends on, besides calculator and collective variable.

    Attributes
    ----------
    numbers, masses, pbc : ndarray (N,), (N,), (3,)
        To be compared with the atoms that go on.
    positions, momenta, cell : ndarray (N, 3), (N, 3), (3, 3)
    constraints : list
        Classes and arguments, to be compared.
    step : int
    integrator : dict
        Of :func:`capture`.
    bias : dict
        Of the bias's ``state_dict()``.
    files : dict of FileMark
    extra : dict
        Whatever else the run wants to keep.
    path : Path or None
        Where it was read from.
    """

    numbers: NDArray[np.int64]
    masses: FloatArray
    pbc: NDArray[np.bool_]
    positions: FloatArray
    momenta: FloatArray
    cell: FloatArray
    constraints: list[Any]
    step: int
    integrator: dict[str, Any]
    bias: dict[str, Any]
    files: dict[str, FileMark] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def take(
        cls,
        integrator: Any,
        *,
        bias: Mapping[str, Any],
        files: Mapping[str, FileMark],
        extra: Mapping[str, Any],
    ) -> Checkpoint:
        """Take the checkpoint of a run between two steps."""
        atoms = integrator.atoms
        if not isinstance(atoms, Atoms):
            raise TypeError(
                f"a checkpoint needs a dynamics of Atoms, got one of {type(atoms).__name__}; "
                "drive the Atoms themselves"
            )
        return cls(
            numbers=atoms.numbers.astype(np.int64),
            masses=atoms.get_masses(),
            pbc=np.array(atoms.pbc),
            positions=atoms.arrays["positions"].copy(),
            momenta=atoms.get_momenta(),
            cell=np.array(atoms.cell.array),
            constraints=_constraints(atoms),
            step=int(integrator.nsteps),
            integrator=capture(integrator),
            bias=dict(bias),
            files=dict(files),
            extra=dict(extra),
        )

    def save(self, path: str | Path) -> None:
        """Write the file, replacing the one before at once.

        Raises
        ------
        TypeError
            For states that are not plain values and arrays.
        FileNotFoundError
            When there is no such folder.
        """
        path = _in_folder(path)
        names = (item.name for item in fields(self) if item.name not in {"files", "path"})
        state = {name: getattr(self, name) for name in names}
        state["files"] = {name: (mark.path, mark.size, mark.tail) for name, mark in self.files.items()}
        write_packed(path, state, version=_VERSION)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a file of :meth:`save`.

        Raises
        ------
        FileNotFoundError
            When there is none.
        ValueError
            For a file that is damaged, or none, or of another version.
        """
        path = Path(path)
        state = read_packed(path, version=_VERSION, what="a run")
        try:
            state["files"] = {name: FileMark(*mark) for name, mark in state["files"].items()}
            return cls(**state, path=path)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}") from error

    def restore(self, integrator: Any) -> None:
        """Give an integrator and its atoms the state of the checkpoint, all of it or, on an error, nothing.

        Parameters
        ----------
        integrator : ASE dynamics
            Of the same class and settings, of the same kind of atoms; where these are does not matter.

        Raises
        ------
        ValueError
            When atoms, constraints or integrator are not those of the run, naming what differs.
        """
        atoms = integrator.atoms
        self._compare(atoms)
        restore(integrator, self.integrator)
        for constraint, (_, _, memory) in zip(atoms.constraints, self.constraints, strict=True):
            for name, value in memory.items():
                setattr(constraint, name, value)
        atoms.arrays["positions"][:] = self.positions
        atoms.set_array("momenta", np.array(self.momenta), float, (3,))
        atoms.cell.array[:] = self.cell

    def _compare(self, atoms: Atoms) -> None:
        if len(atoms) != len(self.numbers):
            raise ValueError(f"the checkpoint has {len(self.numbers)} atoms, but here are {len(atoms)}")
        here = {"numbers": atoms.numbers, "masses": atoms.get_masses(), "pbc": atoms.pbc}
        for name, mine in here.items():
            theirs = getattr(self, name)
            if not np.array_equal(mine, theirs):
                index = int(np.flatnonzero(mine != theirs)[0])
                raise ValueError(
                    f"the checkpoint is of other atoms: {name}[{index}] is {theirs[index]} there and "
                    f"{mine[index]} here"
                )
        mine = [item[:2] for item in _constraints(atoms)]
        theirs = [item[:2] for item in self.constraints]
        if not _equal(mine, theirs):
            raise ValueError(
                f"the checkpoint is of atoms with the constraints {theirs!r:.200}, but here are "
                f"{mine!r:.200}; set those of the run"
            )


def write_checkpoint(
    path: str | Path,
    *,
    integrator: Any,
    bias: Any = None,
    files: Mapping[str, str | Path | None] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the checkpoint of a run between two steps.

    Parameters
    ----------
    path : path
        The one before is replaced at once: whatever happens, one of the two is whole.
    integrator : ASE dynamics
    bias : bias or None
        Its ``state_dict()`` is kept.
    files : dict of paths
        Files that the run appends to, by name, all of it flushed; None and files not there yet count as
        empty. They are brought to the disk before the checkpoint that counts on them.
    extra : dict
        Plain values and arrays that the run wants back.

    Raises
    ------
    ValueError, TypeError
        For an integrator whose state cannot be kept (:func:`capture`), and for extras that are not plain.
    FileNotFoundError
        When there is no such folder.

    Examples
    --------
    A run without bias that ends, and one with new objects that goes on::

        write_checkpoint("run.ckpt", integrator=dynamics, files={"log": "run.log"})

        checkpoint = read_checkpoint("run.ckpt")
        checkpoint.restore(another_dynamics)
        truncate_files(checkpoint)
    """
    path = _in_folder(path)
    marks = {name: _mark(Path(file), path) for name, file in (files or {}).items() if file is not None}
    state = {} if bias is None else bias.state_dict()
    Checkpoint.take(integrator, bias=state, files=marks, extra=extra or {}).save(path)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; :meth:`Checkpoint.load`."""
    return Checkpoint.load(path)


def require_files(
    checkpoint: Checkpoint, files: Mapping[str, str | Path | None] | None = None
) -> list[tuple[Path, FileMark]]:
    """Refuse files that are not those of a run, or shorter than at its checkpoint; nothing is changed.

    Parameters
    ----------
    checkpoint : Checkpoint
    files : dict of paths or None
        Where they are; by default where they were, relative to the checkpoint. A name that is None, or that
        the checkpoint does not know, is left alone.

    Returns
    -------
    list of (path, mark)
        Of the files that belong to the checkpoint.

    Raises
    ------
    ValueError
        When a file is missing, shorter than it was, or another one than that of the run.
    """
    folder = Path() if checkpoint.path is None else checkpoint.path.parent
    places: dict[str, str | Path | None] = {
        name: folder / mark.path for name, mark in checkpoint.files.items()
    }
    if files is not None:
        places = {name: files.get(name) for name in places}
    found = [(Path(place), checkpoint.files[name]) for name, place in places.items() if place is not None]
    for place, mark in found:
        size = place.stat().st_size if place.is_file() else 0
        if size < mark.size:
            here = f"it has {size}" if place.is_file() else "it is not there"
            raise ValueError(
                f"{place} had {mark.size} bytes at the checkpoint, but {here}; "
                "put the file of the run back, or start anew"
            )
        if _tail(place, mark.size) != mark.tail:
            raise ValueError(
                f"{place} is not the file that the run was writing: what it has up to byte {mark.size} "
                "differs; put the file of the run back, or start anew"
            )
    return found


def truncate_files(checkpoint: Checkpoint, files: Mapping[str, str | Path | None] | None = None) -> None:
    """Cut the files of a run to what they were at its checkpoint; all of them, or, on an error, none.

    Parameters
    ----------
    checkpoint, files
        As of :func:`require_files`.

    Raises
    ------
    ValueError
        As :func:`require_files`.
    """
    for place, mark in require_files(checkpoint, files):
        if place.is_file() and place.stat().st_size > mark.size:
            os.truncate(place, mark.size)


def _mark(file: Path, checkpoint: Path) -> FileMark:
    """Mark of a file, which is brought to the disk."""
    where = os.path.relpath(file, checkpoint.parent)
    if not file.is_file():
        return FileMark(where, 0, _tail(file, 0))
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    size = file.stat().st_size
    return FileMark(where, size, _tail(file, size))


def _tail(file: Path, size: int) -> str:
    """Digest of the last bytes of the first ``size`` bytes."""
    if size == 0:
        return ""
    with file.open("rb") as opened:
        opened.seek(max(0, size - _TAIL))
        return hashlib.sha256(opened.read(min(size, _TAIL))).hexdigest()


def _in_folder(path: str | Path) -> Path:
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for the checkpoint {path}; make it first")
    return path


def _constraints(atoms: Atoms) -> list[Any]:
    """Class, arguments and memory of each constraint."""
    described = []
    for constraint in atoms.constraints:
        name = type(constraint).__name__
        try:
            arguments = constraint.todict()["kwargs"]
        except (AttributeError, NotImplementedError, TypeError, KeyError) as error:
            raise ValueError(
                f"the constraint {name} does not say what it was made from (todict), so a checkpoint cannot "
                "compare it; run without it"
            ) from error
        plain = {key: value for key, value in arguments.items() if not isinstance(value, Atoms)}
        # bond lengths are taken from the first structure that is seen
        memory = {key: vars(constraint)[key] for key in ("bondlengths",) if key in vars(constraint)}
        described.append([name, plain, memory])
    return described


def _equal(mine: Any, theirs: Any) -> bool:
    """Whether nested plain values agree, arrays and lists taken as the same."""
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        return mine.keys() == theirs.keys() and all(_equal(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        return len(mine) == len(theirs) and all(map(_equal, mine, theirs))
    return bool(np.array_equal(mine, theirs))
