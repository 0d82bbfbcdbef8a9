"""Pairs of atoms, each once, that a collective variable of long reach sums over."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from ase import Atoms

if TYPE_CHECKING:
    from ase_mlsample import _core

__all__ = ["Blocks", "HalfPairs"]

Blocks: TypeAlias = "_core.PairBlocks"


class HalfPairs:
    """Finds the pairs nearer than a cutoff, each in one direction.

    What it gives depends on the structure alone. Small structures are searched anew every time, larger
    ones by a neighbour list with a skin. Copies and pickles start with a list of their own.

    Parameters
    ----------
    cutoff : float, Å
    skin : float, Å
        How much further neighbours are remembered, so that they need not be searched at every step.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        self.cutoff, self.skin = float(cutoff), float(skin)
        self._build()

    def blocks(self, atoms: Atoms) -> Blocks:
        """Pairs of a structure, which stay as they are when other structures follow.

        Parameters
        ----------
        atoms : Atoms

        Raises
        ------
        ValueError
            Without atoms, for positions that are no numbers, atoms on top of each other, or a periodic cell
            without volume.
        """
        if len(atoms) == 0:
            raise ValueError("there are no atoms to evaluate a collective variable of")
        with self._lock:
            return self._pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)

    def _build(self) -> None:
        from ase_mlsample import _core

        self._pairs = _core.HalfPairs(self.cutoff, self.skin)
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"cutoff": self.cutoff, "skin": self.skin}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()
