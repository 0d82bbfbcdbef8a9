"""The embedding networks of a Deep Potential as functions of distance: exact, and as quintic polynomials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel

__all__ = ["EmbeddingTables", "Embeddings", "TabulationError"]

Array = NDArray[np.float64]

#: Intervals of the first table that is tried, and of the last.
_FEWEST, _MOST = 32, 8192
#: What the tables may be off by, relative to each network's largest value and slope: a few units of single
#: precision.
_VALUE, _SLOPE = 3e-7, 3e-6
#: Å; down to this distance the tables are as exact as that. Closer they are smooth and no more.
_CLOSEST = 0.3
#: Å⁻¹; where every neuron is saturated.
_FARTHEST = 1e9


class _Derivatives(NamedTuple):
    """A function of one variable and its first two derivatives, (P, n, …) each."""

    value: Array
    slope: Array
    bend: Array


@dataclass(frozen=True)
class Embeddings:
    """The embedding networks of all members and pairs of elements, P in number, as functions of s = w(r)/r.

    There is one for each pair even where the type embedding is one-sided, since the statistics are those of
    the centre's element. Double precision throughout.

    Parameters
    ----------
    layers : DenseLayers
        P networks of the standardised s; members slowest, then centres, then neighbours.
    mean, std : (P,) arrays, Å⁻¹
        What standardises s.
    """

    layers: DenseLayers
    mean: Array
    std: Array

    @classmethod
    def of(cls, model: DeepPotentialModel) -> Self:
        """Those of a model.

        Parameters
        ----------
        model : DeepPotentialModel
        """
        kinds = range(len(model.symbols))
        networks = [model.embedding(a, b).astype(np.float64) for a in kinds for b in kinds]

        def stacked(parts: Iterable[NDArray[np.floating[Any]]]) -> Array:
            """(M, …) of each pair → (M·K·K, …)."""
            return np.concatenate(np.swapaxes(np.stack(list(parts)), 0, 1))

        depth = range(len(networks[0].widths))
        layers = DenseLayers(
            tuple(stacked(network.weights[k] for network in networks) for k in depth),
            tuple(stacked(network.biases[k] for network in networks) for k in depth),
            (None,) * len(depth),
        )
        mean, std = (np.repeat(array, len(kinds), axis=1).ravel() for array in (model.mean, model.std_radial))
        return cls(layers, mean, std)

    def evaluate(self, s: Array) -> _Derivatives:
        """Values and derivatives by s.

        Parameters
        ----------
        s : (n,) array
            Å⁻¹.

        Returns
        -------
        value, slope, bend : (P, n, outputs) arrays
            g, dg/ds and d²g/ds².
        """
        inverse = np.broadcast_to((1.0 / self.std)[:, None, None], (len(self.std), len(s), 1))
        h = _Derivatives((s[:, None] - self.mean[:, None, None]) * inverse, inverse, np.zeros(inverse.shape))
        for weight, bias in zip(self.layers.weights, self.layers.biases, strict=True):
            x, dx, ddx = (part @ np.swapaxes(weight, 1, 2) for part in h)
            t = np.tanh(x + bias[:, None])
            slope = 1.0 - t * t
            out = (t, slope * dx, slope * ddx - 2.0 * t * slope * dx * dx)
            copies, rest = divmod(weight.shape[1], weight.shape[2])
            if rest or copies > 2:  # only layers of equal and of double width add their input
                h = _Derivatives(*out)
            else:
                h = _Derivatives(*(np.tile(old, copies) + new for old, new in zip(h, out, strict=True)))
        return h


class TabulationError(NamedTuple):
    """How far tables of embeddings are off, at most, between their nodes and from 0.3 Å on.

    Parameters
    ----------
    value : float
        Of an embedding, in units of the largest value of its network.
    slope : float
        Of its derivative by τ, in units of the largest one of its network, or the largest value where that is
        larger.
    """

    value: float
    slope: float


@dataclass(frozen=True)
class EmbeddingTables:
    """Quintic polynomials that agree with P embedding networks and two derivatives at nodes even in τ.

    τ = s/(s + 1 Å⁻¹) maps all distances to 0 ≤ τ < 1. The tables are twice continuously differentiable.

    Parameters
    ----------
    coefficients : array
        (P, intervals, 6, outputs); of powers of the place in an interval, 0 to 1, lowest first.
    error : TabulationError
        Measured between the nodes.
    """

    coefficients: Array
    error: TabulationError

    @classmethod
    def made(cls, embeddings: Embeddings) -> Self:
        """Tables with as many intervals as single precision needs.

        Parameters
        ----------
        embeddings : Embeddings

        Raises
        ------
        ValueError
            For networks so steep that no table of reasonable size represents them.
        """
        intervals = _FEWEST
        while True:
            coefficients = _polynomials(embeddings, intervals)
            error = _measured(embeddings, coefficients)
            if error.value <= _VALUE and error.slope <= _SLOPE:
                return cls(coefficients, error)
            if intervals == _MOST:
                raise ValueError(
                    f"the embedding networks are too steep to be tabulated: with {intervals} intervals they "
                    f"are still off by {error.value:.1e} of their size; use dtype='float64' (in a run "
                    "file training: {precision: float64}, with mlsample md --precision float64), which "
                    "evaluates the networks themselves"
                )
            intervals *= 2


def _at(embeddings: Embeddings, tau: Array) -> _Derivatives:
    """The networks and their derivatives by τ."""
    s = np.minimum(tau / np.maximum(1.0 - tau, 1.0 / _FARTHEST), _FARTHEST)
    value, slope, bend = embeddings.evaluate(s)
    by_tau = ((1.0 + s) ** 2)[:, None]
    return _Derivatives(value, slope * by_tau, bend * by_tau**2 + 2.0 * slope * ((1.0 + s) ** 3)[:, None])


def _polynomials(embeddings: Embeddings, intervals: int) -> Array:
    value, slope, bend = _at(embeddings, np.linspace(0.0, 1.0, intervals + 1))
    slope, bend = slope / intervals, bend / intervals**2
    rise = np.diff(value, axis=1)
    (d0, d1), (b0, b1) = ((part[:, :-1], part[:, 1:]) for part in (slope, bend))
    third = 10.0 * rise - 6.0 * d0 - 4.0 * d1 - 1.5 * b0 + 0.5 * b1
    fourth = -15.0 * rise + 8.0 * d0 + 7.0 * d1 + 1.5 * b0 - b1
    fifth = 6.0 * rise - 3.0 * (d0 + d1) - 0.5 * (b0 - b1)
    return np.stack([value[:, :-1], d0, 0.5 * b0, third, fourth, fifth], axis=2)


def _measured(embeddings: Embeddings, coefficients: Array) -> TabulationError:
    """The largest errors a quarter, half and three quarters into the intervals."""
    intervals = coefficients.shape[1]
    last = _CLOSEST**-1 / (1.0 + _CLOSEST**-1)
    checked = np.arange(int(np.ceil(last * intervals)))
    value_errors, slope_errors = [], []
    for x in (0.25, 0.5, 0.75):
        exact = _at(embeddings, (checked + x) / intervals)
        powers = x ** np.arange(6)
        slopes = np.arange(1, 6) * powers[:-1] * intervals
        table = coefficients[:, checked]
        value = np.einsum("k,pikc->pic", powers, table)
        slope = np.einsum("k,pikc->pic", slopes, table[:, :, 1:])
        largest = _largest(exact.value)
        value_errors.append(_relative(value - exact.value, largest))
        # a slope below the value's size adds less to a force than the value itself does
        slope_errors.append(_relative(slope - exact.slope, np.maximum(_largest(exact.slope), largest)))
    return TabulationError(max(value_errors), max(slope_errors))


def _largest(values: Array) -> Array:
    """(P,) of each network, over places and outputs."""
    found: Array = np.abs(values).max(axis=(1, 2))
    return found


def _relative(error: Array, unit: Array) -> float:
    """The largest error of any network, in units (P,) of its own."""
    worst, nil = _largest(error), unit == 0.0
    if np.any(worst[nil] > 0.0):
        return float("inf")
    return float(np.max(worst[~nil] / unit[~nil], initial=0.0))
