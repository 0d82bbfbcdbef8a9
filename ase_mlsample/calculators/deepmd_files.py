"""Files of deepmd-kit's models as nested dictionaries of plain values and arrays."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ase_mlsample._files import write_atomic
from ase_mlsample._yaml import yaml_mapping

__all__ = ["NATIVE_SUFFIXES", "read_deepmd_file", "require_deepmd", "write_deepmd_file"]

#: Formats that are read without deepmd-kit: HDF5 with a JSON description, and YAML.
NATIVE_SUFFIXES = (".dp", ".yaml", ".yml")


def require_deepmd(module: str, purpose: str) -> Any:
    """A module of deepmd-kit.

    Raises
    ------
    ImportError
        If deepmd-kit is not installed, saying what it is needed for.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "deepmd":
            raise
        raise ImportError(
            f'{purpose} needs deepmd-kit, which is not installed: pip install "ase-mlsample[deepmd]"'
        ) from error


def read_deepmd_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The serialised content of a model file.

    Parameters
    ----------
    path : path
        ``.dp`` or ``.yaml`` as ``dp convert-backend`` writes them; frozen models (``.pb``, ``.pth``) and
        checkpoints (``.pt``) go through deepmd-kit's own conversion.

    Returns
    -------
    dict
        With the key ``model``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If deepmd-kit is needed and absent.
    ValueError
        If the file is damaged, or deepmd-kit cannot convert it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no model file {path}")
    if path.suffix == ".dp":
        content = _read_hdf5(path)
    elif path.suffix in NATIVE_SUFFIXES:
        content = _mapped(yaml_mapping(path), _array_of_yaml)
    else:
        content = _convert(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(f"{path} is no model file of deepmd-kit 3: it has no section 'model'")
    return content


def _read_hdf5(path: Path) -> Any:
    h5py: Any = import_module("h5py")

    try:
        with h5py.File(path, "r") as file:

            def array(value: Any) -> Any:
                return file[value][()] if isinstance(value, str) else value

            return _mapped(json.loads(file.attrs["json"]), array)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no model file of deepmd-kit, or is damaged: {error}") from error


def _convert(path: Path) -> Any:
    backend = _backend(path, f"reading the model {path}")
    try:
        return backend.serialize_hook(str(path))
    except Exception as error:  # whatever its backends raise
        raise ValueError(
            f"deepmd-kit cannot serialise {path} ({type(error).__name__}: {error}); a compressed model has "
            "lost its networks: give the model as it was frozen, before the compression"
        ) from error


def _backend(path: Path, purpose: str) -> Any:
    backends = require_deepmd("deepmd.backend.backend", purpose)
    try:
        return backends.Backend.detect_backend_by_model(str(path))()
    except ValueError as error:
        raise ValueError(
            f"{path} is no kind of file that deepmd-kit knows; its models end in .dp, .yaml, .pth, .pt or .pb"
        ) from error


def write_deepmd_file(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a serialised model; ``.dp`` needs no deepmd-kit, its backends' files (``.pth``, ``.pb``) do.

    Raises
    ------
    ImportError
        If deepmd-kit is needed and absent.
    ValueError
        If the suffix is of no format that can be written.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".dp":
        write_atomic(path, _hdf5(content))
        return
    backend = _backend(path, f"writing the model {path}")
    # deepmd-kit's deserialisers take their input apart
    backend.deserialize_hook(str(path), _mapped(dict(content), np.copy))


def _hdf5(content: Mapping[str, Any]) -> bytes:
    h5py: Any = import_module("h5py")

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:

        def name(value: Any) -> Any:
            return file.create_dataset(f"variable_{len(file):04d}", data=value).name

        described = _mapped({"software": "ase-mlsample", **content}, name)
        file.attrs["json"] = json.dumps(described, separators=(",", ":"))
    return stream.getvalue()


def _array_of_yaml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return np.asarray(value["value"], dtype=value["dtype"])
    return value


def _mapped(value: Any, function: Callable[[Any], Any], variable: bool = False) -> Any:
    """A copy with a function applied to whatever stands below a key "@variables"."""
    if isinstance(value, Mapping) and not value.get("@is_variable", False):
        return {key: _mapped(item, function, variable or key == "@variables") for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, function, variable) for item in value]
    return function(value) if variable and value is not None else value
