"""Arguments of OPES, brought to one form and checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import per_variable, positive, whole

__all__ = ["kernel_widths", "merging_distance", "opes_bias_factor", "variable_count"]


def variable_count(n_cvs: int | None, *given: ArrayLike | Sequence[Any] | None) -> int:
    """Return the number of variables: as said, or as most of them are given, or 1."""
    if n_cvs is not None:
        return whole(n_cvs, "n_cvs")
    listed = (len(one) if isinstance(one, list | tuple) else np.size(one) for one in given if one is not None)
    return max([1, *listed])


def opes_bias_factor(given: float | None, barrier: float, *, explore: bool) -> float:
    """Return γ, which unless given is the barrier in units of kT."""
    if given is None:
        if barrier <= 1:
            raise ValueError(
                f"barrier is {barrier:.3g} kT, which is overcome without bias; it must be above kT, or "
                "bias_factor be given"
            )
        return barrier
    factor = float(given) if given == math.inf else positive(given, "bias_factor")
    if factor <= 1 or (explore and factor == math.inf):
        raise ValueError(
            f"bias_factor must be above 1{', and finite to explore' if explore else ''}, got {given!r}"
        )
    return factor


def merging_distance(given: float, cutoff: float) -> float:
    """Return the distance in widths below which kernels are merged."""
    if isinstance(given, bool) or not 0 <= given < cutoff:
        raise ValueError(
            f"compression must be from 0 to below the {cutoff:.3g} widths where kernels end, got {given!r}"
        )
    return float(given)


def kernel_widths(given: ArrayLike, name: str, n_cvs: int) -> NDArray[np.float64]:
    """Return a positive width for each variable, (d,)."""
    widths = per_variable(given, name, n_cvs=n_cvs)
    if (widths <= 0).any():
        raise ValueError(f"{name} must be positive, got {widths.tolist()}")
    return widths
