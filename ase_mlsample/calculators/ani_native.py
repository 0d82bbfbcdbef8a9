"""The native backend of the ANI ensemble: compiled AEV, networks and sweep back, on the CPU."""

from __future__ import annotations

from ase_mlsample import _core
from ase_mlsample.calculators.ani_graph import Graph, MemberSums
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["NativeBackend", "compiled_networks"]


def compiled_networks(networks: MemberNetworks) -> _core.Networks:
    """Copy the weights of all members and elements into the compiled kernels, in the networks' dtype."""
    layers = networks.copy(device="cpu").layers()
    elements = [
        ([w.numpy() for w in weights], [b.numpy() for b in biases]) for weights, biases in layers.values()
    ]
    return _core.Networks(networks.activation, elements)


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
        """Energies of all members, and the derivatives of their mean or (`members`) of each.

        Parameters
        ----------
        graph : Graph
            The structures.
        members : bool
            Whether to give every member's derivatives.
        """
        sums = _core.evaluate_ani(
            self._kernel,
            self._networks,
            graph.species,
            graph.first,
            graph.second,
            graph.vectors,
            graph.frame_first,
            mean=not members,
        )
        return MemberSums(*sums)
