"""Make a labelled held-out set: strained, rattled prototypes and liquid, as a YAML file says.

Volumes and liquid come from the reference calculator itself, and so do the labels (REF_energy,
REF_forces, REF_stress). The same file and seed give the same frames. Nothing is written until every
label is there and finite.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample testset examples/silicon_testset.yaml
mlsample testset examples/aluminium_testset.yaml --output held_out.extxyz --overwrite"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("settings", type=Path, help="YAML file: reference, symbol, seed, crystals, liquid")
    parser.add_argument("--output", "-o", type=Path, help="extxyz file (the YAML's name in this folder)")
    parser.add_argument("--seed", type=int, help="replaces the file's seed")
    parser.add_argument("--frames", type=int, help="replaces the number of frames of every class")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: Namespace) -> int:
    """Make the set and write it."""
    from ase_mlsample.active.factories import build
    from ase_mlsample.active.label import reference_name
    from ase_mlsample.active.store import write_frames
    from ase_mlsample.cli.settings_file import read_settings
    from ase_mlsample.validation.held_out import HeldOutSettings, held_out_set

    settings = read_settings(args.settings, HeldOutSettings, _replacements(args))
    output = args.output or Path(args.settings.stem + ".extxyz")
    if output.exists() and not args.overwrite:
        raise ValueError(f"{output} exists; --overwrite replaces it, --output names another")
    calculator = build(reference_name(settings.reference.factory), settings.reference.kwargs)
    frames = held_out_set(settings, calculator, progress=lambda line: print(line, flush=True))
    write_frames(output, frames)
    counts = Counter(atoms.info["config_type"] for atoms in frames)
    print(f"{output}: " + ", ".join(f"{number} {kind}" for kind, number in counts.items()))
    return 0


def _replacements(args: Namespace) -> dict[str, int]:
    named = {"seed": args.seed, "crystals.frames": args.frames, "liquid.frames": args.frames}
    return {key: value for key, value in named.items() if value is not None}
