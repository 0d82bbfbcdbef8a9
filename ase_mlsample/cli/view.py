"""Open a run's candidates, or any file of structures, in the ASE GUI, coloured by `force_sigma`.

The scale spans all frames: dark is agreement of the ensemble, bright is disagreement (eV/Å).
Frames without the array are drawn white. Change what is shown under View > Colors.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["EXAMPLE", "add_arguments", "open_gui", "prepare", "run"]

EXAMPLE = """
mlsample view runs/silicon
mlsample view runs/silicon --generation 2
mlsample view candidates.extxyz --color energy_sigma"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("path", type=Path, help="a run's directory, or a file that ASE reads")
    parser.add_argument("--generation", type=int, help="of a run: the generation to show (the last)")
    parser.add_argument("--color", default="force_sigma", help="the (N,) array to colour by (force_sigma)")


def run(args: Namespace) -> int:
    """Open the GUI; returns when its window is closed."""
    from ase.io import read

    path = _candidates(args.path, args.generation)
    frames = read(path, index=":")
    if not frames:
        raise ValueError(f"{path} holds no structures")
    window = prepare(frames, args.color)
    if window is None:
        print(f"{path}: no array {args.color!r} in any frame; shown by element")
    else:
        print(f"{path}: {len(frames)} frames, {args.color} from {window[0]:.3g} to {window[1]:.3g}")
    gui = open_gui(frames, args.color, window)
    gui.run()
    return 0


def _candidates(path: Path, generation: int | None) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is neither a run's directory nor a file")
    files = sorted(path.glob("candidates/*.extxyz"))
    if generation is not None:
        files = [file for file in files if _number(file) == generation]
    if not files:
        which = "" if generation is None else f" of generation {generation}"
        raise FileNotFoundError(
            f"{path}/candidates has no extxyz file{which}: nothing was proposed there yet"
        )
    return files[-1]


def _number(file: Path) -> int:
    digits = "".join(c for c in file.stem if c.isdigit())
    return int(digits) if digits else -1


def prepare(frames: list[Atoms], color: str) -> tuple[float, float] | None:
    """Give every frame the array `color`, NaN where it has none, so that the GUI can step through them.

    Parameters
    ----------
    frames
        The structures; those without the array get one of NaN.
    color
        Name of an (N,) array.

    Returns
    -------
    tuple of float, or None
        Least and largest value over all frames; None if no frame has the array.

    Raises
    ------
    ValueError
        If the array is not one number an atom: the GUI cannot colour by it.
    """
    values = []
    for atoms in frames:
        array = atoms.arrays.get(color)
        if array is None:
            continue
        if array.ndim != 1 or array.dtype.kind not in "fiub":
            raise ValueError(
                f"array {color!r} has shape {array.shape} and type {array.dtype}: "
                "colours need one number an atom, such as force_sigma"
            )
        values.append(array[np.isfinite(array)])
    finite = np.concatenate(values) if values else np.empty(0)
    if finite.size == 0:
        return None
    for atoms in frames:
        if color not in atoms.arrays:
            atoms.new_array(color, np.full(len(atoms), np.nan))
    return float(finite.min()), float(finite.max())


def open_gui(frames: list[Atoms], color: str, window: tuple[float, float] | None) -> Any:
    """Build the ASE GUI on `frames` and set its colour mode.

    Parameters
    ----------
    frames
        Structures that went through `prepare`.
    color
        Name of an (N,) array.
    window
        Values at the ends of the colour scale; None leaves the colours of the elements.

    Returns
    -------
    ase.gui.gui.GUI
        Not yet running: call its ``run()``.

    Raises
    ------
    RuntimeError
        If Python has no tkinter, or there is no display.
    """
    try:
        import tkinter

        from ase.gui.gui import GUI
        from ase.gui.images import Images
    except ImportError as error:
        raise RuntimeError(
            f"the ASE GUI needs tkinter, which this Python lacks ({error}); "
            "on Debian or Ubuntu: apt install python3-tk"
        ) from error
    try:
        gui = GUI(Images(frames))
    except tkinter.TclError as error:
        raise RuntimeError(f"the ASE GUI cannot open a window ({error}); is DISPLAY set?") from error
    if window is not None:
        from matplotlib import colormaps
        from matplotlib.colors import rgb2hex

        scale = [rgb2hex(rgba) for rgba in colormaps["viridis"](np.linspace(0, 1, 32))]
        gui.colormode = color
        gui.colormode_data = scale, *window
        gui.draw()
    return gui
