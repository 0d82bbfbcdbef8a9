"""Figures of a validation, from the plain values of its `validation.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ase_mlsample._files import write_atomic
from ase_mlsample.report.plots import legend_above
from ase_mlsample.report.style import INK, MUTED, as_png, colour, new_figure
from ase_mlsample.report.validation_bands import draw_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_figures", "write_figures"]

Values = Mapping[str, Any]

#: Curve of a property: figure's name, axis labels. Each is drawn by itself, with members and reference.
_SINGLE: dict[str, dict[str, tuple[str, str, str]]] = {
    "phonons": {"heat_capacity": ("heat_capacity", "temperature (K)", "heat capacity (J/mol K)")},
    "expansion_qha": {"expansion": ("expansion_qha", "temperature (K)", "linear expansion (10⁻⁶/K)")},
    "expansion": {"length": ("expansion", "temperature (K)", "length over static")},
    "conservation": {"energy": ("conservation", "time (ps)", "total energy (meV/atom)")},
    "liquid": {
        "rdf": ("rdf", "r (Å)", "g(r)"),
        "structure_factor": ("structure_factor", "q (1/Å)", "S(q)"),
        "angles": ("bond_angles", "bond angle (°)", "probability per degree"),
        "displacement": ("displacement", "time (ps)", "mean squared displacement (Å²)"),
    },
    "melting": {"temperature": ("melting", "time (ps)", "temperature (K)")},
    "stacking_faults": {
        "glide": ("fault_glide", "displacement (a/√6 ⟨112⟩)", "fault energy (mJ/m²)"),
        "shuffle": ("fault_shuffle", "displacement (a/√2 ⟨110⟩)", "fault energy (mJ/m²)"),
    },
    "tin_path": {"energy": ("tin_path", "c/a", "energy above diamond (meV/atom)")},
    "bain_path": {"energy": ("bain_path", "c/a", "energy above fcc (meV/atom)")},
    "trigonal_path": {"energy": ("trigonal_path", "c/a over that of bcc", "energy above fcc (meV/atom)")},
}
#: Where a path passes through crystals.
_PLACES = {
    "tin_path": {"β-tin": 0.5456, "diamond": 2**0.5},
    "bain_path": {"bcc": 1.0, "fcc": 2**0.5},
    "trigonal_path": {"bcc": 1.0, "sc": 2.0, "fcc": 4.0},
}


def write_figures(validation: Values, folder: Path) -> list[Path]:
    """Draw all figures of a validation as PNG files.

    Parameters
    ----------
    validation : mapping
        Content of ``validation.json``.
    folder : Path
        Exists.

    Returns
    -------
    list of Path
        By name, as `draw_figures` gives them.
    """
    paths = []
    for name, draw in draw_figures(validation).items():
        path = folder / f"{name}.png"
        write_atomic(path, as_png(draw()))
        paths.append(path)
    return paths


def draw_figures(validation: Values) -> dict[str, Callable[[], Figure]]:
    """What draws each figure, by name; checks without curves have none.

    Parameters
    ----------
    validation : mapping
        Content of ``validation.json``.
    """
    figures: dict[str, Callable[[], Figure]] = {}
    rows = [row for outcome in validation["outcomes"] for row in outcome["rows"]]
    if any(row["allowed"] and row["deviation"] is not None for row in rows):
        figures["deviations"] = partial(_deviations, rows)
    for outcome in validation["outcomes"]:
        result, reference = outcome["result"], outcome["reference"]
        if result is None:
            continue
        kind, curves = result["name"], result["curves"]
        tail = outcome["check"].removeprefix(kind)
        if kind == "eos" and curves:
            figures[f"eos{tail}"] = partial(_equations, result, reference)
        if "bands" in curves:
            figures[f"phonons{tail}"] = partial(draw_bands, result, reference)
        for name, (file, x, y) in _SINGLE.get(kind, {}).items():
            if name in curves:
                figures[f"{file}{tail}"] = partial(_single, result, reference, name, (x, y))
    return figures


def _single(result: Values, reference: Values | None, name: str, labels: tuple[str, str]) -> Figure:
    figure, ax = new_figure()
    lines(ax, result, reference, name)
    ax.set(xlabel=labels[0], ylabel=labels[1])
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
    for number, (x, y) in enumerate(curve["members"]):
        label = "members alone" if number == 0 and not shade else None
        ax.plot(x, y, color=main, alpha=0.3, linewidth=0.8, label=label)
    ax.plot(curve["x"], curve["y"], color=main, linewidth=1.8, label=None if shade else "model")
    if reference is not None and name in reference["curves"]:
        exact = reference["curves"][name]
        label = None if shade else "reference"
        style: dict[str, Any] = {"color": shade or colour(1), "linestyle": "--", "linewidth": 1.6}
        ax.plot(exact["x"], exact["y"], label=label, **style)


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
        error = float(np.hypot(row["std"] or 0.0, row["error"] or 0.0)) / row["allowed"]
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


def _named(row: Values) -> str:
    against = "" if row["compared_with"] in ("reference", "zero") else f" ({row['compared_with']})"
    return f"{row['label']}{against}"
