"""`mlsample label --check-convergence`: how far settings are from converged for some structures."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["add_convergence_options", "check_convergence"]


def add_convergence_options(parser: ArgumentParser) -> None:
    """Declare the options of the study."""
    group = parser.add_argument_group("convergence of the reference's settings")
    group.add_argument(
        "--check-convergence",
        action="store_true",
        help="measure it for these structures, write a table and a plot, label nothing",
    )
    for name, unit in (("cutoff", "eV"), ("k-spacing", "1/Å"), ("smearing-width", "eV")):
        group.add_argument(
            f"--{name}", type=float, nargs="+", metavar="X", help=f"values to compare ({unit})"
        )
    group.add_argument("--frames", type=int, default=4, help="structures, evenly through the file (4)")
    group.add_argument(
        "--tolerances",
        type=float,
        nargs=3,
        default=(1.0, 10.0, 0.1),
        metavar=("MEV_ATOM", "MEV_A", "GPA"),
        help="of energy, forces and stress (1 10 0.1)",
    )
    group.add_argument("--plot", type=Path, help="image file (structures.convergence.png)")


def check_convergence(args: Namespace) -> int:
    """Measure, print the table, write the plot.

    Parameters
    ----------
    args : of `mlsample label`: the structures and the reference, and the options of this study.

    Returns
    -------
    int
        0.

    Raises
    ------
    ValueError
        No structure, or a reference without the settings that are to be varied.
    """
    from ase.io import read

    from ase_mlsample.active.factories import resolve
    from ase_mlsample.cli.label import reference_settings
    from ase_mlsample.references.convergence import Tolerances, convergence_study, formatted
    from ase_mlsample.references.convergence_plot import plot_convergence

    if args.frames < 1:
        raise ValueError(f"--frames {args.frames}: at least one structure")
    settings = reference_settings(args)
    frames = _spread(read(args.structures, index=":"), args.frames, args.structures)
    factory = resolve(settings.factory)
    axes = _axes(args, factory, settings.kwargs, frames)
    tolerances = Tolerances(*args.tolerances)
    n_labels = len(frames) * sum(len(set(values)) for values in axes.values())
    print(f"{n_labels} labels of {len(frames)} structures: {', '.join(map(str, _formulas(frames)))}")
    studies = convergence_study(factory, settings.kwargs, frames, axes, tolerances=tolerances, progress=_say)
    print(formatted(studies, tolerances))
    plot = args.plot or args.structures.with_name(f"{args.structures.stem}.convergence.png")
    plot_convergence(studies, tolerances, plot)
    print(f"{plot}: deviations from the finest value of each setting")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _spread(frames: Sequence[Atoms], number: int, path: Path) -> list[Atoms]:
    """So many structures, evenly through the file."""
    if not frames:
        raise ValueError(f"{path} holds no structure")
    if len(frames) <= number:
        return list(frames)
    step = (len(frames) - 1) / max(1, number - 1)
    return [frames[round(step * i)] for i in range(number)]


def _formulas(frames: Sequence[Atoms]) -> list[str]:
    return [atoms.get_chemical_formula() for atoms in frames]


def _axes(
    args: Namespace, factory: Callable[..., Any], kwargs: dict[str, Any], frames: Sequence[Atoms]
) -> dict[str, tuple[float, ...]]:
    """Values of each setting: those of the command line, or of all settings about what is configured."""
    from ase_mlsample.references.convergence import AXES, default_values

    known = [name for name in AXES if name in inspect.signature(factory).parameters]
    given = {name: tuple(values) for name in AXES if (values := getattr(args, name)) is not None}
    unknown = [name for name in given if name not in known]
    if unknown or not known:
        raise ValueError(
            f"the reference {getattr(factory, '__name__', factory)!r} has no {', '.join(unknown or AXES)} "
            "among its arguments, so there is nothing to converge"
        )
    if given:
        return given
    named = kwargs.get("elements") or sorted({symbol for atoms in frames for symbol in atoms.symbols})
    elements = [named] if isinstance(named, str) else list(named)
    return {name: default_values(name, _in_use(name, factory, kwargs, elements)) for name in known}


def _in_use(name: str, factory: Callable[..., Any], kwargs: dict[str, Any], elements: Sequence[str]) -> float:
    if kwargs.get(name) is not None:
        return float(kwargs[name])
    ready = getattr(factory, "ready", {})
    known = [getattr(ready[symbol], name) for symbol in elements if symbol in ready]
    if not known:
        option = f"--{name.replace('_', '-')}"
        raise ValueError(f"{name} has no ready value for {', '.join(elements)}; give {option} values")
    return float(min(known) if name == "k_spacing" else max(known))
