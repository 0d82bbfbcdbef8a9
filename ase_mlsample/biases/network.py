"""A small neural network of a few variables, with the gradients that learning a bias needs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain

__all__ = ["ACTIVATIONS", "Adam", "BiasNetwork"]

FloatArray = NDArray[np.float64]
Layer = tuple[FloatArray, FloatArray]

ACTIVATIONS = ("relu", "tanh")


class BiasNetwork:
    """A fully connected network of d variables with one output, in double precision.

    A variable with bounds enters as (s − middle)/half the range, and beyond its bounds as at them; a periodic
    one as sine and cosine. The output has no constant of its own: one would change nothing. All other
    parameters lie in one vector, drawn uniformly within ±1/√(inputs of the layer).

    It is written in NumPy: a network this small costs torch more in calls than in arithmetic (an iteration of
    [48, 24, 12] at 101 nodes: 0.08 against 0.43 ms).

    Parameters
    ----------
    ranges : sequence of (float, float)
        Bounds or period of each variable.
    domains : sequence
        The period of each variable, or None.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : {"relu", "tanh"}
    rng : numpy.random.Generator

    Attributes
    ----------
    parameters : ndarray (P,)
        To be changed in place.
    """

    def __init__(
        self,
        ranges: Sequence[tuple[float, float]],
        domains: Sequence[Domain],
        *,
        hidden: Sequence[int],
        activation: str,
        rng: np.random.Generator,
    ) -> None:
        self._low, self._high = (np.array(ends, dtype=np.float64) for ends in zip(*ranges, strict=True))
        self._middle, self._half = 0.5 * (self._low + self._high), 0.5 * (self._high - self._low)
        periodic = np.array([domain is not None for domain in domains])
        self._turning, self._straight = np.flatnonzero(periodic), np.flatnonzero(~periodic)
        self._is_relu = activation == "relu"
        widths = [len(domains) + len(self._turning), *hidden]
        sizes = list(itertools.pairwise(widths))
        self.parameters = np.empty(sum(n * (m + 1) for m, n in sizes) + widths[-1])
        self._layers, self._output = self._split(self.parameters, sizes)
        for weights, constants in self._layers:
            reach = 1 / math.sqrt(len(weights))
            weights[:] = rng.uniform(-reach, reach, weights.shape)
            constants[:] = rng.uniform(-reach, reach, constants.shape)
        reach = 1 / math.sqrt(widths[-1])
        self._output[:] = rng.uniform(-reach, reach, widths[-1])
        self._gradient = np.empty_like(self.parameters)
        self._slopes, self._output_slope = self._split(self._gradient, sizes)

    def inputs(self, s: FloatArray) -> FloatArray:
        """Return what the first layer sees, (n, inputs), of variables (n, d)."""
        if not len(self._turning):
            clipped: FloatArray = (
                np.minimum(np.maximum(s, self._low), self._high) - self._middle
            ) / self._half
            return clipped
        straight, angle = self._straight, self._angles(s)
        clipped = np.clip(s[:, straight], self._low[straight], self._high[straight])
        scaled = (clipped - self._middle[straight]) / self._half[straight]
        return np.concatenate([scaled, np.sin(angle), np.cos(angle)], axis=1)

    def forward(self, inputs: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
        """Return outputs (n,) and what each layer gave, for the gradients."""
        layers = [inputs]
        for weights, constants in self._layers:
            values = layers[-1] @ weights
            values += constants
            if self._is_relu:
                np.maximum(values, 0.0, out=values)
            else:
                np.tanh(values, out=values)
            layers.append(values)
        return layers[-1] @ self._output, layers

    def parameter_gradient(self, layers: list[FloatArray], weights: FloatArray) -> FloatArray:
        """Return d/dparameters of Σ weights · outputs, (P,); the memory is used again by the next call."""
        np.matmul(weights, layers[-1], out=self._output_slope)
        pull = self._through(np.multiply.outer(weights, self._output), layers[-1])
        for k in range(len(self._layers) - 1, -1, -1):
            by_weights, by_constants = self._slopes[k]
            np.matmul(layers[k].T, pull, out=by_weights)
            np.sum(pull, axis=0, out=by_constants)
            if k:
                pull = self._through(pull @ self._layers[k][0].T, layers[k])
        return self._gradient

    def evaluate(self, s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return outputs (n,) of variables (n, d), and their derivatives (n, d)."""
        outputs, layers = self.forward(self.inputs(s))
        pull = self._through(np.broadcast_to(self._output, layers[-1].shape).copy(), layers[-1])
        for k in range(len(self._layers) - 1, -1, -1):
            pull = pull @ self._layers[k][0].T
            if k:
                pull = self._through(pull, layers[k])
        return outputs, self._to_variables(s, pull)

    def _to_variables(self, s: FloatArray, pull: FloatArray) -> FloatArray:
        slopes = np.empty(s.shape)
        straight, turning = self._straight, self._turning
        n, m = len(straight), len(turning)
        inside = (s[:, straight] >= self._low[straight]) & (s[:, straight] <= self._high[straight])
        slopes[:, straight] = np.where(inside, pull[:, :n] / self._half[straight], 0.0)
        if m:
            angle = self._angles(s)
            along = pull[:, n : n + m] * np.cos(angle) - pull[:, n + m :] * np.sin(angle)
            slopes[:, turning] = along * (math.pi / self._half[turning])
        return slopes

    def _angles(self, s: FloatArray) -> FloatArray:
        turning = self._turning
        angles: FloatArray = (s[:, turning] - self._middle[turning]) * (math.pi / self._half[turning])
        return angles

    def _through(self, pull: FloatArray, values: FloatArray) -> FloatArray:
        """Multiply by the slope of the activation, in place; values are after it."""
        pull *= values > 0 if self._is_relu else 1 - values * values
        return pull

    @staticmethod
    def _split(vector: FloatArray, sizes: Sequence[tuple[int, int]]) -> tuple[list[Layer], FloatArray]:
        """Views of a vector of parameters: weights (inputs, outputs) and constants, then the output's."""
        layers, begin = list[Layer](), 0
        for rows, columns in sizes:
            middle, end = begin + rows * columns, begin + (rows + 1) * columns
            layers.append((vector[begin:middle].reshape(rows, columns), vector[middle:end]))
            begin = end
        return layers, vector[begin:]


class Adam:
    """Adam's steps [D. P. Kingma, J. Ba, arXiv:1412.6980], with β 0.9 and 0.999 and ε 1e-8.

    Parameters
    ----------
    size : int
        Number of parameters.
    """

    def __init__(self, size: int) -> None:
        self.steps = 0
        self.mean, self.square = np.zeros(size), np.zeros(size)
        self._scratch = np.empty(size)

    def step(self, parameters: FloatArray, gradient: FloatArray, rate: float) -> None:
        """Change parameters in place, against the gradient, which is used up."""
        self.steps += 1
        scratch = self._scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 0.001
        self.square *= 0.999
        self.square += scratch
        self.mean *= 0.9
        gradient *= 0.1
        self.mean += gradient
        np.sqrt(self.square, out=scratch)
        scratch *= 1 / math.sqrt(-math.expm1(self.steps * math.log(0.999)))
        scratch += 1e-8
        np.divide(self.mean, scratch, out=scratch)
        scratch *= rate / -math.expm1(self.steps * math.log(0.9))
        parameters -= scratch
