"""Descriptors of a ledger's structures, computed once and kept in the ledger, handed out in blocks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.calculators.aev import AEVParameters

__all__ = ["KnownDescriptors", "describe"]

Array = NDArray[np.float64]

# structures described in one transaction: what a killed run has to describe again
_CHUNK = 2000


def describe(frames: Sequence[Atoms], elements: Sequence[str]) -> Array:
    """What an ensemble sees of structures: mean and standard deviation of the AEV over atoms of each element.

    Parameters
    ----------
    frames : S structures.
    elements : chemical symbols; those of the frames must be among them.

    Returns
    -------
    (S, 2·E·L) array
        For E elements and AEVs of length L.
    """
    from ase.data import atomic_numbers

    from ase_mlsample import _core

    parameters = AEVParameters.for_element(tuple(elements))
    kernel, cutoff = parameters.kernel(), parameters.radial_cutoff
    index = {atomic_numbers[symbol]: number for number, symbol in enumerate(elements)}
    rows = np.zeros((len(frames), 2 * len(elements), parameters.length))
    for row, atoms in zip(rows, frames, strict=True):
        pairs = _core.NeighborList(cutoff)
        pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)
        species = np.array([index[number] for number in atoms.numbers], dtype=np.int32)
        features = np.asarray(
            kernel.forward(species, pairs.first, pairs.second, pairs.vectors, double=False), dtype=float
        )
        for number in np.unique(species):
            row[2 * number] = features[species == number].mean(axis=0)
            row[2 * number + 1] = features[species == number].std(axis=0)
    return rows.reshape(len(frames), -1)


class KnownDescriptors:
    """Descriptors of all structures of a ledger.

    Parameters
    ----------
    ledger : open, and written by this process alone: what was not described yet is added to it.
    elements : of the run.
    """

    def __init__(self, ledger: Ledger, elements: Sequence[str]) -> None:
        self.ledger = ledger
        self.elements = tuple(elements)
        described = json.dumps(AEVParameters.for_element(self.elements).to_dict(), sort_keys=True)
        self.kind = hashlib.sha256(described.encode()).hexdigest()[:16]

    def blocks(self, size: int) -> Iterator[Array]:
        """Arrays (at most ``size``, D) with the descriptors of all structures."""
        self._complete()
        last = -1
        while True:
            with self.ledger._read() as connection:  # an open query would keep the writer waiting
                rows = connection.execute(
                    "SELECT row, value FROM descriptors WHERE kind = ? AND row > ? ORDER BY row LIMIT ?",
                    (self.kind, last, size),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield np.frombuffer(b"".join(value for _, value in rows)).reshape(len(rows), -1)

    def _complete(self) -> None:
        last = -1
        while missing := self._missing(last):
            values = describe([atoms for _, atoms in missing], self.elements)
            rows = [
                (row, self.kind, value.tobytes()) for (row, _), value in zip(missing, values, strict=True)
            ]
            with self.ledger._write() as connection:
                connection.executemany("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?)", rows)
            last = missing[-1][0]

    def _missing(self, last: int) -> list[tuple[int, Atoms]]:
        """The next structures after a row that are not described; every row is that of a proposal."""
        with self.ledger._read() as connection:
            rows = connection.execute(
                "SELECT s.id, s.numbers, s.positions, s.cell, s.pbc FROM systems s "
                "LEFT JOIN descriptors d ON d.row = s.id AND d.kind = ? "
                "WHERE d.row IS NULL AND s.id > ? ORDER BY s.id LIMIT ?",
                (self.kind, last, _CHUNK),
            ).fetchall()
        return [(row[0], _bare(row)) for row in rows]


def _bare(row: tuple[int, bytes, bytes, bytes, int]) -> Atoms:
    """A structure from ase.db's columns, without its keys and labels: those cost most of the time."""
    _, numbers, positions, cell, pbc = row
    return Atoms(
        np.frombuffer(numbers, "<i4"),
        positions=np.frombuffer(positions, "<f8").reshape(-1, 3),
        cell=np.frombuffer(cell, "<f8").reshape(3, 3),
        pbc=(np.array([pbc]) & np.array([1, 2, 4])).astype(bool),
    )
