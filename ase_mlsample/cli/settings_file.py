"""A YAML file into validated settings, with one clear line for whatever is wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ase_mlsample._yaml import yaml_mapping
from ase_mlsample.active.config_file import explain

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
    values = yaml_mapping(path)
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
        raise ValueError(f"{path}: " + "; ".join(explain(item, model) for item in error.errors())) from error
