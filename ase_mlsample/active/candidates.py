"""Frames that may be worth a label, from the trajectory that found them to the choice of what to label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.active.descriptors import describe
from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.select import DUPLICATE

__all__ = ["Candidate", "CandidatePool"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(eq=False)
class Candidate:
    """A frame, and what is known of it.

    Attributes
    ----------
    atoms : the frame, with its arrays.
    generation : that it belongs to; the model of the one before proposed it.
    judged_by : newest generation whose model has found it uncertain.
    audited : taken though its model was certain of it; such a frame is not judged again.
    name : hash of the structure.
    """

    atoms: Atoms
    generation: int
    judged_by: int
    audited: bool = False
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = structure_hash(self.atoms)

    @property
    def proposed_by(self) -> int:
        """Generation of the model that proposed it."""
        return self.generation - 1


class CandidatePool:
    """Candidates, of which the most novel is taken next.

    Kept in memory alone: trajectories lie in the store of results, and what was chosen in the ledger, so that
    a run that goes on fills it again.

    Parameters
    ----------
    elements : of the run.
    known : blocks of descriptors of the structures that are chosen already.
    names : their hashes.
    strategy : "novelty", or "random".
    rng : for the random strategy.
    """

    def __init__(
        self,
        elements: Sequence[str],
        *,
        known: Iterable[Array],
        names: Iterable[str],
        strategy: str,
        rng: np.random.Generator,
    ) -> None:
        self.elements = elements
        self.strategy, self.rng = strategy, rng
        self._known = _Known(known)
        self._seen = set(names)
        self._members: list[Candidate] = []
        # of each member: descriptor, and square of its distance to the nearest chosen structure
        self._points: Array = np.empty((0, 0))
        self._distances: Array = np.empty(0)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Take in candidates that were not here before."""
        new = []
        for candidate in candidates:
            if candidate.name not in self._seen:
                self._seen.add(candidate.name)
                new.append(candidate)
        if not new:
            return
        points = describe([candidate.atoms for candidate in new], self.elements)
        start, end = len(self), len(self) + len(new)
        if end > len(self._distances):
            self._points = _grown(self._points, start, 2 * end, points.shape[1])
            self._distances = _grown(self._distances, start, 2 * end)
        self._points[start:end] = points
        self._distances[start:end] = [self._known.nearest(point) for point in points]
        self._members += new

    def outdated(self, newest: int) -> list[Candidate]:
        """Candidates of which the newest model has not said what it thinks."""
        return [one for one in self._members if not one.audited and one.judged_by < newest]

    def drop(self, candidates: Iterable[Candidate]) -> None:
        """Forget candidates for good."""
        gone = set(candidates)
        if gone:
            self._keep([number for number, one in enumerate(self._members) if one not in gone])

    def drop_stale(self, oldest: int) -> int:
        """Forget candidates proposed by models before a generation; returns how many."""
        before = len(self)
        self._keep([number for number, one in enumerate(self._members) if one.proposed_by >= oldest])
        return before - len(self)

    def ready(self, newest: int) -> int:
        """How many could be chosen now."""
        return int(self._is_ready(newest).sum())

    def choose(self, number: int, newest: int) -> list[Candidate]:
        """Take the most novel candidates, one by one, each the farthest from all that were taken before.

        Parameters
        ----------
        number : at most so many.
        newest : generation of the newest model; candidates that it was not asked about stay.
        """
        points, distances = self._points[: len(self)], self._distances[: len(self)]
        free = self._is_ready(newest)
        chosen: list[int] = []
        gone: list[int] = []
        while len(chosen) < number and free.any():
            best = self._next(distances, free)
            free[best] = False
            gone.append(best)
            if distances[best] <= DUPLICATE**2 * float(points[best] @ points[best]):
                continue  # for the model the same structure as one that was chosen
            chosen.append(best)
            self._known.add(points[best])
            apart = points - points[best]
            np.minimum(distances, np.einsum("ij,ij->i", apart, apart), out=distances)
        taken = [self._members[index] for index in chosen]
        if gone:
            self._keep(sorted(set(range(len(self))) - set(gone)))
        return taken

    def _is_ready(self, newest: int) -> Flags:
        return np.array([one.audited or one.judged_by >= newest for one in self._members], dtype=bool)

    def _next(self, distances: Array, free: Flags) -> int:
        if self.strategy == "random":
            return int(self.rng.choice(np.flatnonzero(free)))
        return int(np.argmax(np.where(free, distances, -1.0)))

    def _keep(self, indices: list[int]) -> None:
        if len(indices) == len(self):
            return
        number, first = len(indices), next((n for n, old in enumerate(indices) if n != old), len(indices))
        moved = indices[first:]
        self._points[first:number] = self._points[moved]
        self._distances[first:number] = self._distances[moved]
        self._members = [self._members[index] for index in indices]


class _Known:
    """Descriptors of chosen structures; looked through in single precision, compared in double."""

    def __init__(self, blocks: Iterable[Array]) -> None:
        found = list(blocks)
        self._points = np.concatenate(found) if found else np.empty((0, 0))
        self._number = len(self._points)
        self._rough = self._points.astype(np.float32)
        self._squares = (self._rough**2).sum(axis=1)

    def add(self, point: Array) -> None:
        """Append a descriptor."""
        number = self._number
        if number >= len(self._points):
            size, length = 2 * number + 64, len(point)
            self._points = _grown(self._points, number, size, length)
            self._rough = _grown(self._rough, number, size, length)
            self._squares = _grown(self._squares, number, size)
        self._points[number] = self._rough[number] = point
        self._squares[number] = self._rough[number] @ self._rough[number]
        self._number += 1

    def nearest(self, point: Array) -> float:
        """Square of the distance to the nearest one; infinite without any."""
        if not self._number:
            return np.inf
        rough = point.astype(np.float32)
        squares = self._squares[: self._number] - 2 * (self._rough[: self._number] @ rough)
        apart = point - self._points[int(np.argmin(squares))]
        return float(apart @ apart)


def _grown(array: NDArray[Any], number: int, size: int, *shape: int) -> NDArray[Any]:
    """A larger array with the same first rows."""
    larger = np.empty((size, *shape), dtype=array.dtype)
    if number:
        larger[:number] = array[:number]
    return larger
