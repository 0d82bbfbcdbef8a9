"""Checks of what walkers are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.base import Bias
from ase_mlsample.calculators.model_potentials import ModelPotential

__all__ = [
    "Variables",
    "checked_masses",
    "checked_variables",
    "require_periods",
    "require_types",
    "starting_points",
]

FloatArray = NDArray[np.float64]
Variables = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def require_types(potential: Any, bias: Any, rng: Any) -> None:
    """Raise TypeError unless these are a model potential, a bias or None, and a Generator."""
    for name, value, kind in (("potential", potential, ModelPotential), ("rng", rng, np.random.Generator)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    if bias is not None and not isinstance(bias, Bias):
        raise TypeError(f"bias must be a Bias, got {type(bias).__name__}")


def checked_masses(mass: ArrayLike, n: int) -> FloatArray:
    """Return one mass for each variable, (n,); ValueError for one that is not positive."""
    masses = np.asarray(mass, dtype=float)
    if masses.shape not in ((), (n,)) or not (np.isfinite(masses) & (masses > 0)).all():
        raise ValueError(f"mass must be a positive number, or one for each of {n} variables, got {mass!r}")
    return np.array(np.broadcast_to(masses, (n,)))


def starting_points(start: ArrayLike, n: int, n_walkers: int) -> FloatArray:
    """Return where each walker starts, (W, n); ValueError for another shape or numbers not finite."""
    points = np.asarray(start, dtype=float)
    if points.shape not in ((n,), (n_walkers, n)) or not np.isfinite(points).all():
        raise ValueError(f"start must be finite, ({n},) or ({n_walkers}, {n}), got shape {points.shape}")
    return np.broadcast_to(points, (n_walkers, n))


def checked_variables(variables: Any, n: int) -> tuple[Variables | None, list[int]]:
    """Return a function of positions, or which coordinates; ValueError for coordinates not there."""
    if callable(variables):
        return variables, []
    indices = list(range(n)) if variables is None else [int(index) for index in variables]
    if not indices or not all(0 <= index < n for index in indices) or len(set(indices)) < len(indices):
        raise ValueError(f"variables must be different numbers from 0 to {n - 1}, got {variables!r}")
    return None, indices


def require_periods(bias: Bias | None, potential: ModelPotential, indices: Sequence[int]) -> None:
    """Raise ValueError unless a bias of coordinates takes them to have the periods that they have."""
    if bias is None or bias.domains is None or len(indices) != bias.n_cvs:
        return
    periods = tuple(potential.domains[index] for index in indices)
    if tuple(bias.domains) != periods:
        raise ValueError(
            f"the bias takes variables {list(indices)} to have the periods {bias.domains}, but those of "
            f"{type(potential).__name__} are {periods}; give the bias domains={periods}"
        )
