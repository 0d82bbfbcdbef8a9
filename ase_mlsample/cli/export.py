"""Write the labelled structures of a run as extended XYZ, under REF_energy, REF_forces and REF_stress.

Numbers are written with all digits and each frame names its reference in REF_reference, so that another run
of this reference can take the file in with `mlsample import`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "mlsample export runs/silicon silicon.extxyz"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("directory", type=Path, help="a run's directory")
    parser.add_argument("output", type=Path, help="extxyz file")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: Namespace) -> int:
    """Export."""
    from ase_mlsample.active.exchange import export_labels
    from ase_mlsample.active.ledger import Ledger

    ledger = Ledger.open(args.directory / "ledger.db")
    if args.output.exists() and not args.overwrite:
        raise ValueError(f"{args.output} exists; --overwrite replaces it, or name another")
    print(f"{args.output}: {export_labels(ledger, args.output)} labelled structures")
    return 0
