"""The native backend of the ANI ensemble: compiled AEV, networks and sweep back, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ase_mlsample import _core
from ase_mlsample.calculators.ani_graph import Graph, MemberSums
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["NativeBackend", "compiled_networks", "weight_arrays"]


def weight_arrays(networks: MemberNetworks) -> list[tuple[list[NDArray[Any]], list[NDArray[Any]]]]:
    """For each element the weights and the biases of its layers, as the compiled networks take them."""

    def arrays(tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
        return [np.ascontiguousarray(tensor.numpy(force=True)) for tensor in tensors]

    return [(arrays(weights), arrays(biases)) for weights, biases in networks.layers().values()]


def compiled_networks(networks: MemberNetworks) -> _core.Networks:
    """Copy the weights of all members and elements into the compiled kernels, in the networks' dtype."""
    return _core.Networks(networks.activation, weight_arrays(networks))


class NativeBackend:
    """AEVs, all members' networks and one sweep back for the mean or for all members, block by block.

    Parameters
    ----------
    model : ANIModel
        The ensemble; its weights are copied.
    dtype : str
        "float32" or "float64", for AEV and networks; distances and sums are in double in both.
    """

    def __init__(self, model: ANIModel, *, dtype: str) -> None:
        self._kernel = model.aev.kernel()
        self._networks = compiled_networks(model.networks.copy(dtype=dtype))

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
        return MemberSums(
            *_core.evaluate_ani(self._kernel, self._networks, graph.species, *edges, mean=not members)
        )

    def evaluate_placed(
        self, species: NDArray[np.int32], neighbors: _core.NeighborList, *, members: bool
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
        return MemberSums(
            *_core.evaluate_ani(self._kernel, self._networks, species, neighbors, mean=not members)
        )
