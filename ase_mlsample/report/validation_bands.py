"""Phonon bands and the density of states side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ase_mlsample.report.style import GRID, INK, MUTED, colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_bands"]

Values = Mapping[str, Any]


def draw_bands(result: Values, reference: Values | None) -> Figure:
    """Bands along the path with those of the members, and the density of states at their side.

    Parameters
    ----------
    result, reference
        Plain values of the property "phonons".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    bands, dos = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    for ax, name in ((bands, "bands"), (dos, "dos")):
        curve = result["curves"][name]
        for number, (x, y) in enumerate(curve["members"]):
            label = "" if number else "members alone"
            _draw(ax, name, x, y, color=colour(5), alpha=0.5, linewidth=0.7, label=label)
        _draw(ax, name, curve["x"], curve["y"], color=colour(0), linewidth=1.5, label="model")
        if reference is not None and name in reference["curves"]:
            exact = reference["curves"][name]
            x = exact["x"]
            if name == "bands":  # the path of another lattice constant, stretched to this one
                x = [value * curve["x"][-1] / x[-1] for value in x]
            _draw(ax, name, x, exact["y"], color=colour(1), linestyle="--", linewidth=1.3, label="reference")
        ax.spines[["top", "right"]].set_visible(False)
        ax.axhline(0.0, color=MUTED, linewidth=0.8)
    _label_path(bands, result["facts"])
    bands.set(ylabel="frequency (THz)")
    dos.set(xlabel="states per\nTHz and atom", xlim=(0, None))
    dos.grid(visible=True, color=GRID, linewidth=0.6)
    lowest = min(0.0, *(min(row) for row in result["curves"]["bands"]["y"]))
    bands.set_ylim(1.05 * lowest if lowest < -0.1 else 0.0, None)
    handles, labels = bands.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside upper center", ncols=3)
    return figure


def _draw(ax: Any, name: str, x: Any, y: Any, *, label: str, **style: Any) -> None:
    if name == "dos":
        ax.plot(y, x, **style)
        return
    for number, branch in enumerate(y):
        ax.plot(x, branch, label=label if label and number == 0 else None, **style)


def _label_path(ax: Any, facts: Values) -> None:
    """Special points below the path; where it jumps, both of them."""
    ticks: dict[float, list[str]] = {}
    for place, label in zip(facts["ticks"], facts["labels"], strict=True):
        ticks.setdefault(round(place, 6), []).append("Γ" if label == "G" else label)
    for place in ticks:
        ax.axvline(place, color=INK, linewidth=0.5, alpha=0.5)
    ax.set_xticks(list(ticks), ["|".join(labels) for labels in ticks.values()])
    ax.set_xlim(min(ticks), max(ticks))
    ax.grid(visible=True, axis="y", color=GRID, linewidth=0.6)
