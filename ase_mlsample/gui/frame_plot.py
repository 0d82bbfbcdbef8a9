"""Diagrams of frames in numbers: variables, bias and disagreement over time, the bias over its variable."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.gui.frame_numbers import FrameNumbers, Quantity
from ase_mlsample.gui.run_estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BIAS_MAP", "FramePlot", "default_panels", "panels"]

Column = NDArray[np.float64]

# Okabe and Ito, https://jfly.uni-koeln.de/color (2008): colours that the colour-blind can tell apart
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_INK, _GRID, _LIMIT = "#202020", "#e2e2e2", "#777777"
# how near a click must be to a point, in pixels along the axis
_NEAR = 24.0
#: Name of the diagram of the bias over its variable, or of one variable over another.
BIAS_MAP = "bias over variables"
_USUAL = {"bias", "disagreement of forces", "disagreement of energies", "energy", "temperature"}
# beside axes there is room for a word
_SHORT = {"disagreement of forces": "force σ", "disagreement of energies": "energy σ"}
# points that are drawn as such, besides their line
_MARKED = 150
# letters of a name beside a diagram, above which it has two lines
_LONG = 14


def panels(numbers: FrameNumbers) -> dict[str, list[Quantity]]:
    """Diagrams that can be drawn, by name, with the quantities in each."""
    found: dict[str, list[Quantity]] = {}
    for quantity in numbers.quantities:
        found.setdefault(quantity.panel, []).append(quantity)
    keys = {quantity.key for quantity in numbers.quantities}
    if numbers.variables and ("bias" in keys or len(numbers.variables) > 1):
        found[BIAS_MAP] = numbers.variables[:2]
    return found


def default_panels(numbers: FrameNumbers) -> list[str]:
    """Names of the diagrams to begin with: at most four over time, and that of the bias."""
    names = list(panels(numbers))
    variables = [quantity.panel for quantity in numbers.variables]
    usual = [name for name in names if name in _USUAL]
    over_time = (variables[:2] + usual)[:4]
    return over_time + [name for name in names if name == BIAS_MAP]


class FramePlot:
    """Draws `FrameNumbers` into a figure and marks one frame in each diagram.

    Parameters
    ----------
    figure : of any canvas.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self._points: list[tuple[Axes, Column, Column]] = []
        self._marks: list[Any] = []

    def draw(self, numbers: FrameNumbers, shown: Collection[str], estimate: Estimate | None = None) -> None:
        """Draw diagrams anew.

        Parameters
        ----------
        numbers : of all frames.
        shown : names of the diagrams.
        estimate : free energy that is drawn with the bias over its variable.
        """
        self.figure.clear()
        self._points, self._marks = [], []
        chosen = {name: quantities for name, quantities in panels(numbers).items() if name in shown}
        if not chosen or not len(numbers):
            self.figure.text(0.5, 0.5, "nothing to draw yet", ha="center", color=_LIMIT)
            return
        over_time = [name for name in chosen if name != BIAS_MAP]
        axes = self._axes(len(over_time), has_map=BIAS_MAP in chosen)
        x, label = _time_axis(numbers)
        for ax, name in zip(axes, over_time, strict=False):
            self._draw_over_time(ax, numbers, chosen[name], x)
        if over_time:
            axes[len(over_time) - 1].set_xlabel(label)
        if BIAS_MAP in chosen:
            self._draw_map(axes[-1], numbers, chosen[BIAS_MAP], estimate)

    def mark(self, row: int) -> list[Any]:
        """Mark a frame in all diagrams and return the marks, which the canvas need not draw by itself."""
        for mark, (_, x, y) in zip(self._marks, self._points, strict=True):
            is_there = 0 <= row < len(x)
            mark.set_data([x[row]] if is_there else [], [y[row]] if is_there else [])
        return self._marks

    def row_at(self, ax: Any, x: float, y: float) -> int | None:
        """Return the frame that a place in a diagram (in pixels) is nearest to; None if it is near none."""
        best, nearest = None, np.inf
        for own, xs, ys in self._points:
            if own is not ax:
                continue
            pixels = own.transData.transform(np.column_stack([xs, ys]))
            over_time = own.get_gid() != BIAS_MAP
            far = np.abs(pixels[:, 0] - x) if over_time else np.hypot(pixels[:, 0] - x, pixels[:, 1] - y)
            far[~np.isfinite(far)] = np.inf
            if len(far) and far.min() < nearest:
                best, nearest = int(far.argmin()), float(far.min())
        return best if nearest <= _NEAR else None

    def _axes(self, n_over_time: int, *, has_map: bool) -> list[Axes]:
        """Diagrams below each other, those over time with one axis; a gap above the map."""
        width, height = (float(size) * self.figure.dpi for size in self.figure.get_size_inches())
        left, right, low, high, gap = 84 / width, 1 - 16 / width, 48 / height, 1 - 12 / height, 12 / height
        below = 54 / height if has_map and n_over_time else 0.0
        number = n_over_time + has_map
        share = max(0.02, (high - low - below - gap * (number - 1)) / number)
        axes: list[Axes] = []
        for k in range(number):
            bottom = high - (k + 1) * share - k * gap
            is_map = has_map and k == n_over_time
            ax = self.figure.add_axes(
                (left, bottom - (below if is_map else 0.0), right - left, share),
                sharex=axes[0] if axes and not is_map else None,
            )
            ax.grid(visible=True, color=_GRID, linewidth=0.6)
            ax.set_axisbelow(True)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=8, labelbottom=is_map or k == n_over_time - 1)
            axes.append(ax)
        return axes

    def _draw_over_time(self, ax: Axes, numbers: FrameNumbers, quantities: list[Quantity], x: Column) -> None:
        for quantity, colour in zip(quantities, _COLOURS, strict=False):
            y = numbers.column(quantity.key)
            broken = np.flatnonzero(numbers.begins[1:]) + 1
            marker = "." if len(x) < _MARKED or len(broken) > len(x) / 4 else ""
            ax.plot(
                np.insert(x, broken, np.nan),
                np.insert(y, broken, np.nan),
                color=colour,
                linewidth=1.0,
                marker=marker,
                markersize=4,
                label=_text(quantity.label),
            )
            self._add_mark(ax, x, y, colour)
        if quantities[0].panel == "disagreement of forces":
            _draw_limits(ax, numbers, x)
        if len(ax.get_legend_handles_labels()[0]) > 1:
            ax.legend(fontsize=7, frameon=False, loc="upper left", ncols=2, borderpad=0.1)
            ax.margins(y=0.25)  # room for the legend
        first = quantities[0]
        name = _SHORT.get(first.panel, first.label if len(quantities) == 1 else first.panel)
        if len(name) > _LONG and "_" in name[:-1]:
            name = "_\n".join(name.rsplit("_", 1))
        ax.set_ylabel(_text(f"{name}\n({first.unit})" if first.unit else name), fontsize=8)

    def _draw_map(
        self, ax: Axes, numbers: FrameNumbers, variables: list[Quantity], estimate: Estimate | None
    ) -> None:
        ax.set_gid(BIAS_MAP)
        x, bias = numbers.column(variables[0].key), numbers.column("bias")
        y = bias if len(variables) == 1 else numbers.column(variables[1].key)
        has_colours = len(variables) == 2 and bool(np.isfinite(bias).any())
        ax.scatter(x, y, c=bias if has_colours else np.arange(len(x)), s=9, cmap="viridis", linewidths=0)
        ax.set_xlabel(_text(variables[0].label), fontsize=9)
        colours = "bright: large bias" if has_colours else "dark: early frames"
        ax.set_title(colours, fontsize=7, color=_LIMIT, loc="right", pad=2)
        if len(variables) == 2:
            ax.set_ylabel(_text(variables[1].label), fontsize=8)
        else:
            ax.set_ylabel("bias V\n(eV)" if estimate is None else "V, and F\n(eV)", fontsize=8)
        if len(variables) == 1 and estimate is not None:
            finite = np.where(np.isfinite(estimate.values), estimate.values, np.nan)
            ax.plot(estimate.axis, finite, color=_INK, linewidth=1.2)
            ax.set_title(f"line: F {estimate.how}", fontsize=7, color=_LIMIT, loc="left", pad=2)
        self._add_mark(ax, x, y, _COLOURS[1])

    def _add_mark(self, ax: Axes, x: Column, y: Column, colour: str) -> None:
        self._points.append((ax, x, y))
        (mark,) = ax.plot(
            [], [], "o", markersize=8, markerfacecolor=colour, markeredgecolor=_INK, animated=True, zorder=5
        )
        self._marks.append(mark)


