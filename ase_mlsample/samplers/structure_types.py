"""A structure type: a lattice and its sites with a = 1."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.neighborlist import neighbor_list
from ase.spacegroup import Spacegroup
from numpy.typing import NDArray

__all__ = ["Prototype", "Vectors"]

Vectors = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Prototype:
    """One structure type with a = 1.

    Attributes
    ----------
    name : str
    spacegroup : int
        International number.
    cell : tuple
        Primitive vectors, (3, 3).
    sites : tuple
        Fractional positions in the primitive cell, (n, 3); with ``setting``, one position of each orbit in
        the conventional cell.
    conventional : tuple
        Conventional cell as integer combinations of the primitive vectors, (3, 3).
    reach : float
        Near neighbours, which make the mean bond, are those within this times the shortest bond.
    synonyms : tuple of str
    species : str
        A letter for each of the sites, such as "AB" or "ABB"; empty for an element.
    setting : int
        0, or ASE's setting of the space group (2 has the origin at the inversion centre) by whose operations
        the sites are multiplied; not for hexagonal lattices.
    """

    name: str
    spacegroup: int
    cell: Vectors
    sites: Vectors
    conventional: Vectors
    reach: float = 1.12
    synonyms: tuple[str, ...] = ()
    species: str = ""
    setting: int = 0

    @cached_property
    def _orbits(self) -> tuple[Vectors, str]:
        """Fractional positions in the primitive cell, and their letters."""
        letters = self.species or "A" * len(self.sites)
        if not self.setting:
            return self.sites, letters
        rows, names = [], ""
        rotations, translations = Spacegroup(self.spacegroup, self.setting).get_op()
        for letter, site in zip(letters, self.sites, strict=True):
            full = (np.asarray(rotations) @ np.array(site) + translations) @ np.array(self.conventional)
            reduced = np.round(full % 1.0, 9) % 1.0
            unique = reduced[np.sort(np.unique(reduced.round(6) % 1.0, axis=0, return_index=True)[1])]
            rows += [tuple(float(x) for x in row) for row in unique]
            names += letter * len(unique)
        return tuple(rows), names

    @property
    def basis(self) -> Vectors:
        """Fractional positions in the primitive cell, (n, 3)."""
        return self._orbits[0]

    @property
    def letters(self) -> str:
        """The kind of atom at every position of the basis, "A" throughout for an element."""
        return self._orbits[1]

    @property
    def composition(self) -> dict[str, int]:
        """Atoms of each kind in the formula unit, such as {"A": 3, "B": 1}."""
        counts = Counter(self.letters)
        unit = math.gcd(*counts.values())
        return {letter: counts[letter] // unit for letter in sorted(counts)}

    @property
    def formula(self) -> str:
        """The composition in letters, such as "A3B"."""
        return "".join(f"{letter}{n if n > 1 else ''}" for letter, n in self.composition.items())

    @property
    def volume(self) -> float:
        """Volume per atom at a = 1."""
        return abs(float(np.linalg.det(np.array(self.cell)))) / len(self.basis)

    @cached_property
    def neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """First and second atom and distance of the pairs within 2.5 shortest bonds, at a = 1."""
        size = 3 / self.volume ** (1 / 3)  # ASE's search is slow in cells that are small in Å
        cell = size * np.array(self.cell)
        atoms = Atoms("X" * len(self.basis), cell=cell, scaled_positions=self.basis, pbc=True)
        first, second, distances = neighbor_list("ijd", atoms, 7.5)
        distances /= size
        kept = distances < 2.5 * distances.min()
        return first[kept], second[kept], distances[kept]

    @property
    def _near(self) -> NDArray[np.float64]:
        _, _, distances = self.neighbours
        near: NDArray[np.float64] = distances[distances < self.reach * distances.min()]
        return near

    @property
    def coordination(self) -> float:
        """Mean number of near neighbours."""
        return len(self._near) / len(self.basis)

    @property
    def bond(self) -> float:
        """Mean distance of the near neighbours at a = 1."""
        return float(self._near.mean())

    def build(
        self, symbol: str | tuple[str, ...], volume_per_atom: float, *, conventional: bool = False
    ) -> Atoms:
        """Return the crystal of an element, or of a compound.

        Parameters
        ----------
        symbol : str or tuple of str
            The element; for a compound the elements of its kinds of atom A, B, … in this order.
        volume_per_atom : float
            In Å³.
        conventional : bool
            The conventional cell instead of the primitive one.

        Raises
        ------
        ValueError
            For another number of elements than kinds of atom, or a volume that is none.
        """
        if not 0 < volume_per_atom < math.inf:
            raise ValueError(f"volume_per_atom must be positive, got {volume_per_atom!r}; give it in Å³")
        elements = (symbol,) if isinstance(symbol, str) else tuple(symbol)
        kinds = self.composition
        if len(elements) != len(kinds):
            raise ValueError(
                f"{self.name} has {len(kinds)} kinds of atom ({self.formula}), got {len(elements)} elements: "
                f"{elements}; give one element for each kind"
            )
        named = dict(zip(kinds, elements, strict=True))
        scale = (volume_per_atom / self.volume) ** (1 / 3)
        cell, symbols = scale * np.array(self.cell), [named[letter] for letter in self.letters]
        atoms = Atoms(symbols, cell=cell, scaled_positions=self.basis, pbc=True)
        if conventional:
            atoms = make_supercell(atoms, np.array(self.conventional))
        atoms.info = {"config_type": self.name}
        return atoms
