"""Structures as extended XYZ whose numbers come back to the last bit, written one by one.

ASE's own writer keeps eight decimals: a structure that is read again would be another one by its hash, and
the same data set would be imported twice.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample._files import replacing

__all__ = ["frame_text", "write_exact", "write_frames"]

# handed to the file system at a time
_BUFFER = 1 << 20


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ by ASE, whole or not at all; the folder is made when missing."""
    import ase.io

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        for atoms in frames:
            text = io.StringIO()
            ase.io.write(text, atoms, format="extxyz")
            file.write(text.getvalue().encode())


def write_exact(path: Path, frames: Iterable[Atoms]) -> int:
    """Write structures as extended XYZ with all digits, whole or not at all, in bounded memory.

    Parameters
    ----------
    path : the file; its folder is made when missing.
    frames : structures; see `frame_text` for what is written of them.

    Returns
    -------
    int
        How many there were.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number, waiting, size = 0, [], 0
    with replacing(path) as file:
        for atoms in frames:
            waiting.append(frame_text(atoms).encode())
            size += len(waiting[-1])
            number += 1
            if size > _BUFFER:
                file.write(b"".join(waiting))
                waiting, size = [], 0
        file.write(b"".join(waiting))
    return number


def frame_text(atoms: Atoms) -> str:
    """One frame of extended XYZ: cell, positions, ``info``, per-atom arrays; floats as Python writes them.

    A float is written with as many digits as bring it back exactly. Of ``info`` plain values and numeric
    arrays are written, of ``arrays`` numeric ones; there is no calculator, velocity or constraint.
    """
    from ase.io.extxyz import key_val_dict_to_str

    columns: list[list[str]] = [atoms.get_chemical_symbols()]
    described = ["species:S:1"]
    arrays = {"pos": atoms.positions, **_other_arrays(atoms)}
    for name, values in arrays.items():
        flat = values if values.ndim == 2 else values[:, None]
        described.append(f"{name}:{_letter(flat)}:{flat.shape[1]}")
        columns += [_written(column) for column in flat.T]
    info: dict[str, Any] = {}
    numbers = {}
    for key, value in atoms.info.items():
        if isinstance(value, float | np.floating):
            numbers[key] = repr(float(value))
        elif isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f":
            numbers[key] = f'"{" ".join(repr(float(x)) for x in value)}"'
        elif isinstance(value, str | bool | int | np.integer | np.bool_ | np.ndarray):
            info[key] = value
    lattice = " ".join(repr(float(x)) for x in atoms.cell.array.ravel())
    # ASE reads a frame without pbc as periodic when it has a lattice
    parts = [f'Lattice="{lattice}"'] if atoms.cell.array.any() else []
    parts.append("Properties=" + ":".join(described))
    parts += [f"{_quoted(key)}={value}" for key, value in numbers.items()]
    if info:
        parts.append(key_val_dict_to_str(info))
    parts.append('pbc="' + " ".join("T" if p else "F" for p in atoms.pbc) + '"')
    rows = "\n".join(map(" ".join, zip(*columns, strict=True)))
    return f"{len(atoms)}\n{' '.join(parts)}\n{rows}\n" if len(atoms) else f"0\n{' '.join(parts)}\n"


def _other_arrays(atoms: Atoms) -> dict[str, NDArray[Any]]:
    left_out = ("numbers", "positions", "momenta")
    return {
        name: values
        for name, values in atoms.arrays.items()
        if name not in left_out and values.dtype.kind in "fiub" and values.ndim <= 2
    }


def _letter(values: NDArray[Any]) -> str:
    return {"f": "R", "b": "L"}.get(values.dtype.kind, "I")


def _written(column: NDArray[Any]) -> list[str]:
    if column.dtype.kind == "b":
        return ["T" if value else "F" for value in column]
    return [repr(value) for value in column.tolist()]


def _quoted(key: str) -> str:
    return f'"{key}"' if any(character in key for character in ' ="') else key
