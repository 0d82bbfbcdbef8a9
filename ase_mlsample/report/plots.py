"""The plots of a run, each from plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ase_mlsample.analysis.errors import coverage, expected_coverage
from ase_mlsample.analysis.uncertainty import error_by_sigma
from ase_mlsample.report.style import COLOURS, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from ase_mlsample.report.history import Generation
    from ase_mlsample.report.predictions import HeldOutPredictions

__all__ = ["candidates", "learning_curve", "origins", "parity", "stage_times", "uncertainty"]


def learning_curve(generations: Sequence[Generation], *, target: float | None = None) -> Figure:
    """Held-out errors of forces and energies by class against the number of labels.

    Parameters
    ----------
    generations
        Those with errors are drawn.
    target
        Relative force error that the run is to reach.
    """
    known = [g for g in generations if g.errors]
    figure, (forces, energies) = new_figure(2)
    for number, kind in enumerate(known[-1].errors if known else ()):
        having = [g for g in known if kind in g.errors]
        labels = [g.n_labels for g in having]
        style = {"color": "#999999", "linestyle": ":"} if kind == "all" else look(number)
        forces.plot(labels, [g.errors[kind].force_error for g in having], label=kind, **style)
        energies.plot(labels, [1000 * g.errors[kind].energy_rmse for g in having], label=kind, **style)
    if target is not None:
        forces.axhline(target, color="#555555", linestyle="--", label=f"target {target:g}")
    for ax, text in ((forces, "force RMSE / RMS force"), (energies, "energy RMSE (meV/atom)")):
        ax.set(xlabel="labelled structures", ylabel=text, yscale="log", title="held-out set")
        _plain_numbers(ax.yaxis)
    if known:
        forces.legend(frameon=False)
    return figure


def candidates(generations: Sequence[Generation]) -> Figure:
    """What the trust window said of the explored frames, and the window itself, by generation."""
    known = [g for g in generations if g.explored]
    figure, (shares, window) = new_figure(2)
    numbers = [g.number for g in known]
    bottom = np.zeros(len(known))
    for verdict, colour in (("learned", COLOURS[3]), ("candidate", COLOURS[5]), ("rejected", COLOURS[2])):
        share = np.array([g.explored[verdict] / max(1, sum(g.explored.values())) for g in known])
        shares.bar(numbers, share, bottom=bottom, color=colour, label=verdict, width=0.7)
        bottom += share
    shares.set(xlabel="generation", ylabel="fraction of explored frames", ylim=(0, 1.0))
    limits = [g for g in known if g.window is not None]
    for end, name, style in ((0, "lower limit", look(1)), (1, "upper limit", look(2))):
        values = [g.window[end] for g in limits if g.window is not None]
        window.plot([g.number for g in limits], values, label=name, **style)
    window.set(xlabel="generation", ylabel="largest force_sigma (eV/Å)", ylim=(0, None), title="trust window")
    for ax in (shares, window):
        _whole_numbers(ax, numbers)
    if known:
        shares.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        window.legend(frameon=False)
    return figure


def parity(predictions: HeldOutPredictions) -> Figure:
    """Forces and energies of the model against the reference, by class."""
    figure, (forces, energies) = new_figure(2, height=4.6)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        style = {**look(number), "linestyle": ""}
        points = {**style, "marker": ".", "markersize": 2, "alpha": 0.3, "rasterized": True}
        forces.plot(chosen.reference_forces.ravel(), chosen.forces.ravel(), **points)
        energies.plot(chosen.reference_energies, chosen.energies, label=kind, markersize=4, **style)
    for ax, text in ((forces, "force component (eV/Å)"), (energies, "energy (eV/atom)")):
        _diagonal(ax)
        ax.set(xlabel=f"reference {text}", ylabel=f"model {text}", aspect="equal", title="held-out set")
    energies.legend(frameon=False)
    return figure


def uncertainty(predictions: HeldOutPredictions) -> Figure:
    """Is the predicted uncertainty as large as the error: binned, and coverage against Student's t."""
    figure, (bins, covered) = new_figure(2, height=4.4)
    for number, kind in enumerate(predictions.kinds):
        chosen = predictions.of(kind)
        errors = chosen.forces - chosen.reference_forces
        binned = error_by_sigma(errors, chosen.forces_std, bins=12)
        positive = binned.sigma > 0
        bins.plot(binned.sigma[positive], binned.error[positive], label=kind, markersize=4, **look(number))
    bins.set(
        xscale="log", yscale="log", xlabel="predicted σ of force components (eV/Å)", ylabel="RMS error (eV/Å)"
    )
    _diagonal(bins)
    for axis in (bins.xaxis, bins.yaxis):
        _plain_numbers(axis)
    bins.legend(frameon=False)
    errors = predictions.forces - predictions.reference_forces
    widths = np.linspace(0.1, 3.0, 30)
    found = [coverage(errors, predictions.forces_std, width=width) for width in widths]
    expected = [expected_coverage(predictions.members, width=width) for width in widths]
    covered.plot(
        widths, expected, color="#555555", linestyle="--", label=f"Student's t, {predictions.members} members"
    )
    covered.plot(widths, found, color=COLOURS[1], label="all force components")
    at_one = coverage(errors, predictions.forces_std)
    covered.set(xlabel="interval in predicted σ", ylabel="fraction of errors inside", ylim=(0, 1))
    covered.set_title(f"1σ: {at_one:.3f}, expected {expected_coverage(predictions.members):.3f}")
    covered.legend(frameon=False)
    return figure


