"""Biased runs that draw how the learning of their bias goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ase_mlsample.biases.arguments import whole
from ase_mlsample.biases.base import Bias
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased import BiasedDynamics
from ase_mlsample.dynamics.checkpoint import Checkpoint
from ase_mlsample.dynamics.convergence_plot import plot_convergence, require_figure
from ase_mlsample.dynamics.run_settings import BiasedRunSettings
from ase_mlsample.dynamics.shared_bias import own_term

__all__ = ["DrawnDynamics", "checked_plot"]


class DrawnDynamics(BiasedDynamics):
    """A run whose bias learns in iterations, of which a figure is drawn anew from time to time.

    The run's details have ``plot_interval``, and among their files ``plot``.
    """

    def plot(self, path: str | Path) -> None:
        """Draw how the learning has gone so far; see :func:`plot_convergence`."""
        plot_convergence(own_term(self.bias), path, variable=", ".join(self.cv.names), unit="eV")

    def _set_up(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        bias: Bias,
        settings: BiasedRunSettings,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        super()._set_up(integrator, cv, bias, settings, checkpoint)
        self._drawn = own_term(self.bias).iterations

    def _after_step(self) -> None:
        super()._after_step()
        bias, details = own_term(self.bias), self.settings.details
        path, done = details["files"]["plot"], bias.iterations
        if path is None or done == self._drawn:
            return
        if done % details["plot_interval"] == 0 or getattr(bias, "static_since", None) == self.step:
            self.plot(path)
            self._drawn = done


def checked_plot(path: str | Path | None, interval: int) -> tuple[str | None, int]:
    """Return path and interval of a run's figure (ValueError for another kind of file, or below 1)."""
    return None if path is None else os.fspath(require_figure(path)), whole(interval, "plot_interval")
