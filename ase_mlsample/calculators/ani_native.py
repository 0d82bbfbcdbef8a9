"""The native backend of the ANI ensemble: compiled AEV kernels around torch networks on the CPU."""

from __future__ import annotations

import numpy as np
import torch

from ase_mlsample.calculators.ani_graph import Graph, MemberSums
from ase_mlsample.calculators.ani_model import ANIModel

__all__ = ["NativeBackend"]


class NativeBackend:
    """Forward kernel, all networks in one batch, one sweep back for the mean or for all members.

    Parameters
    ----------
    model : ANIModel
        The ensemble.
    dtype : str
        "float32" or "float64", for AEV and networks; distances and sums are in double in both.
    """

    def __init__(self, model: ANIModel, *, dtype: str) -> None:
        self._double = dtype == "float64"
        self._kernel = model.aev.kernel()
        self._networks = model.networks.copy(dtype=dtype, device="cpu").requires_grad_(False)

    def evaluate(self, graph: Graph, *, members: bool) -> MemberSums:
        """Energies of all members, and the derivatives of their mean or (`members`) of each.

        Parameters
        ----------
        graph : Graph
            The structures.
        members : bool
            Whether to give every member's derivatives.
        """
        edges = (graph.species, graph.first, graph.second, graph.vectors)
        aev = torch.from_numpy(self._kernel.forward(*edges, double=self._double))
        species = torch.from_numpy(graph.species.astype(np.int64))
        energies, by_aev = self._networks.energies_and_gradient(aev, species, mean=not members)
        gradient, virial = self._kernel.gradient(*edges, by_aev.contiguous().numpy(), graph.frame_first)
        return MemberSums(energies.double().numpy(), gradient, virial)
