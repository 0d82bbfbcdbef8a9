"""Free energy along collective variables, with minima, barriers and differences of basins.

From the hills of a metadynamics run (several files: walkers of one bias), from samples whose bias is
undone (--colvar with --reweight), or from umbrella windows (--windows). Files are ours or PLUMED's; energies
in them are taken to be eV, so PLUMED's own units need --energy-unit kJ/mol.

Errors of reweighted samples and windows come from blocks of the sampling; see whether half as many --blocks
give the same. They presume many crossings of the barrier, which are counted from one basin's lower half to
the other's. Without --basins, each minimum deeper than --depth has the basin that drains into it. Of a
Deep-VES run samples count from when its bias was static, or from --skip on.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ase_mlsample.cli.fes_report import report
from ase_mlsample.cli.fes_sources import UNITS, energy_size, from_colvar, from_hills, interval, kT_of
from ase_mlsample.cli.fes_windows import from_windows

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample fes HILLS --temperature 300 --unit kJ/mol --plot fes.png --convergence time.png
mlsample fes HILLS --colvar COLVAR --reweight tiwary --temperature 300 --skip 100 --out fes.dat
mlsample fes --colvar COLVAR --reweight static --cv phi psi --temperature 300 --plot map.png
mlsample fes HILLS.0 HILLS.1 --temperature 1700 --basins 0:40 180:216
mlsample fes --windows umbrella/ --skip 5 --plot fes.png
mlsample fes plumed/HILLS --energy-unit kJ/mol --temperature 300 --grid -pi:pi --bins 120"""

_PLOTS = (".png", ".pdf", ".svg")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    # -1.5:0.2 and -pi:pi are values, not options
    parser._negative_number_matcher = re.compile(r"^-(\d|\.\d|pi)")
    source = parser.add_argument_group("where from")
    source.add_argument("hills", nargs="*", type=Path, metavar="HILLS", help="HILLS files of one bias")
    source.add_argument("--colvar", nargs="+", type=Path, metavar="FILE", help="logs with samples and bias")
    source.add_argument("--reweight", choices=("tiwary", "static"), help="how to undo the bias of --colvar")
    source.add_argument("--windows", type=Path, metavar="DIR", help="umbrella windows, or a list of them")
    source.add_argument("--cv", nargs="+", metavar="NAME", help="columns that are the variables")
    source.add_argument("--bias", nargs="+", metavar="NAME", help="columns that add up to the bias (bias)")
    source.add_argument("--skip", type=float, default=0.0, metavar="TIME", help="leave out samples before")
    source.add_argument("--energy-unit", choices=UNITS[:4], default="eV", help="of the files (eV)")
    source.add_argument("--temperature", type=float, metavar="K")
    source.add_argument("--kT", type=float, help="in place of --temperature, in the unit of the files")
    how = parser.add_argument_group("how")
    how.add_argument("--grid", nargs="+", metavar="LOW:HIGH", help="of each variable (what was visited)")
    how.add_argument("--bins", nargs="+", type=int, metavar="N", help="100 in one dimension, 60 in two")
    how.add_argument(
        "--periodic", nargs="+", default=[], metavar="NAME=LOW:HIGH", help="where files do not say"
    )
    how.add_argument("--bandwidth", type=float, nargs="+", help="of kernels in place of bins, for --colvar")
    how.add_argument("--blocks", type=int, default=20, help="for the errors (20)")
    how.add_argument("--project", metavar="NAME", help="one variable alone, the others summed over")
    how.add_argument(
        "--basins", nargs="+", metavar="LOW:HIGH", help="two or more; 'low:high,low:high' of two variables"
    )
    how.add_argument("--depth", type=float, metavar="KT", default=1.0, help="of minima, in kT (1)")
    out = parser.add_argument_group("what to write")
    out.add_argument("--unit", choices=UNITS, help="of the results (that of the files; kT with --kT)")
    out.add_argument("--out", type=Path, metavar="FILE", help="free energy as text, or .npz")
    out.add_argument("--plot", type=Path, metavar="FILE", help="free energy as png, pdf or svg")
    out.add_argument("--convergence", type=Path, metavar="FILE", help="plot of its growth in time")
    out.add_argument("--trace", type=Path, metavar="FILE", help="plot of the variables against time")
    out.add_argument("--ceiling", type=float, help="top of the plots, in --unit")
    out.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: Namespace) -> int:
    """Compute the free energy, print what it says and write what was asked for."""
    import warnings

    from ase import units

    _check(args)
    size = energy_size(args.energy_unit)
    boltzmann = float(units.kB) / size
    periods = dict(_period(text) for text in args.periodic)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        if args.windows is not None:
            estimate = from_windows(args, boltzmann, periods)
        elif args.colvar:
            estimate = from_colvar(args, kT_of(args, boltzmann), periods)
        else:
            estimate = from_hills(args, kT_of(args, boltzmann), periods)
    estimate.notes.extend(str(one.message) for one in caught if issubclass(one.category, UserWarning))
    if args.project is not None:
        estimate = estimate.along(args.project)
    unit = args.unit or ("kT" if args.kT is not None else args.energy_unit)
    kT = estimate.free_energy.kT
    factor = 1 / kT if unit == "kT" else size / energy_size(unit)
    thermal = f"{kT:.5g} {args.energy_unit}" if args.kT is None else f"{kT:.5g} as the files have it"
    report(args, estimate.scaled(factor), unit=unit, thermal=thermal)
    return 0


def _check(args: Namespace) -> None:
    if args.windows is not None and (args.hills or args.colvar):
        raise ValueError("--windows stands alone: no HILLS, no --colvar")
    if not (args.hills or args.colvar or args.windows):
        raise ValueError("a free energy of what? Give HILLS files, --colvar FILE or --windows DIR")
    if args.kT is not None and args.unit not in (None, "kT"):
        raise ValueError(f"--kT leaves the unit of the files open, so results cannot be in {args.unit}")
    if bool(args.colvar) != (args.reweight is not None):
        raise ValueError("--colvar and --reweight tiwary|static go together")
    if args.reweight == "tiwary" and not args.hills:
        raise ValueError("--reweight tiwary needs the HILLS of the run, too: mlsample fes HILLS --colvar ...")
    if not args.colvar and args.bandwidth:
        raise ValueError("--bandwidth is for samples, --colvar")
    if args.hills and not args.colvar and args.skip:
        raise ValueError("--skip is for samples: the bias is what all hills made it")
    _check_files(args)


def _check_files(args: Namespace) -> None:
    if args.windows is not None and not args.windows.exists():
        raise FileNotFoundError(f"there is no {args.windows}")
    for path in (*args.hills, *(args.colvar or ())):
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
    for option in ("plot", "convergence", "trace"):
        path = getattr(args, option)
        if path is not None and path.suffix not in _PLOTS:
            raise ValueError(f"--{option} {path}: a file name that ends on .png, .pdf or .svg is meant")
    for path in (args.out, args.plot, args.convergence, args.trace):
        if path is not None and path.exists() and not args.overwrite:
            raise ValueError(f"{path} exists; --overwrite replaces it")


def _period(text: str) -> tuple[str, tuple[float, float]]:
    name, equals, ends = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--periodic {text}: write it as name=low:high, such as phi=-pi:pi")
    return name, interval(ends, "--periodic")
