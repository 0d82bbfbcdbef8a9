"""A run's directory into ``report.html``, plots, and their numbers as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ase_mlsample._files import write_atomic
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.report import held_out_plots, plots
from ase_mlsample.report.drawn import write_figure
from ase_mlsample.report.held_out import HeldOut, read_candidates, read_held_out, read_model
from ase_mlsample.report.history import History, read_history
from ase_mlsample.report.page import CAPTIONS, Page, render
from ase_mlsample.report.structures import ShownStructure, most_uncertain, worst_held_out
from ase_mlsample.report.validation_page import read_run_validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_report"]


def write_report(directory: Path, *, evaluate: bool = True) -> list[Path]:
    """Write ``report.html``, the plots behind it (PNG and SVG), ``report/data.json`` and ``summary.json``.

    The page is one file that loads nothing. Everything is read from the ledger, except: stage times (from the
    log, if there is one), what needs the last model and the held-out set, and the colours of candidates. What
    is missing or of an older model, the page says. The same state gives the same bytes.

    Parameters
    ----------
    directory
        Of the run. Plots go to ``report/`` in it; each file is replaced whole.
    evaluate
        Evaluate the last model on the held-out set, for parity, uncertainty and the worst structures.

    Returns
    -------
    list of Path
        The files written: ``report.html`` first, ``summary.json`` last.

    Raises
    ------
    FileNotFoundError, ValueError
        If the directory holds no ledger that this version reads.
    """
    directory = Path(directory)
    history = read_history(directory)
    held_out, notes = read_held_out(directory, history, evaluate=evaluate)
    figures = _history_figures(history) | _held_out_figures(held_out)
    structures, more = _structures(directory, history, held_out, evaluate=evaluate)
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    written, drawn = [], {}
    for name, figure in figures.items():
        paths, drawn[name] = write_figure(figure, name, folder)
        written += paths
    for name in set(CAPTIONS) - set(figures):  # plots of an earlier state that this one has no numbers for
        for kind in ("png", "svg"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    validated, files, doubts = read_run_validation(directory)
    written += files
    page = render(
        Page(history, drawn, structures, (*doubts, *notes, *more), validated, directory.resolve().name)
    )
    write_atomic(directory / "report.html", page.encode())
    numbers = _numbers(history, held_out, structures)
    written += [
        _write_json(folder / "data.json", numbers, indent=None),
        _write_json(directory / "summary.json", _summary(history), indent=1),
    ]
    return [directory / "report.html", *written]


def _history_figures(history: History) -> dict[str, Figure]:
    generations = history.generations
    figures = {}
    if history.judged:
        target = (history.config.get("stop") or {}).get("force_error")
        figures["force_errors"] = plots.force_errors(generations, target=target)
        figures["energy_errors"] = plots.energy_errors(generations)
    if any(g.explored for g in generations):
        figures["candidates"] = plots.candidates(generations)
        figures["trust_window"] = plots.trust_window(generations)
    for name, counts in (("origins", history.origins.sources), ("kinds", history.origins.kinds)):
        if counts:
            figures[name] = plots.by_generation(counts, ylabel="proposed structures")
    if history.summary["labels"]:
        states = {g.number: g.labels for g in generations if g.labels}
        figures["labels"] = plots.by_generation(states, ylabel="proposed structures", states=True)
    timed = [(g.number, g.seconds) for g in generations if g.seconds]
    if timed:
        figures["stage_times"] = plots.stage_times(timed)
    return figures


def _held_out_figures(held_out: HeldOut | None) -> dict[str, Figure]:
    if held_out is None:
        return {}
    predictions = held_out.predictions
    return {
        "uncertainty": held_out_plots.uncertainty(predictions),
        "calibration": held_out_plots.calibration(predictions),
        "coverage": held_out_plots.coverage_curve(predictions),
        "force_parity": held_out_plots.force_parity(predictions),
        "energy_parity": held_out_plots.energy_parity(predictions),
    }


def _structures(
    directory: Path, history: History, held_out: HeldOut | None, *, evaluate: bool
) -> tuple[list[ShownStructure], list[str]]:
    shown = [] if held_out is None else worst_held_out(held_out.predictions, held_out.frames)
    # an exploration may have chosen nothing
    explored = [g.number for g in history.generations if g.explored and g.labels]
    if not explored:
        return shown, []
    candidates, notes = read_candidates(directory, explored[-1])
    calculator, problem = read_model(directory, explored[-1] - 1) if evaluate else (None, "")
    if problem:
        notes.append(f"true errors of the least certain structures: {problem}")
    ledger = Ledger.open(directory / "ledger.db")
    uncertain = most_uncertain(ledger, explored[-1], candidates, calculator)
    if any(not structure.scalars for structure in uncertain):
        notes.append(
            "the disagreement of each atom in the least certain structures: they are coloured by element"
        )
    return shown + uncertain, notes


def _summary(history: History) -> dict[str, Any]:
    return {**history.summary, "stage_seconds": {str(g.number): dict(g.seconds) for g in history.generations}}


def _numbers(history: History, held_out: HeldOut | None, shown: list[ShownStructure]) -> dict[str, Any]:
    return {
        "generations": [asdict(generation) for generation in history.generations],
        "origins": asdict(history.origins),
        "held_out": None if held_out is None else held_out.numbers(),
        "structures": [structure.to_dict() for structure in shown],
    }


def _write_json(path: Path, content: dict[str, Any], *, indent: int | None) -> Path:
    text = json.dumps(_plain(content), indent=indent, allow_nan=False)
    write_atomic(path, (text + "\n").encode())
    return path


def _plain(value: Any) -> Any:
    """Content without numbers that JSON has no word for: they become null."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
