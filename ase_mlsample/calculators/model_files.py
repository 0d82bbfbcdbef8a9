"""Model files: safetensors, with a JSON description in the header; loading one runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ase_mlsample import __version__
from ase_mlsample._files import write_atomic

__all__ = ["FORMAT_VERSION", "model_kind", "read_model", "read_model_file", "write_model_file"]

M = TypeVar("M")

FORMAT = "ase-mlsample model"
#: Raised when files of the new kind cannot be read by older packages.
FORMAT_VERSION = 1


def write_model_file(
    path: str | os.PathLike[str],
    tensors: Mapping[str, NDArray[np.floating[Any]]],
    *,
    kind: str,
    description: Mapping[str, Any],
) -> None:
    """Write a model file atomically: at any time the path holds the old file or the whole new one.

    Parameters
    ----------
    path : str or path
        Where to; an existing file is replaced, missing folders are an error.
    tensors : mapping from str to array
        Named arrays; they are stored bit for bit.
    kind : str
        What the file describes, such as "ani".
    description : mapping
        Everything but the arrays, of JSON types.

    Raises
    ------
    TypeError
        If the description holds something that JSON has no type for.
    ValueError
        If it or an array holds NaN or infinity.
    OSError
        If the file cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    for name, tensor in tensors.items():
        if not np.all(np.isfinite(tensor)):
            raise ValueError(
                f"{name} of the model holds NaN or infinity; such a model is not written to {path}"
            )
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "kind": kind,
        "package_version": __version__,
        "units": "eV, Å",
        "description": json.dumps(dict(description), allow_nan=False, ensure_ascii=False),
    }
    data = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata=header)
    write_atomic(path, data)


def read_model_file(
    path: str | os.PathLike[str], *, kind: str
) -> tuple[dict[str, NDArray[np.floating[Any]]], dict[str, Any]]:
    """Read what `write_model_file` wrote.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str
        What it should describe.

    Returns
    -------
    tensors, description
        As they were given to `write_model_file`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated or corrupt, of another origin, of a newer format, of another kind, or holds NaN.
    """
    path = Path(path)
    with _opened(path) as file:
        found, description = _check_header(file.metadata() or {}, path)
        if found != kind:
            raise ValueError(f"{path} holds a model of kind {found!r}, not {kind!r}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    for name, tensor in tensors.items():
        if not np.all(np.isfinite(tensor)):
            raise ValueError(f"{path} is corrupt: {name} holds NaN or infinity")
    return tensors, description


def read_model(
    path: str | os.PathLike[str],
    made: Callable[[dict[str, NDArray[np.floating[Any]]], dict[str, Any]], M],
    *,
    kind: str,
    name: str,
) -> M:
    """The model that a file describes.

    Parameters
    ----------
    path : str or path
        The file.
    made : callable
        Makes the model from tensors and description.
    kind : str
        What the file should describe.
    name : str
        Of such a model, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        As `read_model_file`, and if the parts make no model.
    """
    tensors, description = read_model_file(path, kind=kind)
    try:
        return made(tensors, description)
    except (KeyError, TypeError, ValueError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{os.fspath(path)} is no valid {name}: {what}") from error


def model_kind(path: str | os.PathLike[str]) -> str:
    """Which kind of model a file holds, such as "ani"; only the header is read.

    Parameters
    ----------
    path : str or path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated or corrupt, of another origin, or of a newer format.
    """
    path = Path(path)
    with _opened(path) as file:
        return _check_header(file.metadata() or {}, path)[0]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise FileNotFoundError(f"model file {path} cannot be read: {what}")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a model file, or is truncated or corrupt ({error}); "
            "copy it again from its source or train the model anew"
        ) from error


def _check_header(header: Mapping[str, str], path: Path) -> tuple[str, dict[str, Any]]:
    """The kind of the model and its description."""
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file of another program: its header describes no model of ours"
        )
    try:
        version = int(header["format_version"])
        description = json.loads(header["description"])
        found, package = header["kind"], header["package_version"]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} has a damaged header ({error!r})") from error
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} was written by ase-mlsample {package} in format {version}, newer than format "
            f"{FORMAT_VERSION} which this version reads: upgrade ase-mlsample"
        )
    if not isinstance(description, dict):
        raise ValueError(f"{path} has a damaged header (its description is no mapping)")
    return found, description
