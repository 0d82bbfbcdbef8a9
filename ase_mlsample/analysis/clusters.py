"""Clusters of crystalline atoms: which atoms hang together, how large they are, how often a size occurs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["Clusters", "SizeDistribution", "find_clusters", "size_distribution"]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters of one structure.

    Attributes
    ----------
    labels : (N,) int array
        Cluster of each atom: 1 for the largest, 2 for the next one, …, 0 for atoms of none. Of two clusters
        of one size that with the atom of lower index comes first.
    sizes : (C,) int array
        Atoms in each, the largest first.
    """

    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def largest(self) -> int:
        """Atoms in the largest cluster, 0 if there is none."""
        return int(self.sizes[0]) if len(self.sizes) else 0

    def members(self, label: int = 1) -> NDArray[np.int64]:
        """Indices of the atoms of a cluster.

        Parameters
        ----------
        label : int
            1 for the largest.

        Raises
        ------
        KeyError
            If there is no such cluster.
        """
        if not 1 <= label <= len(self.sizes):
            raise KeyError(f"cluster {label} is not among the {len(self.sizes)} of this structure")
        return np.flatnonzero(self.labels == label)

    def annotate(self, atoms: Atoms) -> None:
        """Write the labels to ``atoms.arrays["cluster"]``, where the ASE GUI can colour by them.

        Parameters
        ----------
        atoms : Atoms
            The structure that was analysed.

        Raises
        ------
        ValueError
            If it has another number of atoms.
        """
        if len(atoms) != len(self.labels):
            raise ValueError(f"labels of {len(self.labels)} atoms do not belong to {len(atoms)} atoms")
        atoms.set_array("cluster", self.labels)


@dataclass(frozen=True, slots=True)
class SizeDistribution:
    """How many clusters of each size a structure has on average.

    Attributes
    ----------
    size : (S,) int array
        Sizes that occur, rising.
    number : (S,) array
        Mean number N_n of clusters of that size in a structure. In a structure of N atoms,
        F(n) = −k_B T ln(N_n/N) is the free energy of a cluster of n atoms.
    frames : int
        Structures that were counted.
    """

    size: NDArray[np.int64]
    number: NDArray[np.float64]
    frames: int


def find_clusters(atoms: Atoms, values: ArrayLike, *, cutoff: float, threshold: float = 0.5) -> Clusters:
    """Connected groups of atoms whose value is above a threshold.

    Two such atoms are connected when they, or periodic images of them, are closer than the cutoff.

    Parameters
    ----------
    atoms : Atoms
        N atoms in any cell.
    values : (N,) array or str
        Such as the crystallinity of each atom, or the name of an array of the atoms that holds it.
    cutoff : float, Å
        How far apart neighbours may be; the first minimum of the crystal's g(r) separates bonds well.
    threshold : float
        Atoms with a larger value are crystalline.

    Returns
    -------
    Clusters

    Raises
    ------
    KeyError
        If the atoms have no array of that name.
    ValueError
        For values that are not one finite number an atom, a cutoff that is no positive length, or positions
        that are no numbers.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu", cubic=True) * 4
    >>> find_clusters(atoms, atoms.positions[:, 0] < 7.0, cutoff=3.0).largest
    128
    """
    from ase_mlsample import _core

    inside = np.flatnonzero(_checked_values(atoms, values) > threshold)
    pairs = _core.NeighborList(cutoff)
    pairs.update(atoms.positions[inside], atoms.cell.array, atoms.pbc)
    n = len(inside)
    centers = np.repeat(np.arange(n), np.diff(pairs.first))
    graph = coo_array((np.ones(len(centers), dtype=np.int8), (centers, pairs.second)), shape=(n, n))
    count, found = connected_components(graph, directed=False)
    sizes = np.bincount(found, minlength=count).astype(np.int64)
    first_atom = np.full(count, n)
    np.minimum.at(first_atom, found, np.arange(n))
    order = np.lexsort((first_atom, -sizes))
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(1, count + 1)
    labels = np.zeros(len(atoms), dtype=np.int64)
    labels[inside] = rank[found]
    return Clusters(labels, sizes[order])


def size_distribution(clusters: Iterable[Clusters]) -> SizeDistribution:
    """Mean number of clusters of each size over structures.

    Parameters
    ----------
    clusters : iterable of Clusters
        One for each structure.

    Returns
    -------
    SizeDistribution

    Raises
    ------
    ValueError
        If there are no structures.
    """
    sizes = [one.sizes for one in clusters]
    if not sizes:
        raise ValueError("a size distribution needs the clusters of one structure at least")
    size, count = np.unique(np.concatenate(sizes), return_counts=True)
    return SizeDistribution(size, count / len(sizes), len(sizes))


def _checked_values(atoms: Atoms, values: ArrayLike) -> NDArray[np.float64]:
    if isinstance(values, str):
        if values not in atoms.arrays:
            raise KeyError(f"the atoms have no array {values!r}, only {', '.join(sorted(atoms.arrays))}")
        values = atoms.arrays[values]
    found = np.asarray(values, dtype=float)
    if found.shape != (len(atoms),) or not np.isfinite(found).all():
        raise ValueError(
            f"values must be one finite number for each of the {len(atoms)} atoms, not {found.shape} "
            f"with {int((~np.isfinite(found)).sum())} that are none"
        )
    return found
