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
    functions resemble each other. For the optimiser's sake these networks are ones of centred and mixed
    features, Lᵀ D R − shift; `model` folds that into the first layers.

    Parameters
    ----------
    networks
        Of the members, of plain features.
    expansion
        The polynomials of the moments.

    Attributes
    ----------
    left, right, shift
        (T, M, W, W), (T, M, A, A) and (T, M, W A) by element of the centre, for W embedding functions and A
        of them in the axis; 1, 1 and 0 until `centre`.
    """

    left: Tensor
    right: Tensor
    shift: Tensor

    def __init__(self, networks: DeepPotentialNetworks, expansion: Expansion) -> None:
        super().__init__()
        self.networks = networks
        self.expansion = expansion
        p, dtype = networks.definition, networks.dtype
        shape = (len(p.symbols), networks.n_members)
        for name, n in (("left", p.length // p.axis_neurons), ("right", p.axis_neurons)):
            self.register_buffer(name, torch.eye(n, dtype=dtype).repeat(*shape, 1, 1))
        self.register_buffer("shift", torch.zeros(*shape, p.length, dtype=dtype))

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
            left, right = self.left[centre].double(), self.right[centre].double()
            _mix_inputs(plain.fitting(centre), left, right, -self.shift[centre].double())
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
        """Take `left`, `right` and `shift` from the features of the given atoms; to be called once.

        L and R are inverse square roots of the features' covariances over rows and over columns, in which no
        eigenvalue counts as less than a hundredth of the largest; the features are then divided by the root
        mean square of all their deviations, at least a fiftieth of the root mean square of their means.

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
            plain = self._statistics(centre, own)
            self.left[centre] = _inverse_root(plain[1], plain[0])
            rows_mixed = self._statistics(centre, own)
            self.right[centre] = _inverse_root(rows_mixed[2], rows_mixed[0])
            mean, covariance, _ = self._statistics(centre, own)
            variance = covariance.diagonal(dim1=1, dim2=2).mean(dim=1)
            rms = torch.maximum(variance, _LEAST_SPREAD**2 * mean.square().mean(dim=1)).sqrt()
            # all features are 0 where no atom of the element has a neighbour
            scale = (spread / torch.where(rms > 0, rms, 1.0))[:, None]
            self.left[centre] *= scale.unsqueeze(2)
            self.shift[centre] = mean * scale
            fitting = self.networks.fitting(centre)
            if keep:
                left, right = (torch.linalg.inv(m[centre].double()) for m in (self.left, self.right))
                _mix_inputs(fitting, left, right, plain[0])
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

    def _of_element(self, centre: int, moments: Tensor) -> tuple[Tensor, Tensor]:
        radial, angular, constant = self._coefficients(centre)
        matrix, features = self._features(moments, radial, angular, constant)
        axis = self.networks.definition.axis_neurons
        n_atoms, n_members = len(moments), self.n_members
        centred = features - self.shift[centre].unsqueeze(1)
        energies, back = self.networks.fitting(centre).with_gradient(centred)
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
