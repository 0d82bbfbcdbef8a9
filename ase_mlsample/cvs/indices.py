"""Indices of atoms that collective variables are made of."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["checked_indices", "require_atoms"]


def checked_indices(indices: Sequence[int], what: str) -> NDArray[np.int64]:
    """Indices of different atoms as an array.

    Parameters
    ----------
    indices : sequence of int
    what : str
        What they are for; starts the message.

    Raises
    ------
    ValueError
        If there are none, or they are no whole numbers, negative or repeated.
    """
    listed = np.asarray(indices)
    if listed.ndim != 1 or not len(listed) or not np.issubdtype(listed.dtype, np.integer):
        raise ValueError(f"{what}: indices of atoms are whole numbers, one at least; got {indices!r:.80}")
    if listed.min() < 0 or len(np.unique(listed)) != len(listed):
        raise ValueError(f"{what}: indices of atoms are not negative and not repeated; got {indices!r:.80}")
    return listed.astype(np.int64)


def require_atoms(indices: NDArray[np.int64], atoms: Atoms, what: str) -> None:
    """Refuse structures that lack an atom.

    Parameters
    ----------
    indices : (n,) array of int
    atoms : Atoms
    what : str
        What the atoms are for; starts the message.

    Raises
    ------
    ValueError
        If an index is beyond the last atom.
    """
    if indices.max() >= len(atoms):
        raise ValueError(
            f"{what}: there is no atom {indices.max()} among {len(atoms)} atoms (counted from 0)"
        )
