"""Rebuild a run's report from its directory: plots (PNG) in report/, and summary.json.

Learning curves on the held-out set, what the trust window said, forces and energies against the
reference, error against predicted uncertainty, where structures came from, where the time went.
Works while the run goes on.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "mlsample report runs/silicon"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("directory", type=Path, help="a run's directory")
    parser.add_argument(
        "--no-model", action="store_true", help="leave out what needs the model evaluated on the held-out set"
    )


def run(args: Namespace) -> int:
    """Write the report and say where it is."""
    from ase_mlsample.report import write_report

    for path in write_report(args.directory, evaluate=not args.no_model):
        print(path)
    return 0
