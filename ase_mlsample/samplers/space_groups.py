"""Random crystals of given space groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.samplers.base import AtomsSampler, Window, checked_sizes, checked_window
from ase_mlsample.samplers.disorder import formula_shares
from ase_mlsample.samplers.group_names import space_group_number
from ase_mlsample.samplers.lattices import checked_shape, random_lattice
from ase_mlsample.samplers.packing import (
    AMU_PER_A3,
    CLOSE_PACKING,
    MinDistanceSpec,
    minimum_distances,
    packing_fraction,
)
from ase_mlsample.samplers.placement import CROWDED, FIXED, THIN, place
from ase_mlsample.samplers.site_choice import SiteChoice
from ase_mlsample.samplers.wyckoff import SpaceGroup, space_group

__all__ = ["RandomSpaceGroup"]

FloatArray = NDArray[np.float64]

_GROUP_TRIES = 20
_LATTICES = 3  # tried for one choice of Wyckoff positions
_REMEDIES = {
    THIN: "raise aspect or n_atoms, or lower the density or min_distance",
    FIXED: "raise n_atoms or general_share, or lower the density or min_distance",
    CROWDED: "lower the density or min_distance, or raise n_atoms or max_attempts",
}


@dataclass(frozen=True)
class _Formula:
    """One composition: what a formula unit holds."""

    symbols: tuple[str, ...]
    unit: tuple[int, ...]
    table: FloatArray = field(compare=False)
    masses: FloatArray = field(compare=False)

    def volume(self, counts: Sequence[int], density: float) -> float:
        """Return the volume in Å³ at this density in g/cm³."""
        return float(np.dot(counts, self.masses)) * AMU_PER_A3 / density


class RandomSpaceGroup(AtomsSampler):
    """Random crystals with the symmetry of given space groups.

    For every frame a space group, the numbers of atoms, the density, a lattice of the crystal system, the
    occupied Wyckoff positions and their free parameters are drawn. Overlapping atoms are pushed apart along
    the free parameters, which keeps the symmetry. Frames have the symmetry of the group asked for, or more of
    it: atoms on special positions alone often make a crystal of a supergroup. Wyckoff positions come from the
    operations (:mod:`~ase_mlsample.samplers.wyckoff`).

    Parameters
    ----------
    composition : str, mapping, or sequence of these
        "Si", a formula such as "SiC", or whole-number shares such as ``{"Al": 1, "Ni": 3}``; met exactly. Of
        several compositions one is drawn for every frame.
    spacegroups : int, str, or iterable of these
        Numbers or Hermann–Mauguin symbols ("Fd-3m", "P6_3/mmc"); one is drawn for every frame. Those that no
        number of atoms in the window fits are left out.
    n_atoms : int or (int, int)
        Smallest and largest number of atoms in the primitive cell of the group asked for.
    density : float or (float, float)
        Window in g/cm³.
    min_distance : float, mapping or None
        As in :class:`RandomDisorder`: one distance in Å, a table with every pair, or None for the sum of the
        contact radii.
    cell : {"primitive", "conventional"}
        The cell of the frames.
    angles : (float, float)
        Window in degrees of the angles that the crystal system leaves free: of triclinic and monoclinic
        cells, and of the primitive cell of rhombohedral ones.
    aspect : float
        Largest ratio of two lengths of the conventional cell; of rhombohedral cells, angles set the shape.
    general_share : float
        Share of the frames, from 0 to 1, that are asked to have an orbit on the general position if the
        window of n_atoms has room for one. The rest may have one, and those asked may do without once half
        of the attempts have failed. 0 gives more prototypes and supergroups.
    max_attempts : int
        Choices of positions and lattice tried for one group, before another group is drawn (when several were
        given, at most 20 times) or a RuntimeError says why they failed.

    Raises
    ------
    ValueError
        At construction: an unknown group or element, an empty window, no group that fits, or a density that
        the minimum distances forbid.
    TypeError
        At construction, for arguments of the wrong kind.

    Notes
    -----
    ``info`` holds ``spacegroup`` (the number asked for), ``spacegroup_symbol``, ``wyckoff`` ("8a+16c":
    multiplicities of the conventional cell and letters in spglib's first setting of the group; "Al:4a Ni:12i"
    for several species) and ``density_g_cm3``.
    """

    def __init__(
        self,
        composition: str | Mapping[str, float] | Sequence[str | Mapping[str, float]],
        *,
        spacegroups: int | str | Iterable[int | str] = range(1, 231),
        n_atoms: int | tuple[int, int] = (1, 32),
        density: Window,
        min_distance: MinDistanceSpec = None,
        cell: str = "primitive",
        angles: Window = (60.0, 120.0),
        aspect: float = 2.0,
        general_share: float = 0.75,
        max_attempts: int = 500,
    ) -> None:
        if cell not in {"primitive", "conventional"}:
            raise ValueError(f"cell must be 'primitive' or 'conventional', got {cell!r}")
        if not 0 <= general_share <= 1:
            raise ValueError(f"general_share is a share from 0 to 1, got {general_share!r}")
        if max_attempts < 1 or max_attempts % 1:
            raise ValueError(f"max_attempts must be a whole number, at least 1, got {max_attempts}")
        self.n_atoms = checked_sizes(n_atoms)
        self.density = checked_window("density", density, unit=" in g/cm³")
        if self.density[0] == 0:
            raise ValueError(f"density must be positive, got {density!r}; give a window in g/cm³")
        self.angles, self.aspect = checked_shape(checked_window("angles", angles, unit=" in degrees"), aspect)
        self.cell, self.general_share, self.max_attempts = cell, float(general_share), int(max_attempts)
        listed = _listed(composition)
        if not listed:
            raise ValueError("composition is empty; use 'Si' or {'Al': 1, 'Ni': 3}")
        self.formulas = tuple(_formula(one, min_distance) for one in listed)
        self._check_density()
        self.spacegroups = tuple(dict.fromkeys(space_group_number(one) for one in _listed(spacegroups)))
        self._choices: dict[int, SiteChoice] = {}
        self._units: dict[tuple[int, _Formula, bool], list[int]] = {}
        self._check_groups()

    def _check_density(self) -> None:
        """Refuse densities beyond close packing."""
        for formula in self.formulas:
            densest = self.density[1]
            filled = packing_fraction(formula.unit, formula.table, formula.volume(formula.unit, densest))
            if filled > CLOSE_PACKING:
                pairs = [f"{a}-{b}" for i, a in enumerate(formula.symbols) for b in formula.symbols[i:]]
                values = formula.table[np.triu_indices(len(formula.symbols))]
                distances = ", ".join(f"{p} {v:.3g} Å" for p, v in zip(pairs, values, strict=True))
                raise ValueError(
                    f"density up to {densest:g} g/cm³ cannot be met: atoms that keep the minimum distances "
                    f"({distances}) would fill {filled:.3f} of the cell, close packing fills "
                    f"{CLOSE_PACKING:.4f}; lower the density below {densest * CLOSE_PACKING / filled:.3g} "
                    "g/cm³ or pass a smaller min_distance"
                )

    def _check_groups(self) -> None:
        """Refuse windows that fit no group, and compositions whose formula units do not fit the window."""
        low, high = self.n_atoms
        for formula in self.formulas:
            size = sum(formula.unit)
            if high // size * size < low:
                raise ValueError(
                    f"no multiple of the formula unit {_name(formula)} ({size} atoms) lies in "
                    f"n_atoms={self.n_atoms}; widen n_atoms"
                )
        if not self.spacegroups:
            raise ValueError("spacegroups is empty; name at least one, for example 227 or 'Fd-3m'")
        for formula in self.formulas:
            if not any(self._multiples(number, formula) for number in self.spacegroups):
                one = len(self.spacegroups) == 1
                which = (
                    space_group(self.spacegroups[0]).symbol
                    if one
                    else f"any of {len(self.spacegroups)} groups"
                )
                raise ValueError(
                    f"no choice of Wyckoff positions of {which} holds {_name(formula)} with {low} to {high} "
                    "atoms in the primitive cell; widen n_atoms or ask for other space groups"
                )

    def _sites(self, number: int) -> SiteChoice:
        if number not in self._choices:
            self._choices[number] = SiteChoice(space_group(number).wyckoff)
        return self._choices[number]

    def _multiples(self, number: int, formula: _Formula, general: bool = False) -> list[int]:
        """Return the numbers of formula units in the primitive cell that a group can hold."""
        key = (number, formula, general)
        if key not in self._units:
            size, sites = sum(formula.unit), self._sites(number)
            low, high = self.n_atoms
            self._units[key] = [
                z
                for z in range(-(-low // size), high // size + 1)
                if sites.fits([z * share for share in formula.unit], general=general)
            ]
        return self._units[key]

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return one frame; RuntimeError when the bounded effort was spent."""
        formula = self.formulas[int(rng.integers(len(self.formulas)))]
        fitting = 0
        reasons: Counter[str] = Counter()
        number = self.spacegroups[0]
        while fitting < (1 if len(self.spacegroups) == 1 else _GROUP_TRIES):
            # groups that cannot fit are drawn and passed over: what is drawn must not depend on what was seen
            number = self.spacegroups[int(rng.integers(len(self.spacegroups)))]
            if not self._multiples(number, formula):
                continue
            fitting += 1
            atoms = self._crystal(space_group(number), formula, rng, reasons)
            if atoms is not None:
                return atoms
        commonest, count = reasons.most_common(1)[0]
        symbol = space_group(number).symbol
        which = f"{symbol} (No. {number})" if fitting == 1 else f"{fitting} space groups, {symbol} the last,"
        raise RuntimeError(
            f"no crystal of {_name(formula)} in {which} in {sum(reasons.values())} attempts; the commonest "
            f"reason, {count} times: {commonest}; {_REMEDIES[commonest]}"
        )

    def _crystal(
        self, group: SpaceGroup, formula: _Formula, rng: np.random.Generator, reasons: Counter[str]
    ) -> Atoms | None:
        """Return a crystal of one group; None, with the reasons counted, after ``max_attempts``."""
        sites = self._sites(group.number)
        density = float(rng.uniform(*self.density))
        general = bool(rng.random() < self.general_share)
        multiples = self._multiples(group.number, formula, general=general)
        if not multiples:
            general, multiples = False, self._multiples(group.number, formula)
        occupied: list[tuple[int, int]] = []
        counts: list[int] = []
        for attempt in range(self.max_attempts):
            if general and 2 * attempt >= self.max_attempts:
                general, multiples = False, self._multiples(group.number, formula)
            if attempt % _LATTICES == 0:
                z = multiples[int(rng.integers(len(multiples)))]
                counts = [z * share for share in formula.unit]
                occupied = sorted(sites.draw(counts, rng, general=general), key=lambda pair: pair[::-1])
            volume = formula.volume(counts, density) * group.n_centrings
            lattice = random_lattice(group.lattice, volume, rng, angles=self.angles, aspect=self.aspect)
            orbits = [(sites.positions[index], species) for index, species in occupied]
            placed = place(orbits, group.primitive @ lattice, formula.table, rng)
            if not isinstance(placed, str):
                species = np.repeat([kind for _, kind in orbits], [one.size for one, _ in orbits])
                atoms = self._atoms(group, lattice, placed, [formula.symbols[kind] for kind in species])
                atoms.info["wyckoff"] = _occupation(sites, occupied, formula)
                atoms.info["density_g_cm3"] = density
                return atoms
            reasons[placed] += 1
        return None

    def _atoms(self, group: SpaceGroup, lattice: FloatArray, scaled: FloatArray, symbols: list[str]) -> Atoms:
        cell = group.primitive @ lattice
        if self.cell == "conventional":
            scaled = ((scaled @ group.primitive)[:, None] + group.centrings).reshape(-1, 3)
            symbols = [symbol for symbol in symbols for _ in group.centrings]
            cell = lattice
        scaled = scaled % 1.0
        scaled[scaled > 1 - 1e-12] = 0.0
        atoms = Atoms(symbols, cell=cell, positions=scaled @ cell, pbc=True)
        atoms.info = {
            "source": "RandomSpaceGroup",
            "config_type": "spacegroup",
            "spacegroup": group.number,
            "spacegroup_symbol": group.symbol,
        }
        return atoms

    def __repr__(self) -> str:
        names = ", ".join(_name(formula) for formula in self.formulas)
        groups = self.spacegroups
        which = str(groups[0]) if len(groups) == 1 else f"{len(groups)} groups"
        return (
            f"RandomSpaceGroup({names}, spacegroups={which}, n_atoms={self.n_atoms}, density={self.density})"
        )


