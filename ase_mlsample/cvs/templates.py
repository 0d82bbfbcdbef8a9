"""Environments of atoms in a crystal: which neighbours stand where, found from the crystal itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

__all__ = ["Template", "find_templates"]

_Array = NDArray[np.float64]

_LOOK_AT = 20  # neighbours among which the largest gap is looked for: bcc's is after 14
_FARTHEST = 60.0  # Å; with no more neighbours by then there are no more
_SAME_SHELL = 1e-3  # Å


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Where an atom of a crystal has which neighbours.

    Parameters
    ----------
    center : str
        Symbol of the atom in the middle.
    symbols : sequence of n str
        Symbols of its neighbours.
    positions : (n, 3) array, Å
        Vectors from the atom to them.

    Raises
    ------
    KeyError
        For symbols that are no elements'.
    ValueError
        For no neighbours, vectors that are not finite, or a neighbour on the atom itself or on another.
    """

    center: str
    symbols: Sequence[str]
    positions: _Array

    def __post_init__(self) -> None:
        positions = np.array(self.positions, dtype=float)
        symbols = tuple(self.symbols)
        for symbol in (self.center, *symbols):
            if symbol not in atomic_numbers or symbol == "X":
                raise KeyError(f"{symbol!r} is not a chemical symbol")
        if not symbols or positions.shape != (len(symbols), 3) or not np.isfinite(positions).all():
            raise ValueError(
                "a template takes the finite vectors (n, 3) to its n >= 1 neighbours; "
                f"{len(symbols)} symbols came with an array of shape {positions.shape}"
            )
        places = np.vstack([np.zeros(3), positions])
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1)[np.triu_indices(len(places), 1)]
        if apart.min() < _SAME_SHELL:
            raise ValueError(f"two atoms of a template are on top of each other: {positions.tolist()}")
        positions.setflags(write=False)
        object.__setattr__(self, "symbols", symbols)
        object.__setattr__(self, "positions", positions)

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def radius(self) -> float:
        """Distance of the farthest neighbour, Å."""
        return float(np.linalg.norm(self.positions, axis=1).max())

    def matches(self, other: Template, *, tolerance: float = 0.05) -> bool:
        """Whether both have the same neighbours in the same places.

        Parameters
        ----------
        other : Template
        tolerance : float, Å
            How far apart places may be that are taken for the same.
        """
        if self.center != other.center or sorted(self.symbols) != sorted(other.symbols):
            return False
        apart = np.linalg.norm(self.positions[:, None] - other.positions[None], axis=-1)
        same = np.array(self.symbols)[:, None] == np.array(other.symbols)[None]
        near = (apart <= tolerance) & same
        nearest = np.where(same, apart, np.inf).argmin(axis=1)
        return bool(near.any(axis=1).all()) and len(set(nearest.tolist())) == len(self)

    def todict(self) -> dict[str, Any]:
        """Plain values, from which ``Template(**...)`` makes the same."""
        return {"center": self.center, "symbols": list(self.symbols), "positions": self.positions.tolist()}

    def __repr__(self) -> str:
        counts = {s: self.symbols.count(s) for s in dict.fromkeys(self.symbols)}
        shown = ", ".join(f"{n} {s}" for s, n in counts.items())
        return f"<Template {self.center}: {shown} within {self.radius:.3f} Å>"


