"""Point defects: vacancies, interstitials, exchanged atoms and random alloys."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.samplers.base import AtomsTransform, Window, checked_window
from ase_mlsample.samplers.disorder import formula_shares
from ase_mlsample.samplers.holes import find_holes, nearest_distances
from ase_mlsample.samplers.packing import MinDistanceSpec, contact_radius
from ase_mlsample.samplers.parting import checked_distance, parted
from ase_mlsample.samplers.transforms import noted

__all__ = ["Antisites", "Interstitials", "Substitute", "Vacancies"]

IntArray = NDArray[np.int64]
CountWindow = int | tuple[int, int]

_LARGEST = 0.95  # holes from this share of the largest radius on are taken alike
_VOID = 1.5  # holes wider than this times the mean bond are vacuum
_PLACES = 200  # random places that an interstitial chooses from


class _Amount:
    """How many of n sites: a window of counts, or of fractions rounded to the nearest whole number."""

    def __init__(self, count: CountWindow | None, fraction: Window | None) -> None:
        if count is not None and fraction is not None:
            raise ValueError(f"give count or fraction, not both: got {count!r} and {fraction!r}")
        self.fraction = None if fraction is None else checked_window("fraction", fraction)
        if self.fraction is not None and self.fraction[1] > 1:
            raise ValueError(f"fraction must lie in 0 to 1, got {fraction!r}")
        low, high = checked_window("count", 1 if count is None else count)
        if low % 1 or high % 1:
            raise ValueError(
                f"count must be whole numbers, got {count!r}; fractions of the atoms are fraction="
            )
        self.count = int(low), int(high)

    def draw(self, sites: int, rng: np.random.Generator) -> int:
        if self.fraction is not None:
            return round(float(rng.uniform(*self.fraction)) * sites)
        return int(rng.integers(self.count[0], self.count[1] + 1))

    def __repr__(self) -> str:
        return f"count={self.count}" if self.fraction is None else f"fraction={self.fraction}"


def _checked_symbol(symbol: str | None) -> str | None:
    if symbol is not None:
        contact_radius(symbol)  # refuses what is not an element
    return symbol


def _sites(atoms: Atoms, symbol: str | None) -> IntArray:
    """Return the indices of the atoms of an element, or of all; ValueError when there are none."""
    symbols = np.array(atoms.get_chemical_symbols())
    found = np.arange(len(atoms)) if symbol is None else np.flatnonzero(symbols == symbol)
    if len(found) == 0:
        raise ValueError(
            f"there are no atoms of {symbol or 'any element'} in {atoms.get_chemical_formula()!r}"
        )
    return np.asarray(found, dtype=np.int64)


class Vacancies(AtomsTransform):
    """Atoms taken away at random.

    Parameters
    ----------
    count : int or (int, int) or None
        How many, or the window from which the number is drawn; 1 when neither this nor ``fraction`` is given.
    fraction : float or (float, float) or None
        The same as a fraction of the atoms (of ``symbol``), rounded to the nearest whole number.
    symbol : str or None
        Only atoms of this element.

    Raises
    ------
    ValueError
        At construction, for an empty window or what is no element.
    """

    def __init__(
        self, count: CountWindow | None = None, *, fraction: Window | None = None, symbol: str | None = None
    ) -> None:
        self.amount, self.symbol = _Amount(count, fraction), _checked_symbol(symbol)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a copy with vacancies; ``info['n_vacancies']`` has their number.

        Raises
        ------
        ValueError
            When there are not so many atoms, or none would be left.
        """
        sites = _sites(atoms, self.symbol)
        number = self.amount.draw(len(sites), rng)
        if number > len(sites) or number >= len(atoms):
            raise ValueError(
                f"{number} vacancies among {len(sites)} atoms of {self.symbol or 'any element'} "
                f"({len(atoms)} in all) leave nothing; ask for fewer, or repeat the cell first with Supercell"
            )
        changed = atoms.copy()
        del changed[sorted(int(index) for index in rng.choice(sites, number, replace=False))]
        return noted(changed, "Vacancies", n_vacancies=number)

    def __repr__(self) -> str:
        return f"Vacancies({self.amount!r})"


