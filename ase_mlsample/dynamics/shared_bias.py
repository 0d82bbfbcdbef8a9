"""How a biased run keeps, and takes up again, that it shares its bias with other walkers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_mlsample.biases.base import Bias

if TYPE_CHECKING:
    from ase_mlsample.biases.shared_samples import SharedSamples

__all__ = ["only_of_first", "own_term", "packed_walkers", "with_walkers"]


def packed_walkers(walkers: SharedSamples | None) -> tuple[Any, str | None]:
    """Return what a run's details keep of its walkers: plain values, and the directory (TypeError)."""
    if walkers is None:
        return None, None
    from ase_mlsample.biases.shared_samples import SharedSamples

    if not isinstance(walkers, SharedSamples):
        raise TypeError(
            "walkers must be SharedSamples(directory, walker=0, walkers=2) or the like, got "
            f"{type(walkers).__name__}"
        )
    return walkers.settings(), os.fspath(walkers.directory)


def with_walkers(bias: Bias, details: Mapping[str, Any]) -> Bias:
    """Return the bias, shared where the details of the run say so."""
    if details["walkers"] is None:
        return bias
    from ase_mlsample.biases.shared_samples import SharedBias, SharedSamples

    return SharedBias(bias, SharedSamples(details["files"]["walkers"], **details["walkers"]))


def only_of_first(path: str | Path | None, walkers: SharedSamples | None) -> str | Path | None:
    """Return a path for the first walker: all have the same bias, so one of them writes it down."""
    return path if walkers is None or walkers.walker == 0 else None


def own_term(bias: Bias) -> Any:
    """Return the bias that belongs to the run, without what was added to it."""
    from ase_mlsample.biases.shared_samples import SharedBias

    first = bias.terms()[0]
    return first.bias if isinstance(first, SharedBias) else first
