"""Make a labelled held-out set: strained, rattled prototypes and liquid, as a YAML file says.

Volumes and liquid come from the reference calculator itself, and so do the labels (REF_energy,
REF_forces, REF_stress). The same file and seed give the same frames. The output is written when every
label is there; until then labels are kept beside it, so that a second start computes none again.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample testset examples/silicon_testset.yaml
mlsample testset examples/aluminium_testset.yaml --output held_out.extxyz --overwrite
mlsample testset examples/silicon_dft_testset.yaml --workers 2"""

# a held-out set is judged by, not learned from: no force is too large for it
_ANY_FORCE = 1e6


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("settings", type=Path, help="YAML file: reference, symbol, seed, crystals, liquid")
    parser.add_argument("--output", "-o", type=Path, help="extxyz file (the YAML's name in this folder)")
    parser.add_argument("--seed", type=int, help="replaces the file's seed")
    parser.add_argument("--frames", type=int, help="replaces the number of frames of every class")
    parser.add_argument("--workers", type=int, default=1, help="processes that label (1: this one)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: Namespace) -> int:
    """Make the set and write it."""
    from shutil import rmtree

    from ase_mlsample.active.factories import build
    from ase_mlsample.active.label_file import label_structures, labelled_frame
    from ase_mlsample.active.reference_settings import ReferenceSettings
    from ase_mlsample.active.store import write_frames
    from ase_mlsample.active.summary import wide_console
    from ase_mlsample.cli.settings_file import read_settings
    from ase_mlsample.validation.held_out import HeldOutSettings, held_out_frames

    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: at least one")
    settings = read_settings(args.settings, HeldOutSettings, _replacements(args))
    output = args.output or Path(args.settings.stem + ".extxyz")
    if output.exists() and not args.overwrite:
        raise ValueError(f"{output} exists; --overwrite replaces it, --output names another")
    reference = ReferenceSettings(**settings.reference.model_dump(), max_force=_ANY_FORCE)
    calculator = build(reference.factory, reference.kwargs)
    frames = held_out_frames(settings, calculator, progress=lambda line: print(line, flush=True))
    folder = output.with_suffix(".testset")
    results = label_structures(
        frames, reference, folder=folder, workers=args.workers, retry_failed=True, console=wide_console()
    )
    _require_all(frames, results, folder)
    known = reference.reference()
    write_frames(
        output, [labelled_frame(atoms, found, known) for atoms, found in zip(frames, results, strict=True)]
    )
    rmtree(folder)  # its labels are in the output
    counts = Counter(atoms.info["config_type"] for atoms in frames)
    print(f"{output}: " + ", ".join(f"{number} {kind}" for kind, number in counts.items()))
    return 0


def _require_all(frames: Sequence[Atoms], results: Sequence[dict[str, Any]], folder: Path) -> None:
    failed = [(n, found["error"]) for n, found in enumerate(results) if found["status"] != "labelled"]
    if failed:
        number, error = failed[0]
        raise RuntimeError(
            f"{len(failed)} of {len(frames)} labels failed, the first of a frame of "
            f"{frames[number].info['config_type']!r} with {error['type']}: {error['message']} "
            f"Labels that were had are kept in {folder}: mend the cause and start again"
        )


def _replacements(args: Namespace) -> dict[str, int]:
    named = {"seed": args.seed, "crystals.frames": args.frames, "liquid.frames": args.frames}
    return {key: value for key, value in named.items() if value is not None}
