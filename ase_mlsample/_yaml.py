"""YAML 1.2: files of settings and single values of a command line, read and written in one way."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["dump_yaml", "yaml_mapping", "yaml_value"]


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


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Text of plain values that reads back the same, in their order, innermost lists on one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()
