"""One bias from several that went on from the same one and learned side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.comparison import differences

__all__ = ["averaged_state"]

FloatArray = NDArray[np.float64]


def averaged_state(states: Sequence[Mapping[str, Any]], weights: ArrayLike) -> dict[str, Any]:
    """Average what biases have learned that began as one and learned apart.

    Coefficients, parameters of a network and of its optimiser, histograms and the target's free energy are
    averaged. V of a linear basis is linear in its coefficients: the new V is the average of all V. For a
    network this is federated averaging: it holds for parameters that left the same point and did not go far,
    as between parameters far apart the average of networks is not the network of averaged parameters.
    Averaging takes noise away; how far the bias has come is what one of them has come on average, not all
    together. Samples that wait for an iteration are left out: they were drawn with another V. The record of
    convergence begins anew.

    Parameters
    ----------
    states : sequence of dict
        Of :meth:`Bias.state_dict` of :class:`VariationalBias` or :class:`DeepVESBias`; lists in place of
        arrays will do. Of one, with weight, all is kept but the samples and the record.
    weights : array_like (n,)
        Of each, such as the iterations it made; not negative, and one at least positive.

    Returns
    -------
    dict
        For :meth:`Bias.load_state_dict`, at the beginning of a run.

    Raises
    ------
    ValueError
        For other biases, different settings, or weights that are none.

    References
    ----------
    H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, AISTATS 54, 1273 (2017).

    Examples
    --------
    >>> from ase_mlsample.biases import Legendre, VariationalBias
    >>> from ase_mlsample.biases.averaging import averaged_state
    >>> biases = [VariationalBias(kT=1, bases=Legendre(4, (-1, 1)), bias_factor=9, pace=1) for _ in "ab"]
    >>> [bias.update([s], 1) for bias, s in zip(biases, (-0.5, 0.1))]
    [True, True]
    >>> state = averaged_state([bias.state_dict() for bias in biases], [1, 1])
    >>> merged = VariationalBias(kT=1, bases=Legendre(4, (-1, 1)), bias_factor=9, pace=1)
    >>> merged.load_state_dict(state)
    >>> mean = sum(bias.potential([0.3])[0] for bias in biases) / 2
    >>> abs(merged.potential([0.3])[0] - mean) < 1e-12
    True
    """
    shares = np.array(weights, dtype=np.float64)
    if shares.shape != (len(states),) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise ValueError(
            f"weights must be {len(states)} numbers, none negative and one at least positive, got {weights!r}"
        )
    kind, settings = states[0]["class"], states[0]["settings"]
    if kind not in _AVERAGES:
        raise ValueError(f"a {kind} is not averaged; there are rules for {', '.join(_AVERAGES)}")
    for state in states:
        different = kind if state["class"] != kind else differences(settings, state["settings"])
        if different:
            raise ValueError(f"biases of different classes or settings are not averaged: {different}")
    parts = [state["state"] for state, share in zip(states, shares, strict=True) if share > 0]
    mean = _Mean(parts, shares[shares > 0] / shares.sum())
    return {"class": kind, "settings": settings, "state": _AVERAGES[kind](mean)}


class _Mean:
    """Weighted averages of entries of nested states."""

    def __init__(self, states: Sequence[Mapping[str, Any]], shares: FloatArray) -> None:
        self.states, self.shares = states, shares

    def entries(self, *path: str) -> list[Any]:
        """What each state has at a path."""
        found: list[Any] = list(self.states)
        for key in path:
            found = [item[key] for item in found]
        return found

    def array(self, *path: str) -> FloatArray:
        """The average of arrays."""
        stacked = np.array(self.entries(*path), dtype=np.float64)
        average: FloatArray = self.shares[0] * stacked[0]
        for share, item in zip(self.shares[1:], stacked[1:], strict=True):
            average = average + share * item
        return average

    def number(self, *path: str) -> float:
        """The average of numbers."""
        return float(self.array(*path))

    def whole(self, *path: str) -> int:
        """The average of counts, rounded."""
        return round(self.number(*path))

    def free_energy(self, *path: str) -> FloatArray:
        """The average of free energies, zero at its lowest."""
        average = self.array(*path)
        average -= average.min()
        return average


def _nothing_recorded() -> dict[str, Any]:
    return {"table": np.empty(0), "stride": 1}


def _variational(mean: _Mean) -> dict[str, Any]:
    averaged = {name: mean.array(name) for name in ("instantaneous", "mean", "shares")}
    numbers = {name: mean.number(name) for name in ("divergence", "gradient", "inside")}
    empty = {name: np.zeros_like(mean.array(name)) for name in ("sums", "squares", "counts")}
    return {
        **averaged,
        **numbers,
        **empty,
        "iterations": mean.whole("iterations"),
        "target": {"free_energy": mean.free_energy("target", "free_energy")},
        "record": _nothing_recorded(),
        "waiting": np.empty(0),
        "seen": 0,
        "file_bytes": None,
    }


def _deep(mean: _Mean) -> dict[str, Any]:
    scale = mean.number("schedule", "scale")
    is_static = all(phase == "static" for phase in mean.entries("schedule", "phase"))
    return {
        "parameters": mean.array("parameters"),
        "adam": mean.array("adam"),
        "adam_steps": mean.whole("adam_steps"),
        "learning": _sampled(mean) if "chains" in mean.states[0]["learning"] else _gridded(mean),
        "schedule": {"scale": scale, "phase": "static" if is_static else "learning"},
        "iterations": mean.whole("iterations"),
        "divergence": mean.number("divergence"),
        "inside": mean.number("inside"),
        "static_since": 0 if is_static else None,
        "record": _nothing_recorded(),
        "samples": np.empty(0),
    }


def _gridded(mean: _Mean) -> dict[str, Any]:
    return {
        "histogram": mean.array("learning", "histogram"),
        "target": {"free_energy": mean.free_energy("learning", "target", "free_energy")},
    }


def _sampled(mean: _Mean) -> dict[str, Any]:
    chains = [np.array(item, dtype=np.float64) for item in mean.entries("learning", "chains")]
    mixed = chains[0].copy()
    for k, item in enumerate(chains):
        mixed[k :: len(chains)] = item[k :: len(chains)]  # as many of each
    return {
        "histogram": mean.array("learning", "histogram"),
        "chains": mixed,
        "rng": mean.states[0]["learning"]["rng"],
    }


_AVERAGES: dict[str, Callable[[_Mean], dict[str, Any]]] = {
    "VariationalBias": _variational,
    "DeepVESBias": _deep,
}
