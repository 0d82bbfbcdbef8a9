"""Minimum distances between atoms: their defaults, how full they make a cell, and how overlaps are undone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii, reference_states
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

__all__ = [
    "AMU_PER_A3",
    "CLOSE_PACKING",
    "MinDistanceSpec",
    "closest_pair",
    "minimum_distances",
    "packing_fraction",
    "push_apart",
    "separate",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
MinDistanceSpec = float | Mapping[tuple[str, str] | str, float] | None

AMU_PER_A3 = 1.66053906660  # g/cm³
CLOSE_PACKING = math.pi / (3 * math.sqrt(2))  # Kepler's bound for equal spheres
_SLACK = 1.04  # overlaps are relaxed to a little more than asked, so that the descent ends in finite time
_BOND_PER_A = {"fcc": math.sqrt(0.5), "bcc": math.sqrt(0.75), "sc": 1.0}
_CAP = 0.45  # share of the bond: random placement at normal density then fills 0.5 of the cell


@cache
def contact_radius(symbol: str) -> float:
    """Covalent radius (Å), but at most 0.45 of the bond where the element's own crystal is close-packed.

    The cap matters for transition metals, whose covalent radii [B. Cordero et al., Dalton Trans. 2832, 2008]
    overstate metallic bonds (tungsten: 3.24 Å against 2.74 Å in bcc): spheres of that size do not fit.
    """
    number = atomic_numbers.get(symbol)
    if number is None or number == 0:
        raise ValueError(f"'{symbol}' is not a chemical symbol; use names such as 'Si' or 'Al'")
    radius = float(covalent_radii[number])
    state = reference_states[number] or {}
    if state.get("symmetry") == "hcp":
        a, ratio = float(state["a"]), float(state["c/a"])
        radius = min(radius, _CAP * a * min(1.0, math.sqrt(1 / 3 + ratio**2 / 4)))
    elif state.get("symmetry") in _BOND_PER_A:
        radius = min(radius, _CAP * float(state["a"]) * _BOND_PER_A[state["symmetry"]])
    return radius


def minimum_distances(
    symbols: Sequence[str], spec: MinDistanceSpec = None, *, fraction: float = 1.0
) -> FloatArray:
    """Return the table of minimum distances between the species, in Å.

    Parameters
    ----------
    symbols : sequence of str
        S distinct species.
    spec : float, mapping or None
        One distance for all pairs (Å); a table such as ``{("Si", "C"): 1.6, ...}`` or ``{"Si-C": 1.6, ...}``
        with every pair; None: ``fraction`` times the sum of the contact radii.
    fraction : float
        For the default.

    Returns
    -------
    ndarray (S, S), float64, symmetric

    Raises
    ------
    ValueError
        For an unknown symbol or a distance that is not positive and finite.
    KeyError
        For a pair that the table lacks.
    """
    radii = np.array([contact_radius(symbol) for symbol in symbols])
    if spec is None:
        return np.asarray(fraction * (radii[:, None] + radii[None, :]), dtype=np.float64)
    if isinstance(spec, Mapping):
        table = _from_table(symbols, spec)
    else:
        table = np.full((len(symbols), len(symbols)), float(spec))
    if not (np.isfinite(table).all() and (table > 0).all()):
        raise ValueError(f"minimum distances must be positive and finite, got {spec!r}; give them in Å")
    return table


def _from_table(symbols: Sequence[str], spec: Mapping[tuple[str, str] | str, float]) -> FloatArray:
    pairs: dict[tuple[str, str], float] = {}
    for key, value in spec.items():
        pair = key.split("-") if isinstance(key, str) else key
        if len(pair) != 2:
            raise ValueError(f"{key!r} is no pair of elements; use ('Si', 'C') or 'Si-C'")
        first, second = pair
        if pairs.setdefault((first, second), float(value)) != float(value):
            raise ValueError(f"the minimum distance of {first}-{second} is given twice with different values")
        pairs[second, first] = float(value)
    table = np.empty((len(symbols), len(symbols)))
    for i, first in enumerate(symbols):
        for j, second in enumerate(symbols):
            if (first, second) not in pairs:
                raise KeyError(
                    f"the table of minimum distances lacks the pair {first}-{second}; "
                    f"add ('{first}', '{second}') with a distance in Å"
                )
            table[i, j] = pairs[first, second]
    return table


def packing_fraction(counts: ArrayLike, table: FloatArray, volume: float) -> float:
    """Return the part of ``volume`` (Å³) that spheres of the minimum distances fill.

    Spheres of a species have the smallest diameter that its row of the table allows, so that the figure is a
    lower bound when the table is not additive; above :data:`CLOSE_PACKING` equal spheres cannot be placed.
    """
    diameters = np.asarray(table, dtype=np.float64).min(axis=1)
    return float(math.pi / 6 * np.sum(np.asarray(counts) * diameters**3) / volume)


def _species(atoms: Atoms) -> tuple[list[str], IntArray]:
    symbols, index = np.unique(np.array(atoms.get_chemical_symbols()), return_inverse=True)
    return [str(symbol) for symbol in symbols], np.asarray(index, dtype=np.int64).reshape(-1)


class _Pairs:
    """Pairs of one structure within a cutoff, with the row index spelled out."""

    def __init__(self, cutoff: float, skin: float, cell: FloatArray, pbc: NDArray[np.bool_]) -> None:
        from ase_mlsample import _core

        self.list = _core.NeighborList(cutoff, skin)
        self.cell, self.pbc = np.ascontiguousarray(cell, dtype=np.float64), np.ascontiguousarray(pbc)

    def find(self, positions: FloatArray) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """Return first (E,), second (E,), vectors (E,3), distances (E,)."""
        self.list.update(np.ascontiguousarray(positions, dtype=np.float64), self.cell, self.pbc)
        starts: IntArray = np.asarray(self.list.first)
        first = np.repeat(np.arange(len(starts) - 1), starts[1:] - starts[:-1])
        return (
            first,
            np.asarray(self.list.second),
            np.asarray(self.list.vectors),
            np.asarray(self.list.distances),
        )


def closest_pair(
    atoms: Atoms, spec: MinDistanceSpec = None, *, fraction: float = 1.0
) -> tuple[float, str, float]:
    """Return the worst pair of a structure measured by its minimum distance, periodic images included.

    Parameters
    ----------
    atoms : Atoms
        Any cell and periodicity.
    spec, fraction
        As in :func:`minimum_distances`.

    Returns
    -------
    ratio : float
        Distance over minimum distance; inf when no pair is closer than its minimum.
    pair : str
        Such as "Si-C", empty without such a pair.
    distance : float
        In Å, inf without such a pair.
    """
    symbols, species = _species(atoms)
    table = minimum_distances(symbols, spec, fraction=fraction)
    pairs = _Pairs(float(table.max()), 0.0, np.asarray(atoms.cell.array), np.asarray(atoms.pbc))
    first, second, _, distances = pairs.find(atoms.positions)
    ratios = distances / table[species[first], species[second]]
    if len(ratios) == 0 or ratios.min() >= 1:
        return math.inf, "", math.inf
    worst = int(np.argmin(ratios))
    name = "-".join(symbols[species[index]] for index in (first[worst], second[worst]))
    return float(ratios[worst]), name, float(distances[worst])


def separate(
    atoms: Atoms, spec: MinDistanceSpec = None, *, fraction: float = 1.0, max_steps: int = 300
) -> Atoms | None:
    """Push overlapping atoms apart until no pair is closer than its minimum distance.

    Minimises the soft repulsion Σ_pairs (1 − r/d)² over pairs with r < d, periodic images included, by L-BFGS
    and stops at the first structure that fulfils every distance; without overlaps nothing moves.

    Parameters
    ----------
    atoms : Atoms
        Any cell and periodicity; not changed.
    spec, fraction
        As in :func:`minimum_distances`.
    max_steps : int
        Bound of the effort.

    Returns
    -------
    Atoms or None
        The relaxed copy; None when the effort was spent, or when an atom overlaps with its own image, which
        no displacement can mend.
    """
    symbols, species = _species(atoms)
    table = minimum_distances(symbols, spec, fraction=fraction)
    return push_apart(atoms, species, table, max_steps=max_steps)


def push_apart(atoms: Atoms, kinds: IntArray, table: FloatArray, *, max_steps: int = 300) -> Atoms | None:
    """Push overlapping atoms apart as :func:`separate` does, with a minimum distance for every two kinds.

    Parameters
    ----------
    atoms : Atoms
        Any cell and periodicity; not changed.
    kinds : ndarray (N,), int
        Row of the table of every atom, by whatever it is distinguished.
    table : ndarray (K, K), float64
        Minimum distances in Å, symmetric.
    max_steps : int
        Bound of the effort.

    Returns
    -------
    Atoms or None
        As :func:`separate`.
    """
    cell, pbc = np.asarray(atoms.cell.array), np.asarray(atoms.pbc)
    pairs = _Pairs(_SLACK * float(table.max()), 0.4, cell, pbc)
    state = _Repulsion(pairs, kinds, table)
    relaxed = atoms.copy()
    state.evaluate(atoms.positions.ravel())
    if not state.apart:
        if state.hopeless:
            return None
        minimize(
            state.evaluate,
            atoms.positions.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=state.stop_when_apart,
            options={"maxiter": max_steps, "maxfun": 2 * max_steps, "ftol": 0.0, "gtol": 1e-12},
        )
    if not state.apart:
        return None
    relaxed.positions = state.solution
    return relaxed


class _Repulsion:
    """Σ_pairs (1 − r/d)² for the optimiser; remembers the first structure without overlaps."""

    def __init__(self, pairs: _Pairs, species: IntArray, table: FloatArray) -> None:
        self.pairs, self.species, self.table = pairs, species, table
        self.apart = self.hopeless = False
        self.solution: FloatArray = np.empty((0, 3))

    def evaluate(self, flat: FloatArray) -> tuple[float, FloatArray]:
        """Return the repulsion and its gradient."""
        positions = flat.reshape(-1, 3)
        first, second, vectors, distances = self.pairs.find(positions)
        minimum = self.table[self.species[first], self.species[second]]
        close = distances < minimum
        if not close.any():
            if not self.apart:
                self.apart, self.solution = True, positions.copy()
        else:
            self.hopeless = bool((close & (first == second)).any())
        target = _SLACK * minimum
        overlap = np.maximum(0.0, 1 - distances / target)
        overlap[first == second] = 0.0  # an atom's own images move with it
        pull = (2 * overlap / (target * distances))[:, None] * vectors
        count = len(positions)
        gradient = np.empty((count, 3))
        for k in range(3):
            gradient[:, k] = np.bincount(first, pull[:, k], count)
        return 0.5 * float(overlap @ overlap), gradient.ravel()

    def stop_when_apart(self, _: FloatArray) -> None:
        """End the minimisation early."""
        if self.apart:
            raise StopIteration
