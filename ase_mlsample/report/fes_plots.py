"""Plots of free energies: curves with error bands, maps, convergence in time, variables against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.report.plots import legend_above
from ase_mlsample.report.style import COLOURS, GRID, INK, MUTED, as_text, colour, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ase_mlsample.analysis.density import Domain
    from ase_mlsample.analysis.free_energy import FreeEnergy
    from ase_mlsample.analysis.minima import Minimum

__all__ = ["convergence", "free_energy_curves", "free_energy_map", "variable_traces"]

FloatArray = NDArray[np.float64]

_BAND = 2.0  # standard errors, about 95 % of the cases


def free_energy_curves(
    curves: Mapping[str, FreeEnergy],
    *,
    name: str,
    unit: str,
    minima: Sequence[Minimum] = (),
    ceiling: float | None = None,
) -> Figure:
    """Free energies of one variable, each with a band of two standard errors where it has them.

    Parameters
    ----------
    curves : mapping
        By the name in the legend; with a single one there is no legend.
    name : str
        Of the variable.
    unit : str
        Of the free energies.
    minima : sequence of Minimum
        Numbered in the plot, in this order.
    ceiling : float, optional
        Top of the plot; default: all.
    """
    figure, ax = new_figure()
    banded = False
    for number, (label, F) in enumerate(curves.items()):
        s, values, errors = _curve(F)
        shown = as_text(label) if len(curves) > 1 else None
        ax.plot(s, values, color=colour(number), linewidth=1.8, label=shown)
        if errors is not None and np.isfinite(errors).any():
            low, high = values - _BAND * errors, values + _BAND * errors
            ax.fill_between(s, low, high, color=colour(number), alpha=0.25, linewidth=0)
            banded = True
    first = next(iter(curves.values()))
    _number_minima(ax, minima, [minimum.value for minimum in minima])
    top = ceiling if ceiling is not None else _top(list(curves.values()))
    ax.set(xlabel=as_text(name), ylabel=f"free energy ({unit})", ylim=(-0.06 * top, 1.04 * top))
    _span(ax, first)
    if banded:
        ax.fill_between([], [], [], color=MUTED, alpha=0.3, linewidth=0, label="± 2 standard errors")
    if len(curves) > 1 or banded:
        legend_above(ax)
    return figure


def free_energy_map(
    F: FreeEnergy,
    *,
    names: Sequence[str],
    unit: str,
    minima: Sequence[Minimum] = (),
    ceiling: float | None = None,
) -> Figure:
    """Free energy of two variables as colours and contour lines; white where nothing was seen.

    Parameters
    ----------
    F : FreeEnergy
        Of two variables.
    names : sequence of str
    unit : str
    minima : sequence of Minimum
        Numbered in the map.
    ceiling : float, optional
        Higher places are white too; default: all.

    Raises
    ------
    ValueError
        For another number of variables.
    """
    from matplotlib.ticker import MaxNLocator

    if len(F.axes) != 2:
        raise ValueError(f"a map is of two variables, not {len(F.axes)}")
    figure, ax = new_figure(width=6.0, height=4.6)
    x, y, values = _padded_map(F)
    top = _top([F]) if ceiling is None else min(ceiling, _top([F]))
    values = np.ma.masked_where(~np.isfinite(values) | (values > top), values)
    levels = MaxNLocator(nbins=24, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, top)
    filled = ax.contourf(x, y, values.T, levels=levels, cmap="viridis", zorder=0.5)
    ax.contour(x, y, values.T, levels=levels[::2], colors="white", linewidths=0.5, alpha=0.7, zorder=0.6)
    bar = figure.colorbar(filled, ax=ax, label=f"free energy ({unit})")
    bar.outline.set_visible(False)
    for number, minimum in enumerate(minima, 1):
        label: dict[str, Any] = {"color": "white", "fontsize": 9, "fontweight": "bold", "ha": "center"}
        round_box = {"boxstyle": "circle,pad=0.25", "facecolor": COLOURS[1], "edgecolor": "white"}
        ax.text(minimum.place[0], minimum.place[1], str(number), va="center", bbox=round_box, **label)
    ax.set(xlabel=as_text(names[0]), ylabel=as_text(names[1]))
    for limit, domain in ((ax.set_xlim, F.domains[0]), (ax.set_ylim, F.domains[1])):
        if domain is not None:
            limit(*domain)
    ax.grid(visible=False)
    return figure


def convergence(
    times: ArrayLike,
    series: Sequence[FreeEnergy],
    *,
    name: str,
    unit: str,
    time_label: str = "time (ps)",
    differences: Mapping[str, tuple[ArrayLike, ArrayLike | None]] | None = None,
) -> Figure:
    """Free energy of one variable as it stood after growing times; below, differences against time.

    Parameters
    ----------
    times : array_like (n,)
    series : n FreeEnergy
        Of one variable, on one grid.
    name : str
        Of the variable.
    unit : str
    time_label : str
    differences : mapping, optional
        By name in the legend: a difference at each time and its standard errors (or None).
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    t = np.asarray(times, dtype=float)
    figure, axes = _rows(2 if differences else 1, height=3.4)
    top = _top(series[-1:])
    # dark is late; the lightest tenth of the colours would vanish on white
    shades = ListedColormap(colormaps["viridis_r"](np.linspace(0.1, 1.0, 256)))
    norm = Normalize(min(0.0, float(t[0])), float(t[-1]))
    for moment, F in zip(t, series, strict=True):
        s, values, _ = _curve(F)
        axes[0].plot(s, values, color=shades(norm(moment)), linewidth=2.0 if F is series[-1] else 1.0)
    axes[0].set(xlabel=as_text(name), ylabel=f"free energy ({unit})", ylim=(-0.06 * top, 1.15 * top))
    _span(axes[0], series[-1])
    mappable = ScalarMappable(norm=norm, cmap=shades)
    bar = figure.colorbar(mappable, ax=axes[0], label=time_label)
    bar.outline.set_visible(False)
    for number, (label, (found, errors)) in enumerate((differences or {}).items()):
        _difference(axes[1], t, np.asarray(found, dtype=float), errors, number=number, label=label)
    if differences:
        axes[1].set(xlabel=time_label, ylabel=f"difference ({unit})")
        axes[1].set_xlim(norm.vmin, norm.vmax)
        axes[1].legend(frameon=False)
    return figure


