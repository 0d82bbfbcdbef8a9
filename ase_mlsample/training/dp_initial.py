"""A Deep Potential before its first training: statistics of its environment matrix, initial weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.moments import switched_inverse

__all__ = ["Layers", "environment_statistics", "initial_layers", "largest_counts", "spread_layers"]

Array = NDArray[np.float64]
#: Embedding and fitting networks.
Layers: TypeAlias = tuple[tuple[DenseLayers, ...], tuple[DenseLayers, ...]]


#: Least standard deviation (Å⁻¹), so that what hardly varies is not blown up.
_LEAST_STD = 0.01
#: Mean and spread of the factors by which a layer's output is added to its input.
_TIMESTEP = (0.1, 0.001)
# of `spread_layers`: the usual slope of a first step, in units of one over the range, and the others' biases
_STEPS_IN_RANGE, _EMBEDDING_BIAS, _FITTING_BIAS = 5.0, 0.3, 0.1


def largest_counts(geometry: Geometry, n_elements: int) -> tuple[int, ...]:
    """The most neighbours of each element that any atom has, among the given pairs."""
    if not len(geometry.second):
        return (0,) * n_elements
    centre = np.repeat(np.arange(len(geometry.species)), np.diff(geometry.first))
    row = centre * n_elements + geometry.species[geometry.second]
    counts = np.bincount(row, minlength=len(geometry.species) * n_elements).reshape(-1, n_elements)
    return tuple(int(count) for count in counts.max(axis=0))


def environment_statistics(
    geometry: Geometry, parameters: DeepPotentialParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the radial column, its standard deviation, and that of the other three together, (T,) each.

    Of the unstandardised environment matrix (Å⁻¹) of all atoms of an element, over all `sel` slots: empty
    ones hold zeros. An element without atoms gets the mean 0 and the deviations 1/cutoff.

    Parameters
    ----------
    geometry
        All frames, with no pair beyond the cutoff.
    parameters
        Cutoffs, elements and `sel`.
    """
    n_elements = len(parameters.symbols)
    distances = np.linalg.norm(geometry.vectors, axis=1)
    s, _ = switched_inverse(distances, parameters)
    angular = (s / distances)[:, None] * geometry.vectors
    centre = np.repeat(geometry.species, np.diff(geometry.first))
    slots = np.bincount(geometry.species, minlength=n_elements) * float(parameters.n_slots)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(centre, weights=values, minlength=n_elements)
        return np.asarray(np.where(slots > 0, sums / np.maximum(slots, 1.0), 0.0))

    radial_mean, angular_mean = mean(s), mean(angular.mean(axis=1))
    stds = []
    for average, square in ((radial_mean, mean(s**2)), (angular_mean, mean((angular**2).mean(axis=1)))):
        std = np.sqrt(np.maximum(square - average**2, 0.0)).clip(min=_LEAST_STD)
        stds.append(np.where(slots > 0, std, 1.0 / parameters.cutoff))
    return radial_mean, stds[0], stds[1]


def initial_layers(
    parameters: DeepPotentialParameters, n_members: int, *, rng: np.random.Generator, dtype: str
) -> Layers:
    """Embedding and fitting networks as deepmd-kit draws them, network by network.

    Weights have the standard deviation 1/√(inputs + outputs), biases 1, and the factors of layers that add
    their input to their output 0.1 ± 0.001.

    Parameters
    ----------
    parameters
        Shapes.
    n_members
        Networks in the ensemble.
    rng
        Draws them.
    dtype
        "float32" or "float64".
    """
    p = parameters

    def drawn(n_inputs: int, widths: tuple[int, ...]) -> tuple[list[Array], list[Array]]:
        sizes = list(pairwise((n_inputs, *widths)))
        weights = [rng.normal(size=(n_members, b, a)) / math.sqrt(a + b) for a, b in sizes]
        return weights, [rng.normal(size=(n_members, b)) for _, b in sizes]

    embeddings = [drawn(1, p.embedding) for _ in p.embedding_keys]
    return _layers(p, embeddings, [drawn(p.length, (*p.fitting, 1)) for _ in p.symbols], rng, dtype)


def spread_layers(
    parameters: DeepPotentialParameters,
    n_members: int,
    *,
    ranges: Sequence[tuple[float, float]],
    rng: np.random.Generator,
    dtype: str,
) -> Layers:
    """Embedding networks that tell distances apart from the start, and fitting networks of centred features.

    The steps of the first layer's tanh are spread evenly over the range of the data, and biases elsewhere are
    small; as deepmd-kit draws them, most functions of the distance are all but constant, and many thousands
    of steps go by until they are not. Weights have the standard deviation 1/√inputs.

    Parameters
    ----------
    parameters, n_members, rng, dtype
        As for `initial_layers`.
    ranges
        Least and largest standardised s of the data, for each embedding network.
    """
    p = parameters

    def drawn(n_inputs: int, widths: tuple[int, ...], bias: float) -> tuple[list[Array], list[Array]]:
        sizes = list(pairwise((n_inputs, *widths)))
        weights = [rng.normal(size=(n_members, b, a)) / math.sqrt(a) for a, b in sizes]
        return weights, [bias * rng.normal(size=(n_members, b)) for _, b in sizes]

    embeddings = []
    for least, largest in ranges:
        weights, biases = drawn(1, p.embedding, _EMBEDDING_BIAS)
        weights[0] *= _STEPS_IN_RANGE / (largest - least)
        biases[0] = -weights[0][..., 0] * rng.uniform(least, largest, size=biases[0].shape)
        embeddings.append((weights, biases))
    fittings = [drawn(p.length, (*p.fitting, 1), _FITTING_BIAS) for _ in p.symbols]
    return _layers(p, embeddings, fittings, rng, dtype)


def _layers(
    parameters: DeepPotentialParameters,
    embeddings: Sequence[tuple[list[Array], list[Array]]],
    fittings: Sequence[tuple[list[Array], list[Array]]],
    rng: np.random.Generator,
    dtype: str,
) -> Layers:
    """Weights and biases; timesteps where a hidden layer of a fitting network is as wide as its input."""
    stepped = (False, *(a == b for a, b in pairwise(parameters.fitting)), False)

    def dense(weights: list[Array], biases: list[Array], steps: tuple[bool, ...]) -> DenseLayers:
        return DenseLayers(
            tuple(weight.astype(dtype) for weight in weights),
            tuple(bias.astype(dtype) for bias in biases),
            tuple(
                rng.normal(*_TIMESTEP, bias.shape).astype(dtype) if step else None
                for bias, step in zip(biases, steps, strict=True)
            ),
        )

    none = (False,) * len(parameters.embedding)
    return tuple(dense(*parts, none) for parts in embeddings), tuple(
        dense(*parts, stepped) for parts in fittings
    )
