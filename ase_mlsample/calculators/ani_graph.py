"""Structures and their neighbours, concatenated for one evaluation of an ANI ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.calculators.structures import element_names, naming

if TYPE_CHECKING:
    from ase_mlsample._core import NeighborList

__all__ = [
    "Graph",
    "MemberSums",
    "Neighbors",
    "batches",
    "concatenate",
    "place",
    "species_index",
    "species_table",
]

_OUTSIDE = -1
#: Å; how far pairs beyond the cutoff are kept as candidates, so that dynamics seldom searches anew.
_SKIN = 0.5


@dataclass(frozen=True, slots=True)
class Graph:
    """S concatenated structures, N atoms, E directed edges.

    Parameters
    ----------
    numbers, species : arrays
        (N,) atomic numbers, int64, and species indices, int32.
    first : array
        (N + 1,) int64; edges first[i] to first[i + 1] leave atom i.
    second : array
        (E,) int32, the atom at the end of an edge, in global numbering.
    vectors : array
        (E, 3) Å, from the first atom to (the image of) the second.
    frame_first : array
        (S + 1,) int64; structure s holds the atoms frame_first[s] to frame_first[s + 1].
    shifts : array or None
        (E, 3) int32, the image of the second atom in units of the cell; None where not asked for.
    """

    numbers: NDArray[np.int64]
    species: NDArray[np.int32]
    first: NDArray[np.int64]
    second: NDArray[np.int32]
    vectors: NDArray[np.float64]
    frame_first: NDArray[np.int64]
    shifts: NDArray[np.int32] | None


@dataclass(frozen=True, slots=True)
class MemberSums:
    """What a backend yields for a graph, in units of the networks' output.

    Parameters
    ----------
    energies : array
        (m, N) atomic energies of each member, or of their mean (m = 1).
    gradient : array
        (m, N, 3) derivative of the sums of these energies by the positions.
    virial : array
        (m, S, 3, 3) derivative by the strain of each structure.
    """

    energies: NDArray[np.float64]
    gradient: NDArray[np.float64]
    virial: NDArray[np.float64]


class Neighbors(NamedTuple):
    """Lists that one structure after another is placed in.

    Parameters
    ----------
    all : NeighborList
        A `_core.NeighborList` as long as the model.
    close : NeighborList or None
        One as long as the repulsion, if its pairs are to be found by themselves.
    """

    all: NeighborList
    close: NeighborList | None

    @classmethod
    def within(cls, cutoff: float, close: float | None) -> Neighbors:
        """Return lists of these ranges, Å."""
        from ase_mlsample import _core

        of_the_close = None if close is None else _core.NeighborList(close, _SKIN)
        return cls(_core.NeighborList(cutoff, _SKIN), of_the_close)


def species_table(symbols: Sequence[str]) -> NDArray[np.int32]:
    """Map atomic numbers to species indices, −1 for elements that are not among the symbols.

    The first and the last entry are no element's: numbers beyond the range are clipped to them.
    """
    table = np.full(len(atomic_numbers) + 1, _OUTSIDE, dtype=np.int32)
    table[[atomic_numbers[symbol] for symbol in symbols]] = np.arange(len(symbols))
    return table


def species_index(atoms: Atoms, table: NDArray[np.int32], symbols: Sequence[str]) -> NDArray[np.int32]:
    """Species indices of the atoms.

    Raises
    ------
    ValueError
        Naming the elements that the model does not know, and those it does.
    """
    species: NDArray[np.int32] = table.take(atoms.numbers, mode="clip")
    if species.min(initial=0) < 0:
        raise ValueError(
            f"the model does not know {element_names(atoms.numbers[species < 0])}; it was made for "
            f"{', '.join(symbols)}: train one for these elements or leave such atoms out"
        )
    return species


def place(
    atoms: Atoms, neighbors: NeighborList, table: NDArray[np.int32], symbols: Sequence[str]
) -> NDArray[np.int32]:
    """Species indices of a structure, and the neighbour list told where its atoms are.

    Parameters
    ----------
    atoms : Atoms
        Any structure.
    neighbors : NeighborList
        A `_core.NeighborList`; it finds the pairs when they are asked for.
    table, symbols : array and sequence of str
        As for `species_index`.

    Raises
    ------
    ValueError
        For unknown elements and for positions and cells that cannot be.
    """
    species = species_index(atoms, table, symbols)
    neighbors.place(atoms.positions, atoms.cell.array, atoms.pbc)
    return species


def batches(frames: Sequence[Atoms], batch_atoms: int) -> Iterator[list[Atoms]]:
    """Cut structures into runs of at most so many atoms, or of one structure."""
    batch: list[Atoms] = []
    size = 0
    for atoms in frames:
        if batch and size + len(atoms) > batch_atoms:
            yield batch
            batch, size = [], 0
        batch.append(atoms)
        size += len(atoms)
    if batch:
        yield batch


def concatenate(
    frames: Sequence[Atoms],
    neighbors: NeighborList,
    table: NDArray[np.int32],
    symbols: Sequence[str],
    *,
    shifts: bool = False,
    start: int | None = None,
) -> Graph:
    """Find the neighbours of every structure and join them all.

    Parameters
    ----------
    frames : sequence of Atoms
        Structures of any size, cell and periodicity.
    neighbors : NeighborList
        A `_core.NeighborList`, updated for each structure in turn.
    table, symbols : array and sequence of str
        As for `species_index`.
    shifts : bool
        Whether the images of the second atoms are needed.
    start : int or None
        Number of the first structure, for messages; None: there is only one to speak of.

    Raises
    ------
    ValueError
        For unknown elements and for positions that cannot be.
    """
    parts = []
    for index, atoms in enumerate(frames):
        with naming(None if start is None else start + index, atoms):
            parts.append(_graph(atoms, neighbors, table, symbols, shifts=shifts))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _graph(
    atoms: Atoms, neighbors: NeighborList, table: NDArray[np.int32], symbols: Sequence[str], *, shifts: bool
) -> Graph:
    species = place(atoms, neighbors, table, symbols)
    return Graph(
        numbers=np.asarray(atoms.numbers, dtype=np.int64),
        species=species,
        first=neighbors.first,
        second=neighbors.second,
        vectors=neighbors.vectors,
        frame_first=np.array([0, len(atoms)], dtype=np.int64),
        shifts=neighbors.shifts if shifts else None,
    )


def _joined(parts: Sequence[Graph]) -> Graph:
    atoms = np.cumsum([0] + [len(part.numbers) for part in parts])
    edges = np.cumsum([0] + [len(part.second) for part in parts])
    first = [part.first[:-1] + edge for part, edge in zip(parts, edges, strict=False)]
    second = [part.second + np.int32(atom) for part, atom in zip(parts, atoms, strict=False)]
    shifts = [part.shifts for part in parts if part.shifts is not None]
    return Graph(
        numbers=np.concatenate([part.numbers for part in parts]),
        species=np.concatenate([part.species for part in parts]),
        first=np.concatenate([*first, edges[-1:]]),
        second=np.concatenate(second),
        vectors=np.concatenate([part.vectors for part in parts]),
        frame_first=atoms.astype(np.int64),
        shifts=np.concatenate(shifts) if shifts else None,
    )
