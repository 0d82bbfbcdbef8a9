"""One look for all plots: colours that the colour-blind can tell apart, no display needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "look", "new_figure", "save"]

# Okabe and Ito, https://jfly.uni-koeln.de/color (2008), black first
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def look(number: int) -> dict[str, Any]:
    """Colour and marker of the class with this number, as keyword arguments of ``plot``."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def new_figure(columns: int = 1, *, width: float = 5.0, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """A figure with a row of axes, drawn without a display.

    Parameters
    ----------
    columns
        How many axes.
    width, height
        Of each, inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.grid(visible=True, color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG whole or not at all, and return its path."""
    partial = path.with_name(f".{path.name}.part")
    figure.savefig(partial, dpi=150, format="png")
    partial.replace(path)
    return path