def variable_traces(
    times: ArrayLike,
    values: ArrayLike,
    *,
    names: Sequence[str],
    domains: Sequence[Domain] | None = None,
    time_label: str = "time (ps)",
) -> Figure:
    """Variables against time, one below the other.

    Parameters
    ----------
    times : array_like (T,)
    values : array_like (T, d)
    names : d strings
    domains : d periods or None, optional
        Periodic ones span their period.
    time_label : str
    """
    t = np.asarray(times, dtype=float)
    table = np.asarray(values, dtype=float).reshape(len(t), len(names)).T
    figure, axes = _rows(len(names), height=1.9, sharex=True)
    size = 3.0 if len(t) < 2000 else 1.5 if len(t) < 20_000 else 0.5
    for number, (ax, name, column) in enumerate(zip(axes, names, table, strict=True)):
        # points, since a line would jump through the end of a period and hide how often a place is visited
        ax.plot(t, column, ".", markersize=size, color=colour(number), rasterized=True)
        ax.set_ylabel(as_text(name))
        domain = None if domains is None else domains[number]
        if domain is not None:
            ax.set_ylim(*domain)
    axes[-1].set_xlabel(time_label)
    axes[-1].margins(x=0.01)
    return figure


def _rows(number: int, *, height: float, sharex: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with several axes below each other, in our look."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.6 + height * number), layout="constrained")
    FigureCanvasAgg(figure)
    axes: list[Axes] = list(figure.subplots(number, sharex=sharex, squeeze=False)[:, 0])
    for ax in axes:
        ax.grid(visible=True, color=GRID, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _difference(ax: Axes, t: FloatArray, values: FloatArray, errors: Any, *, number: int, label: str) -> None:
    ax.plot(t, values, "o-", markersize=3.5, color=colour(number), label=as_text(label))
    if errors is not None:
        half = _BAND * np.asarray(errors, dtype=float)
        ax.fill_between(t, values - half, values + half, color=colour(number), alpha=0.25, linewidth=0)
    ax.axhline(values[-1], color=colour(number), linewidth=0.8, linestyle=":")


def _curve(F: FreeEnergy) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Points, values (NaN where never seen) and errors, closed over the end of a period."""
    axis, domain = F.axes[0], F.domains[0]
    values = np.where(np.isfinite(F.values), F.values, np.nan)
    errors = F.errors
    if domain is None:
        return axis, values, errors
    return (
        _extended(axis, domain),
        np.pad(values, 1, mode="wrap"),
        None if errors is None else np.pad(errors, 1, mode="wrap"),
    )


def _extended(axis: FloatArray, domain: tuple[float, float]) -> FloatArray:
    period = domain[1] - domain[0]
    return np.concatenate([[axis[-1] - period], axis, [axis[0] + period]])


def _padded_map(F: FreeEnergy) -> tuple[FloatArray, FloatArray, FloatArray]:
    axes, widths = [], []
    for axis, domain in zip(F.axes, F.domains, strict=True):
        around = domain is not None and len(axis) * (axis[1] - axis[0]) > 0.999 * (domain[1] - domain[0])
        axes.append(_extended(axis, domain) if around and domain is not None else axis)
        widths.append((1, 1) if around else (0, 0))
    return axes[0], axes[1], np.pad(F.values, widths, mode="wrap")


def _span(ax: Axes, F: FreeEnergy) -> None:
    domain = F.domains[0]
    ax.set_xlim(*(domain if domain is not None else (F.axes[0][0], F.axes[0][-1])))


def _top(curves: Sequence[FreeEnergy]) -> float:
    finite = [F.values[np.isfinite(F.values)].max() for F in curves]
    return max(float(max(finite)), 1e-12)


def _number_minima(ax: Axes, minima: Sequence[Minimum], heights: Sequence[float]) -> None:
    for number, (minimum, height) in enumerate(zip(minima, heights, strict=True), 1):
        ax.plot(minimum.place[0], height, "o", color=INK, markersize=4, zorder=3)
        ax.annotate(
            str(number),
            (minimum.place[0], height),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