def origins(generations: Sequence[Generation]) -> Figure:
    """Where the labelled structures of each generation came from."""
    figure, (ax,) = new_figure(1, width=7.0)
    names = list(dict.fromkeys(name for g in generations for name in g.origins))
    numbers = [g.number for g in generations]
    bottom = np.zeros(len(generations))
    for index, name in enumerate(names):
        counts = np.array([g.origins.get(name, 0) for g in generations])
        hatch = "" if index < len(COLOURS) - 1 else "//"
        ax.bar(
            numbers, counts, bottom=bottom, color=COLOURS[(index + 1) % len(COLOURS)], label=name, hatch=hatch
        )
        bottom += counts
    ax.set(xlabel="generation", ylabel="structures proposed for labelling")
    _whole_numbers(ax, numbers)
    if names:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def stage_times(seconds: Sequence[tuple[int, Mapping[str, float]]]) -> Figure:
    """Time that each stage of each generation took.

    Parameters
    ----------
    seconds
        Generation, and seconds by stage.
    """
    figure, (ax,) = new_figure(1, width=7.0)
    names = list(dict.fromkeys(name for _, stages in seconds for name in stages))
    numbers = [number for number, _ in seconds]
    left = np.zeros(len(seconds))
    for index, name in enumerate(names):
        values = np.array([stages.get(name, 0.0) for _, stages in seconds])
        ax.barh(numbers, values, left=left, color=COLOURS[(index + 1) % len(COLOURS)], label=name, height=0.7)
        left += values
    ax.set(xlabel="time (s)", ylabel="generation")
    ax.set_yticks(numbers)
    ax.invert_yaxis()
    if names:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _diagonal(ax: Axes) -> None:
    low = (
        max(ax.get_xlim()[0], ax.get_ylim()[0])
        if ax.get_xscale() == "log"
        else min(ax.get_xlim()[0], ax.get_ylim()[0])
    )
    high = max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([low, high], [low, high], color="#555555", linewidth=0.8, linestyle="--", zorder=0)


def _whole_numbers(ax: Axes, numbers: Sequence[int]) -> None:
    if numbers:
        ax.set_xticks(range(min(numbers), max(numbers) + 1))


def _plain_numbers(axis: Axis) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
