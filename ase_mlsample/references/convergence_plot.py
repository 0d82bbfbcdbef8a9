"""Plot of a convergence study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase_mlsample.references.convergence import AXES, AxisStudy, Tolerances

__all__ = ["plot_convergence"]

_ROWS = (("energy", "energy (meV/atom)"), ("forces", "forces (meV/Å)"), ("stress", "stress (GPa)"))


def plot_convergence(studies: Sequence[AxisStudy], tolerances: Tolerances, path: Path) -> None:
    """Draw deviations from the finest value, one column a setting, and write the figure.

    Parameters
    ----------
    studies : what `convergence_study` returned.
    tolerances : drawn as lines.
    path : file; its ending decides the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(studies), 6.4), layout="constrained")
    grid = figure.subplots(len(_ROWS), len(studies), squeeze=False, sharex="col")
    for column, study in enumerate(studies):
        for row, (name, label) in enumerate(_ROWS):
            axes = grid[row][column]
            _draw(axes, study, name, getattr(tolerances, name))
            axes.set_ylabel(label if column == 0 else "")
        grid[-1][column].set_xlabel(f"{study.name} ({AXES[study.name]})")
    grid[0][0].set_title("deviation from the finest", loc="left", fontsize="small")
    figure.savefig(path, dpi=150)


def _draw(axes: Any, study: AxisStudy, name: str, tolerance: float) -> None:
    points = [point for point in study.points[:-1] if getattr(point, name) is not None]
    # what is exactly zero (symmetric crystals have no forces) has no place on a logarithmic axis
    values = [max(getattr(point, name), 1e-4 * tolerance) for point in points]
    axes.plot([point.value for point in points], values, "o-", color="#1f6fb4")
    axes.axhline(tolerance, color="0.6", linewidth=1, linestyle="--")
    if study.recommended is not None:
        axes.axvline(study.recommended, color="#2a8f4f", linewidth=1)
    axes.set_yscale("log")
    if study.name != "cutoff" and not axes.xaxis_inverted():
        axes.invert_xaxis()
