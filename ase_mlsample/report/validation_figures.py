"""Figures of a validation, from the plain values of its `validation.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ase_mlsample.report.plots import legend_above
from ase_mlsample.report.style import INK, MUTED, colour, new_figure
from ase_mlsample.report.validation_bands import draw_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FigurePlan", "figure_names", "plan_figures"]

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FigurePlan:
    """A figure that can be drawn.

    Attributes
    ----------
    check
        That it belongs to; empty for one of all checks.
    caption
        What it shows.
    draw
        Makes it.
    wide
        It needs the width of the page.
    """

    check: str
    caption: str
    draw: Callable[[], Figure]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class _Plot:
    """How one curve of a property is drawn: file, labels of the axes, and the caption."""

    file: str
    x: str
    y: str
    caption: str


_LIQUID = {
    "rdf": _Plot("rdf", "r (Å)", "g(r)", "Pair distribution of the liquid."),
    "structure_factor": _Plot("structure_factor", "q (1/Å)", "S(q)", "Structure factor of the liquid."),
    "angles": _Plot("bond_angles", "bond angle (°)", "probability per degree", "Bond angles in the liquid."),
    "displacement": _Plot(
        "displacement",
        "time (ps)",
        "mean squared displacement (Å²)",
        "Mean squared displacement in the liquid.",
    ),
}
_FAULT = "fault energy (mJ/m²)"
#: Curves of a property by their name; each is drawn by itself, with members and reference.
_SINGLE: dict[str, dict[str, _Plot]] = {
    "phonons": {
        "heat_capacity": _Plot(
            "heat_capacity", "temperature (K)", "heat capacity (J/(mol K))", "Harmonic heat capacity."
        )
    },
    "expansion_qha": {
        "expansion": _Plot(
            "expansion_qha",
            "temperature (K)",
            "linear expansion (10⁻⁶/K)",
            "Linear thermal expansion in the quasi-harmonic approximation.",
        )
    },
    "expansion": {
        "length": _Plot(
            "expansion", "temperature (K)", "length over static", "Length over that at rest, by dynamics."
        )
    },
    "conservation": {
        "energy": _Plot(
            "conservation",
            "time (ps)",
            "total energy (meV/atom)",
            "Total energy in microcanonical dynamics, from its start and smoothed.",
        )
    },
    "liquid": _LIQUID,
    "melting": {
        "temperature": _Plot(
            "melting",
            "time (ps)",
            "temperature (K)",
            "Temperature of crystal and liquid side by side, which settles at the melting point.",
        )
    },
    "stacking_faults": {
        "glide": _Plot("fault_glide", "displacement (a/√6 ⟨112⟩)", _FAULT, "Glide along ⟨112⟩ in (111)."),
        "shuffle": _Plot(
            "fault_shuffle", "displacement (a/√2 ⟨110⟩)", _FAULT, "Shuffle along ⟨110⟩ in (111)."
        ),
    },
    "tin_path": {
        "energy": _Plot(
            "tin_path", "c/a", "energy above diamond (meV/atom)", "Tetragonal path from diamond to β-tin."
        )
    },
    "bain_path": {
        "energy": _Plot("bain_path", "c/a", "energy above fcc (meV/atom)", "Bain path from bcc to fcc.")
    },
    "trigonal_path": {
        "energy": _Plot(
            "trigonal_path",
            "c/a over that of bcc",
            "energy above fcc (meV/atom)",
            "Trigonal path from bcc over simple cubic to fcc.",
        )
    },
}
_DEVIATIONS = (
    "Deviation of each judged quantity over what its criterion allows, with the error of members and "
    "sampling, that of the reference included. In the band it agrees; an arrow points to one that lies "
    "farther out."
)
#: Where a path passes through crystals.
_PLACES = {
    "tin_path": {"β-tin": 0.5456, "diamond": 2**0.5},
    "bain_path": {"bcc": 1.0, "fcc": 2**0.5},
    "trigonal_path": {"bcc": 1.0, "sc": 2.0, "fcc": 4.0},
}


def plan_figures(validation: Values) -> dict[str, FigurePlan]:
    """The figures of a validation by name; checks without curves have none.

    Parameters
    ----------
    validation : mapping
        Content of ``validation.json``.
    """
    plans: dict[str, FigurePlan] = {}
    rows = [row for outcome in validation["outcomes"] for row in outcome["rows"]]
    if any(row["allowed"] and row["deviation"] is not None for row in rows):
        plans["deviations"] = FigurePlan("", _DEVIATIONS, partial(_deviations, rows), wide=True)
    for outcome in validation["outcomes"]:
        result, reference, check = outcome["result"], outcome["reference"], outcome["check"]
        if result is None:
            continue
        kind, curves = result["name"], result["curves"]
        tail = check.removeprefix(kind)
        if kind == "eos" and curves:
            told = _caption("Energy against volume, and the minimum of each crystal.", result, reference)
            plans[f"eos{tail}"] = FigurePlan(check, told, partial(_equations, result, reference))
        if "bands" in curves:
            told = _caption("Phonon bands and their density of states.", result, reference, "bands")
            plans[f"phonons{tail}"] = FigurePlan(
                check, told, partial(draw_bands, result, reference), wide=True
            )
        for name, plot in _SINGLE.get(kind, {}).items():
            if name in curves:
                told = _caption(plot.caption, result, reference, name)
                draw = partial(_single, result, reference, name, plot)
                plans[f"{plot.file}{tail}"] = FigurePlan(check, told, draw)
    return plans


def figure_names(checks: Iterable[str]) -> set[str]:
    """All names that `plan_figures` may give to figures of these checks."""
    names = {"deviations"}
    for check in checks:
        kind, hyphen, rest = check.partition("-")
        files = {plot.file for plot in _SINGLE.get(kind, {}).values()} | ({kind} & {"eos", "phonons"})
        names |= {f"{file}{hyphen}{rest}" for file in files}
    return names


def _caption(text: str, result: Values, reference: Values | None, name: str = "") -> str:
    """What is shown, and what its thin and dashed lines are."""
    names = [name] if name else list(result["curves"])
    members = max(len(result["curves"][one]["members"]) for one in names)
    if members:
        lines = "Thin lines" if name == "bands" else "Thin lines and their range"
        text += f" {lines}: the {members} members, each alone."
    if reference is not None and any(one in reference["curves"] for one in names):
        text += " Dashed: the reference."
    return text


def _single(result: Values, reference: Values | None, name: str, plot: _Plot) -> Figure:
    figure, ax = new_figure()
    lines(ax, result, reference, name)
    ax.set(xlabel=plot.x, ylabel=plot.y)
    _decorate(ax, result["name"], name)
    legend_above(ax)
    return figure


def lines(ax: Axes, result: Values, reference: Values | None, name: str, *, shade: str = "") -> None:
    """Draw one curve: the reference dashed, the model on top, its members as thin lines beneath.

    Parameters
    ----------
    ax
        Where.
    result, reference
        Of the property; the latter may lack the curve.
    name
        Of the curve.
    shade
        Colour; without one that of a model alone, with a legend.
    """
    curve = result["curves"][name]
    main = shade or colour(0)
    pale = shade or colour(5)  # seen on light and on dark ground
    _band(ax, curve, pale)
    for number, (x, y) in enumerate(curve["members"]):
        label = "members alone" if number == 0 and not shade else None
        ax.plot(x, y, color=pale, alpha=0.6, linewidth=0.8, label=label)
    ax.plot(curve["x"], curve["y"], color=main, linewidth=1.8, label=None if shade else "model")
    if reference is not None and name in reference["curves"]:
        exact = reference["curves"][name]
        label = None if shade else "reference"
        style: dict[str, Any] = {"color": shade or colour(1), "linestyle": "--", "linewidth": 1.6}
        ax.plot(exact["x"], exact["y"], label=label, **style)


def _band(ax: Axes, curve: Values, shade: str) -> None:
    """The range of the members, where all of them have values."""
    members = [(np.asarray(x, float), np.asarray(y, float)) for x, y in curve["members"]]
    if len(members) < 2:
        return
    low, high = max(x.min() for x, _ in members), min(x.max() for x, _ in members)
    x = np.unique([value for value in curve["x"] if low <= value <= high])
    if len(x) > 1:
        values = [np.interp(x, *_ordered(one)) for one in members]
        ax.fill_between(
            x, np.min(values, axis=0), np.max(values, axis=0), color=shade, alpha=0.15, linewidth=0
        )


def _ordered(one: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A curve by rising x."""
    order = np.argsort(one[0])
    return one[0][order], one[1][order]


