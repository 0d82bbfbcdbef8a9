"""Deep Potentials in training: embedding networks at the nodes of polynomials, and no second derivative.

Energies and their derivatives by the moments are written out as ordinary operations, sweep back through the
fitting networks included, so that one more sweep back gives the derivative of any loss by all weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_networks import DeepPotentialNetworks, EmbeddingNetworks
from ase_mlsample.training.expansion import Expansion

__all__ = ["ExpandedNetworks"]

#: Largest error of the polynomials beside the networks, relative to their values: that of the precision.
_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


class ExpandedNetworks(nn.Module):
    """The networks of all members as functions of the moments of a data set.

    Parameters
    ----------
    networks
        Of the members.
    expansion
        The polynomials of the moments.
    """

    def __init__(self, networks: DeepPotentialNetworks, expansion: Expansion) -> None:
        super().__init__()
        self.networks = networks
        self.expansion = expansion

    @property
    def n_members(self) -> int:
        """Number of ensemble members M."""
        return self.networks.n_members

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.networks.dtype

    def copy(self) -> Self:
        """A copy with own weights and the same polynomials."""
        return type(self)(copy.deepcopy(self.networks), self.expansion)

    def model(self, like: DeepPotentialModel, **changes: Any) -> DeepPotentialModel:
        """A model with these weights, otherwise like another one."""
        return self.networks.model(like, **changes)

    @torch.no_grad()
    def deviation(self) -> float:
        """Largest error of the polynomials, in units of what the precision allows."""
        exact = copy.deepcopy(self.networks).double()
        worst = 0.0
        for centre, embedding in _embeddings(exact):
            at_nodes, between = (
                torch.cat(_functions(exact, embedding, centre, s), dim=-1)
                for s in (self.expansion.nodes, self.expansion.between)
            )
            worst = max(worst, self.expansion.deviation(at_nodes, between))
        return worst / _TOLERANCE[self.dtype]

    def energies_and_gradient(self, moments: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        """Atomic energies (M, N), and their derivatives by the moments, (M, N, L).

        Both can be differentiated by the networks' parameters.

        Parameters
        ----------
        moments
            (N, L), of the networks' dtype.
        species
            (N,) index into the networks' symbols.
        """
        n_elements = len(self.networks.symbols)
        if n_elements == 1:
            return self._of_element(0, moments)
        energies = moments.new_zeros((self.n_members, len(moments)))
        gradient = moments.new_zeros((self.n_members, *moments.shape))
        for centre in range(n_elements):
            atoms = (species == centre).nonzero().flatten()
            if len(atoms):
                own, slopes = self._of_element(centre, moments[atoms])
                energies = energies.index_copy(1, atoms, own)
                gradient = gradient.index_copy(1, atoms, slopes)
        return energies, gradient

    def _of_element(self, centre: int, moments: Tensor) -> tuple[Tensor, Tensor]:
        radial, angular, constant = self._coefficients(centre)  # (M, T K, W) twice, (M, 1, W)
        axis = self.networks.definition.axis_neurons
        n_atoms, n_members = len(moments), self.n_members
        by_component = moments.view(n_atoms, 4, -1)
        rows = (by_component[:, 0] @ radial + constant).unsqueeze(2)
        others = by_component[:, 1:].flatten(0, 1) @ angular
        matrix = torch.cat((rows, others.view(n_members, n_atoms, 3, -1)), dim=2)  # (M, n, 4, W)
        features = (matrix.mT @ matrix[..., :axis]).flatten(2)
        energies, back = self.networks.fitting(centre).with_gradient(features)
        back = back.reshape(n_members, n_atoms, -1, axis)
        by_matrix = matrix[..., :axis] @ back.mT
        by_axis = by_matrix[..., :axis] + matrix @ back
        by_matrix = torch.cat((by_axis, by_matrix[..., axis:]), dim=-1)
        by_radial = (by_matrix[:, :, 0] @ radial.mT).unsqueeze(2)
        by_angular = by_matrix[:, :, 1:].flatten(1, 2) @ angular.mT
        gradient = torch.cat((by_radial, by_angular.view(n_members, n_atoms, 3, -1)), dim=2)
        return energies, gradient.reshape(n_members, n_atoms, -1)

    def _coefficients(self, centre: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the moments of an element are multiplied with: for the first row of T, and for the others.

        Also the share of empty slots: the first row's functions are taken off their value at infinity.
        """
        p, dtype = self.networks.definition, self.dtype
        transform = (self.expansion.transform / p.n_slots).to(dtype)
        std_angular = self.networks.std_angular[:, centre, None, None]
        radial, angular, constant = [], [], []
        s = torch.cat((self.expansion.nodes, torch.zeros(1, dtype=torch.float64)))
        for neighbour in range(len(p.symbols)):
            embedding = self.networks.embedding(centre, neighbour)
            embedded, weighted = _functions(self.networks, embedding, centre, s)
            at_infinity = weighted[:, -1:]
            radial.append(transform @ (weighted[:, :-1] - at_infinity))
            angular.append(transform @ embedded[:, :-1] / std_angular.to(dtype))
            constant.append(at_infinity * (p.slots[neighbour] / p.n_slots))
        return torch.cat(radial, dim=1), torch.cat(angular, dim=1), torch.stack(constant).sum(dim=0)


def _functions(
    networks: DeepPotentialNetworks, embedding: EmbeddingNetworks, centre: int, s: Tensor
) -> tuple[Tensor, Tensor]:
    """g(s̃) and s̃ g(s̃), each (M, n, W), for s (n,)."""
    mean, std = networks.mean[:, centre, None], networks.std_radial[:, centre, None]
    standard = ((s - mean) / std).to(networks.dtype)
    embedded = embedding(standard)
    return embedded, embedded * standard.unsqueeze(-1)


def _embeddings(networks: DeepPotentialNetworks) -> Iterator[tuple[int, EmbeddingNetworks]]:
    """The centre and the networks of every pair of elements."""
    n_elements = len(networks.symbols)
    for centre in range(n_elements):
        for neighbour in range(n_elements):
            yield centre, networks.embedding(centre, neighbour)
