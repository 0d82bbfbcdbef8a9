"""What the compiled kernels of all ensembles are called by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.ani_graph import Graph, MemberSums

if TYPE_CHECKING:
    from ase_mlsample._core import NeighborList

__all__ = ["CompiledBackend"]

_Sums = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class CompiledBackend:
    """Energies, gradients and virials of all members or of their mean from the compiled kernels, on the CPU.

    Parameters
    ----------
    kernel : callable
        Takes species and edges, or species and a neighbour list, and the keyword `mean`.
    """

    def __init__(self, kernel: Callable[..., _Sums]) -> None:
        self._kernel = kernel

    def evaluate(self, graph: Graph, *, members: bool) -> MemberSums:
        """Energies of the members' mean or (`members`) of each, and the derivatives of their sums.

        Parameters
        ----------
        graph : Graph
            The structures.
        members : bool
            Whether to give every member's.
        """
        edges = (graph.first, graph.second, graph.vectors, graph.frame_first)
        return MemberSums(*self._kernel(graph.species, *edges, mean=not members))

    def evaluate_placed(
        self, species: NDArray[np.int32], neighbors: NeighborList, *, members: bool
    ) -> MemberSums:
        """The same for one structure, whose pairs are found on the way and never all held at once.

        Parameters
        ----------
        species : (N,) array
            Species indices.
        neighbors : NeighborList
            A list that was told where the atoms are.
        members : bool
            As for `evaluate`.
        """
        return MemberSums(*self._kernel(species, neighbors, mean=not members))
