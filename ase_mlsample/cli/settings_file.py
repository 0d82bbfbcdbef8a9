"""A YAML file into validated settings, with one clear line for whatever is wrong in it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["read_settings"]

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(
    path: Path, model: type[Settings], replacements: Mapping[str, Any] | None = None
) -> Settings:
    """Read a YAML 1.2 file and validate it.

    Parameters
    ----------
    path
        The file.
    model
        The settings that it describes.
    replacements
        Values by dotted key that take the place of the file's; keys of absent sections are left out.

    Returns
    -------
    Settings
        An instance of `model`.

    Raises
    ------
    ValueError
        For text that is no YAML mapping, an unknown key (the nearest known one is named) or a bad value.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text())
    except (YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must be a mapping of settings, not {type(values).__name__}")
    for key, value in (replacements or {}).items():
        *sections, last = key.split(".")
        section: Any = values
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[last] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: " + "; ".join(_problem(item, model) for item in error.errors())) from error


def _problem(item: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _fields(model, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        return f"unknown key {key!r}; {hint}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _fields(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for name in location:
        field = model.model_fields.get(name)
        kinds = [field.annotation, *get_args(field.annotation)] if field is not None else []
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)
