"""The contract of collective variables: derivatives, invariances, purity."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.cvs.pooling import PerAtomVariable, Pooled
from ase_mlsample.testing.continuity import difference
from ase_mlsample.testing.derivatives import five_point_slope
from ase_mlsample.testing.errors import assert_close, require, same_info
from ase_mlsample.testing.invariances import random_rotation

__all__ = ["check_cv"]

_Array = NDArray[np.float64]
_Variable = CollectiveVariable | PerAtomVariable


def check_cv(
    cv: _Variable | Callable[[], _Variable],
    frames: Mapping[str, Atoms] | Sequence[Atoms] | Atoms,
    *,
    tolerance: float = 1e-6,
    displacement: float = 1e-3,
    strain: float = 2e-4,
    n_components: int = 4,
    permutation: bool = True,
    translation: bool = True,
    rotation: bool | None = None,
    images: bool = True,
    exact: bool = True,
    seed: int = 0,
) -> None:
    """Put a collective variable through every check of its contract.

    A quantity of every atom is checked as its mean and as a sum with random weights.

    Parameters
    ----------
    cv : CollectiveVariable or PerAtomVariable, or a function that makes one
    frames : Atoms, a sequence of them, or a mapping from names
        Structures for which the variable is defined and smooth.
    tolerance : float
        Between derivatives and difference quotients (five points), relative to the largest component of the
        gradient or virial. Invariances are checked to a hundredth of it.
    displacement : float, Å
        Step of the difference quotients by position.
    strain : float
        Step of the difference quotients by symmetric strain.
    n_components : int
        Gradient components looked at one by one, the largest among them, besides a random direction in which
        all atoms move.
    permutation : bool
        Whether the order of the atoms does not matter; False for variables of atoms with given indices.
    translation : bool
        Whether moving all atoms changes nothing.
    rotation : bool, optional
        Whether turning atoms and cell together changes nothing; by default unless ``lab_fixed``.
    images : bool
        Whether moving atoms by lattice vectors changes nothing.
    exact : bool
        Whether evaluations of the same structure agree in every bit, which the exact continuation of a run
        needs; False, for calculators whose sums depend on what they did before: to a hundredth of the
        tolerance.
    seed : int
        Of the random choices.

    Raises
    ------
    ContractError
        At the first check that fails.
    """
    made = cv if isinstance(cv, CollectiveVariable | PerAtomVariable) else cv()
    steps = _Steps(tolerance, displacement, strain, n_components, seed)
    for name, atoms in _named(frames).items():
        variable = made.mean() if isinstance(made, PerAtomVariable) else made
        if isinstance(made, PerAtomVariable):
            weights = np.random.default_rng(seed).normal(size=len(atoms))
            _check_derivatives(_Weighted(made, weights), atoms, name, steps)
        _check_form(variable, atoms, name)
        _check_purity(variable, atoms, name, 0.0 if exact else tolerance / 100)
        _check_derivatives(variable, atoms, name, steps)
        wanted = {
            "permuted": permutation,
            "translated": translation,
            "rotated": not variable.lab_fixed if rotation is None else rotation,
            "atoms in other cells": images,
        }
        for what in [key for key, holds in wanted.items() if holds]:
            _check_invariance(variable, atoms, name, what, steps)


@dataclass(frozen=True, slots=True)
class _Steps:
    tolerance: float
    displacement: float
    strain: float
    n_components: int
    seed: int


class _Weighted(Pooled):
    """Sum with given weights."""

    def __init__(self, variable: PerAtomVariable, weights: _Array) -> None:
        super().__init__(variable, "weighted", indices=None)
        self._weights = weights

    def pool(self, values: _Array) -> tuple[float, _Array]:
        return float(self._weights @ values), self._weights


def _check_form(cv: CollectiveVariable, atoms: Atoms, name: str) -> None:
    found, n, d = cv.evaluate(atoms), len(atoms), len(cv.names)
    require(isinstance(found, CVValue), f"{name}: evaluate() gave {type(found).__name__}, not a CVValue")
    require(found.value.shape == (d,), f"{name}: {d} names for values of shape {found.value.shape}")
    require(found.gradient.shape == (d, n, 3), f"{name}: a gradient of shape {found.gradient.shape}")
    asymmetry = np.abs(found.virial - found.virial.transpose(0, 2, 1)).max()
    scale = max(1.0, float(np.abs(found.virial).max()))
    require(bool(asymmetry <= 1e-9 * scale), f"{name}: the virial is not symmetric, by {asymmetry:.3g}")
    shape = (n,) if found.per_atom is None else found.per_atom.shape
    require(shape == (n,), f"{name}: per_atom of shape {shape} for {n} atoms")
    require(len(cv.domains) == d, f"{name}: {len(cv.domains)} domains for {d} components")
    for component, domain, value in zip(cv.names, cv.domains, found.value, strict=True):
        require(bool(component) and not any(c.isspace() for c in component), f"name {component!r}")
        inside = domain is None or domain[0] <= value <= domain[1]
        require(inside, f"{name}: {component} = {value} lies outside its domain {domain}")
    try:
        json.dumps(cv.todict())
    except TypeError as error:
        require(False, f"todict() holds more than plain values: {error}")


def _check_purity(cv: CollectiveVariable, atoms: Atoms, name: str, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    fresh = copy.deepcopy(cv)
    moved = atoms.copy()
    moved.positions += rng.uniform(-0.05, 0.05, moved.positions.shape)
    moved.calc, before = None, copy.deepcopy(moved)
    cv.evaluate(atoms)
    aged = cv.evaluate(moved)
    same = before == moved and same_info(before.info, moved.info) and set(before.arrays) == set(moved.arrays)
    require(same and moved.calc is None, f"{name}: evaluate() changed the atoms")
    _require_equal(cv.evaluate(moved), aged, f"{name}: a second evaluation differs from the first", tolerance)
    require(np.array_equal(cv(moved), aged.value), f"{name}: cv(atoms) differs from cv.evaluate(atoms).value")
    far = atoms.copy()
    far.set_cell(1.2 * atoms.cell.array)
    far.positions = 1.2 * atoms.positions
    cv.evaluate(far)
    _require_equal(
        cv.evaluate(moved), aged, f"{name}: values depend on the structure evaluated before", tolerance
    )
    _require_equal(
        fresh.evaluate(moved), aged, f"{name}: values depend on the age of a neighbour list", tolerance
    )
    broken = atoms.copy()
    broken.positions[-1, 1] = np.nan
    try:
        cv.evaluate(broken)
    except ValueError:
        return
    require(False, f"{name}: positions that are NaN give a value instead of a ValueError")


def _require_equal(a: CVValue, b: CVValue, what: str, tolerance: float) -> None:
    for key in ("value", "gradient", "virial", "per_atom"):
        first, second = getattr(a, key), getattr(b, key)
        if first is not None and second is not None:
            assert_close(first, second, tolerance=tolerance, what=f"{what}: {key}")


def _check_derivatives(cv: CollectiveVariable, atoms: Atoms, name: str, steps: _Steps) -> None:
    reference = cv.evaluate(atoms)
    for component in range(len(cv.names)):
        _check_gradient(cv, atoms, name, steps, component)
    for i, j in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        moved = atoms.copy()

        def value(size: float, i: int = i, j: int = j, moved: Atoms = moved) -> _Array:
            deformation = np.eye(3)
            deformation[i, j] += size / 2
            deformation[j, i] += size / 2
            moved.set_cell(atoms.cell.array @ deformation)
            moved.positions = atoms.positions @ deformation
            return difference(cv, cv(moved), reference.value)

        slopes = np.asarray(five_point_slope(value, steps.strain))
        for component, label in enumerate(cv.names):
            virial = reference.virial[component]
            rounding = 1e-12 * abs(float(reference.value[component])) / steps.strain
            what = (
                f"{name}: virial {'xyz'[i]}{'xyz'[j]} of {label} against its derivative by symmetric strain"
            )
            allowed = steps.tolerance * float(np.abs(virial).max()) + rounding
            assert_close(virial[i, j], slopes[component], tolerance=allowed, what=what)


def _check_gradient(cv: CollectiveVariable, atoms: Atoms, name: str, steps: _Steps, component: int) -> None:
    rng = np.random.default_rng(steps.seed)
    reference, moved = cv.evaluate(atoms), atoms.copy()
    gradient, label = reference.gradient[component], cv.names[component]

    def along(direction: _Array) -> float:
        def value(length: float) -> float:
            moved.positions = atoms.positions + length * direction
            return float(difference(cv, cv(moved), reference.value)[component])

        return float(five_point_slope(value, steps.displacement))

    rounding = 1e-12 * abs(float(reference.value[component])) / steps.displacement
    allowed = steps.tolerance * float(np.abs(gradient).max()) + rounding
    largest = np.argsort(-np.abs(gradient), axis=None)[: (steps.n_components + 1) // 2].tolist()
    others = rng.choice(gradient.size, size=min(steps.n_components // 2, gradient.size), replace=False)
    for index in [*largest, *others.tolist()]:
        atom, axis = divmod(index, 3)
        unit = np.zeros_like(gradient)
        unit[atom, axis] = 1.0
        what = f"{name}: d {label}/dr of atom {atom} along {'xyz'[axis]}"
        assert_close(gradient[atom, axis], along(unit), tolerance=allowed, what=what)
    everywhere = rng.normal(size=gradient.shape)
    # Of unit length, so that a large structure is judged like a small one.
    everywhere /= np.linalg.norm(everywhere)
    what = f"{name}: d {label}/dr along a random direction of all atoms"
    assert_close((gradient * everywhere).sum(), along(everywhere), tolerance=allowed, what=what)


def _check_invariance(cv: CollectiveVariable, atoms: Atoms, name: str, what: str, steps: _Steps) -> None:
    rng = np.random.default_rng(steps.seed)
    reference, n = cv.evaluate(atoms), len(atoms)
    order, turn, moved = np.arange(n), np.eye(3), atoms.copy()
    if what == "permuted":
        order = rng.permutation(n)
        moved = atoms[order]
    elif what == "translated":
        moved.positions += rng.uniform(-5.0, 5.0, 3)
    elif what == "rotated":
        turn = random_rotation(rng)
        moved.set_cell(atoms.cell.array @ turn.T)
        moved.positions = atoms.positions @ turn.T
    else:
        moved.positions += (rng.integers(-2, 3, (n, 3)) * atoms.pbc) @ atoms.cell.array
    found = cv.evaluate(moved)
    back = np.argsort(order)
    pairs = {
        "values": (reference.value + difference(cv, found.value, reference.value), reference.value),
        "gradient": ((found.gradient @ turn)[:, back], reference.gradient),
        "virial": (turn.T @ found.virial @ turn, reference.virial),
        "per_atom": (None if found.per_atom is None else found.per_atom[back], reference.per_atom),
    }
    for quantity, (actual, expected) in pairs.items():
        if expected is not None:
            allowed = steps.tolerance / 100 * max(1.0, float(np.abs(expected).max()))
            assert_close(actual, expected, tolerance=allowed, what=f"{name}, {what}: {quantity}")


def _named(frames: Mapping[str, Atoms] | Sequence[Atoms] | Atoms) -> dict[str, Atoms]:
    if isinstance(frames, Atoms):
        return {"structure": frames}
    if isinstance(frames, Mapping):
        return dict(frames)
    return {f"frame {number}": atoms for number, atoms in enumerate(frames)}
