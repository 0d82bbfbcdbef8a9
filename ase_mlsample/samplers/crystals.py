"""Crystals, strained, scaled and rattled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from ase_mlsample.samplers.base import AtomsSampler, Window, checked_sizes
from ase_mlsample.samplers.packing import MinDistanceSpec, closest_pair, minimum_distances
from ase_mlsample.samplers.parting import parted
from ase_mlsample.samplers.prototypes import Prototype, element_orders, estimated_volume, prototype
from ase_mlsample.samplers.transforms import Rattle, Scale, Strain, near_cubic_repeats

__all__ = ["PerturbedCrystal"]


class PerturbedCrystal(AtomsSampler):
    """Supercells of crystals with a random volume, strain and rattle.

    For every frame one crystal, one number of atoms, one volume, one strain and one rattle amplitude are
    drawn; pairs that the rattle brings too close are pushed apart by the soft repulsion that
    :class:`RandomDisorder` uses, so that large amplitudes and high densities go together.

    Parameters
    ----------
    crystals : str, Atoms, sequence of these, or mapping of names to Atoms
        Prototypes by name (:data:`ase_mlsample.samplers.prototypes.PROTOTYPES`, such as diamond, fcc, A15,
        rocksalt or L1_2, and synonyms), or crystals of your own. The name becomes ``config_type``.
    symbol : str, sequence of str or None
        The element of the named prototypes; or elements such as "AlNi" or ("Al", "Ni"): then a prototype of
        an element is made of each of them, one of a compound in each order (L1_2 as Al3Ni and Ni3Al), and
        ``config_type`` names the formula too, as in "L1_2-Al3Ni"; or a formula with numbers, such as "Ni3Al",
        which only compounds of this composition suit.
    strain : float
        Largest absolute component of the random symmetric strain.
    rattle : float or (float, float)
        Standard deviation of the displacements in Å, or the window from which it is drawn.
    volume : float or (float, float)
        Window of the volume, relative to ``volume_per_atom`` or to the crystal as given; the strain comes on
        top of it.
    n_atoms : int or (int, int)
        Window of the number of atoms of the supercell, which is as near to a cube as this allows.
    volume_per_atom : float, mapping or None
        Volume of the named prototypes in Å³, one for all or by name; None: estimated from the element's own
        crystal (:func:`estimated_volume`).
    min_distance : float, mapping or None
        As in :class:`RandomDisorder`; None: 0.9 times the sum of covalent radii, or 0.85 times the crystal's
        own shortest bond at that volume where this is less.
    max_attempts : int
        Draws tried for one frame before a RuntimeError.

    Raises
    ------
    ValueError
        At construction: an unknown prototype or element, an empty window, a number of atoms that no supercell
        has, or a minimum distance that the crystal itself breaks.
    TypeError
        At construction, for crystals that are neither names nor Atoms.
    """

    def __init__(
        self,
        crystals: str | Atoms | Sequence[str | Atoms] | Mapping[str, Atoms],
        *,
        symbol: str | Sequence[str] | None = None,
        strain: float = 0.05,
        rattle: Window = (0.0, 0.25),
        volume: Window = (0.8, 1.2),
        n_atoms: int | tuple[int, int] = (1, 64),
        volume_per_atom: float | Mapping[str, float] | None = None,
        min_distance: MinDistanceSpec = None,
        max_attempts: int = 20,
    ) -> None:
        sizes = checked_sizes(n_atoms)
        if max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
        self.scale, self.strain, self.rattle = Scale(volume), Strain(strain), Rattle(rattle)
        self.min_distance, self.max_attempts = min_distance, max_attempts
        bases = _bases(crystals, symbol, volume_per_atom)
        if not bases:
            raise ValueError("crystals is empty; name at least one, for example 'diamond'")
        # by crystal: every supercell in the window, in order of its size
        self.supercells = {name: _supercells(name, cells, sizes) for name, cells in bases.items()}
        for name, cells in bases.items():
            self._check_distance(name, cells[0])

    def _check_distance(self, name: str, crystal: Atoms) -> None:
        """Refuse a given minimum distance that the perfect crystal breaks even at its largest volume."""
        minimum_distances(sorted(set(crystal.get_chemical_symbols())), self.min_distance)
        if self.min_distance is None:
            return
        largest = crystal.copy()
        largest.set_cell(crystal.cell.array * self.scale.volume[1] ** (1 / 3), scale_atoms=True)
        ratio, pair, distance = closest_pair(largest, self.min_distance)
        if ratio < 1:
            raise ValueError(
                f"{name} has {pair} pairs of {distance:.3g} Å at its largest volume, closer than the minimum "
                f"distance {distance / ratio:.3g} Å; lower min_distance, or raise volume or volume_per_atom"
            )

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return one frame; RuntimeError when close pairs stayed in all of ``max_attempts`` draws."""
        names = sorted(self.supercells)
        name = ""
        for _ in range(self.max_attempts):
            name = names[int(rng.integers(len(names)))]
            cells = self.supercells[name]
            shaped = self.strain(self.scale(cells[int(rng.integers(len(cells)))], rng), rng)
            rattled = self.rattle(shaped, rng)
            atoms = parted(rattled, shaped, self.min_distance)
            if atoms is not None:
                atoms.wrap()
                kept = ("volume_scale", "strain_max", "rattle_A")
                numbers = {key: atoms.info[key] for key in kept}
                atoms.info = {"source": "PerturbedCrystal", "config_type": name, **numbers}
                return atoms
        raise RuntimeError(
            f"no frame without close pairs in {self.max_attempts} draws (the last one of {name}); "
            "lower min_distance, rattle or strain, or raise the volume window"
        )

    def __repr__(self) -> str:
        return f"PerturbedCrystal({', '.join(sorted(self.supercells))})"


