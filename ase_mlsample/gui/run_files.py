"""The files of a run that are looked at: proposed structures, or the trajectory of molecular dynamics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

__all__ = ["add_trust_window", "candidate_files", "md_trajectory", "read_shown"]


def md_trajectory(folder: Path) -> Path | None:
    """Return the trajectory of a folder of ``mlsample md``, which may not be there yet; None for others."""
    return folder / "trajectory.extxyz" if (folder / "md.yaml").is_file() else None


def candidate_files(run: Path, generation: int | None = None) -> list[Path]:
    """Files with the structures that a run proposed, the oldest first.

    Parameters
    ----------
    run : its folder.
    generation : of this one only.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    files = sorted(run.glob("candidates/*.extxyz"))
    if generation is not None:
        files = [file for file in files if _number(file) == generation]
    if not files:
        which = "" if generation is None else f" of generation {generation}"
        raise FileNotFoundError(f"{run}/candidates has no extxyz file{which}: nothing was proposed there yet")
    return files


def read_shown(path: Path, generation: int | None = None, *, every: bool = False) -> tuple[Path, list[Atoms]]:
    """Read what is looked at of a path.

    Parameters
    ----------
    path : a file; the folder of a run, of which the newest candidates are taken; or that of an md.
    generation : of the run, in place of the newest.
    every : of the run, take all generations.

    Returns
    -------
    path : Path
        Of the file, or of the run's folder with `every`.
    frames : list of Atoms
        With the trust window of their generation in ``info``, ``trust_lo`` and ``trust_hi`` (eV/Å), where the
        run has one for the disagreement itself.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        For a generation of a file, or a file without structures.
    """
    if path.is_file() and generation is not None:
        raise ValueError(f"--generation is of a run's directory, and {path} is a file")
    if path.is_file():
        return path, _read(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is neither a run's directory nor a file")
    trajectory = md_trajectory(path)
    if trajectory is not None and generation is None:
        return trajectory, _read(trajectory)
    files = candidate_files(path, generation)
    files = files if every else files[-1:]
    frames = [atoms for file in files for atoms in _read(file)]
    add_trust_window(frames, path)
    return path if every else files[0], frames


def add_trust_window(frames: Sequence[Atoms], run: Path) -> None:
    """Write the trust window of their generation into the ``info`` of a run's candidates.

    Parameters
    ----------
    frames : with ``info["generation"]``.
    run : folder; without a ``summary.json``, or with a window of the relative measure, nothing is written.
    """
    try:
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # the run has not come that far
        return
    windows: dict[Any, dict[str, float]] = {}
    for generation in summary.get("generations", []):
        selected = generation.get("select", {})
        if selected.get("measure") == "force" and "lo" in selected:
            windows[generation["generation"]] = {"trust_lo": selected["lo"], "trust_hi": selected["hi"]}
    for atoms in frames:
        atoms.info |= windows.get(atoms.info.get("generation"), {})


def _read(path: Path) -> list[Atoms]:
    frames = list(ase.io.read(path, index=":"))
    if not frames:
        raise ValueError(f"{path} holds no structures")
    return frames


def _number(file: Path) -> int:
    digits = "".join(c for c in file.stem if c.isdigit())
    return int(digits) if digits else -1
