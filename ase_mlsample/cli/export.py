"""Write the labelled structures of a run as extended XYZ, under REF_energy, REF_forces and REF_stress.

Numbers are written with all digits and each frame names its reference in REF_reference, so that another run
of this reference can take the file in with `mlsample import`. With --deepmd the output is a folder of
deepmd-kit's data systems instead, which does not say by which reference the labels are.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample export runs/silicon silicon.extxyz
mlsample export runs/silicon systems --deepmd"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("directory", type=Path, help="a run's directory")
    parser.add_argument("output", type=Path, help="extxyz file, or with --deepmd a new folder")
    parser.add_argument("--deepmd", action="store_true", help="write deepmd-kit's data systems (npy)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: Namespace) -> int:
    """Export."""
    from ase_mlsample.active.exchange import export_deepmd, export_labels
    from ase_mlsample.active.ledger import Ledger

    ledger = Ledger.open(args.directory / "ledger.db")
    if args.deepmd:
        if args.output.exists():
            raise ValueError(f"{args.output} exists; name a new folder for deepmd-kit's systems")
        print(f"{args.output}: {export_deepmd(ledger, args.output)} labelled structures")
        return 0
    if args.output.exists() and not args.overwrite:
        raise ValueError(f"{args.output} exists; --overwrite replaces it, or name another")
    print(f"{args.output}: {export_labels(ledger, args.output)} labelled structures")
    return 0
