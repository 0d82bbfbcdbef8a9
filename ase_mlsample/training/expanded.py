"""Deep Potentials in training: embedding networks at the nodes of polynomials, and no second derivative.

Energies and their derivatives by the moments are written out as ordinary operations, sweep back through the
fitting networks included, so that one more sweep back gives the derivative of any loss by all weights.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_networks import (
    DeepPotentialNetworks,
    EmbeddingNetworks,
    FittingNetworks,
)
from ase_mlsample.training.expansion import Expansion

__all__ = ["ExpandedNetworks"]

#: Largest error of the polynomials beside the networks, relative to their values: that of the precision.
_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
# Features that hardly vary in the data must not be blown up where the model is used outside of them.
_LEAST_SPREAD = 0.02
_CHUNK_ATOMS = 1024


class ExpandedNetworks(nn.Module):
    """The networks of all members as functions of the moments of a data set.

    The features that enter the fitting networks vary little about a large mean. For the optimiser's sake
    these networks are ones of centred features, (D − shift)·slope; `model` folds that into the first layers.

    Parameters
    ----------
    networks
        Of the members, of plain features.
    expansion
        The polynomials of the moments.

    Attributes
    ----------
    shift, slope
        (T, M, L) and (T, M, 1) by element of the centre; 0 and 1 until `centre`.
    """

    shift: Tensor
    slope: Tensor

    def __init__(self, networks: DeepPotentialNetworks, expansion: Expansion) -> None:
        super().__init__()
        self.networks = networks
        self.expansion = expansion
        p = networks.definition
        shape = (len(p.symbols), networks.n_members, p.length)
        self.register_buffer("shift", torch.zeros(shape, dtype=networks.dtype))
        self.register_buffer("slope", torch.ones(*shape[:2], 1, dtype=networks.dtype))

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
        return copy.deepcopy(self, {id(self.expansion): self.expansion})

    @torch.no_grad()
    def raise_energies(self, per_atom: Tensor) -> None:
        """Add (M,) eV to the energies of all atoms, by those last biases that are trained."""
        for centre in range(len(self.networks.symbols)):
            bias = self.networks.fitting(centre).biases[-1]
            if bias.requires_grad:
                bias += per_atom.to(bias.dtype).unsqueeze(1)

    def model(self, like: DeepPotentialModel, **changes: Any) -> DeepPotentialModel:
        """A model with these weights, of plain features; otherwise like another one."""
        plain = copy.deepcopy(self.networks)
        for centre in range(len(plain.symbols)):
            slope, shift = self.slope[centre], self.shift[centre]
            _change_inputs(plain.fitting(centre), slope, -slope * shift)
        return plain.model(like, **changes)

    @torch.no_grad()
    def centre(
        self,
        moments: Tensor,
        species: Tensor,
        *,
        keep: bool,
        spread: float = 1.0,
        untouched: Collection[int] = (),
    ) -> None:
        """Take shift and slope from the features of the given atoms; to be called once.

        Features keep their proportions: they are divided by the root mean square of all their deviations, at
        least a fiftieth of the root mean square of their means (and by 1 where all are 0).

        Parameters
        ----------
        moments, species
            As for `energies_and_gradient`.
        keep
            Whether the networks are to answer as before; otherwise their weights are taken to be of centred
            features of spread 1.
        spread
            What the root mean square is to be. Networks are the same with any (weights are divided by it),
            but not their steps: an optimiser that moves all weights alike moves outputs in proportion to it.
        untouched
            Elements whose networks stay those of plain features, and those without an atom do, too.
        """
        for centre in range(len(self.networks.symbols)):
            own = moments[species == centre]
            if not len(own) or centre in untouched:
                continue
            mean, rms = self._deviations(centre, own)
            self.shift[centre], self.slope[centre] = mean, spread / rms
            if keep:
                _change_inputs(self.networks.fitting(centre), rms / spread, mean)
            else:
                _change_inputs(self.networks.fitting(centre), torch.ones_like(rms) / spread, 0.0 * mean)

    def _deviations(self, centre: int, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Means (M, L) of the features of an element's atoms, and one root mean square deviation (M, 1)."""
        total = torch.zeros_like(self.shift[0]).double()
        squares = torch.zeros_like(total[:, 0])
        for part in torch.split(moments, _CHUNK_ATOMS):
            features = self._features(part, *self._coefficients(centre))[1].double()
            total += features.sum(dim=1)
            squares += features.square().sum(dim=(1, 2))
        mean = total / len(moments)
        of_means = mean.square().mean(dim=1)
        variance = squares / (len(moments) * mean.shape[1]) - of_means
        rms = torch.maximum(variance, _LEAST_SPREAD**2 * of_means).sqrt()
        # all features are 0 where no atom of the element has a neighbour
        return mean, torch.where(rms > 0, rms, 1.0)[:, None]

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

    def _features(
        self, moments: Tensor, radial: Tensor, angular: Tensor, constant: Tensor
    ) -> tuple[Tensor, Tensor]:
        """T, transposed, (M, n, 4, W) and D (M, n, L) of n atoms of an element."""
        n_atoms = len(moments)
        by_component = moments.view(n_atoms, 4, -1)
        rows = (by_component[:, 0] @ radial + constant).unsqueeze(2)
        others = by_component[:, 1:].flatten(0, 1) @ angular
        matrix = torch.cat((rows, others.view(self.n_members, n_atoms, 3, -1)), dim=2)
        axis = self.networks.definition.axis_neurons
        return matrix, (matrix.mT @ matrix[..., :axis]).flatten(2)

    def _of_element(self, centre: int, moments: Tensor) -> tuple[Tensor, Tensor]:
        radial, angular, constant = self._coefficients(centre)  # (M, T K, W) twice, (M, 1, W)
        matrix, features = self._features(moments, radial, angular, constant)
        axis = self.networks.definition.axis_neurons
        n_atoms, n_members = len(moments), self.n_members
        slope = self.slope[centre].unsqueeze(1)
        centred = (features - self.shift[centre].unsqueeze(1)) * slope
        energies, back = self.networks.fitting(centre).with_gradient(centred)
        back = (back * slope).reshape(n_members, n_atoms, -1, axis)
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


def _change_inputs(networks: FittingNetworks, slope: Tensor, shift: Tensor) -> None:
    """From networks f of x to networks f(x·slope + shift); slope (M, 1), shift (M, L)."""
    with torch.no_grad():
        weight, bias = networks.weights[0], networks.biases[0]
        moved = bias.double() + (weight.double() @ shift.double().unsqueeze(-1)).squeeze(-1)
        bias.copy_(moved)
        weight.mul_(slope.unsqueeze(-1))


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