def _decorate(ax: Axes, kind: str, name: str) -> None:
    if kind == "trigonal_path":
        ax.set_xscale("log", base=2)
        ax.set_xticks([1, 2, 4], ["1", "2", "4"])
    top = ax.get_ylim()[1]
    for crystal, place in _PLACES.get(kind, {}).items():
        ax.axvline(place, color=MUTED, linewidth=0.8, linestyle=":")
        ax.annotate(
            crystal, (place, top), xytext=(3, -10), textcoords="offset points", fontsize=9, color=MUTED
        )
    if name == "rdf":
        ax.set_ylim(0, None)
        ax.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=":")
    if name == "angles":
        ax.set(xlim=(0, 180), ylim=(0, None))
        ax.set_xticks(range(0, 181, 30))


def _equations(result: Values, reference: Values | None) -> Figure:
    figure, ax = new_figure(width=6.4, height=4.6)
    for number, name in enumerate(result["curves"]):
        shade = colour(number)
        lines(ax, result, reference, name, shade=shade)
        ax.plot([], [], color=shade, linewidth=1.8, label=name)
    if reference is not None:
        ax.plot([], [], color=INK, linestyle="--", label="reference")
    ax.set(xlabel="volume (Å³/atom)", ylabel="energy (eV/atom)")
    minima = [min(curve["y"]) for curve in result["curves"].values()]
    ax.set_ylim(min(minima) - 0.05, max(minima) + 0.45)
    legend_above(ax, columns=3)
    return figure


