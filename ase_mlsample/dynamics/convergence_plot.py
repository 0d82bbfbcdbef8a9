"""How the learning of a bias goes, as a figure that may be drawn while it goes on."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ase_mlsample._files import write_atomic

if TYPE_CHECKING:
    from ase_mlsample.biases.deep_ves import DeepVESBias
    from ase_mlsample.biases.variational import VariationalBias

__all__ = ["plot_convergence", "require_figure"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_LABELS = {  # of columns of a record, in order
    "divergence": "KL(p$_V$ ‖ p)",
    "scale": "rate / first rate",
    "omega": "Ω",
    "gradient": r"max |⟨f⟩$_p$ − ⟨f⟩$_V$|",
}


def plot_convergence(
    bias: DeepVESBias | VariationalBias, path: str | Path, *, variable: str = "s", unit: str = ""
) -> None:
    """Draw how far a bias has come over its iterations, and the free energy of a single variable.

    Of a network these are the divergence, the learning rate and Ω; of a linear basis the divergence and the
    largest difference of a function's averages in the run and in the target.

    Parameters
    ----------
    bias : DeepVESBias or VariationalBias
        With at least one iteration done.
    path : path
        ``.svg``, ``.pdf`` or ``.png``; the file is whole or absent.
    variable : str
        Name of the variable.
    unit : str
        Of energies.

    Raises
    ------
    ValueError
        Before the first iteration, or for another kind of file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = require_figure(path)
    if not bias.iterations:
        raise ValueError("there is nothing to draw before the first iteration of the bias")
    curves = [column for column in _LABELS if column in bias.record.columns]
    has_profile = bias.n_cvs == 1 and getattr(bias, "bins", 1) is not None
    number = len(curves) + has_profile
    figure = Figure(figsize=(5.6, 2.1 * number), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(number)
    in_unit = f" ({unit})" if unit else ""
    _draw_record(panels, bias, curves, in_unit)
    if has_profile:
        (axis,), F = bias.free_energy()
        panels[-1].plot(axis, F, color=_COLOURS[3])
        panels[-1].set_xlabel(variable.replace("$", r"\$"))
        panels[-1].set_ylabel(f"F{in_unit}")
    for panel in panels:
        panel.grid(visible=True, color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    stream = BytesIO()
    figure.savefig(stream, format=path.suffix[1:], dpi=150)
    write_atomic(path, stream.getvalue())


def require_figure(path: str | Path) -> Path:
    """Return the path of a figure; ValueError for a kind that cannot be drawn."""
    path = Path(path)
    if path.suffix not in {".svg", ".pdf", ".png"}:
        raise ValueError(f"a figure is an .svg, .pdf or .png file, got {str(path)!r}")
    return path


def _draw_record(panels: Any, bias: DeepVESBias | VariationalBias, curves: list[str], unit: str) -> None:
    record = bias.record
    iterations = record["iteration"]
    marker = "." if len(iterations) < 50 else ""
    for panel, column, colour in zip(panels, curves, _COLOURS, strict=False):
        curve = record[column]
        panel.plot(iterations, curve, color=colour, marker=marker, linewidth=1.0)
        panel.set_ylabel(_LABELS[column] + (unit if column == "omega" else ""))
        panel.sharex(panels[0])
        spans = (curve > 0).all() and np.ptp(np.log(curve)) > 2
        if column == "scale" or (column != "omega" and spans):
            panel.set_yscale("log")
    panels[len(curves) - 1].set_xlabel("iterations")
    told = f"{bias.iterations} iterations"
    schedule = getattr(bias, "schedule", None)
    if schedule is not None:
        panels[0].axhline(schedule.kl_threshold, color="#555555", linewidth=0.8, linestyle="--")
        told = f"{schedule.phase}, {told}"
    panels[0].set_title(told, fontsize="medium")
