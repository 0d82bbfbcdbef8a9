"""A run's directory into plots and ``summary.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ase_mlsample._files import write_atomic
from ase_mlsample.report import plots
from ase_mlsample.report.history import History, read_history
from ase_mlsample.report.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ase_mlsample.report.predictions import HeldOutPredictions

__all__ = ["write_report"]


def write_report(directory: Path, *, evaluate: bool = True) -> list[Path]:
    """Draw all plots that the run has numbers for, and write ``summary.json``.

    Parameters
    ----------
    directory
        Of the run. Plots go to ``report/`` in it; each file is replaced whole.
    evaluate
        Evaluate the last model on the held-out set, for the parity and uncertainty plots.

    Returns
    -------
    list of Path
        The files written, ``summary.json`` last.

    Raises
    ------
    FileNotFoundError, ValueError
        If the directory holds no ledger that this version reads.
    """
    directory = Path(directory)
    history = read_history(directory)
    figures = _history_figures(history)
    predictions = _predictions(directory, history) if evaluate else None
    if predictions is not None:
        figures |= {"parity": plots.parity(predictions), "uncertainty": plots.uncertainty(predictions)}
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    written = [save(figure, folder / f"{name}.png") for name, figure in figures.items()]
    return [*written, _write_summary(directory, history)]


def _history_figures(history: History) -> dict[str, Figure]:
    generations = history.generations
    figures = {}
    if any(g.errors for g in generations):
        target = (history.config.get("stop") or {}).get("force_error")
        figures["learning_curve"] = plots.learning_curve(generations, target=target)
    if any(g.explored for g in generations):
        figures["candidates"] = plots.candidates(generations)
    if any(g.origins for g in generations):
        figures["origins"] = plots.origins(generations)
    timed = [(g.number, g.seconds) for g in generations if g.seconds]
    if timed:
        figures["stage_times"] = plots.stage_times(timed)
    return figures


def _predictions(directory: Path, history: History) -> HeldOutPredictions | None:
    from ase_mlsample.active.models import load_model
    from ase_mlsample.report.predictions import predict_held_out

    testset = history.config.get("testset")
    trained = [entry["generation"] for entry in history.summary["generations"] if "train" in entry]
    if testset is None or not Path(testset).is_file() or not trained:
        return None
    calculator = load_model(directory / "models" / f"{trained[-1]:04d}")
    return predict_held_out(calculator, Path(testset)) if calculator.supports_spread else None


def _write_summary(directory: Path, history: History) -> Path:
    seconds = {str(g.number): dict(g.seconds) for g in history.generations}
    content = {**history.summary, "stage_seconds": seconds}
    path = directory / "summary.json"
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
    return path
