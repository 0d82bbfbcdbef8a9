"""The base of settings: frozen, and an unknown key is an error that names the nearest known one."""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Strict"]


class Strict(BaseModel):
    """Frozen, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown setting {key!r}; {hint}")
        return values
