"""Molecular dynamics with any calculator, plain or with a bias of variables; run again, it goes on.

Everything is in a YAML file, or in options, which go before it. The structure is a file that ASE reads or a
crystal (Si:diamond:5.431); the calculator a model file (.safetensors) or "module:factory". Without a pressure
the cell stays as it is (Langevin dynamics); with one its size changes (stochastic cell rescaling).

The folder gets md.yaml, COLVAR (log), trajectory.extxyz, checkpoint, and what the bias writes: HILLS
(metadynamics), KERNELS (opes), COEFFS (ves), convergence.svg (ves, deep_ves). --steps counts from the very
start: the same command again, also after a kill, makes the steps that are missing, exactly as if never
interrupted. Settings of a bias go by --set, such as --set bias.height_eV=0.2: those of its class in
ase_mlsample.dynamics, energies with _eV behind their names, and lower_wall and upper_wall with
{at: ..., kappa_eV: ...}.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase_mlsample.cli.md_settings import MDSettings

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample md md.yaml --steps 200000
mlsample md --structure Si:diamond:5.431 --repeat 3 --calculator ase_mlsample.calculators:StillingerWeber \\
    --temperature 1700 --pressure 0 --timestep 2 --steps 100000 --directory runs/md
mlsample md --structure start.xyz --calculator si.safetensors --temperature 300 --steps 500000 \\
    --bias metadynamics --cv 'Distance(0, 1)' --set bias.sigma=0.05 --set bias.height_eV=0.02 \\
    --set bias.bias_factor=10
mlsample fes md/HILLS --temperature 300 --plot fes.png

md.yaml: {structure: start.xyz, calculator: si.safetensors, temperature_K: 300, timestep_fs: 1, steps: 500000,
    directory: runs/opes, cv: 'Distance(0, 1)', bias: {method: opes, barrier_eV: 0.5, pace: 500}}"""

_OPTIONS = {
    "structure": ("structure", str, "FILE|CRYSTAL", "start"),
    "calculator": ("calculator", str, "MODEL|MODULE:FACTORY", "model file, or what makes a calculator"),
    "temperature": ("temperature_K", float, "K", None),
    "pressure": ("pressure_GPa", float, "GPA", "constant pressure; constant volume without it"),
    "timestep": ("timestep_fs", float, "FS", "(1)"),
    "steps": ("steps", int, "N", "in total, those of earlier calls included"),
    "seed": ("seed", int, None, "of all random numbers (0)"),
    "directory": ("directory", str, "DIR", "of the run's files (md)"),
}  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "config", nargs="?", type=Path, help="YAML file; its paths are relative to its folder"
    )
    for option, (key, kind, metavar, text) in _OPTIONS.items():
        parser.add_argument(f"--{option}", dest=key, type=kind, metavar=metavar, help=text)
    parser.add_argument(
        "--precision", choices=("float32", "float64"), help="of a model file's networks (float32)"
    )
    parser.add_argument("--repeat", nargs="+", type=int, metavar="N", help="cells along each vector")
    parser.add_argument(
        "--bias", choices=("metadynamics", "opes", "ves", "deep_ves"), help="plain dynamics without it"
    )
    parser.add_argument(
        "--cv", action="append", metavar="EXPRESSION", help="variable, logged and biased; may be given often"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, value in YAML"
    )
    parser.add_argument("--check", action="store_true", help="only check the settings")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(args: Namespace) -> int:
    """Run, or go on."""
    from ase_mlsample.cli.md_run import begin_or_continue

    settings = _settings(args)
    dynamics = begin_or_continue(settings, progress=not args.quiet, only_check=args.check)
    if dynamics is None:
        print(f"{args.config or 'the settings'}: fine")
        return 0
    missing, folder = settings.steps - dynamics.step, settings.directory
    if missing <= 0:
        print(
            f"{folder}: {dynamics.step:,} steps are done already; --steps {dynamics.step + 1000} makes more"
        )
        dynamics.close()
        return 0
    if dynamics.step:
        print(f"{folder}: goes on from step {dynamics.step:,}")
    begun = time.perf_counter()
    try:
        with dynamics:
            dynamics.run(missing)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from the last checkpoint in {folder}")
        return 130
    except (ValueError, TypeError, KeyError) as error:  # no longer about what was asked for
        raise RuntimeError("; ".join([str(error), *getattr(error, "__notes__", ())])) from error
    seconds = time.perf_counter() - begun
    time_ps = settings.timestep_fs * dynamics.step / 1000
    print(
        f"{folder}: {dynamics.step:,} steps ({time_ps:g} ps) done; {missing:,} of them in {seconds:.1f} s, "
        f"{missing / seconds:,.0f} a second"
    )
    return 0


def _settings(args: Namespace) -> MDSettings:
    from ase_mlsample._yaml import yaml_mapping, yaml_value
    from ase_mlsample.cli.md_settings import parse_settings

    values = {} if args.config is None else _from_folder(yaml_mapping(args.config), args.config.parent)
    for key, _, _, _ in _OPTIONS.values():
        if getattr(args, key) is not None:
            values[key] = getattr(args, key)
    for key in ("repeat", "precision"):
        if getattr(args, key) is not None:
            values[key] = getattr(args, key)
    if args.cv is not None:
        values["cv"] = args.cv[0] if len(args.cv) == 1 else args.cv
    if args.bias is not None:
        values["bias"] = {**_section(values, "bias"), "method": args.bias}
    for text in args.set:
        key, equals, value = text.partition("=")
        *sections, last = key.strip().split(".")
        if not equals or not last:
            raise ValueError(f"--set {text}: write it as key=value, such as --set bias.pace=100")
        place = values
        for name in sections:
            place[name] = _section(place, name)
            place = place[name]
        place[last] = yaml_value(value, f"--set {text}")
    return parse_settings(values, source="mlsample md" if args.config is None else str(args.config))


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{name} is {found!r}, which has no settings inside")
    return dict(found or {})


def _from_folder(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Settings with the input files found from the folder of the settings file."""
    for key in ("structure", "calculator"):
        name = values.get(key)
        if isinstance(name, str) and (folder / name).is_file():
            values[key] = str(folder / name)
    return values
