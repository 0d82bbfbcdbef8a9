"""How the learning of a bias goes, as a figure that may be drawn while it goes on."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ase_mlsample._files import write_atomic

if TYPE_CHECKING:
    from ase_mlsample.biases.deep_ves import DeepVESBias

__all__ = ["plot_convergence", "require_figure"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def plot_convergence(bias: DeepVESBias, path: str | Path, *, variable: str = "s", unit: str = "") -> None:
    """Draw divergence, learning rate and Ω over the iterations, and the free energy of a single variable.

    Parameters
    ----------
    bias : DeepVESBias
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
    has_profile = bias.bins is not None and bias.n_cvs == 1
    figure = Figure(figsize=(5.6, 8.4 if has_profile else 6.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4 if has_profile else 3)
    _draw_record(panels, bias, f" ({unit})" if unit else "")
    if has_profile:
        (axis,), F = bias.free_energy()
        panels[3].plot(axis, F, color=_COLOURS[3])
        panels[3].set_xlabel(variable.replace("$", r"\$"))
        panels[3].set_ylabel(f"F{f' ({unit})' if unit else ''}")
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


def _draw_record(panels: Any, bias: DeepVESBias, unit: str) -> None:
    record = bias.record
    iterations = record["iteration"]
    marker = "." if len(iterations) < 50 else ""
    curves = [record["divergence"], record["scale"], record["omega"]]
    labels = ["KL(p$_V$ ‖ p)", "rate / first rate", f"Ω{unit}"]
    for panel, curve, label, colour in zip(panels, curves, labels, _COLOURS, strict=False):
        panel.plot(iterations, curve, color=colour, marker=marker, linewidth=1.0)
        panel.set_ylabel(label)
        panel.sharex(panels[0])
    if (curves[0] > 0).all() and np.ptp(np.log(curves[0])) > 2:
        panels[0].set_yscale("log")
    panels[0].axhline(bias.schedule.kl_threshold, color="#555555", linewidth=0.8, linestyle="--")
    panels[1].set_yscale("log")
    panels[2].set_xlabel("iterations")
    panels[0].set_title(f"{bias.phase}, {bias.iterations} iterations", fontsize="medium")
