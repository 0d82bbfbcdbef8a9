"""Crystal structures by name, and the size that an element or a compound would have in them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from ase.data import atomic_numbers, reference_states
from ase.formula import Formula
from scipy.optimize import brentq

from ase_mlsample.samplers.packing import contact_radius
from ase_mlsample.samplers.structure_table import PROTOTYPES
from ase_mlsample.samplers.structure_types import Prototype

__all__ = ["PROTOTYPES", "Prototype", "element_orders", "estimated_volume", "prototype"]


def _plain(name: str) -> str:
    key = name.strip().lower().replace("β", "beta-").replace("α", "alpha-").replace("ω", "omega-")
    return "-".join(key.replace("_", " ").replace("-", " ").split()).replace("-sn", "-tin")


_NAMES = {_plain(alias): one.name for one in PROTOTYPES.values() for alias in (one.name, *one.synonyms)}


def prototype(name: str) -> Prototype:
    """Return a prototype by name: case, blanks and underscores do not matter, "β" is "beta", synonyms work.

    Raises
    ------
    ValueError
        For a name that is not known, with those that are.
    """
    key = _plain(name)
    if key not in _NAMES:
        near = difflib.get_close_matches(key, _NAMES, n=1)
        hint = f" (did you mean {_NAMES[near[0]]!r}?)" if near else ""
        raise ValueError(
            f"no prototype is called {name!r}{hint}; known are {', '.join(PROTOTYPES)}, "
            "and any other crystal can be given as Atoms"
        )
    return PROTOTYPES[_NAMES[key]]


def element_orders(kind: Prototype, symbol: str | Sequence[str]) -> list[tuple[str, ...]]:
    """Return the ways to put elements on the kinds of atom of a structure type.

    Parameters
    ----------
    kind : Prototype
    symbol : str or sequence of str
        An element such as "Si", elements such as "AlNi" or ("Al", "Ni"), or a formula with numbers, "Ni3Al".

    Returns
    -------
    list of tuple of str
        Each element alone for an element's structure; for a compound's every order of as many elements, once
        where both kinds are equally many (in all such structures of the table they can be exchanged). A
        formula with numbers leaves the order of this composition only.

    Raises
    ------
    ValueError
        For what is no element, or when no order suits.
    """
    counts = Formula(symbol).count() if isinstance(symbol, str) else dict.fromkeys(symbol, 1)
    for element in counts:
        contact_radius(element)  # refuses what is not an element
    composition = list(kind.composition.values())
    if len(composition) == 1 and max(counts.values(), default=0) == 1:
        return [(element,) for element in counts]
    orders = [order for order in permutations(counts, len(composition)) if len(composition) > 1]
    if len(set(composition)) == 1:
        orders = [order for order in orders if sorted(order, key=list(counts).index) == list(order)]
    if max(counts.values(), default=0) > 1:
        wanted = {element: n // math.gcd(*counts.values()) for element, n in counts.items()}
        orders = [order for order in orders if dict(zip(order, composition, strict=True)) == wanted]
    if not orders:
        raise ValueError(
            f"{kind.name} has the composition {kind.formula}, which symbol={symbol!r} does not suit; give "
            "one element for an element's structure, two for a compound's, a formula only of this composition"
        )
    return orders


# α-tin beside the β-tin of ASE's table [J. Thewlis, A. R. Davey, Nature 174, 1011 (1954)]
_LOOSE = {"Sn": ("diamond", 6.489**3 / 8)}
_COVALENT, _METALLIC = 0.37, 0.60 / math.log(10)  # Å, how fast the valence of a bond decays


def estimated_volume(kind: Prototype, symbol: str | tuple[str, ...]) -> float:
    """Estimate the volume per atom (Å³) of an element or a compound in a structure type.

    An element keeps its valence: Σ_j exp(−r_j / b), over all neighbours of an atom, is the same in the wanted
    structure as in the element's own crystal (ASE's table), with b = 0.37 Å where that has up to six
    neighbours [I. D. Brown, D. Altermatt, Acta Cryst. B 41, 244 (1985)] and 0.6/ln 10 Å = 0.26 Å where it has
    more [L. Pauling, J. Am. Chem. Soc. 69, 542 (1947)]. Without an own crystal of a known type the covalent
    radius is the bond of four neighbours.

    In a compound every element has half the bond that it would have alone in the same structure as its
    radius, and the near neighbours, like and unlike, are on average the sum of their radii apart.

    A starting point for a window, not a prediction: other crystals of C, Si, Ge and Co are met within 5 % of
    what was measured, zincblende, wurtzite and rocksalt semiconductors within 17 %; ionic crystals and
    borides may be off by more. Where the volume is known, use that.

    Parameters
    ----------
    kind : Prototype
    symbol : str or tuple of str
        The element, or those of the kinds of atom A, B, … in this order.

    Raises
    ------
    ValueError
        For what is not an element.
    """
    elements = (symbol,) if isinstance(symbol, str) else tuple(symbol)
    for element in elements:
        contact_radius(element)  # refuses what is not an element
    if len(elements) > 1:
        return _compound_volume(kind, elements)
    reference = _own_crystal(elements[0], kind.coordination)
    if reference is None:
        diamond = PROTOTYPES["diamond"]
        bond = 2 * contact_radius(elements[0])
        reference = diamond, diamond.volume * (bond / diamond.bond) ** 3
    own, volume = reference
    decay = _COVALENT if own.coordination <= 6 else _METALLIC
    scale = (volume / own.volume) ** (1 / 3)
    valence = _log_valence(own, scale, decay)

    def excess(size: float) -> float:
        return _log_valence(kind, size, decay) - valence

    guess = scale * own.bond / kind.bond
    return kind.volume * float(brentq(excess, 0.4 * guess, 2.5 * guess)) ** 3


def _log_valence(kind: Prototype, scale: float, decay: float) -> float:
    """Return the logarithm of Σ_j exp(−r_j / b), averaged over the atoms."""
    distances = kind.neighbours[2]
    shortest = float(distances.min())
    total = float(np.exp(-(distances - shortest) * scale / decay).sum()) / len(kind.basis)
    return math.log(total) - shortest * scale / decay


def _compound_volume(kind: Prototype, elements: tuple[str, ...]) -> float:
    """Return the volume at which the near neighbours are on average the sum of their radii apart."""
    first, second, distances = kind.neighbours
    letters = np.array(list(kind.letters))
    near = distances < kind.reach * distances[letters[first] != letters[second]].min()
    radius = {
        letter: kind.bond / 2 * (estimated_volume(kind, element) / kind.volume) ** (1 / 3)
        for letter, element in zip(kind.composition, elements, strict=True)
    }
    radii = np.array([radius[letter] for letter in letters])
    bonds = (radii[first] + radii[second])[near]
    return kind.volume * float(bonds.mean() / distances[near].mean()) ** 3


def _own_crystal(symbol: str, coordination: float) -> tuple[Prototype, float] | None:
    """Return the type and volume per atom of the element's own crystal, None where unsuited.

    The open one for a coordination of up to four where an element has two.
    """
    if symbol in _LOOSE and coordination < 4.5:
        name, volume = _LOOSE[symbol]
        return PROTOTYPES[name], volume
    state = reference_states[atomic_numbers[symbol]] or {}
    kind, a = state.get("symmetry"), float(state.get("a", 0.0))
    if kind in ("fcc", "bcc", "diamond", "sc"):
        return PROTOTYPES[kind], PROTOTYPES[kind].volume * a**3
    if kind == "hcp" and state.get("basis", "") is not None:
        return PROTOTYPES["hcp"], math.sqrt(3) / 4 * float(state["c/a"]) * a**3
    if kind == "bct":  # indium is a stretched fcc with two atoms, tin is β-tin with four
        if state.get("basis") is None:
            return PROTOTYPES["bct"], float(state["c/a"]) * a**3 / 2
        return PROTOTYPES["beta-tin"], float(state["c/a"]) * a**3 / 4
    return None