def _draw_limits(ax: Axes, numbers: FrameNumbers, x: Column) -> None:
    """The trust window, as far as the values come near to it."""
    top = max((np.nanmax(line.get_ydata(), initial=0.0) for line in ax.get_lines()), default=0.0)
    for key, word, style in (("trust_lo", "candidate", "--"), ("trust_hi", "unphysical", ":")):
        limit = numbers.column(key)
        known = np.flatnonzero(np.isfinite(limit))
        if len(known) and np.nanmin(limit) < 2 * top:
            ax.plot(x, limit, linestyle=style, color=_LIMIT, linewidth=1.0)
            end = x[known[-1]], limit[known[-1]]
            above: dict[str, Any] = {"xytext": (0, 2), "textcoords": "offset points"}
            ax.annotate(f"{word} ↑", end, color=_LIMIT, fontsize=7, ha="right", **above)


def _time_axis(numbers: FrameNumbers) -> tuple[Column, str]:
    """Time where it goes on from frame to frame, else the number of the frame."""
    if not numbers.is_one_trajectory:
        return np.arange(float(len(numbers))), "frame"  # from 0, as the GUI counts
    time = numbers.column("time_fs")
    return (time / 1000, "time (ps)") if time[-1] >= 1000 else (time, "time (fs)")


def _text(name: str) -> str:
    """A name as matplotlib must be given it: never a formula, never left out of a legend."""
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
