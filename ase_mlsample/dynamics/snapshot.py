"""A trajectory as it stands at a check, in a file that is whole or absent."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample._files import write_atomic

__all__ = ["Snapshot"]

FORMAT = "ase-mlsample trajectory 1"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the rest of a trajectory depends on, besides its calculator and its settings.

    Attributes
    ----------
    trajectory : str
        Identifies the trajectory: start, settings and random stream.
    state : dict
        Counters and the state of the generator, as plain values.
    positions, momenta : ndarray (N, 3)
    cell : ndarray (3, 3)
    frames : list of Atoms
        Frames kept so far, with the last sane one, if any, at the end (``state`` says so).
    """

    trajectory: str
    state: dict[str, Any]
    positions: NDArray[np.float64]
    momenta: NDArray[np.float64]
    cell: NDArray[np.float64]
    frames: list[Atoms] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the snapshot, replacing the one before at once."""
        head = {"format": FORMAT, "trajectory": self.trajectory, "state": self.state}
        content: dict[str, Any] = {"head": np.array(json.dumps(head))}
        content |= {name: getattr(self, name) for name in ("positions", "momenta", "cell")}
        if self.frames:
            content |= _packed(self.frames)
        file = io.BytesIO()
        np.savez(file, **content)
        write_atomic(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read a snapshot.

        Raises
        ------
        ValueError
            For a file that is none.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            head = json.loads(str(content["head"]))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no checkpoint of a trajectory; remove it to start anew") from error
        if head.get("format") != FORMAT:
            raise ValueError(
                f"{path} has the format {head.get('format')!r}, but {FORMAT!r} is read here; "
                "remove it to start anew"
            )
        frames = _unpacked(content) if "frame_infos" in content else []
        arrays = {name: content[name] for name in ("positions", "momenta", "cell")}
        return cls(head["trajectory"], head["state"], frames=frames, **arrays)


def _packed(frames: Sequence[Atoms]) -> dict[str, Any]:
    """Frames of the same atoms as few arrays; extra arrays (N,) may be missing in some."""
    packed: dict[str, Any] = {
        "frame_infos": np.array(json.dumps([frame.info for frame in frames], default=_plain)),
        "frame_numbers": frames[0].numbers,
        "frame_pbc": frames[0].pbc,
        "frame_positions": np.stack([frame.positions for frame in frames]),
        "frame_cells": np.stack([frame.cell.array for frame in frames]),
    }
    has_sigma = ["force_sigma" in frame.arrays for frame in frames]
    if any(has_sigma):
        packed["frame_has_sigma"] = np.array(has_sigma)
        nothing = np.zeros(len(frames[0]))
        packed["frame_sigma"] = np.stack([frame.arrays.get("force_sigma", nothing) for frame in frames])
    return packed


def _unpacked(packed: dict[str, Any]) -> list[Atoms]:
    frames = []
    for index, info in enumerate(json.loads(str(packed["frame_infos"]))):
        frame = Atoms(
            packed["frame_numbers"],
            positions=packed["frame_positions"][index],
            cell=packed["frame_cells"][index],
            pbc=packed["frame_pbc"],
            info=info,
        )
        if "frame_sigma" in packed and packed["frame_has_sigma"][index]:
            frame.arrays["force_sigma"] = packed["frame_sigma"][index].copy()
        frames.append(frame)
    return frames


def _plain(value: Any) -> Any:
    """What JSON knows, for numbers of numpy in the information that users attach."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"a frame's information must be strings and numbers, got {type(value).__name__}: {value!r:.60}"
    )
