"""What a run has reached, from its ledger alone: numbers for ``summary.json`` and a table for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ase_mlsample._files import write_atomic
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.ledger_tables import FailureRow
from ase_mlsample.active.progress import duration
from ase_mlsample.active.remedies import REMEDIES
from ase_mlsample.analysis.errors import expected_coverage

__all__ = [
    "cost_table",
    "failure_table",
    "generation_table",
    "summarise",
    "wide_console",
    "write_summary",
]

# columns of a log file or a pipe, which have no width of their own
_LOG_COLUMNS = 120
# characters of a message in a table
_EXAMPLE = 300


def summarise(ledger: Ledger) -> dict[str, Any]:
    """Numbers of a run.

    Returns
    -------
    dict
        ``name``, ``reference``, ``finished`` (why the run ended, or None), ``labels`` (counts by status),
        ``failures`` (counts by message), ``failed`` (for each kind of failure its ``count``, an ``example``
        and the ``remedy``), ``gentler`` (labels by the number of the gentler recipe they took),
        ``label_seconds``, ``costs`` (time of workers by generation) and ``generations``: for each,
        ``structures`` (counts by state) and the summaries of its stages (select, label, train, evaluate).
    """
    config, reference = ledger.meta("config"), ledger.meta("reference")
    states, stages = ledger.states(reference), ledger.stages()
    failures = ledger.failures(reference)
    generations = []
    for generation in sorted(stages):
        entry: dict[str, Any] = {"generation": generation, "structures": states.get(generation, {})}
        entry.update({name: summary for name, summary in stages[generation].items() if name != "end"})
        if "evaluate" in entry and entry["evaluate"].get("members", 0) >= 2:
            entry["evaluate"]["expected_coverage"] = expected_coverage(entry["evaluate"]["members"])
        generations.append(entry)
    labels: Counter[str] = Counter()
    for counts in states.values():
        labels.update({state: number for state, number in counts.items() if state != "waiting"})
    reasons = [done["end"].get("reason") for done in stages.values() if "end" in done]
    costs = ledger.label_costs(reference)
    return {
        "name": config["name"],
        "elements": config["elements"],
        "reference": {"fingerprint": reference, **config["reference"]},
        "finished": next((reason for reason in reversed(reasons) if reason is not None), None),
        "labels": dict(labels),
        "failures": {row.error: row.count for row in failures[:10]},
        "failed": _by_kind(failures),
        "gentler": {str(recipe): number for recipe, number in ledger.recipes(reference).items()},
        "label_seconds": sum(seconds for found in costs.values() for _, seconds in found.values()),
        "costs": _costs(costs, ledger.task_seconds()),
        "generations": generations,
    }


def _by_kind(failures: Sequence[FailureRow]) -> list[dict[str, Any]]:
    """Failures of each kind: how many, the most frequent message, what can be done."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in failures:
        counts[row.kind] += row.count
        examples.setdefault(row.kind, row.error)
    return [
        {"kind": kind, "count": number, "example": examples[kind], "remedy": REMEDIES.get(kind, "")}
        for kind, number in counts.most_common()
    ]


def _costs(
    labels: Mapping[int, Mapping[str, tuple[int, float]]], work: Mapping[int, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Time of workers by generation: of labels, of each one that was had, and of everything else."""
    found = []
    for generation in sorted(labels.keys() | work.keys()):
        states = labels.get(generation, {})
        seconds = sum(spent for _, spent in states.values())
        had = states.get("labelled", (0, 0.0))[0]
        found.append(
            {
                "generation": generation,
                "labels": had,
                "label_seconds": seconds,
                "seconds_per_label": seconds / had if had else None,
                "work": dict(work.get(generation, {})),
            }
        )
    return found


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


def failure_table(failed: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What failed and why: a row for each kind of failure, as `summarise` lists them under ``failed``."""
    table = Table(title="failed labels", title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("for example", overflow="fold", ratio=1)
    table.add_column("what can be done", overflow="fold", ratio=1)
    for row in failed:
        example = " ".join(str(row["example"]).split())
        shown = example if len(example) <= _EXAMPLE else example[:_EXAMPLE] + " …"
        table.add_row(escape(row["kind"]), str(row["count"]), escape(shown), escape(row["remedy"]))
    return table


def cost_table(costs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Time of workers by generation, as `summarise` lists it under ``costs``."""
    table = _table("time of workers", ["gen", "labels", "s per label", "labelling", "exploring", "training"])
    for row in costs:
        each, work = row["seconds_per_label"], row["work"]
        table.add_row(
            str(row["generation"]),
            str(row["labels"]),
            "" if each is None else f"{each:.3g}",
            duration(row["label_seconds"]),
            *(duration(work[kind]) if kind in work else "" for kind in ("explore", "train")),
        )
    return table


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
