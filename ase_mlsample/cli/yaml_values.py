"""Values in YAML 1.2: a file of settings, and single ones of a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["yaml_mapping", "yaml_value"]


def yaml_value(text: str, source: str) -> Any:
    """The value of a text.

    Raises
    ------
    ValueError
        For what is no YAML, naming its source.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from None


def yaml_mapping(path: Path) -> dict[str, Any]:
    """The settings of a file.

    Raises
    ------
    FileNotFoundError
        Without the file.
    ValueError
        For what is no YAML, or no mapping.
    """
    try:
        values = yaml_value(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must be a mapping of settings, not {type(values).__name__}")
    return {str(key): value for key, value in values.items()}
