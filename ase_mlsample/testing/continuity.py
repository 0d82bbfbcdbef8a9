"""Collective variables have no jumps where neighbours enter and leave."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.testing.errors import require

__all__ = ["check_continuity", "difference"]

_HALVINGS = 30

_Array = NDArray[np.float64]


def check_continuity(
    cv: CollectiveVariable,
    frames: Sequence[Atoms],
    *,
    tolerance: float = 1e-6,
    gradient_tolerance: float | None = None,
) -> None:
    """Walk along structures and look for jumps of the values, and of the gradient if asked.

    Between neighbouring structures positions are interpolated. Where the values change otherwise than the
    gradient says, or the gradient bends by more than allowed, the step is halved, up to thirty times: for
    what is smooth the defect vanishes, a jump stays.

    Parameters
    ----------
    cv : CollectiveVariable
    frames : sequence of Atoms
        A path in small steps, such as one atom that moves through all cutoffs of another; the cell is the
        same in all of them, and atoms are not wrapped.
    tolerance : float
        Largest jump of a value.
    gradient_tolerance : float, 1/Å, optional
        Largest jump of a component of the gradient; not looked at by default.

    Raises
    ------
    ContractError
        Where a jump is, and how large.
    ValueError
        For less than two structures, or different cells.
    """
    path = list(frames)
    if len(path) < 2 or any(not np.array_equal(a.cell.array, path[0].cell.array) for a in path):
        raise ValueError("a path of two structures at least, in one cell, is needed")
    start = _Point(cv, path[0], path[0].positions)
    for number, (_, b) in enumerate(pairwise(path)):
        end = _Point(cv, path[0], b.positions)
        for of, allowed in (("value", tolerance), ("gradient", gradient_tolerance)):
            if allowed is not None:
                jump, share = _jump(start, end, of, allowed)
                require(
                    jump <= allowed,
                    f"{', '.join(cv.names)}: the {of} jumps by {jump:.3g}, more than {allowed:.3g}, between "
                    f"structures {number} and {number + 1} of the path, after {share:.6f} of the step",
                )
        start = end


def difference(cv: CollectiveVariable, a: _Array, b: _Array) -> _Array:
    """Values a − b, the short way round in periodic components.

    Parameters
    ----------
    cv : CollectiveVariable
    a, b : (d,) arrays

    Returns
    -------
    (d,) array
    """
    change = a - b
    for i, domain in enumerate(cv.domains):
        if domain is not None:
            period = domain[1] - domain[0]
            change[i] -= period * np.round(change[i] / period)
    return change


class _Point:
    """A structure on the path and the variable there."""

    def __init__(self, cv: CollectiveVariable, atoms: Atoms, positions: _Array) -> None:
        self.cv, self.atoms, self.positions = cv, atoms.copy(), positions
        self.atoms.positions = positions
        self.found = cv.evaluate(self.atoms)

    def middle(self, other: _Point) -> _Point:
        return _Point(self.cv, self.atoms, 0.5 * (self.positions + other.positions))


def _value_defect(left: _Point, middle: _Point, right: _Point) -> float:
    """Largest change of a value otherwise than the gradients say; of third order in the step."""
    ends = []
    for a, b in ((left, middle), (middle, right)):
        mean = 0.5 * (a.found.gradient + b.found.gradient)
        expected = np.einsum("dij,ij->d", mean, b.positions - a.positions)
        ends.append(np.abs(difference(a.cv, b.found.value, a.found.value) - expected).max())
    return float(max(ends))


def _gradient_defect(left: _Point, middle: _Point, right: _Point) -> float:
    """Largest second difference of a component of the gradient; of second order in the step."""
    bend = left.found.gradient - 2.0 * middle.found.gradient + right.found.gradient
    return float(np.abs(bend).max())


def _jump(left: _Point, right: _Point, of: str, allowed: float) -> tuple[float, float]:
    """Size of the first jump between two structures (zero if there is none), and its place in the step."""
    defect = _value_defect if of == "value" else _gradient_defect
    waiting = [(left, right, 0.0, 1.0)]
    while waiting:
        a, b, low, high = waiting.pop()
        middle, centre = a.middle(b), 0.5 * (low + high)
        found = defect(a, middle, b)
        if found <= allowed:
            continue
        if high - low < 2.0**-_HALVINGS:
            return found, centre
        waiting += [(middle, b, centre, high), (a, middle, low, centre)]
    return 0.0, 0.0
