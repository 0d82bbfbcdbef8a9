"""Figures as files and as parts of a page, each with its text alternative."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ase_mlsample._files import write_atomic
from ase_mlsample.report.style import as_png, as_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drawn", "described", "write_figure"]

_MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure for a page.

    Attributes
    ----------
    svg
        File of matplotlib's.
    text
        What it shows, for those who do not see it.
    """

    svg: bytes
    text: str


def write_figure(figure: Figure, name: str, folder: Path) -> tuple[list[Path], Drawn]:
    """Write a figure as PNG and SVG, and keep it for a page.

    Parameters
    ----------
    figure
        To draw.
    name
        Of the files, without their ends.
    folder
        Exists.

    Returns
    -------
    list of Path
        Both files.
    Drawn
        For the page.
    """
    drawn = Drawn(as_svg(figure, name), described(figure))
    files = {folder / f"{name}.png": as_png(figure), folder / f"{name}.svg": drawn.svg}
    for path, content in files.items():
        write_atomic(path, content)
    return list(files), drawn


def described(figure: Figure) -> str:
    """What a figure shows in words: its axes with their ranges, and what is drawn on them."""
    axes = [_axes(ax) for ax in figure.axes]
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes)]
    names = [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]
    told = "; beside it ".join(axes)
    text = f"Plot of {told}." if told else "Plot."
    return f"{text} Shown: {_listed(names)}." if names else text


def _axes(ax: Axes) -> str:
    parts = []
    for label, limits, ticks in (
        (ax.get_ylabel(), ax.get_ylim(), ax.get_yticklabels()),
        (ax.get_xlabel(), ax.get_xlim(), ax.get_xticklabels()),
    ):
        words = [text.get_text() for text in ticks if re.search(r"[^\W\d_]", text.get_text())]
        name = " ".join(label.split())
        if words:  # names in place of numbers
            parts.append(f"{name} of {_listed(words)}".strip() if name else _listed(words))
        else:
            low, high = sorted(limits)
            parts.append(f"{name or 'the same'} from {low:.3g} to {high:.3g}".replace("-", "−"))
    return " against ".join(parts)


def _listed(names: Iterable[str]) -> str:
    cleaned = list(dict.fromkeys(name.strip().replace(r"\$", "$") for name in names))
    more = len(cleaned) - _MOST_NAMES
    return ", ".join(cleaned[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
