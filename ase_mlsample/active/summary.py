"""What a run has reached, from its ledger alone: numbers for ``summary.json`` and a table for people."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table

from ase_mlsample._files import write_atomic
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.analysis.errors import expected_coverage

__all__ = ["generation_table", "summarise", "wide_console", "write_summary"]

# columns of a log file or a pipe, which have no width of their own
_LOG_COLUMNS = 120


def summarise(ledger: Ledger) -> dict[str, Any]:
    """Numbers of a run.

    Returns
    -------
    dict
        ``name``, ``reference``, ``finished`` (why the run ended, or None), ``labels`` (counts by status),
        ``failures`` (counts by message), ``label_seconds``, and ``generations``: for each, ``structures``
        (counts by state) and the summaries of its stages (select, label, train, evaluate).
    """
    config = ledger.meta("config")
    labels = ledger.labels(ledger.meta("reference"))
    stages = ledger.stages()
    generations = []
    for generation in sorted(stages):
        proposals = ledger.proposals(generation)
        states = Counter(
            labels[p.structure].status if p.structure in labels else "waiting" for p in proposals
        )
        entry: dict[str, Any] = {"generation": generation, "structures": dict(states)}
        entry.update({name: summary for name, summary in stages[generation].items() if name != "end"})
        if "evaluate" in entry and entry["evaluate"].get("members", 0) >= 2:
            entry["evaluate"]["expected_coverage"] = expected_coverage(entry["evaluate"]["members"])
        generations.append(entry)
    failures = Counter(label.error for label in labels.values() if label.error is not None)
    end = stages[max(stages)].get("end") if stages else None
    return {
        "name": config["name"],
        "elements": config["elements"],
        "reference": {"fingerprint": ledger.meta("reference"), **config["reference"]},
        "finished": None if end is None else end.get("reason"),
        "labels": dict(Counter(label.status for label in labels.values())),
        "failures": dict(failures.most_common(10)),
        "label_seconds": sum(label.seconds for label in labels.values()),
        "generations": generations,
    }


def write_summary(ledger: Ledger, directory: Path) -> dict[str, Any]:
    """Write ``summary.json`` into the folder of a run and return its content."""
    summary = summarise(ledger)
    write_atomic(directory / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def wide_console() -> Console:
    """Standard output; where it is not a terminal, wide enough that no table is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=max(_LOG_COLUMNS, console.width))


def generation_table(summary: dict[str, Any]) -> RenderableType:
    """Tables for people: the course of the run, and the errors on the held-out set; 80 columns suffice."""
    generations = summary["generations"]
    course = _table(
        summary["name"], ["gen", "labels", "failed", "rejected", "lo–hi eV/Å", "uncertain", "val. eV/Å"]
    )
    for entry in generations:
        course.add_row(*_course(entry))
    judged = [entry for entry in generations if "evaluate" in entry]
    if not judged:
        return course
    classes = [name for name in judged[-1]["evaluate"]["classes"] if name != "all"]
    title = "held-out set: force RMSE/RMS, energy RMSE in meV/atom; 1σ coverage, rank correlation"
    errors = _table(title, ["gen", *classes, "1σ", "ρ"])
    for entry in judged:
        errors.add_row(*_errors(entry, classes))
    return Group(course, errors)


def _table(title: str, headings: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _course(entry: dict[str, Any]) -> list[str]:
    structures, select = entry["structures"], entry.get("select", {})
    waiting = f" ({structures['waiting']} wait)" if "waiting" in structures else ""
    return [
        str(entry["generation"]),
        f"+{structures.get('labelled', 0)}{waiting}",
        str(structures.get("failed", "")),
        str(structures.get("rejected", "")),
        f"{select['lo']:.2f}–{select['hi']:.2f}" if "lo" in select else "",
        f"{select['uncertain_fraction']:.1%}" if "uncertain_fraction" in select else "",
        f"{entry['train']['force_rmse']:.3f}" if "train" in entry else "",
    ]


def _errors(entry: dict[str, Any], classes: list[str]) -> list[str]:
    errors = entry["evaluate"]["classes"]
    cells = [str(entry["generation"])]
    for name in classes:
        found = errors.get(name)
        cells.append(f"{found['force_error']:.3f} {1000 * found['energy_rmse']:5.1f}" if found else "")
    for key in ("coverage", "spearman"):
        value = errors.get("all", {}).get(key)
        cells.append("" if value is None else f"{value:.2f}")
    return cells
