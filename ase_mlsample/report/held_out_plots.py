"""Plots of the last model on the held-out set: is it right, and does it know where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ase_mlsample.analysis.errors import coverage, expected_coverage
from ase_mlsample.analysis.uncertainty import error_by_sigma
from ase_mlsample.report.plots import legend_above, plain_numbers
from ase_mlsample.report.style import INK, MUTED, as_text, colour, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ase_mlsample.report.predictions import HeldOutPredictions

__all__ = ["calibration", "coverage_curve", "energy_parity", "force_parity", "uncertainty"]

# more points than this hide one another; the rest is left out of the picture, never of the numbers
_MOST_POINTS = 20_000
_DOTS: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 2.5, "alpha": 0.35, "rasterized": True}


def force_parity(predictions: HeldOutPredictions) -> Figure:
    """Force components of the model against the reference, by class."""
    figure, ax = new_figure(height=5.0)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        reference, predicted = _thinned(chosen.reference_forces.ravel(), chosen.forces.ravel())
        _cloud(ax, number, kind, reference, predicted)
    _parity(ax, "force component (eV/Å)")
    return figure


def energy_parity(predictions: HeldOutPredictions) -> Figure:
    """Energies of the model against the reference, by class."""
    figure, ax = new_figure(height=5.0)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        style = {**look(number), "linestyle": "", "markersize": 4, "alpha": 0.7, "rasterized": True}
        ax.plot(chosen.reference_energies, chosen.energies, label=as_text(kind), **style)
    _parity(ax, "energy (eV/atom)")
    return figure


def uncertainty(predictions: HeldOutPredictions) -> Figure:
    """True error of each atom's force against its predicted ``force_sigma``, by class."""
    figure, ax = new_figure(height=5.0)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        sigma, error = _thinned(chosen.force_sigma, chosen.atom_errors)
        positive = (sigma > 0) & (error > 0)
        _cloud(ax, number, kind, sigma[positive], error[positive])
    binned = error_by_sigma(predictions.atom_errors, predictions.force_sigma, bins=12)
    positive = (binned.sigma > 0) & (binned.error > 0)
    ax.plot(binned.sigma[positive], binned.error[positive], color=INK, marker="o", label="RMS in 12 bins")
    ax.set(xlabel="predicted force_sigma (eV/Å)", ylabel="true |ΔF| (eV/Å)")
    _logarithmic(ax)
    legend_above(ax)
    return figure


def calibration(predictions: HeldOutPredictions) -> Figure:
    """Root mean square error of force components in bins of their predicted σ, by class."""
    figure, ax = new_figure(height=4.6)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        binned = error_by_sigma(chosen.forces - chosen.reference_forces, chosen.forces_std, bins=12)
        positive = (binned.sigma > 0) & (binned.error > 0)
        ax.plot(
            binned.sigma[positive], binned.error[positive], label=as_text(kind), markersize=4, **look(number)
        )
    ax.set(xlabel="predicted σ of components (eV/Å)", ylabel="RMS error of components (eV/Å)")
    _logarithmic(ax)
    legend_above(ax)
    return figure


def coverage_curve(predictions: HeldOutPredictions) -> Figure:
    """Fraction of force errors within so many predicted σ, against Student's t, by class."""
    figure, ax = new_figure(height=4.6)
    widths = np.linspace(0.1, 3.0, 30)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        errors = chosen.forces - chosen.reference_forces
        found = [coverage(errors, chosen.forces_std, width=width) for width in widths]
        ax.plot(widths, found, color=colour(number), linewidth=1, label=as_text(kind))
    errors = predictions.forces - predictions.reference_forces
    found = [coverage(errors, predictions.forces_std, width=width) for width in widths]
    ax.plot(widths, found, color=INK, linewidth=2, label="all")
    expected = [expected_coverage(predictions.members, width=width) for width in widths]
    ax.plot(
        widths, expected, color=MUTED, linestyle="--", label=f"Student's t, {predictions.members} members"
    )
    ax.set(xlabel="interval in predicted σ", ylabel="fraction of errors inside", ylim=(0, 1), xlim=(0, 3))
    legend_above(ax, columns=3)
    return figure


def _thinned(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    step = 1 + len(arrays[0]) // _MOST_POINTS
    return tuple(array[::step] for array in arrays)


def _cloud(ax: Axes, number: int, kind: str, x: np.ndarray, y: np.ndarray) -> None:
    """Faint dots of a class, and a mark in the legend that can be seen."""
    ax.plot(x, y, color=colour(number), **_DOTS)
    ax.plot([], [], color=colour(number), linestyle="", marker="o", markersize=5, label=as_text(kind))


def _parity(ax: Axes, quantity: str) -> None:
    _diagonal(ax)
    ax.set(xlabel=f"reference {quantity}", ylabel=f"model {quantity}")
    legend_above(ax)


def _diagonal(ax: Axes) -> None:
    """The line of equality through all that is shown; the view stays."""
    limits = ax.get_xlim(), ax.get_ylim()
    ends = [min(low for low, _ in limits), max(high for _, high in limits)]
    ax.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle="--", zorder=0)
    ax.set(xlim=limits[0], ylim=limits[1])


def _logarithmic(ax: Axes) -> None:
    """Logarithmic axes with the line of equality, unless no point has a place on them."""
    if not any(np.size(line.get_xdata()) for line in ax.lines):
        return
    ax.set(xscale="log", yscale="log")
    _diagonal(ax)
    for axis in (ax.xaxis, ax.yaxis):
        plain_numbers(axis)
