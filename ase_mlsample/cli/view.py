"""Open a run's candidates, or any file of structures, in the ASE GUI, coloured by `force_sigma`.

The scale spans all frames: dark is agreement of the ensemble, bright is disagreement (eV/Å); white atoms
have no value. The menu Scalars lists all that the frames can be coloured by: every array with one number an
atom, |F|, |ΔF| where there are forces and labels, and the lengths of vectors.

With --live the window follows a run that is at work, or a trajectory file that grows: it shows the newest
frame, keeps some for stepping back (Page Up, Page Down), and follows again at the newest one (End).

With --plot (or Scalars > Plots) a second window draws collective variables, bias, disagreement with the trust
window, and energies over time or frames; it grows with the run, and a click on a point shows its frame.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """
mlsample view runs/silicon
mlsample view runs/silicon --generation 2
mlsample view candidates.extxyz --color energy_sigma --range 0 0.1
mlsample view runs/silicon --live --log
mlsample view runs/md --live --plot
mlsample view md.extxyz --live --color force"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("path", type=Path, help="directory of a run or an md, or a file that ASE reads")
    parser.add_argument("--generation", type=int, help="of a run: the generation to show (the last)")
    parser.add_argument(
        "--color",
        default="force_sigma",
        metavar="NAME",
        help="an array with one number an atom, force, force_error, or '|NAME|' of vectors (force_sigma)",
    )
    parser.add_argument(
        "--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="ends of the colour scale (as found)"
    )
    parser.add_argument("--log", action="store_true", help="logarithmic colour scale")
    parser.add_argument(
        "--plot", action="store_true", help="plots, too: variables, bias, disagreement, energy over time"
    )
    parser.add_argument("--live", action="store_true", help="follow a run at work, or a file that grows")
    parser.add_argument("--history", type=int, default=200, help="live: frames kept to step back (200)")
    parser.add_argument("--interval", type=float, default=0.5, help="live: seconds between looks (0.5)")


def run(args: Namespace) -> int:
    """Open the GUI; returns when its window is closed."""
    window = None if args.range is None else (args.range[0], args.range[1])
    if window is not None and not window[0] < window[1]:
        raise ValueError(f"--range goes from a smaller to a larger number, got {window[0]:g} {window[1]:g}")
    return _run_live(args, window) if args.live else _run_still(args, window)


def _run_still(args: Namespace, window: tuple[float, float] | None) -> int:
    from ase_mlsample.gui import open_viewer
    from ase_mlsample.gui.run_files import md_trajectory, read_shown
    from ase_mlsample.gui.scalars import pick_scalar, value_range

    path, frames = read_shown(args.path, args.generation)
    scalar = pick_scalar(frames, args.color)
    found = None if scalar is None else value_range(scalar, frames)
    if scalar is None:
        print(f"{path}: no array {args.color!r} in any frame; shown by element")
    elif found is not None:
        unit = f" {scalar.unit}" if scalar.unit else ""
        print(f"{path}: {len(frames)} frames, {args.color} from {found[0]:.3g} to {found[1]:.3g}{unit}")
    md = args.path if md_trajectory(args.path) is not None else None
    viewer = open_viewer(
        frames, args.color, window=window, log=args.log, title=str(path), plot=args.plot, md=md
    )
    viewer.run()
    return 0


def _run_live(args: Namespace, window: tuple[float, float] | None) -> int:
    from ase_mlsample.gui import open_live

    if args.generation is not None:
        raise ValueError("--generation has no meaning with --live, which shows the generation under way")
    if not args.path.exists() and not args.path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{args.path} is not there, nor is the folder that it would be in")
    viewer = open_live(
        args.path,
        args.color,
        window=window,
        log=args.log,
        history=args.history,
        interval_s=args.interval,
        plot=args.plot,
    )
    viewer.run()
    return 0