class Interstitials(AtomsTransform):
    """Atoms added in the holes of the structure, or at random places.

    Each atom goes to one of the largest holes (Voronoi vertices of all atoms and images; those within 5 % of
    the largest radius are alike, vacuum and voids wider than 1.5 bonds are left out), or to a random place;
    then pairs that are too close are pushed apart by the soft repulsion.

    Parameters
    ----------
    count : int or (int, int) or None
        How many, or the window from which the number is drawn; 1 when neither this nor ``fraction`` is given.
    fraction : float or (float, float) or None
        The same as a fraction of the number of atoms.
    symbol : str or None
        The element; None: that of an atom of the structure, drawn for each.
    site : {"hole", "random"}
        "random" takes the first of 200 random places that is two contact radii away from all atoms, or else
        the best of them.
    min_distance : float, mapping or None
        In Å, also as a table of pairs; None: 0.8 times the sum of the contact radii, or 0.85 times the
        structure's own shortest bonds where these are less.

    Raises
    ------
    ValueError
        At construction, for an empty window, what is no element, no site or no distance.
    """

    def __init__(
        self,
        count: CountWindow | None = None,
        *,
        fraction: Window | None = None,
        symbol: str | None = None,
        site: str = "hole",
        min_distance: MinDistanceSpec = None,
    ) -> None:
        if site not in ("hole", "random"):
            raise ValueError(f"site must be 'hole' or 'random', got {site!r}")
        self.amount, self.symbol, self.site = _Amount(count, fraction), _checked_symbol(symbol), site
        self.min_distance = checked_distance(min_distance)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a copy with interstitials, the last atoms; ``info['n_interstitials']`` has their number.

        Raises
        ------
        ValueError
            When there are no atoms, no cell for random places, or no hole.
        RuntimeError
            When close pairs stay.
        """
        own = atoms.get_chemical_symbols()
        if not own:
            raise ValueError("there are no atoms between which to place an interstitial")
        crowded = atoms.copy()
        number = self.amount.draw(len(atoms), rng)
        for _ in range(number):
            symbol = self.symbol or own[int(rng.integers(len(own)))]
            place = self._hole(crowded, rng) if self.site == "hole" else self._random(crowded, symbol, rng)
            crowded += Atoms(symbol, positions=[place])
        relaxed = parted(crowded, atoms, self.min_distance, fraction=0.8)
        if relaxed is None:
            raise RuntimeError(
                f"{number} interstitials in {atoms.get_chemical_formula()} could not be parted from the "
                "atoms around; add fewer, lower min_distance, or make the cell larger"
            )
        return noted(relaxed, "Interstitials", n_interstitials=number)

    @staticmethod
    def _hole(atoms: Atoms, rng: np.random.Generator) -> NDArray[np.float64]:
        places, radii = find_holes(atoms)
        bond = 1.2 * (atoms.get_volume() / len(atoms)) ** (1 / 3) if atoms.cell.rank == 3 else math.inf
        bond = min(bond, _mean_bond(atoms))
        kept = radii < _VOID * bond
        if not kept.any():
            raise ValueError(
                f"{atoms.get_chemical_formula()} has no hole between its atoms; use site='random', or a cell "
                "that is periodic"
            )
        places, radii = places[kept], radii[kept]
        alike = np.flatnonzero(radii >= _LARGEST * radii.max())
        return np.asarray(places[alike[int(rng.integers(len(alike)))]])

    def _random(self, atoms: Atoms, symbol: str, rng: np.random.Generator) -> NDArray[np.float64]:
        if atoms.cell.rank < 3:
            raise ValueError("random places need a cell with three vectors; set one, or use site='hole'")
        places = rng.random((_PLACES, 3)) @ atoms.cell.array
        distances = nearest_distances(atoms, places)
        wanted = 2 * contact_radius(symbol)
        far = np.flatnonzero(distances >= wanted)
        return np.asarray(places[far[0] if len(far) else int(np.argmax(distances))])

    def __repr__(self) -> str:
        return f"Interstitials({self.amount!r}, site={self.site!r})"


def _mean_bond(atoms: Atoms) -> float:
    """Return the mean distance of an atom to its nearest neighbour or image, in Å; inf without any."""
    from ase.neighborlist import neighbor_list

    reach = 2.5 * max(2 * contact_radius(symbol) for symbol in set(atoms.get_chemical_symbols()))
    first, distances = neighbor_list("id", atoms, reach)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, first, distances)
    nearest = nearest[np.isfinite(nearest)]
    return float(nearest.mean()) if len(nearest) else math.inf


class Antisites(AtomsTransform):
    """Pairs of unlike atoms that change places.

    Parameters
    ----------
    count : int or (int, int) or None
        How many pairs, or the window from which the number is drawn; 1 when neither this nor ``fraction`` is
        given.
    fraction : float or (float, float) or None
        The same as a fraction of the pairs that can be exchanged; 1 exchanges all of them.

    Raises
    ------
    ValueError
        At construction, for an empty window.
    """

    def __init__(self, count: CountWindow | None = None, *, fraction: Window | None = None) -> None:
        self.amount = _Amount(count, fraction)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a copy with exchanged atoms; ``info['n_antisites']`` has the number of pairs.

        Raises
        ------
        ValueError
            For one element only, or when there are not so many pairs.
        """
        left = _by_species(atoms.numbers)
        if len(left) < 2:
            raise ValueError(
                f"{atoms.get_chemical_formula()!r} has one element: antisites need two; "
                "use Vacancies or Interstitials, or Substitute for an alloy"
            )
        most = min(len(atoms) // 2, len(atoms) - max(len(sites) for sites in left.values()))
        number = self.amount.draw(most, rng)
        if number > most:
            raise ValueError(
                f"{atoms.get_chemical_formula()} has {most} pairs of unlike atoms to exchange, asked for "
                f"{number}; ask for fewer"
            )
        changed = atoms.copy()
        numbers = changed.numbers
        for remaining in range(number, 0, -1):
            first, second = _unlike_pair(left, remaining, rng)
            numbers[first], numbers[second] = numbers[second], numbers[first]
        changed.set_atomic_numbers(numbers)
        return noted(changed, "Antisites", n_antisites=number)

    def __repr__(self) -> str:
        return f"Antisites({self.amount!r})"


def _by_species(numbers: IntArray) -> dict[int, list[int]]:
    return {int(kind): [int(i) for i in np.flatnonzero(numbers == kind)] for kind in np.unique(numbers)}


def _unlike_pair(left: dict[int, list[int]], remaining: int, rng: np.random.Generator) -> tuple[int, int]:
    """Take one pair of unlike atoms out of those left, so that ``remaining`` − 1 pairs can still be found."""
    largest = max(left, key=lambda kind: len(left[kind]))
    total = sum(len(sites) for sites in left.values())
    # when every pair needs an atom of the commonest kind, this one does too
    tight = total - len(left[largest]) <= remaining
    kinds = list(left)
    shares = np.array([len(left[kind]) for kind in kinds], dtype=np.float64)
    one = largest if tight else int(rng.choice(kinds, p=shares / shares.sum()))
    shares[kinds.index(one)] = 0.0
    other = int(rng.choice(kinds, p=shares / shares.sum()))
    first, second = (left[kind].pop(int(rng.integers(len(left[kind])))) for kind in (one, other))
    return first, second


class Substitute(AtomsTransform):
    """A random alloy on the sites of a structure.

    Parameters
    ----------
    composition : str or mapping
        A formula such as "AlNi3", or shares such as ``{"Al": 0.9, "Mg": 0.1}``; the numbers of atoms are the
        shares rounded up or down at random, so that they hold on average.
    on : str or None
        Only sites of this element; None: all.

    Raises
    ------
    ValueError
        At construction, for shares that are not positive or what is no element.

    Notes
    -----
    Cell and positions stay; follow with ``Scale`` where the elements differ in size.
    """

    def __init__(self, composition: str | Mapping[str, float], *, on: str | None = None) -> None:
        self.symbols, shares = formula_shares(composition)
        for symbol in self.symbols:
            contact_radius(symbol)  # refuses what is not an element
        self.shares = shares / shares.sum()
        self.on = _checked_symbol(on)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a copy with other elements; ``info['n_substituted']`` has the number of changed atoms.

        Raises
        ------
        ValueError
            When there are no atoms, or none of ``on``.
        """
        sites = _sites(atoms, self.on)
        edges = np.concatenate([[0.0], np.cumsum(self.shares)]) * len(sites)
        # one offset for all edges: every number is its share rounded up or down, right on average
        whole = np.floor(edges + rng.random() * (edges < len(sites) - 1e-9) * (edges > 0)).astype(np.int64)
        whole[-1] = len(sites)
        symbols = np.array(atoms.get_chemical_symbols(), dtype=object)
        before = symbols.copy()
        symbols[rng.permutation(sites)] = np.repeat(np.array(self.symbols, dtype=object), np.diff(whole))
        changed = atoms.copy()
        changed.set_chemical_symbols([str(symbol) for symbol in symbols])
        return noted(changed, "Substitute", n_substituted=int((symbols != before).sum()))

    def __repr__(self) -> str:
        parts = zip(self.symbols, self.shares, strict=True)
        return f"Substitute({', '.join(f'{symbol}: {share:.3g}' for symbol, share in parts)})"
