"""The native backend of the ANI ensemble: compiled AEV, networks and sweep back, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ase_mlsample import _core
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.compiled_backend import CompiledBackend
from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["NativeBackend", "compiled_networks", "weight_arrays"]


def weight_arrays(networks: MemberNetworks) -> list[tuple[list[NDArray[Any]], list[NDArray[Any]]]]:
    """For each element the weights and the biases of its layers, as the compiled networks take them."""

    def arrays(tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
        return [np.ascontiguousarray(tensor.numpy(force=True)) for tensor in tensors]

    return [(arrays(weights), arrays(biases)) for weights, biases in networks.layers().values()]


def compiled_networks(networks: MemberNetworks) -> _core.Networks:
    """Copy the weights of all members and elements into the compiled kernels, in the networks' dtype."""
    return _core.Networks(networks.activation, weight_arrays(networks))


class NativeBackend(CompiledBackend):
    """AEVs, all members' networks and one sweep back for the mean or for all members, block by block.

    Parameters
    ----------
    model : ANIModel
        The ensemble; its weights are copied.
    dtype : str
        "float32" or "float64", for AEV and networks; distances and sums are in double in both.
    """

    def __init__(self, model: ANIModel, *, dtype: str) -> None:
        networks = compiled_networks(model.networks.copy(dtype=dtype))
        super().__init__(partial(_core.evaluate_ani, model.aev.kernel(), networks))
