"""What differs between the settings of a run and those that its files hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["differences"]


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say in which settings a state differs from what is to take it up; empty where they agree.

    Tuples, lists and arrays of the same numbers are the same: they come back from files as one or the other.

    Parameters
    ----------
    mine : mapping
        Settings here.
    theirs : mapping
        Those of the state.
    """
    here, there = _listed(mine), _listed(theirs)
    return ", ".join(
        f"{key} {_shown(there, key)} (here {_shown(here, key)})"
        for key in sorted(here.keys() | there.keys())
        if key not in here or key not in there or here[key] != there[key]
    )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return f"{settings[key]!r:.80}" if key in settings else "missing"


def _listed(value: Any) -> Any:
    """Nested plain values with lists for tuples and arrays."""
    if isinstance(value, Mapping):
        return {str(key): _listed(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
