"""Training through the compiled networks: their energies and gradients, differentiable by the weights.

No graph is built through the networks. A loss of the energies E and of g = dE/dAEV has, by the weights, the
gradient of Σ a E + Σ u·g with a = dL/dE and u = dL/dg held fixed, which one compiled sweep gives.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ase_mlsample import _core
from ase_mlsample.calculators.ani_native import compiled_networks, weight_arrays
from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["energies_and_gradient", "up_to_date"]

_KERNELS: WeakKeyDictionary[MemberNetworks, _core.Networks] = WeakKeyDictionary()


def up_to_date(networks: MemberNetworks) -> _core.Networks:
    """The compiled networks with the present weights; made once for each set of networks."""
    kernel = _KERNELS.get(networks)
    if kernel is None:
        kernel = _KERNELS[networks] = compiled_networks(networks)
    else:
        kernel.set_weights(weight_arrays(networks))
    return kernel


class _EnergiesAndGradient(torch.autograd.Function):
    """Of all members on (N, L) AEVs: energies (M, N) and their derivatives by the AEV, (M, N, L)."""

    @staticmethod
    def forward(
        ctx: Any,
        aev: torch.Tensor,
        species: torch.Tensor,
        networks: MemberNetworks,
        *parameters: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.kernel = up_to_date(networks)
        ctx.with_biases = networks.bias
        ctx.inputs = (np.ascontiguousarray(aev.detach().numpy()), species.numpy().astype(np.int32))
        ctx.wanted = [parameter.requires_grad for parameter in parameters]
        ctx.set_materialize_grads(False)
        energies, gradient = ctx.kernel.evaluate(*ctx.inputs, mean=False)
        ctx.shape, ctx.dtype = energies.shape, energies.dtype
        return torch.from_numpy(energies), torch.from_numpy(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        by_energy, tangent = (None if g is None else np.ascontiguousarray(g.numpy()) for g in gradients)
        if by_energy is None:
            by_energy = np.zeros(ctx.shape, ctx.dtype)
        found = ctx.kernel.weight_gradient(*ctx.inputs, by_energy, tangent)
        arrays = [array for ws, bs in found for array in (*ws, *(bs if ctx.with_biases else ()))]
        wanted = zip(arrays, ctx.wanted, strict=True)
        return None, None, None, *(torch.from_numpy(array) if used else None for array, used in wanted)


def energies_and_gradient(
    networks: MemberNetworks, aev: torch.Tensor, species: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies of all members, (M, N), and their derivatives by the AEV, (M, N, L).

    Both can be differentiated by the networks' parameters, once, but not by the AEV.

    Parameters
    ----------
    networks
        On the CPU.
    aev
        (N, L), of the networks' dtype.
    species
        (N,) index into the networks' symbols.
    """
    apply: Any = _EnergiesAndGradient.apply
    found: tuple[torch.Tensor, torch.Tensor] = apply(aev, species, networks, *networks.parameters())
    return found
