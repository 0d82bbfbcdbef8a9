"""Checkpoints on disk: nested plain values and arrays in one file that is whole or absent, without pickle."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ase_mlsample._files import write_atomic
from ase_mlsample.dynamics.packing import pack, unpack

__all__ = ["read_packed", "write_packed"]

# what zip archives, arrays and text raise when their bytes are wrong
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, EOFError, OSError,
    RuntimeError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def write_packed(path: Path, state: Mapping[str, Any], *, version: str) -> None:
    """Write a state; whatever happens, the file holds the one before or all of the new one.

    Parameters
    ----------
    path : Path
    state : dict of nested plain values and arrays
    version : str
        What the file says that it is.

    Raises
    ------
    TypeError
        For values that are neither plain nor arrays, naming where they are.
    FileNotFoundError
        When there is no such folder.
    """
    plain, arrays = pack(state, name="the state")
    head = json.dumps({"format": version, "state": plain}).encode()
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, head=np.frombuffer(head, dtype=np.uint8), **arrays)
    write_atomic(path, file.getvalue())


def read_packed(path: Path, *, version: str, what: str) -> dict[str, Any]:
    """Return what :func:`write_packed` wrote.

    Parameters
    ----------
    path : Path
    version : str
        What the file has to say that it is.
    what : str
        Whose checkpoint it is, for messages.

    Raises
    ------
    FileNotFoundError
        When there is none.
    ValueError
        For a file that is damaged, or none, or of another version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}; start anew, or give its path")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays.pop("head").tobytes())
        found = head["format"]
    except _DAMAGE as error:
        raise ValueError(f"{path} is no checkpoint of {what}, or is damaged ({error})") from error
    if found != version:
        raise ValueError(
            f"{path} has the format {found!r}, but {version!r} is read here; continue it with the version of "
            "the package that wrote it"
        )
    try:
        state: dict[str, Any] = unpack(head["state"], arrays)
    except _DAMAGE as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error
    return state
