"""Draw structures from a sampler into an extxyz file.

The sampler is a class of ase_mlsample.samplers or "module:factory", with its arguments by --set, or a
YAML file with the keys of a run's `initial` entries (sampler, n, transforms, and the arguments).
Every frame says in its info where it came from.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample sample RandomDisorder --set composition=Si --set 'density=[2.2, 2.6]' -n 20 -o disorder.extxyz
mlsample sample PerturbedCrystal --set 'crystals=[diamond, beta-tin]' --set symbol=Si -n 20 --seed 3
mlsample sample sampler.yaml -n 100"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("sampler", help="name, module:factory, or a YAML file")
    parser.add_argument("-n", "--number", type=int, help="how many frames (a YAML file's n, else 10)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="argument, value in YAML"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (0)")
    parser.add_argument("-o", "--output", type=Path, default=Path("samples.extxyz"), help="(samples.extxyz)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: Namespace) -> int:
    """Draw the frames and write them."""
    import numpy as np
    from rich.progress import track

    from ase_mlsample.active.factories import build_sampler
    from ase_mlsample.active.store import write_frames

    settings, number = _settings(args)
    if number < 1:
        raise ValueError(f"-n {number}: at least one frame")
    if args.seed < 0:
        raise ValueError(f"--seed {args.seed} must not be negative")
    if args.output.exists() and not args.overwrite:
        raise ValueError(f"{args.output} exists; --overwrite replaces it, --output names another")
    sampler = build_sampler(settings.sampler, settings.arguments, settings.stages)
    drawn = sampler.sample(number, np.random.default_rng(args.seed))
    frames = list(track(drawn, description=settings.sampler, total=number, transient=True))
    write_frames(args.output, frames)
    sizes = [len(atoms) for atoms in frames]
    print(
        f"{args.output}: {len(frames)} frames of {min(sizes)} to {max(sizes)} atoms from {settings.sampler}"
    )
    return 0


def _settings(args: Namespace) -> tuple[Any, int]:
    from ase_mlsample.active.config import SamplerSettings
    from ase_mlsample.cli.settings_file import read_settings

    changes = dict(_assignment(text) for text in args.set)
    path = Path(args.sampler)
    if path.suffix not in (".yaml", ".yml"):
        return SamplerSettings.model_validate({**changes, "sampler": args.sampler}), args.number or 10
    settings = read_settings(path, SamplerSettings, changes)
    inside = settings.arguments.get("n", 10)
    named = settings.model_dump(exclude={"n"})
    return SamplerSettings.model_validate(named), args.number or int(inside)


def _assignment(text: str) -> tuple[str, Any]:
    from ase_mlsample._yaml import yaml_value

    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"--set {text}: write it as key=value, such as --set density=[2.2, 2.6]")
    return key, yaml_value(value, f"--set {text}: the value")