def _deviations(rows: list[Values]) -> Figure:
    """Each judged quantity's deviation over what is allowed, with its error."""
    judged = [row for row in rows if row["allowed"] and row["verdict"] and row["deviation"] is not None]
    figure, ax = new_figure(width=8.0, height=1.4 + 0.19 * len(judged))
    shades = {"agrees": colour(2), "within error": colour(4), "differs": colour(1)}
    reach = 3.2
    for place, row in enumerate(judged):
        if place == 0 or row["check"] != judged[place - 1]["check"]:
            ax.axhline(place - 0.5, color=MUTED, linewidth=0.6)
            ax.annotate(
                row["check"],
                (1.01, place),
                xycoords=("axes fraction", "data"),
                fontsize=8,
                color=MUTED,
                va="center",
            )
        scaled = row["deviation"] / row["allowed"]
        error = _error(row) / row["allowed"]
        shade = shades[row["verdict"]]
        shown = float(np.clip(scaled, -reach, reach))
        marker = "o" if shown == scaled else (">" if scaled > 0 else "<")
        ax.errorbar(shown, place, xerr=error, fmt=marker, color=shade, markersize=4.5, elinewidth=1.0)
    for verdict, shade in shades.items():
        if any(row["verdict"] == verdict for row in judged):
            ax.plot([], [], "o", color=shade, label=verdict)
    ax.axvspan(-1, 1, color=colour(2), alpha=0.12, linewidth=0)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.set_yticks(range(len(judged)), [_named(row) for row in judged], fontsize=8)
    ax.set(xlim=(-1.08 * reach, 1.08 * reach), ylim=(len(judged) - 0.4, -0.6))
    ax.set_xlabel("deviation over what is allowed (an arrow: farther out)")
    legend_above(ax)
    return figure


def _error(row: Values) -> float:
    """Of the deviation: of the model's members, of its sampling, and of that of the reference."""
    exact = row["reference_error"] if row["compared_with"] == "reference" else None
    return float(np.linalg.norm([part or 0.0 for part in (row["std"], row["error"], exact)]))


def _named(row: Values) -> str:
    against = "" if row["compared_with"] in ("reference", "zero") else f" ({row['compared_with']})"
    return f"{row['label']}{against}"
