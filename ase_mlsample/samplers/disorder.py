"""Random disorder: atoms placed at random in random cells, without overlaps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.formula import Formula
from ase.geometry import cellpar_to_cell
from numpy.typing import NDArray

from ase_mlsample.samplers.base import AtomsSampler, Window, checked_sizes, checked_window
from ase_mlsample.samplers.packing import (
    AMU_PER_A3,
    CLOSE_PACKING,
    MinDistanceSpec,
    minimum_distances,
    packing_fraction,
    separate,
)

__all__ = ["RandomDisorder", "formula_shares"]

FloatArray = NDArray[np.float64]

_CELL_TRIES = 200


class RandomDisorder(AtomsSampler):
    """Atoms at random places in random cells, overlaps relaxed away with a soft repulsion.

    The number of atoms, the density, the three cell lengths and the three angles are drawn for every frame;
    atoms are placed uniformly and pushed apart until no two are closer than their minimum distance, periodic
    images included. The recipe is that of the ANI potentials for metals (J. S. Smith et al., Nat. Commun. 12,
    1257, 2021).

    Parameters
    ----------
    composition : str or mapping
        "Si", a formula such as "SiC", or shares such as ``{"Si": 1, "C": 1}``. Whole-number shares are met
        exactly (only multiples of the formula unit are drawn); fractions, such as ``{"Al": 0.9, "Mg": 0.1}``,
        to the nearest atom.
    n_atoms : int or (int, int)
        Smallest and largest number of atoms.
    density : float or (float, float)
        Window in g/cm³.
    min_distance : float, mapping or None
        One distance in Å, a table ``{("Si", "C"): 1.6, ...}`` with every pair, or None: the sum of covalent
        radii, which are capped for close-packed metals. Silicon's 2.22 Å keeps 95 of 100 frames under 20 eV/Å
        on the Stillinger–Weber potential; 2.0 Å keeps 40.
    angles : (float, float)
        Window of the cell angles in degrees.
    aspect : float
        Largest ratio of two cell lengths.
    min_height : float or None
        Smallest distance between opposite faces of the cell in Å; None: the largest minimum distance.
    max_attempts : int
        Cells and placements tried for one frame before a RuntimeError.

    Raises
    ------
    ValueError
        At construction: a window that is empty, or a density that the minimum distances forbid.
    """

    def __init__(
        self,
        composition: str | Mapping[str, float],
        *,
        n_atoms: int | tuple[int, int] = (8, 32),
        density: Window,
        min_distance: MinDistanceSpec = None,
        angles: Window = (60.0, 120.0),
        aspect: float = 2.0,
        min_height: float | None = None,
        max_attempts: int = 50,
    ) -> None:
        self.symbols, shares = formula_shares(composition)
        self.counts = _possible_counts(composition, shares, checked_sizes(n_atoms))
        self.table = minimum_distances(self.symbols, min_distance)
        self.masses = np.array([atomic_masses[atomic_numbers[symbol]] for symbol in self.symbols])
        self.density = checked_window("density", density, unit=" in g/cm³")
        if self.density[0] == 0:
            raise ValueError(f"density must be positive, got {density!r}; give a window in g/cm³")
        self.angles = checked_window("angles", angles, unit=" in degrees")
        if self.angles[0] < 20 or self.angles[1] > 140:
            raise ValueError(f"angles must lie in 20 to 140 degrees, got {angles}; use for example (60, 120)")
        if not 1 <= aspect < math.inf:
            raise ValueError(f"aspect is the largest ratio of cell lengths, at least 1, got {aspect}")
        if max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
        self.aspect, self.max_attempts = float(aspect), max_attempts
        self.min_height = float(self.table.max()) if min_height is None else float(min_height)
        self.min_distance: MinDistanceSpec = {
            (first, second): float(self.table[i, j])
            for i, first in enumerate(self.symbols)
            for j, second in enumerate(self.symbols)
        }
        self._check_feasible()

    def _check_feasible(self) -> None:
        """Refuse densities beyond close packing, and cells that cannot be as thick as asked."""
        densest = self.density[1]
        unit = self.counts[0]
        filled = packing_fraction(unit, self.table, self._volume(unit, densest))
        if filled > CLOSE_PACKING:
            possible = densest * CLOSE_PACKING / filled
            raise ValueError(
                f"density up to {densest:g} g/cm³ cannot be met: atoms that keep the minimum distances "
                f"({self._distances()}) would fill {filled:.3f} of the cell, close packing fills "
                f"{CLOSE_PACKING:.4f}; lower the density below {possible:.3g} g/cm³ (random placement "
                f"gets to about {0.6 / CLOSE_PACKING * possible:.3g}) or pass a smaller min_distance"
            )
        volume = self._volume(unit, densest)
        if volume < self.min_height**3:
            raise ValueError(
                f"{int(unit.sum())} atoms at {densest:g} g/cm³ have {volume:.3g} Å³, too little for a cell "
                f"that is {self.min_height:.3g} Å thick in three directions ({self.min_height**3:.3g} Å³); "
                "use more atoms, a lower density or a smaller min_height"
            )

    def _distances(self) -> str:
        names = [f"{a}-{b}" for i, a in enumerate(self.symbols) for b in self.symbols[i:]]
        values = self.table[np.triu_indices(len(self.symbols))]
        return ", ".join(f"{name} {value:.3g} Å" for name, value in zip(names, values, strict=True))

    def _volume(self, counts: NDArray[np.int64], density: float) -> float:
        return float(counts @ self.masses) * AMU_PER_A3 / density

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return one frame; RuntimeError when ``max_attempts`` cells could not be filled."""
        density, counts = 0.0, self.counts[0]
        for _ in range(self.max_attempts):
            counts = self.counts[int(rng.integers(len(self.counts)))]
            density = float(rng.uniform(*self.density))
            cell = self._cell(self._volume(counts, density), rng)
            if cell is None:
                continue
            symbols = np.repeat(self.symbols, counts)
            placed = Atoms(symbols, cell=cell, scaled_positions=rng.random((len(symbols), 3)), pbc=True)
            atoms = separate(placed, self.min_distance)
            if atoms is not None:
                atoms.wrap()
                atoms.info = {"source": "RandomDisorder", "config_type": "disorder", "density_g_cm3": density}
                return atoms
        filled = packing_fraction(counts, self.table, self._volume(counts, density))
        raise RuntimeError(
            f"no structure without overlaps in {self.max_attempts} attempts; the last one, "
            f"{int(counts.sum())} atoms at {density:.3g} g/cm³, fills {filled:.2f} of "
            f"its cell with {self._distances()} (random close packing fills 0.64); "
            "lower the density, or pass a smaller min_distance or min_height"
        )

    def _cell(self, volume: float, rng: np.random.Generator) -> FloatArray | None:
        """Return a random cell of this volume that is thick enough; None after many tries."""
        for _ in range(_CELL_TRIES):
            lengths = np.exp(rng.uniform(0.0, math.log(self.aspect), 3))
            angles = rng.uniform(*self.angles, 3)
            cosines = np.cos(np.radians(angles))
            if 1 - cosines @ cosines + 2 * cosines.prod() < 0.05:
                continue  # nearly flat, or no cell at all
            cell = np.asarray(cellpar_to_cell([*lengths, *angles]), dtype=np.float64)
            cell *= (volume / np.linalg.det(cell)) ** (1 / 3)
            heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
            if heights.min() >= self.min_height:
                return cell
        return None

    def __repr__(self) -> str:
        low, high = int(self.counts[0].sum()), int(self.counts[-1].sum())
        return f"RandomDisorder({'-'.join(self.symbols)}, n_atoms=({low}, {high}), density={self.density})"


