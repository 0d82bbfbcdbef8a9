"""The plots of a run, each from plain numbers, each with one set of axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ase_mlsample.report.style import GRID, INK, MUTED, as_text, colour, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from ase_mlsample.report.history import ClassErrors, Generation

__all__ = [
    "by_generation",
    "candidates",
    "energy_errors",
    "force_errors",
    "legend_above",
    "plain_numbers",
    "stage_times",
    "trust_window",
]

# learned, candidate, rejected: what is fine, what is wanted, what is bad
_VERDICTS = (("learned", colour(2)), ("candidate", colour(4)), ("rejected", colour(1)))

_STATES = {"labelled": colour(2), "rejected": colour(4), "failed": colour(1), "waiting": colour(6)}


def force_errors(generations: Sequence[Generation], *, target: float | None = None) -> Figure:
    """Held-out force errors by class against the number of labels.

    Parameters
    ----------
    generations
        Those with errors are drawn.
    target
        Relative force error that the run is to reach.
    """
    figure, ax = new_figure()
    _errors(ax, generations, lambda errors: errors.force_error)
    if target is not None:
        ax.axhline(target, color=MUTED, linestyle="--", linewidth=1, label=f"target {target:g}")
    ax.set(ylabel="force RMSE / RMS force")
    legend_above(ax)
    return figure


def energy_errors(generations: Sequence[Generation]) -> Figure:
    """Held-out energy errors by class against the number of labels."""
    figure, ax = new_figure()
    _errors(ax, generations, lambda errors: 1000 * errors.energy_rmse)
    ax.set(ylabel="energy RMSE (meV/atom)")
    legend_above(ax)
    return figure


def _errors(ax: Axes, generations: Sequence[Generation], value: Callable[[ClassErrors], float]) -> None:
    known = [g for g in generations if g.errors]
    for number, kind in enumerate(known[-1].errors if known else ()):
        having = [g for g in known if kind in g.errors]
        style = {"color": INK, "linestyle": ":", "marker": "."} if kind == "all" else look(number)
        ax.plot(
            [g.n_labels for g in having],
            [value(g.errors[kind]) for g in having],
            label=as_text(kind),
            **style,
        )
    ax.set(xlabel="labelled structures")
    if any(value(errors) > 0 for g in known for errors in g.errors.values()):
        ax.set_yscale("log")
        plain_numbers(ax.yaxis)


def candidates(generations: Sequence[Generation]) -> Figure:
    """What the trust window said of the explored frames, by generation."""
    known = [g for g in generations if g.explored]
    figure, ax = new_figure()
    numbers = [g.number for g in known]
    bottom = np.zeros(len(known))
    for verdict, shade in _VERDICTS:
        share = np.array([g.explored.get(verdict, 0) / max(1, sum(g.explored.values())) for g in known])
        ax.bar(numbers, share, bottom=bottom, color=shade, label=verdict, width=0.7)
        bottom += share
    ax.set(xlabel="generation", ylabel="fraction of explored frames", ylim=(0, 1.0))
    _whole_numbers(ax, numbers)
    legend_above(ax)
    return figure


def trust_window(generations: Sequence[Generation]) -> Figure:
    """Limits of the trust window by generation."""
    figure, ax = new_figure()
    known = [(g.number, g.window) for g in generations if g.window is not None]
    numbers = [number for number, _ in known]
    for end, name, number in ((1, "upper limit: unphysical above", 1), (0, "lower limit: learned below", 2)):
        ax.plot(numbers, [window[end] for _, window in known], label=name, **look(number))
    if len(known) > 1:
        low, high = ([window[end] for _, window in known] for end in (0, 1))
        ax.fill_between(numbers, low, high, color=colour(4), alpha=0.25, linewidth=0, label="candidates")
    ax.set(xlabel="generation", ylabel="largest deviation in a frame (eV/Å)", ylim=(0, None))
    _whole_numbers(ax, numbers)
    legend_above(ax, columns=1)
    return figure


def by_generation(counts: Mapping[int, Mapping[str, int]], *, ylabel: str, states: bool = False) -> Figure:
    """Stacked bars of counts by name.

    Parameters
    ----------
    counts
        By generation and name.
    ylabel
        What is counted.
    states
        Names are states of labels, which have colours and an order of their own.
    """
    figure, ax = new_figure(height=4.6)
    names = list(dict.fromkeys(name for found in counts.values() for name in found))
    names.sort(key=list(_STATES).index if states else lambda name: name == "other")
    numbers = list(counts)
    bottom = np.zeros(len(numbers))
    for index, name in enumerate(names):
        values = np.array([counts[number].get(name, 0) for number in numbers])
        ax.bar(
            numbers,
            values,
            bottom=bottom,
            color=_STATES.get(name, colour(index)),
            label=as_text(name),
            width=0.7,
        )
        bottom += values
    ax.set(xlabel="generation", ylabel=ylabel)
    _whole_numbers(ax, numbers)
    legend_above(ax, columns=2)
    return figure


def stage_times(seconds: Sequence[tuple[int, Mapping[str, float]]]) -> Figure:
    """Time that each stage of each generation took.

    Parameters
    ----------
    seconds
        Generation, and seconds by stage.
    """
    figure, ax = new_figure()
    names = list(dict.fromkeys(name for _, stages in seconds for name in stages))
    numbers = [number for number, _ in seconds]
    left = np.zeros(len(seconds))
    for index, name in enumerate(names):
        values = np.array([stages.get(name, 0.0) for _, stages in seconds])
        ax.barh(numbers, values, left=left, color=colour(index), label=name, height=0.7)
        left += values
    ax.set(xlabel="wall time (s)", ylabel="generation")
    ax.set_yticks(_ticks(numbers))
    ax.invert_yaxis()
    legend_above(ax)
    return figure


def legend_above(ax: Axes, *, columns: int = 4) -> None:
    """Put the legend where it hides nothing, in rows as long as one another, of so many entries at most."""
    entries = len(ax.get_legend_handles_labels()[0])
    if entries:
        rows = -(-entries // columns)
        ax.figure.legend(frameon=False, loc="outside upper center", ncols=-(-entries // rows))


def plain_numbers(axis: Axis) -> None:
    """Write 0.02 and not 2×10⁻² on a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.grid(visible=True, which="major", color=GRID)


def _whole_numbers(ax: Axes, numbers: Sequence[int]) -> None:
    ax.set_xticks(_ticks(numbers))


def _ticks(numbers: Sequence[int]) -> list[int]:
    """All generations, or about ten of them where there are many."""
    if not numbers:
        return []
    return list(range(min(numbers), max(numbers) + 1, 1 + (max(numbers) - min(numbers)) // 12))
