"""The torch backend of the Deep Potential: its definition, and autograd, on the CPU or on CUDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ase_mlsample.calculators.ani_graph import Graph, MemberSums
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_networks import DeepPotentialNetworks
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.calculators.prediction import mean_over_members

__all__ = ["TorchBackend", "member_energies", "smooth_inverse"]


def smooth_inverse(r: Tensor, parameters: DeepPotentialParameters) -> Tensor:
    """s(r) = w(r)/r of the environment matrix (Å⁻¹), zero from the cutoff on; r in Å, of any shape."""
    start, cutoff = parameters.switch_start, parameters.cutoff
    u = ((r - start) / (cutoff - start)).clamp(0.0, 1.0)
    return (1.0 + u**3 * (-6.0 * u**2 + 15.0 * u - 10.0)) / r


@dataclass(frozen=True, slots=True)
class _Group:
    """Pairs whose centres are of one element and whose neighbours are of one, sorted by centre.

    `atoms` are the (n,) centres of that element, `row` and `place` say where a pair goes in a rectangular
    table of n rows, as wide as the longest one; `counts` are the neighbours of each centre.
    """

    centre: int
    neighbour: int
    pairs: Tensor
    atoms: Tensor
    row: Tensor
    place: Tensor
    counts: Tensor

    def table(self, values: Tensor) -> Tensor:
        """(m, pairs, …) → (m, n, width, …), zero where there is no neighbour."""
        shape = (len(values), len(self.atoms), int(self.counts.max()), *values.shape[2:])
        empty = values.new_zeros(shape)
        members = torch.arange(len(values), device=values.device)
        return empty.index_put((members[:, None], self.row, self.place), values)


def _groups(first: Tensor, second: Tensor, species: Tensor, n_elements: int) -> list[_Group]:
    found = []
    for centre in range(n_elements):
        atoms = (species == centre).nonzero().flatten()
        for neighbour in range(n_elements):
            chosen = (species[first] == centre) & (species[second] == neighbour)
            pairs = chosen.nonzero().flatten()
            row = torch.searchsorted(atoms, first[pairs])
            counts = torch.bincount(row, minlength=len(atoms))
            begins = counts.cumsum(0) - counts
            place = torch.arange(len(pairs), device=pairs.device) - begins[row]
            found.append(_Group(centre, neighbour, pairs, atoms, row, place, counts))
    return found


def member_energies(
    networks: DeepPotentialNetworks, vectors: Tensor, first: Tensor, second: Tensor, species: Tensor
) -> Tensor:
    """Atomic energies (M, N) as the fitting networks give them (no self energies), in double precision.

    Parameters
    ----------
    networks : DeepPotentialNetworks
        All members.
    vectors : Tensor
        (E, 3) Å, double, from the first atom of a pair to the second; pairs beyond the cutoff do not count.
    first, second : Tensor
        (E,) atoms of the pairs, both directions of each, sorted by the first.
    species : Tensor
        (N,) species indices.
    """
    p = networks.definition
    distances = vectors.norm(dim=-1)
    near = distances < p.cutoff
    vectors, first, second, distances = vectors[near], first[near], second[near], distances[near]
    radial = smooth_inverse(distances, p)
    angular = (radial / distances).unsqueeze(-1) * vectors
    energies = vectors.new_zeros((networks.n_members, len(species)))
    groups = _groups(first, second, species, len(p.symbols))
    for centre in range(len(p.symbols)):
        own = [group for group in groups if group.centre == centre]
        atoms = own[0].atoms
        if len(atoms):
            matrix = _environment(networks, own, radial, angular)
            axis = matrix[..., : p.axis_neurons, :]
            features = (matrix @ axis.mT).flatten(-2)
            energies = energies.index_copy(1, atoms, networks.fitting(centre)(features).double())
    return energies


def _environment(
    networks: DeepPotentialNetworks, groups: list[_Group], radial: Tensor, angular: Tensor
) -> Tensor:
    """T (M, n, width, 4) of the n atoms of one element, from the pairs with each element of neighbours."""
    p = networks.definition
    centre = groups[0].centre
    mean, std, std_angular = (
        values[:, centre].unsqueeze(1)
        for values in (networks.mean, networks.std_radial, networks.std_angular)
    )
    total: Tensor | None = None
    for group in groups:
        network = networks.embedding(centre, group.neighbour)
        at_infinity = (-mean / std).to(networks.dtype)  # what an empty slot holds, (M, 1)
        empty = network(at_infinity).squeeze(1) * at_infinity
        n_empty = (p.slots[group.neighbour] - group.counts).to(networks.dtype)
        part = torch.nn.functional.pad((empty.unsqueeze(1) * n_empty[:, None]).unsqueeze(-1), (0, 3))
        if len(group.pairs):
            standard = (radial[group.pairs] - mean) / std
            others = angular[group.pairs] / std_angular.unsqueeze(-1)
            rows = torch.cat((standard.unsqueeze(-1), others), dim=-1).to(networks.dtype)
            embedded = network(rows[..., 0])
            part = part + group.table(embedded).mT @ group.table(rows)
        total = part if total is None else total + part
    assert total is not None  # noqa: S101 - there is at least one element
    return total / p.n_slots


class TorchBackend:
    """The definition of the Deep Potential over explicit pairs, and derivatives by autograd.

    Members are worked through one by one: memory does not grow with their number.

    Parameters
    ----------
    model : DeepPotentialModel
        The ensemble; its weights are copied.
    dtype : str
        "float32" or "float64", for environment matrix and networks; pair vectors are in double in both.
    device : str
        As torch names it.
    """

    def __init__(self, model: DeepPotentialModel, *, dtype: str, device: str) -> None:
        self._device = torch.device(device)
        members = [model.select([m]) for m in range(model.n_members)]
        self._members = [
            DeepPotentialNetworks(member, dtype=dtype, device=device).requires_grad_(False)
            for member in members
        ]

    def evaluate(self, graph: Graph, *, members: bool) -> MemberSums:
        """Energies of the members' mean or (`members`) of each, and the derivatives of their sums.

        Parameters
        ----------
        graph : Graph
            The structures.
        members : bool
            Whether to give every member's.
        """
        found = [self._member(networks, graph) for networks in self._members]
        energies, gradients, virials = (np.stack(part) for part in zip(*found, strict=True))
        if members:
            return MemberSums(energies, gradients, virials)
        return MemberSums(*(mean_over_members(part)[np.newaxis] for part in (energies, gradients, virials)))

    def _member(self, networks: DeepPotentialNetworks, graph: Graph) -> tuple[NDArray[np.float64], ...]:
        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.tensor(array, device=self._device)  # copied: lists of neighbours are read-only

        n_atoms, n_frames = len(graph.species), len(graph.frame_first) - 1
        species, second = tensor(graph.species).long(), tensor(graph.second).long()
        vectors = tensor(graph.vectors).requires_grad_(True)
        atoms = torch.arange(n_atoms, device=self._device)
        first = atoms.repeat_interleave(tensor(np.diff(graph.first)))
        frames = torch.arange(n_frames, device=self._device)
        frame = frames.repeat_interleave(tensor(np.diff(graph.frame_first)))[first]
        energies = member_energies(networks, vectors, first, second, species)
        slopes = torch.zeros_like(vectors)
        if energies.requires_grad:  # not without neighbours
            (slopes,) = torch.autograd.grad(energies.sum(), vectors)
        gradient = vectors.new_zeros((n_atoms, 3)).index_add(0, second, slopes).index_add(0, first, -slopes)
        products = slopes.unsqueeze(-1) * vectors.detach().unsqueeze(-2)
        virial = vectors.new_zeros((n_frames, 3, 3)).index_add(0, frame, products)
        return tuple(part.detach().cpu().numpy() for part in (energies[0], gradient, virial))
