"""What a run has reached, from its ledger alone: numbers for ``summary.json`` and a table for people."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.store import write_atomic
from ase_mlsample.analysis.errors import expected_coverage

__all__ = ["generation_table", "summarise", "write_summary"]


def summarise(ledger: Ledger) -> dict[str, Any]:
    """Numbers of a run.

    Returns
    -------
    dict
        ``name``, ``reference``, ``finished`` (why the run ended, or None), ``labels`` (counts by status),
        ``failures`` (counts by message), ``label_seconds``, and ``generations``: for each, ``structures``
        (counts by state), ``sources`` (labelled structures by kind), and the summaries of its stages
        (explore, select, train, evaluate).
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


def generation_table(summary: dict[str, Any]) -> Table:
    """One row a generation: structures, trust window, candidates, validation and held-out errors."""
    generations = summary["generations"]
    classes: list[str] = []
    for entry in generations:
        classes += [name for name in entry.get("evaluate", {}).get("classes", {}) if name not in classes]
    title = f"{summary['name']}: force error (RMSE/RMS) and energy error (meV/atom) on the held-out set"
    table = Table(title=title if classes else summary["name"], title_justify="left")
    for heading in ("gen", "labels", "failed", "lo–hi eV/Å", "candidates", "val. eV/Å"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in classes:
        table.add_column(name, justify="right", no_wrap=True)
    if classes:
        table.add_column("1σ", justify="right")
        table.add_column("ρ", justify="right")
    for entry in generations:
        table.add_row(*_row(entry, classes))
    return table


def _row(entry: dict[str, Any], classes: list[str]) -> list[str]:
    structures, select = entry["structures"], entry.get("select", {})
    lost = structures.get("failed", 0) + structures.get("rejected", 0)
    cells = [
        str(entry["generation"]),
        f"+{structures.get('labelled', 0)}"
        + (f" ({structures['waiting']} wait)" if "waiting" in structures else ""),
        str(lost) if lost else "",
        f"{select['lo']:.2f}–{select['hi']:.2f}" if "lo" in select else "",
        f"{select['candidate_fraction']:.1%}" if "candidate_fraction" in select else "",
        f"{entry['train']['force_rmse']:.3f}" if "train" in entry else "",
    ]
    errors = entry.get("evaluate", {}).get("classes", {})
    for name in classes:
        found = errors.get(name)
        cells.append(f"{found['force_error']:.3f} {1000 * found['energy_rmse']:.1f}" if found else "")
    if classes:
        everything = errors.get("all", {})
        for key in ("coverage", "spearman"):
            value = everything.get(key)
            cells.append("" if value is None else f"{value:.2f}")
    return cells