def _bases(
    crystals: str | Atoms | Sequence[str | Atoms] | Mapping[str, Atoms],
    symbol: str | Sequence[str] | None,
    volume_per_atom: float | Mapping[str, float] | None,
) -> dict[str, list[Atoms]]:
    """Return the cells of every crystal that supercells are made of: primitive, and conventional if known."""
    if isinstance(crystals, Mapping):
        return {name: [_checked_crystal(atoms)] for name, atoms in crystals.items()}
    if not isinstance(crystals, str | Atoms | Sequence):
        raise TypeError(f"crystals must be names of prototypes or Atoms, got {crystals!r}; use ['diamond']")
    listed = [crystals] if isinstance(crystals, str | Atoms) else list(crystals)
    volumes = _volumes(listed, volume_per_atom)
    bases: dict[str, list[Atoms]] = {}
    for crystal in listed:
        if isinstance(crystal, str):
            if symbol is None:
                raise ValueError(f"symbol is missing: {crystal!r} needs an element, for example symbol='Si'")
            found = _named(prototype(crystal), symbol, volumes)
        else:
            name = _checked_crystal(crystal).info.get("config_type", crystal.get_chemical_formula())
            found = {str(name): [crystal]}
        for name, cells in found.items():
            if name in bases:
                raise ValueError(f"two crystals are called {name!r}; pass a mapping of names to Atoms")
            bases[name] = cells
    return bases


def _named(
    kind: Prototype, symbol: str | Sequence[str], volumes: Mapping[str, float]
) -> dict[str, list[Atoms]]:
    """Return the cells of a structure type by name, for every order of the elements."""
    orders = element_orders(kind, symbol)
    several = len({element for order in orders for element in order}) > 1
    found = {}
    for order in orders:
        volume = volumes[kind.name] if kind.name in volumes else estimated_volume(kind, order)
        cells = [kind.build(order, volume, conventional=big) for big in (False, True)]
        parts = zip(order, kind.composition.values(), strict=True)
        formula = "".join(f"{element}{n if n > 1 else ''}" for element, n in parts)
        found[f"{kind.name}-{formula}" if several else kind.name] = cells
    return found


def _volumes(
    crystals: list[str | Atoms], volume_per_atom: float | Mapping[str, float] | None
) -> dict[str, float]:
    """Return the volumes that were given, by name of the prototype."""
    names = [prototype(crystal).name for crystal in crystals if isinstance(crystal, str)]
    if not isinstance(volume_per_atom, Mapping):
        return {} if volume_per_atom is None else dict.fromkeys(names, volume_per_atom)
    given = {prototype(key).name: value for key, value in volume_per_atom.items()}
    if unused := sorted(set(given) - set(names)):
        raise ValueError(
            f"volume_per_atom names {', '.join(unused)}, which are not among the crystals: {', '.join(names)}"
        )
    return given


def _checked_crystal(atoms: Atoms) -> Atoms:
    if not isinstance(atoms, Atoms):
        raise TypeError(
            f"a crystal is the name of a prototype or an Atoms object, got {type(atoms).__name__}"
        )
    if len(atoms) == 0 or atoms.cell.rank < 3 or not atoms.pbc.all():
        raise ValueError(
            f"a crystal needs atoms and a cell that is periodic in three directions, got {atoms}; "
            "set its cell and pbc=True"
        )
    return atoms


def _supercells(name: str, cells: list[Atoms], n_atoms: tuple[int, int]) -> list[Atoms]:
    """Return for every number of atoms the repeats in the window, from each of the cells."""
    found: dict[tuple[int, float], Atoms] = {}
    for cell in cells:
        if len(cell) > n_atoms[1]:
            continue
        try:
            repeats = near_cubic_repeats(cell, n_atoms=n_atoms)
        except ValueError:
            continue  # another cell of the same crystal may fit
        for one in repeats:
            plain = Atoms(cell.numbers, cell=cell.cell, positions=cell.positions, pbc=True).repeat(one)
            heights = 1 / np.linalg.norm(np.linalg.inv(plain.cell.array), axis=0)
            found[len(plain), round(float(heights.min()), 6)] = plain
    if not found:
        sizes = " or ".join(str(len(cell)) for cell in cells)
        raise ValueError(
            f"no supercell of {name} ({sizes} atoms in the cell) has {n_atoms[0]} to {n_atoms[1]} atoms; "
            "widen n_atoms"
        )
    return [found[key] for key in sorted(found)]
