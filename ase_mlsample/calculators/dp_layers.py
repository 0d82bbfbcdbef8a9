"""Weights of a small network of dense layers, of all members of an ensemble at once, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["DenseLayers"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DenseLayers:
    """The layers of M networks of one shape.

    Parameters
    ----------
    weights : sequence of array
        (M, out, in) of each layer.
    biases : sequence of array
        (M, out) of each layer.
    timesteps : sequence of array or None
        (M, out) factors of the layers that add their input to their output times a factor, else None.

    Raises
    ------
    ValueError
        For shapes that do not fit together.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    timesteps: tuple[Array | None, ...]

    def __post_init__(self) -> None:
        for name in ("weights", "biases", "timesteps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.weights or not len(self.weights) == len(self.biases) == len(self.timesteps):
            raise ValueError(
                "every layer needs a weight, a bias and a timestep or None: there are "
                f"{len(self.weights)}, {len(self.biases)} and {len(self.timesteps)}"
            )
        n_members, _, size = self.weights[0].shape
        for k, (weight, bias, timestep) in enumerate(
            zip(self.weights, self.biases, self.timesteps, strict=True)
        ):
            expected = (n_members, weight.shape[1])
            if weight.ndim != 3 or (weight.shape[0], weight.shape[2]) != (n_members, size):
                raise ValueError(f"weight {k} must be ({n_members}, out, {size}), it is {weight.shape}")
            if bias.shape != expected or (timestep is not None and timestep.shape != expected):
                raise ValueError(f"bias and timestep {k} must be {expected}, the bias is {bias.shape}")
            size = weight.shape[1]

    @property
    def n_members(self) -> int:
        """Number of ensemble members M."""
        return int(self.weights[0].shape[0])

    @property
    def n_inputs(self) -> int:
        """Width of the input."""
        return int(self.weights[0].shape[2])

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer's output."""
        return tuple(int(weight.shape[1]) for weight in self.weights)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the first layer's weights."""
        return self.weights[0].dtype

    def select(self, members: Sequence[int]) -> DenseLayers:
        """Return a copy that holds only these members, in this order."""
        chosen = list(members)
        return DenseLayers(
            tuple(weight[chosen] for weight in self.weights),
            tuple(bias[chosen] for bias in self.biases),
            tuple(None if t is None else t[chosen] for t in self.timesteps),
        )

    def astype(self, dtype: Any) -> DenseLayers:
        """Return a copy of another precision."""
        return DenseLayers(
            tuple(weight.astype(dtype) for weight in self.weights),
            tuple(bias.astype(dtype) for bias in self.biases),
            tuple(None if t is None else t.astype(dtype) for t in self.timesteps),
        )

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Names within the network, such as "layers.0.weight", and arrays, layer by layer."""
        for k, timestep in enumerate(self.timesteps):
            yield f"layers.{k}.weight", self.weights[k]
            yield f"layers.{k}.bias", self.biases[k]
            if timestep is not None:
                yield f"layers.{k}.timestep", timestep

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], n_layers: int) -> Self:
        """Inverse of `arrays`.

        Raises
        ------
        KeyError
            If an array is missing.
        ValueError
            For shapes that do not fit together.
        """
        layers = range(n_layers)
        return cls(
            tuple(arrays[f"layers.{k}.weight"] for k in layers),
            tuple(arrays[f"layers.{k}.bias"] for k in layers),
            tuple(arrays.get(f"layers.{k}.timestep") for k in layers),
        )