def _listed(given: Any) -> list[Any]:
    """Return what was given one by one; what is no collection of things, or is a mapping, is one thing."""
    alone = isinstance(given, str | Mapping) or not isinstance(given, Iterable)
    return [given] if alone else list(given)


def _formula(composition: str | Mapping[str, float], min_distance: MinDistanceSpec) -> _Formula:
    if not isinstance(composition, str | Mapping):
        raise TypeError(
            f"a composition is a formula or a mapping, got {composition!r}; use 'Si' or {{'Al': 1, 'Ni': 3}}"
        )
    symbols, shares = formula_shares(composition)
    if (shares != shares.round()).any():
        raise ValueError(
            f"a crystal has whole-number shares, got {composition!r}; "
            "scale them, for example {'Al': 9, 'Mg': 1}"
        )
    divisor = reduce(gcd, [int(share) for share in shares])
    return _Formula(
        symbols=tuple(symbols),
        unit=tuple(int(share) // divisor for share in shares),
        table=minimum_distances(symbols, min_distance),
        masses=np.array([atomic_masses[atomic_numbers[symbol]] for symbol in symbols]),
    )


def _name(formula: _Formula) -> str:
    return "".join(
        symbol + (str(count) if count > 1 else "")
        for symbol, count in zip(formula.symbols, formula.unit, strict=True)
    )


def _occupation(sites: SiteChoice, occupied: list[tuple[int, int]], formula: _Formula) -> str:
    """Return text such as "8a+16c", or "Al:4a Ni:12i" for several species."""
    labels: list[list[str]] = [[] for _ in formula.symbols]
    for index, species in occupied:
        labels[species].append(sites.positions[index].label)
    if len(labels) == 1:
        return "+".join(labels[0])
    return " ".join(f"{s}:{'+'.join(names)}" for s, names in zip(formula.symbols, labels, strict=True))
