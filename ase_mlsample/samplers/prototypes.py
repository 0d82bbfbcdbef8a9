"""Crystal structures by name, and the size that an element would have in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import atomic_numbers, reference_states

from ase_mlsample.samplers.packing import contact_radius

__all__ = ["PROTOTYPES", "Prototype", "estimated_volume", "prototype"]

Vectors = tuple[tuple[float, ...], ...]

_HCP = math.sqrt(8 / 3)
_TIN = 0.55  # c/a of β-tin: Sn 0.546, Si 0.552
_SIMPLE_HEXAGONAL = 0.94  # c/a of Si V


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
    basis : tuple
        Fractional positions in the primitive cell, (n, 3).
    conventional : tuple
        Conventional cell as integer combinations of the primitive vectors, (3, 3).
    coordination : int
        Number of near neighbours that make the mean bond.
    bond : float
        Mean length of those bonds.
    synonyms : tuple of str
    """

    name: str
    spacegroup: int
    cell: Vectors
    basis: Vectors
    conventional: Vectors
    coordination: int
    bond: float
    synonyms: tuple[str, ...] = ()

    @property
    def volume(self) -> float:
        """Volume per atom at a = 1."""
        return abs(float(np.linalg.det(np.array(self.cell)))) / len(self.basis)

    def build(self, symbol: str, volume_per_atom: float, *, conventional: bool = False) -> Atoms:
        """Return the crystal of an element.

        Parameters
        ----------
        symbol : str
        volume_per_atom : float
            In Å³.
        conventional : bool
            The conventional cell instead of the primitive one.
        """
        if not 0 < volume_per_atom < math.inf:
            raise ValueError(f"volume_per_atom must be positive, got {volume_per_atom!r}; give it in Å³")
        scale = (volume_per_atom / self.volume) ** (1 / 3)
        cell = scale * np.array(self.cell)
        atoms = Atoms([symbol] * len(self.basis), cell=cell, scaled_positions=self.basis, pbc=True)
        if conventional:
            atoms = make_supercell(atoms, np.array(self.conventional))
        atoms.info = {"config_type": self.name}
        return atoms


_CUBIC: Vectors = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_FACE: Vectors = ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_FACE_CUBE: Vectors = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
_BODY: Vectors = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))
_BODY_CUBE: Vectors = ((0, 1, 1), (1, 0, 1), (1, 1, 0))
_ORIGIN: Vectors = ((0, 0, 0),)


def _hexagonal(ratio: float) -> Vectors:
    return ((1, 0, 0), (-0.5, math.sqrt(0.75), 0), (0, 0, ratio))


_ORTHO: Vectors = ((1, 0, 0), (1, 2, 0), (0, 0, 1))  # the orthorhombic cell of a hexagonal lattice

PROTOTYPES: dict[str, Prototype] = {
    one.name: one
    for one in (
        Prototype(
            "diamond",
            227,
            _FACE,
            ((0, 0, 0), (0.25, 0.25, 0.25)),
            _FACE_CUBE,
            4,
            math.sqrt(3) / 4,
            ("a4", "dia", "alpha-tin", "cubic-diamond"),
        ),
        Prototype(
            "beta-tin",
            141,
            ((-0.5, 0.5, _TIN / 2), (0.5, -0.5, _TIN / 2), (0.5, 0.5, -_TIN / 2)),
            ((0, 0, 0), (0.75, 0.25, 0.5)),
            _BODY_CUBE,
            6,
            (4 * math.sqrt(0.25 + _TIN**2 / 16) + 2 * _TIN) / 6,
            ("a5", "white-tin", "betatin"),
        ),
        Prototype(
            "fcc",
            225,
            _FACE,
            _ORIGIN,
            _FACE_CUBE,
            12,
            math.sqrt(0.5),
            ("a1", "ccp", "face-centered-cubic", "face-centred-cubic"),
        ),
        Prototype(
            "bcc",
            229,
            _BODY,
            _ORIGIN,
            _BODY_CUBE,
            8,
            math.sqrt(0.75),
            ("a2", "body-centered-cubic", "body-centred-cubic"),
        ),
        Prototype(
            "hcp",
            194,
            _hexagonal(_HCP),
            ((1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)),
            _ORTHO,
            12,
            1.0,
            ("a3", "hexagonal-close-packed"),
        ),
        Prototype("sc", 221, _CUBIC, _ORIGIN, _CUBIC, 6, 1.0, ("ah", "simple-cubic", "cubic")),
        Prototype(
            "simple-hexagonal",
            191,
            _hexagonal(_SIMPLE_HEXAGONAL),
            _ORIGIN,
            _ORTHO,
            8,
            (6 + 2 * _SIMPLE_HEXAGONAL) / 8,
            ("af", "sh", "hexagonal"),
        ),
    )
}
_NAMES = {alias: one.name for one in PROTOTYPES.values() for alias in (one.name, *one.synonyms)}


def prototype(name: str) -> Prototype:
    """Return a prototype by name: case, blanks and underscores do not matter, "β" is "beta", synonyms work.

    Raises
    ------
    ValueError
        For a name that is not known, with those that are.
    """
    key = name.strip().lower().replace("β", "beta-").replace("α", "alpha-")
    key = "-".join(key.replace("_", " ").replace("-", " ").split()).replace("-sn", "-tin")
    if key not in _NAMES:
        raise ValueError(
            f"no prototype is called {name!r}; known are {', '.join(PROTOTYPES)}, "
            "and any other crystal can be given as Atoms"
        )
    return PROTOTYPES[_NAMES[key]]


# Bond lengths relative to twelve neighbours [V. M. Goldschmidt, Z. Phys. Chem. 133, 397 (1928)].
_CONTRACTION = {12: 1.0, 8: 0.97, 6: 0.96, 4: 0.88}


def estimated_volume(kind: Prototype, symbol: str) -> float:
    """Estimate the volume per atom (Å³) of an element in a structure type.

    The bond for twelve neighbours comes from the element's own crystal at ambient conditions where that is
    one of the prototypes (ASE's table), else from the covalent radius, taken as the bond of four neighbours;
    bonds for other coordinations by Goldschmidt's contraction. Good to about 10 % in volume for the elements
    that have an own crystal in the table: a starting point for a window, not a prediction.
    """
    reference = _own_crystal(symbol)
    if reference is None:
        bond = 2 * contact_radius(symbol) / _CONTRACTION[4]
    else:
        own, volume = reference
        bond = own.bond * (volume / own.volume) ** (1 / 3) / _CONTRACTION[own.coordination]
    scale = bond * _CONTRACTION[kind.coordination] / kind.bond
    return kind.volume * scale**3


def _own_crystal(symbol: str) -> tuple[Prototype, float] | None:
    """Return the type and volume per atom of the element's crystal in ASE's table, None where unsuited."""
    contact_radius(symbol)  # refuses what is not an element
    state = reference_states[atomic_numbers[symbol]] or {}
    kind, a = state.get("symmetry"), float(state.get("a", 0.0))
    if kind in ("fcc", "bcc", "diamond", "sc"):
        return PROTOTYPES[kind], PROTOTYPES[kind].volume * a**3
    if kind == "hcp":
        return PROTOTYPES["hcp"], math.sqrt(3) / 4 * float(state["c/a"]) * a**3
    if kind == "bct":  # indium is a stretched fcc with two atoms, tin is β-tin with four
        if state.get("basis") is None:
            return PROTOTYPES["fcc"], float(state["c/a"]) * a**3 / 2
        return PROTOTYPES["beta-tin"], float(state["c/a"]) * a**3 / 4
    return None
