"""A neighbour list that a collective variable keeps from one structure to the next."""

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["Graph", "Neighbors"]


class Graph(NamedTuple):
    """Pairs nearer than a cutoff, periodic images included, both directions, in one fixed order."""

    first: NDArray[np.int64]  # (N+1,): the edges of atom i are first[i]:first[i + 1]
    second: NDArray[np.int32]  # (E,) neighbours
    vectors: NDArray[np.float64]  # (E, 3) from an atom to its neighbour, Å
    distances: NDArray[np.float64]  # (E,) Å


class Neighbors:
    """Compiled neighbour list with a skin; what it gives does not depend on how old it is.

    Copies and pickles start with a list of their own.

    Parameters
    ----------
    cutoff : float, Å
    skin : float, Å
        How much further neighbours are remembered, so that they need not be searched at every step.
    """

    def __init__(self, cutoff: float, skin: float = 1.0) -> None:
        self.cutoff, self.skin = float(cutoff), float(skin)
        self._build()

    def graph(self, atoms: Atoms) -> Graph:
        """Pairs of a structure; the arrays are the caller's own.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            For positions that are no numbers, atoms on top of each other, or a periodic cell without volume.
        """
        with self._lock:
            found = self._list
            found.update(atoms.positions, atoms.cell.array, atoms.pbc)
            return Graph(found.first, found.second, found.vectors, found.distances)

    def _build(self) -> None:
        from ase_mlsample import _core

        self._list = _core.NeighborList(self.cutoff, self.skin)
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"cutoff": self.cutoff, "skin": self.skin}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()
