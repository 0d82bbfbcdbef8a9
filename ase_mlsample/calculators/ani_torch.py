"""The torch backend of the ANI ensemble: TorchANI's AEV modules and autograd, on the CPU or on CUDA."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_graph import Graph, MemberSums
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.prediction import mean_over_members

__all__ = ["TorchBackend", "import_torchani", "torchani_aev_computer"]


def import_torchani() -> Any:
    """Import TorchANI without its warning that its own compiled extensions, unused here, are missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The extensions", category=UserWarning)
        import torchani.arch
    return torchani


def torchani_aev_computer(parameters: AEVParameters) -> Any:
    """Return the `torchani.aev.AEVComputer` with these parameters."""
    import_torchani()
    from torchani.aev import AEVComputer, ANIAngular, ANIRadial

    cutoff_function = parameters.cutoff_function
    radial = ANIRadial(
        parameters.radial_eta, parameters.radial_shifts, parameters.radial_cutoff, cutoff_fn=cutoff_function
    )
    angular = ANIAngular(
        parameters.angular_eta,
        parameters.zeta,
        parameters.angular_shifts,
        parameters.sections,
        parameters.angular_cutoff,
        cutoff_fn=cutoff_function,
    )
    return AEVComputer(radial=radial, angular=angular, num_species=len(parameters.symbols))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Each pair once: atoms (P,), vectors (P, 3) from first to second, structure (P,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    vectors: NDArray[np.float64]
    frame: NDArray[np.int64]


def _half_pairs(graph: Graph, cutoff: float) -> _Pairs:
    if graph.shifts is None:
        raise ValueError("the torch backend needs the shifts of the pairs: concatenate with shifts=True")
    first = np.repeat(np.arange(len(graph.species)), np.diff(graph.first))
    second = graph.second.astype(np.int64)
    x, y, z = graph.shifts.T
    # Of an atom's images of itself, +S and −S are the same pair.
    positive = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    keep = (first < second) | ((first == second) & positive)
    keep &= np.linalg.norm(graph.vectors, axis=1) <= cutoff
    frame = np.searchsorted(graph.frame_first, first[keep], side="right") - 1
    return _Pairs(first[keep], second[keep], graph.vectors[keep], frame)


class TorchBackend:
    """TorchANI's AEV over explicit pairs, and derivatives by autograd.

    All structures are handed to TorchANI as one molecule whose pairs are ours, images included: its own
    periodic batches are not used.

    Parameters
    ----------
    model : ANIModel
        The ensemble.
    dtype : str
        "float32" or "float64", for AEV and networks; pair vectors are in double in both.
    device : str
        As torch names it.
    """

    def __init__(self, model: ANIModel, *, dtype: str, device: str) -> None:
        self._device = torch.device(device)
        self._networks = model.networks.copy(dtype=dtype, device=device).requires_grad_(False)
        self._computer = torchani_aev_computer(model.aev).to(device=self._device, dtype=self._networks.dtype)
        self._cutoff = model.aev.radial_cutoff

    def evaluate(self, graph: Graph, *, members: bool) -> MemberSums:
        """Energies of the members' mean or (`members`) of each, and the derivatives of their sums.

        Parameters
        ----------
        graph : Graph
            The structures, with the shifts of the pairs.
        members : bool
            Whether to give every member's.

        Raises
        ------
        ValueError
            If the graph has no shifts.
        """
        n_atoms, n_frames = len(graph.species), len(graph.frame_first) - 1
        displacement = torch.zeros((n_atoms, 3), dtype=torch.float64, device=self._device, requires_grad=True)
        strain = torch.zeros((n_frames, 3, 3), dtype=torch.float64, device=self._device, requires_grad=True)
        species = torch.as_tensor(graph.species, dtype=torch.long, device=self._device)
        energies = self._networks(self._aev(graph, species, displacement, strain), species)
        wanted = energies.sum(1) if members else energies.mean(0).sum().unsqueeze(0)
        gradients, virials = [], []
        for index, energy in enumerate(wanted):
            parts = torch.autograd.grad(
                energy, (displacement, strain), retain_graph=index + 1 < len(wanted), materialize_grads=True
            )
            gradients.append(parts[0])
            virials.append(parts[1])
        values = energies.detach().double().cpu().numpy()
        return MemberSums(
            values if members else mean_over_members(values)[np.newaxis],
            torch.stack(gradients).cpu().numpy(),
            torch.stack(virials).cpu().numpy(),
        )

    def _aev(self, graph: Graph, species: Tensor, displacement: Tensor, strain: Tensor) -> Tensor:
        from torchani.neighbors import Neighbors

        pairs = _half_pairs(graph, self._cutoff)
        indices = torch.as_tensor(np.stack([pairs.first, pairs.second]), device=self._device)
        vectors = torch.as_tensor(pairs.vectors, device=self._device)
        frame = torch.as_tensor(pairs.frame, device=self._device)
        vectors = vectors + displacement[indices[1]] - displacement[indices[0]]
        vectors = vectors + (strain[frame] @ vectors.unsqueeze(-1)).squeeze(-1)
        dtype = self._networks.dtype
        # TorchANI's difference vectors point from the second atom to the first.
        neighbors = Neighbors(indices, vectors.norm(dim=-1).to(dtype), (-vectors).to(dtype))
        coordinates = vectors.new_zeros((1, len(species), 3), dtype=dtype)
        aev: Tensor = self._computer.compute_from_neighbors(species.unsqueeze(0), coordinates, neighbors)
        return aev.squeeze(0)