def find_templates(
    crystal: Atoms,
    *,
    n_neighbors: int | None = None,
    shell_radius: float | None = None,
    tolerance: float = 0.05,
) -> list[Template]:
    """Distinct environments of a crystal's atoms, in its own orientation.

    Atoms whose neighbours stand in the same directions share a template: cubic diamond has two of four
    neighbours, fcc one of twelve, bcc one of fourteen (eight and six), simple cubic one of six, hcp two of
    twelve. Neighbours are those before the largest relative gap among the distances to the nearest twenty,
    unless a number or a radius is given.

    Parameters
    ----------
    crystal : Atoms
        Any cell of the crystal, primitive too, turned as it stands in the structures to be looked at.
    n_neighbors : int, optional
        How many nearest neighbours make an environment.
    shell_radius : float, Å, optional
        Neighbours closer than this make an environment.
    tolerance : float, Å
        Environments whose neighbours differ by less are one.

    Returns
    -------
    list of Template
        In the order of the crystal's atoms.

    Raises
    ------
    ValueError
        If the crystal is not periodic, if both a number and a radius are given, or if they part neighbours
        at equal distances or leave an atom without any.

    Examples
    --------
    >>> from ase.build import bulk
    >>> find_templates(bulk("Si", a=5.431))
    [<Template Si: 4 Si within 2.352 Å>, <Template Si: 4 Si within 2.352 Å>]
    """
    if n_neighbors is not None and shell_radius is not None:
        raise ValueError("give n_neighbors or shell_radius to say which neighbours count, not both")
    if len(crystal) == 0 or not crystal.pbc.any():
        raise ValueError(
            f"environments are those of a periodic crystal; {crystal!r} is none: set its cell and pbc, or "
            "give templates of your own"
        )
    wanted = _LOOK_AT if n_neighbors is None else n_neighbors
    if wanted < 1:
        raise ValueError(f"n_neighbors = {n_neighbors!r}: an environment needs at least one neighbour")
    templates: list[Template] = []
    for index, (others, vectors) in enumerate(_neighborhoods(crystal, wanted, shell_radius)):
        distances = np.linalg.norm(vectors, axis=1)
        size = _shell_size(distances, index, n_neighbors, shell_radius)
        names = [chemical_symbols[z] for z in crystal.numbers[others[:size]].tolist()]
        found = Template(str(crystal.symbols[index]), names, vectors[:size])
        if not any(found.matches(known, tolerance=tolerance) for known in templates):
            templates.append(found)
    return templates


def _shell_size(distances: _Array, index: int, n_neighbors: int | None, shell_radius: float | None) -> int:
    if shell_radius is not None:
        size = int((distances < shell_radius).sum())
        if size == 0:
            raise ValueError(f"atom {index} has no neighbour within shell_radius = {shell_radius} Å")
        return size
    if n_neighbors is None:
        gaps = distances[1 : _LOOK_AT + 1] / distances[:_LOOK_AT]
        return int(np.argmax(gaps > gaps.max() * (1 - 1e-6))) + 1
    if distances[n_neighbors] - distances[n_neighbors - 1] < _SAME_SHELL:
        near = distances[n_neighbors - 1]
        sizes = [int((distances < near - _SAME_SHELL).sum()), int((distances < near + _SAME_SHELL).sum())]
        raise ValueError(
            f"n_neighbors = {n_neighbors} parts neighbours of atom {index} that are all {near:.3f} Å away; "
            f"{' or '.join(str(n) for n in sizes if n)} would be whole shells"
        )
    return n_neighbors


def _neighborhoods(
    crystal: Atoms, wanted: int, shell_radius: float | None
) -> Iterable[tuple[NDArray[np.int32], _Array]]:
    """Neighbours of each atom and vectors to them, nearest first, more than `wanted` or up to the radius."""
    from ase_mlsample import _core

    radius = 5.0 if shell_radius is None else shell_radius
    while True:
        pairs = _core.NeighborList(radius)
        pairs.update(crystal.positions, crystal.cell.array, crystal.pbc)
        if shell_radius is not None or np.diff(pairs.first).min() > wanted:
            break
        radius *= 1.25
        if radius > _FARTHEST:
            raise ValueError(
                f"the crystal has no {wanted + 1} neighbours within {_FARTHEST:.0f} Å of every atom; is its "
                "cell in Å and periodic in the directions meant?"
            )
    for begin, end in zip(pairs.first[:-1].tolist(), pairs.first[1:].tolist(), strict=True):
        order = begin + np.argsort(np.round(pairs.distances[begin:end], 6), kind="stable")
        yield pairs.second[order], pairs.vectors[order]
