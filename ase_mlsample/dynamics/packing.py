"""Nested plain values and arrays as JSON with the arrays beside it, so that all comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]

Arrays = dict[str, NDArray[Any]]

# a mapping with this key stands for something that JSON has no form for
_MARK = "~"


def pack(value: Any, *, name: str = "value") -> tuple[Any, Arrays]:
    """Split nested values into what JSON keeps exactly and the arrays in it.

    Parameters
    ----------
    value : nested dict, list and tuple of None, bool, int, float, str, numpy scalars and arrays
    name : str
        What it is called in messages.

    Returns
    -------
    plain
        For ``json.dumps``.
    arrays : dict of ndarray
        Referred to by name in ``plain``.

    Raises
    ------
    TypeError
        For anything else, naming where it is.
    """
    arrays: Arrays = {}
    return _packed(value, name, arrays), arrays


def unpack(plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Inverse of :func:`pack`: tuples are tuples again, numpy scalars of their type.

    Raises
    ------
    KeyError, ValueError
        For what :func:`pack` did not make.
    """
    if isinstance(plain, list):
        return [unpack(item, arrays) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if _MARK not in plain:
        return {key: unpack(item, arrays) for key, item in plain.items()}
    return _unmarked(plain[_MARK], plain["of"], arrays)


def _unmarked(kind: str, content: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if kind == "array":
        return np.array(arrays[content])
    if kind == "scalar":
        return np.array(arrays[content])[()]
    if kind == "tuple":
        return tuple(unpack(item, arrays) for item in content)
    if kind == "dict":
        return {unpack(key, arrays): unpack(item, arrays) for key, item in content}
    raise ValueError(f"there is no {kind!r} among packed values; the file was written by another version")


def _packed(value: Any, where: str, arrays: Arrays) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise TypeError(f"{where} is an array of Python objects, which no file keeps; make it numeric")
        arrays[f"a{len(arrays)}"] = np.array(value)
        kind = "scalar" if isinstance(value, np.generic) else "array"
        return {_MARK: kind, "of": f"a{len(arrays) - 1}"}
    if isinstance(value, list):
        return [_packed(item, f"{where}[{index}]", arrays) for index, item in enumerate(value)]
    if isinstance(value, tuple):
        items = [_packed(item, f"{where}[{index}]", arrays) for index, item in enumerate(value)]
        return {_MARK: "tuple", "of": items}
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value) and _MARK not in value:
            return {key: _packed(item, f"{where}[{key!r}]", arrays) for key, item in value.items()}
        pairs = [
            [_packed(key, f"a key of {where}", arrays), _packed(item, f"{where}[{key!r}]", arrays)]
            for key, item in value.items()
        ]
        return {_MARK: "dict", "of": pairs}
    raise TypeError(
        f"{where} is a {type(value).__name__} ({value!r:.60}); only numbers, text, arrays, and lists, tuples "
        "and dictionaries of these can be kept in a checkpoint"
    )
