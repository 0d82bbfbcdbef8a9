"""One look for all plots: colours that the colour-blind can tell apart, no display needed."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "INK", "MUTED", "as_png", "as_svg", "as_text", "colour", "look", "new_figure"]

# Okabe and Ito, https://jfly.uni-koeln.de/color (2008); without black and yellow: they vanish on a page
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# text and lines whose colour the page replaces by its own: they must not be used for anything else
INK, MUTED, GRID = "#000000", "#555555", "#dddddd"


def as_text(name: str) -> str:
    """A name from a run as matplotlib must be given it: never a formula, never left out of a legend."""
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def colour(number: int) -> str:
    """Colour of the class with this number."""
    return COLOURS[number % len(COLOURS)]


def look(number: int) -> dict[str, Any]:
    """Colour and marker of the class with this number, as keyword arguments of ``plot``."""
    return {"color": colour(number), "marker": MARKERS[number % len(MARKERS)]}


def new_figure(*, width: float = 5.6, height: float = 4.0) -> tuple[Figure, Axes]:
    """A figure with one set of axes, drawn without a display.

    Parameters
    ----------
    width, height
        Inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.grid(visible=True, color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def as_png(figure: Figure) -> bytes:
    """The figure as pixels on white, 150 to the inch."""
    _lay_out(figure)
    stream = BytesIO()
    figure.savefig(stream, dpi=150, format="png")
    return stream.getvalue()


def as_svg(figure: Figure, name: str) -> bytes:
    """The figure as vectors without a ground, its text as text; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        Its rasterised parts become pixels, 150 to the inch.
    name
        Makes the identifiers in the file differ from those of other figures.
    """
    from matplotlib import rc_context

    _lay_out(figure)
    stream = BytesIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", dpi=150, transparent=True, metadata=nothing)
    return stream.getvalue()


def _lay_out(figure: Figure) -> None:
    """Place everything once: the layout takes as long as the drawing, and both files can share it."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
