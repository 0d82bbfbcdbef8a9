"""Learning the bias of many variables: the average over the target is one over points drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.base import Domain
from ase_mlsample.biases.network import BiasNetwork
from ase_mlsample.biases.targets import Target, WellTempered

__all__ = ["SampledLearning"]

FloatArray = NDArray[np.float64]

_SWEEPS = 10  # moves of each chain in an iteration
_STEP = 0.08  # of the range: 0.5 for an angle
_BINS = 50


class SampledLearning:
    """Gradient of a network from samples of the run and points of the target, and V from the network itself.

    The points are those of many Metropolis chains, which go on from one iteration to the next. The target
    follows the bias as if it had converged: F = −V for a fixed target, −γ/(γ−1) V for a well-tempered one,
    for which p ∝ e^{V/((γ−1)k_BT)}. The divergence is the sum over the variables of that of each alone, which
    is all of it when they are independent.

    Parameters
    ----------
    network : BiasNetwork
    target : Target
    ranges : sequence of (float, float)
        Bounds or period of each variable.
    domains : sequence
        The period of each variable, or None.
    kT : float
    unit : float
        Energy of an output of 1.
    tau : float
        Iterations over which histograms average.
    n_points : int
        Points of the target in an iteration.
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        network: BiasNetwork,
        target: Target,
        ranges: Sequence[tuple[float, float]],
        domains: Sequence[Domain],
        *,
        kT: float,
        unit: float,
        tau: float,
        n_points: int,
        rng: np.random.Generator,
    ) -> None:
        self._network, self._target, self._kT, self._unit, self._tau = network, target, kT, unit, tau
        self._low = np.array([low for low, _ in ranges])
        self._width = np.array([high - low for low, high in ranges])
        self._periodic = np.array([domain is not None for domain in domains])
        self._rng = rng
        self._chains: FloatArray = self._low + self._width * rng.random(
            (-(-n_points // _SWEEPS), len(self._low))
        )
        self.histogram: FloatArray = np.zeros((2, len(self._low), _BINS))  # of the run, and of the target
        self._batch = self._chains[:0], self._chains[:0]
        self._outputs = np.empty(0)

    def gradient(self, samples: FloatArray) -> FloatArray:
        """Return dΩ/dparameters in units of ``unit``, (P,), from samples (n, d) within the bounds."""
        points = self._draw()
        both = np.concatenate([samples, points])
        self._batch = samples, points
        self._outputs, layers = self._network.forward(self._network.inputs(both))
        weights = np.full(len(both), 1 / len(points))
        weights[: len(samples)] = -1 / len(samples)
        return self._network.parameter_gradient(layers, weights)

    def follow(self) -> tuple[float, float]:
        """Let the histograms follow; returns the divergence, and Ω from this iteration's points alone."""
        present = np.stack([self._histogram(batch) for batch in self._batch])
        self.histogram += (present - self.histogram) / self._tau
        seen, aim = self.histogram / self.histogram.sum(axis=2, keepdims=True)
        # a bin that the finite sample of the target has missed counts as if it had one point in it
        floor = 1 / (len(self._batch[1]) * self._tau)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(seen > 0, seen * np.log(seen / np.maximum(aim, floor)), 0.0)
        V = self._unit * self._outputs
        of_samples, of_target = V[: len(self._batch[0])], V[len(self._batch[0]) :]
        top = float(of_samples.max())
        omega = float(of_target.mean()) - top
        omega -= self._kT * float(np.log(np.exp((of_samples - top) / self._kT).mean()))
        return float(terms.sum()), omega

    def potential(self, points: FloatArray) -> tuple[Any, FloatArray]:
        """Return V and its gradient from the network."""
        outputs, slopes = self._network.evaluate(points.reshape(-1, points.shape[-1]))
        outputs, slopes = self._unit * outputs, self._unit * slopes
        return (float(outputs[0]), slopes[0]) if points.ndim == 1 else (outputs, slopes)

    def state(self) -> dict[str, Any]:
        """Return what changes, the network excepted."""
        return {
            "histogram": self.histogram.copy(),
            "chains": self._chains.copy(),
            "rng": self._rng.bit_generator.state,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        self.histogram = np.array(state["histogram"], dtype=np.float64)
        self._chains = np.array(state["chains"], dtype=np.float64)
        self._rng.bit_generator.state = state["rng"]

    def _draw(self) -> FloatArray:
        """Points (n, d) of the target, after Metropolis steps."""
        chains = self._chains
        present = self._log_density(chains)
        drawn = []
        for _ in range(_SWEEPS):
            places = self._places(chains) + _STEP * self._rng.uniform(-1, 1, chains.shape)
            places -= np.where(self._periodic, np.floor(places), 0.0)
            inside = ((places >= 0) & (places <= 1)).all(axis=1)
            moved = self._low + self._width * places
            there = self._log_density(moved)
            taken = inside & (np.log(self._rng.random(len(chains))) < there - present)
            chains = np.where(taken[:, None], moved, chains)
            present = np.where(taken, there, present)
            drawn.append(chains)
        self._chains = chains
        return np.concatenate(drawn)

    def _log_density(self, points: FloatArray) -> FloatArray:
        F = -self._unit * self._network.forward(self._network.inputs(points))[0]
        if isinstance(self._target, WellTempered):
            F *= self._target.bias_factor / (self._target.bias_factor - 1)
        return self._target.log_density(points, F, self._kT)

    def _places(self, points: FloatArray) -> FloatArray:
        """Points (n, d) in units of the ranges, from 0 to 1."""
        places: FloatArray = (points - self._low) / self._width
        return places - np.where(self._periodic, np.floor(places), 0.0)

    def _histogram(self, points: FloatArray) -> FloatArray:
        """Share of points in the bins of each variable, (d, bins)."""
        bins = np.minimum((self._places(points) * _BINS).astype(np.int64), _BINS - 1) + _BINS * np.arange(
            points.shape[1]
        )
        counts = np.bincount(bins.ravel(), minlength=_BINS * points.shape[1])
        shares: FloatArray = counts.reshape(-1, _BINS) / len(points)
        return shares
