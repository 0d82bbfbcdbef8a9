"""Inputs of zero mean and unit variance for the optimiser, folded into the first layer at the end."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import torch

from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["Standardisation"]

# A feature that hardly varies in the data must not be blown up where the model is used outside of them.
_LEAST_SPREAD = 0.02


@dataclass(frozen=True, slots=True)
class Standardisation:
    """The map AEV → (AEV − mean)·slope for the atoms of each element.

    Attributes
    ----------
    mean, slopes
        (elements, L), double precision.
    """

    mean: torch.Tensor
    slopes: torch.Tensor

    @classmethod
    def of(
        cls, aev: torch.Tensor, species: torch.Tensor, n_elements: int, *, untouched: Collection[int] = ()
    ) -> Self:
        """From the AEVs (N, L) of a set; the identity for an element that it lacks or that is `untouched`.

        The spread of a feature is taken to be at least 2 % of the largest spread of any.
        """
        mean = torch.zeros(n_elements, aev.shape[1], dtype=torch.float64)
        slopes = torch.ones_like(mean)
        for element in range(n_elements):
            own = aev[species == element].double()
            if len(own) and element not in untouched:
                mean[element] = own.mean(dim=0)
                spread = own.std(dim=0, correction=0)
                least = _LEAST_SPREAD * float(spread.max())
                slopes[element] = 1.0 / spread.clamp_min(least) if least > 0 else 1.0
        return cls(mean, slopes)

    def apply(self, aev: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        """Standardised AEVs, in the precision of the given ones."""
        return ((aev.double() - self.mean[species]) * self.slopes[species]).to(aev.dtype)

    def folded(self, networks: MemberNetworks) -> MemberNetworks:
        """Networks of AEVs that equal the given networks of standardised AEVs."""
        return self._changed(networks, self.slopes, -self.mean * self.slopes)

    def unfolded(self, networks: MemberNetworks) -> MemberNetworks:
        """Networks of standardised AEVs that equal the given networks of AEVs."""
        return self._changed(networks, 1.0 / self.slopes, self.mean)

    def _changed(self, networks: MemberNetworks, slopes: torch.Tensor, shift: torch.Tensor) -> MemberNetworks:
        """Networks f(x·slopes + shift) of networks f."""
        layers = {}
        for element, (symbol, (weights, biases)) in enumerate(networks.layers().items()):
            first = weights[0].double()
            moved = (first @ shift[element]).unsqueeze(1) + biases[0].double()
            layers[symbol] = (
                [(first * slopes[element]).to(weights[0].dtype), *(w.clone() for w in weights[1:])],
                [moved.to(biases[0].dtype), *(b.clone() for b in biases[1:])],
            )
        return type(networks).from_layers(layers, activation=networks.activation)
