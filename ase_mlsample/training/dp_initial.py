"""A Deep Potential before its first training: statistics of its environment matrix, initial weights."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.moments import switched_inverse

__all__ = ["environment_statistics", "initial_layers", "largest_counts"]

#: Least standard deviation (Å⁻¹), so that what hardly varies is not blown up.
_LEAST_STD = 0.01
#: Mean and spread of the factors by which a layer's output is added to its input.
_TIMESTEP = (0.1, 0.001)


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
) -> tuple[tuple[DenseLayers, ...], tuple[DenseLayers, ...]]:
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

    def layers(n_inputs: int, widths: tuple[int, ...], stepped: tuple[bool, ...]) -> DenseLayers:
        weights, biases, timesteps = [], [], []
        for (n_in, n_out), step in zip(pairwise((n_inputs, *widths)), stepped, strict=True):
            shape = (n_members, n_out)
            weights.append((rng.normal(size=(*shape, n_in)) / math.sqrt(n_in + n_out)).astype(dtype))
            biases.append(rng.normal(size=shape).astype(dtype))
            timesteps.append(rng.normal(*_TIMESTEP, shape).astype(dtype) if step else None)
        return DenseLayers(tuple(weights), tuple(biases), tuple(timesteps))

    p = parameters
    stepped = (False, *(a == b for a, b in pairwise(p.fitting)), False)
    embeddings = tuple(layers(1, p.embedding, (False,) * len(p.embedding)) for _ in p.embedding_keys)
    return embeddings, tuple(layers(p.length, (*p.fitting, 1), stepped) for _ in p.symbols)
