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
_LEAST_SPREAD, _LEAST_RATIO = 0.02, 0.1
_CHUNK_ATOMS, _MOST_ATOMS = 1024, 2048


class ExpandedNetworks(nn.Module):
    """The networks of all members as functions of the moments of a data set.

    The features D that enter the fitting networks vary little about a large mean, and all alike: embedding
    functions resemble each other. For the optimiser's sake these networks are ones of mixed and centred
    features, Lᵀ D R less its mean over the atoms of the data, whatever the embedding has come to be: a step
    of the embedding would otherwise move the mean by many deviations. `model` folds that into the first
    layers.

    Parameters
    ----------
    networks
        Of the members, of plain features.
    expansion
        The polynomials of the moments.

    Attributes
    ----------
    left, right
        (T, M, W, W) and (T, M, A, A) by element of the centre, for W embedding functions and A of them in the
        axis; 1 until `centre`.
    centred
        The elements whose features are.
    """

    left: Tensor
    right: Tensor
    centred: set[int]

    def __init__(self, networks: DeepPotentialNetworks, expansion: Expansion) -> None:
        super().__init__()
        self.networks = networks
        self.expansion = expansion
        p, dtype = networks.definition, networks.dtype
        shape = (len(p.symbols), networks.n_members)
        for name, n in (("left", p.length // p.axis_neurons), ("right", p.axis_neurons)):
            self.register_buffer(name, torch.eye(n, dtype=dtype).repeat(*shape, 1, 1))
        self.centred = set()

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

    @torch.no_grad()
    def model(self, like: DeepPotentialModel, **changes: Any) -> DeepPotentialModel:
        """A model with these weights, of plain features; otherwise like another one."""
        plain = copy.deepcopy(self.networks)
        for centre in self.centred:
            left, right = self.left[centre].double(), self.right[centre].double()
            _mix_inputs(plain.fitting(centre), left, right, -self._exact_mean(centre))
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
        """Centre the features, and take `left` and `right` from those of the given atoms; to be called once.

        L and R are inverse square roots of the features' covariances over rows and over columns, in which no
        eigenvalue counts as less than a hundredth of the largest (itself at least the square of a fiftieth of
        the root mean square of their means); the features are then divided by the root mean square of all
        their deviations, at least a fiftieth of that of their means.

        Parameters
        ----------
        moments, species
            As for `energies_and_gradient`.
        keep
            Whether the networks are to answer as before; otherwise their weights are taken to be of mixed
            features of spread 1.
        spread
            What the root mean square is to be. Networks are the same with any (weights are divided by it),
            but not their steps: an optimiser that moves all weights alike moves outputs in proportion to it.
        untouched
            Elements whose networks stay those of plain features, and those without an atom do, too.
        """
        for centre in range(len(self.networks.symbols)):
            own = moments[species == centre]
            own = own[:: -(-len(own) // _MOST_ATOMS) or 1]
            if not len(own) or centre in untouched:
                continue
            mean, rows, _ = self._statistics(centre, own)
            of_all = self._exact_mean(centre)
            self.left[centre] = _inverse_root(rows, mean)
            mean, _, columns = self._statistics(centre, own)
            self.right[centre] = _inverse_root(columns, mean)
            mean, rows, _ = self._statistics(centre, own)
            variance = rows.diagonal(dim1=1, dim2=2).mean(dim=1)
            rms = torch.maximum(variance, _LEAST_SPREAD**2 * mean.square().mean(dim=1)).sqrt()
            # all features are 0 where no atom of the element has a neighbour
            self.left[centre] *= (spread / torch.where(rms > 0, rms, 1.0))[:, None, None]
            self.centred.add(centre)
            fitting = self.networks.fitting(centre)
            if keep:
                left, right = (torch.linalg.inv(m[centre].double()) for m in (self.left, self.right))
                _mix_inputs(fitting, left, right, of_all)
            else:
                fitting.weights[0].div_(spread)

    def _statistics(self, centre: int, moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the features of an element's atoms, mean (M, L), covariances of rows (M, W, W) and columns."""
        p, n_members = self.networks.definition, self.n_members
        shape = (n_members, -1, p.length // p.axis_neurons, p.axis_neurons)
        sums: list[Tensor] = []
        for part in torch.split(moments, _CHUNK_ATOMS):
            features = self._features(part, *self._coefficients(centre))[1].double().view(shape)
            by_row = features.transpose(1, 2).flatten(2)
            by_column = features.flatten(1, 2)
            found = [features.sum(dim=1), by_row @ by_row.mT, by_column.mT @ by_column]
            sums = found if not sums else [a + b for a, b in zip(sums, found, strict=True)]
        mean = sums[0] / len(moments)
        rows = (sums[1] / len(moments) - mean @ mean.mT) / shape[3]
        columns = (sums[2] / len(moments) - mean.mT @ mean) / shape[2]
        return mean.flatten(1), rows, columns

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
        """T L beside the axis of T times R, (M, n, 4, W + A), and Lᵀ D R, (M, n, W A), of atoms."""
        n_atoms = len(moments)
        by_component = moments.view(n_atoms, 4, -1)
        rows = (by_component[:, 0] @ radial + constant).unsqueeze(2)
        others = by_component[:, 1:].flatten(0, 1) @ angular
        matrix = torch.cat((rows, others.view(self.n_members, n_atoms, 3, -1)), dim=2)
        axis = self.networks.definition.axis_neurons
        return matrix, (matrix[..., :-axis].mT @ matrix[..., -axis:]).flatten(2)

    def _mean_features(self, centre: int, radial: Tensor, angular: Tensor, constant: Tensor) -> Tensor:
        """(M, W A), of all atoms of an element in the data, in double precision."""
        of_first, of_others = self.expansion.products[centre]
        axis = self.networks.definition.axis_neurons
        mean = torch.zeros((), dtype=torch.float64)
        for products, factors in ((of_first, torch.cat((constant, radial), dim=1)), (of_others, angular)):
            exact = factors.double()
            mean = mean + exact[..., :-axis].mT @ (products @ exact[..., -axis:])
        return mean.flatten(1)

    def _exact_mean(self, centre: int) -> Tensor:
        """`_mean_features` of coefficients in double precision.

        In training, features and their mean have the same errors of single precision, which cancel; those of
        the plain features of a model are others.
        """
        exact = self.copy().double()
        return exact._mean_features(centre, *exact._coefficients(centre))

    def _of_element(self, centre: int, moments: Tensor) -> tuple[Tensor, Tensor]:
        radial, angular, constant = self._coefficients(centre)
        matrix, features = self._features(moments, radial, angular, constant)
        axis = self.networks.definition.axis_neurons
        n_atoms, n_members = len(moments), self.n_members
        if centre in self.centred:
            mean = self._mean_features(centre, radial, angular, constant)
            features = features - mean.to(features.dtype).unsqueeze(1)
        energies, back = self.networks.fitting(centre).with_gradient(features)
        back = back.reshape(n_members, n_atoms, -1, axis)
        by_matrix = torch.cat((matrix[..., -axis:] @ back.mT, matrix[..., :-axis] @ back), dim=-1)
        by_radial = (by_matrix[:, :, 0] @ radial.mT).unsqueeze(2)
        by_angular = by_matrix[:, :, 1:].flatten(1, 2) @ angular.mT
        gradient = torch.cat((by_radial, by_angular.view(n_members, n_atoms, 3, -1)), dim=2)
        return energies, gradient.reshape(n_members, n_atoms, -1)

    def _coefficients(self, centre: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the moments of an element are multiplied with: for the first row of T, and for the others.

        (M, T K, W + A) both: the functions mixed by L, and those of the axis by R. Also the share of empty
        slots, (M, 1, W + A): the first row's functions are taken off their value at infinity.
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
        left, right = self.left[centre], self.right[centre]

        def mixed(functions: Tensor) -> Tensor:
            return torch.cat((functions @ left, functions[..., : p.axis_neurons] @ right), dim=-1)

        return (
            mixed(torch.cat(radial, dim=1)),
            mixed(torch.cat(angular, dim=1)),
            mixed(torch.stack(constant).sum(dim=0)),
        )


@torch.no_grad()
def _mix_inputs(networks: FittingNetworks, left: Tensor, right: Tensor, shift: Tensor) -> None:
    """From networks f of x (M, W A) to networks f(leftᵀ x right + shift); (M, W, W), (M, A, A), (M, W A)."""
    weight, bias = networks.weights[0], networks.biases[0]
    old = weight.double()
    bias.copy_(bias.double() + (old @ shift.unsqueeze(-1)).squeeze(-1))
    mixed = left.unsqueeze(1) @ old.view(*old.shape[:2], left.shape[-1], -1) @ right.unsqueeze(1).mT
    weight.copy_(mixed.flatten(2))


def _inverse_root(covariance: Tensor, mean: Tensor) -> Tensor:
    """(M, n, n), of a covariance whose least eigenvalues are raised; 1 where features are all zero."""
    values, vectors = torch.linalg.eigh(covariance)
    largest = torch.maximum(values[:, -1:], _LEAST_SPREAD**2 * mean.square().mean(dim=1, keepdim=True))
    raised = values.clamp_min(0.0) + _LEAST_RATIO**2 * largest
    roots = torch.where(raised > 0, raised, 1.0).rsqrt()
    # the symmetric root: another machine's eigenvectors give it, too
    return torch.matmul(vectors * roots.unsqueeze(1), vectors.mT)


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