def formula_shares(composition: str | Mapping[str, float]) -> tuple[list[str], FloatArray]:
    """Return the species in alphabetical order, and their shares."""
    shares = Formula(composition).count() if isinstance(composition, str) else dict(composition)
    if not shares:
        raise ValueError(f"composition names no element: {composition!r}; use 'Si' or {{'Si': 1, 'C': 1}}")
    for symbol, share in shares.items():
        if not (0 < share < math.inf):
            raise ValueError(f"the share of {symbol} must be positive, got {share!r}")
    symbols = sorted(shares)
    return symbols, np.array([float(shares[symbol]) for symbol in symbols])


def _possible_counts(
    composition: object, shares: FloatArray, n_atoms: tuple[int, int]
) -> list[NDArray[np.int64]]:
    """Return the numbers of atoms by species that may be drawn, from few atoms to many."""
    low, high = n_atoms
    if (shares == shares.round()).all():
        unit = (shares / reduce(math.gcd, [int(share) for share in shares])).astype(np.int64)
        size = int(unit.sum())
        multiples = range(-(-low // size), high // size + 1)
        if not multiples:
            raise ValueError(
                f"no multiple of the formula unit {composition!r} ({size} atoms) lies in n_atoms={n_atoms}; "
                "widen n_atoms, or give the shares as fractions to have them rounded"
            )
        return [multiple * unit for multiple in multiples]
    fractions = shares / shares.sum()
    counts = []
    for total in range(low, high + 1):
        exact = fractions * total
        whole = np.floor(exact).astype(np.int64)
        remainder = np.argsort(whole - exact, kind="stable")[: total - int(whole.sum())]
        whole[remainder] += 1
        counts.append(whole)
    return counts
