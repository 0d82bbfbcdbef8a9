"""Where a run stands: generations, labels, errors, what failed and why, what it cost.

It reads the ledger, also while the run goes on.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "mlsample status runs/silicon"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("directory", type=Path, help="a run's directory")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


def run(args: Namespace) -> int:
    """Print the table of generations and what is going on."""
    from ase_mlsample.active.ledger import Ledger
    from ase_mlsample.active.running import is_running
    from ase_mlsample.active.summary import (
        cost_table,
        failure_table,
        generation_table,
        summarise,
        wide_console,
    )

    ledger = Ledger.open(args.directory / "ledger.db")
    summary = summarise(ledger)
    summary["running"] = is_running(args.directory)
    if args.json:
        print(json.dumps(summary, indent=1))
        return 0
    console = wide_console()
    console.print(generation_table(summary))
    console.print(_state(summary, ledger), highlight=False, markup=False, soft_wrap=True)
    for recipe, number in summary["gentler"].items():
        console.print(f"{number} labels took gentler recipe {recipe}", highlight=False)
    if summary["failed"]:
        console.print(failure_table(summary["failed"]))
    if summary["costs"]:
        console.print(cost_table(summary["costs"]))
    return 0


def _state(summary: dict[str, Any], ledger: Any) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in summary["labels"].items())
    labels = f"labels: {counts or 'none yet'}"
    if summary["finished"]:
        return f"finished: {summary['finished']}; {labels}"
    last = max((entry["generation"] for entry in summary["generations"]), default=0)
    tasks = ledger.task_counts(last)
    done = "; ".join(f"{kind}: {sum(states.values())} done" for kind, states in tasks.items())
    state = "running" if summary["running"] else "stopped; run it again to go on"
    return f"{state}, generation {last}; {labels}" + (f"; {done}" if done else "")
