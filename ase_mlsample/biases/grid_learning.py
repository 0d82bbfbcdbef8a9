"""Learning the bias of few variables: all averages are sums over the nodes of a grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.network import BiasNetwork
from ase_mlsample.biases.tabulated import TabulatedPotential
from ase_mlsample.biases.targets import GridTarget

__all__ = ["GridLearning"]

FloatArray = NDArray[np.float64]

_START = 1e-6  # of each bin of the running histogram


class GridLearning:
    """Gradient and table of a network on a grid; the network is evaluated once an iteration.

    Samples are shared out to the nodes around them, so that the gradient −⟨∂V/∂w⟩_samples + ⟨∂V/∂w⟩_p is one
    backward sweep with the difference of the two distributions.

    Parameters
    ----------
    network : BiasNetwork
    table : TabulatedPotential
    target : GridTarget
    unit : float
        Energy of an output of 1.
    tau : float
        Iterations over which the histogram of the run averages.
    """

    def __init__(
        self, network: BiasNetwork, table: TabulatedPotential, target: GridTarget, *, unit: float, tau: float
    ) -> None:
        self.table, self.target = table, target
        self._network, self._unit, self._tau = network, unit, tau
        self._inputs = network.inputs(table.points)
        self.histogram: FloatArray = np.full(len(table.points), _START)
        self._shares = np.zeros(len(table.points))
        self.tabulate()

    def gradient(self, samples: FloatArray) -> FloatArray:
        """Return dΩ/dparameters in units of ``unit``, (P,), from samples (n, d) within the bounds."""
        self._shares = self.table.shares(samples)
        return self._network.parameter_gradient(self._layers, self.target.probabilities - self._shares)

    def follow(self) -> tuple[float, float]:
        """Take the changed network: histogram, target and table follow.

        Returns
        -------
        divergence : float
            KL(p_V ‖ p) of the run's histogram from the target that was aimed at.
        omega : float
            Ω = ⟨V⟩_p − k_BT ln⟨e^{V/k_BT}⟩ of the bias before, the second average over the histogram.
        """
        self.histogram += (self._shares - self.histogram) / self._tau
        seen = self.histogram / self.histogram.sum()
        target, kT = self.target, self.target.kT
        logarithms = np.log(np.maximum(seen, np.finfo(np.float64).tiny))
        divergence = float(seen @ (logarithms - target.log_probabilities))
        exponents = logarithms + self.values / kT
        top = exponents.max()
        omega = float(target.probabilities @ self.values - kT * (top + np.log(np.exp(exponents - top).sum())))
        self.tabulate()
        target.update(self.values)
        return divergence, omega

    def tabulate(self) -> None:
        """Evaluate the network at the nodes."""
        outputs, self._layers = self._network.forward(self._inputs)
        self.values = self._unit * outputs
        self.table.set_values(self.values)

    def potential(self, points: FloatArray) -> tuple[Any, FloatArray]:
        """Return V and its gradient by interpolation."""
        return self.table.potential(points)

    def state(self) -> dict[str, Any]:
        """Return what changes, the network excepted."""
        return {"histogram": self.histogram.copy(), "target": self.target.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a state, and the network as it is now."""
        self.histogram = np.array(state["histogram"], dtype=np.float64)
        self.target.load_state(state["target"])
        self.tabulate()
