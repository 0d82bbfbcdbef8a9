"""The viewers that ``ase.visualize.view(..., viewer="mlsample")`` and ``"mlsample_notebook"`` call."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ase_mlsample.gui.passing import pack_frames, unpack_frames
from ase_mlsample.gui.scalars import pick_scalar

if TYPE_CHECKING:
    from chemiscope.widget import ChemiscopeWidget

__all__ = ["as_frames", "main", "require_window", "view_mlsample", "view_mlsample_notebook"]

_WINDOW = "from ase_mlsample.gui.ase_viewers import main; main()"
# by the interpreter, since the folder of the script `mlsample` need not be in PATH
_VERB = "import sys; from ase_mlsample.cli import main; sys.exit(main(['view', *sys.argv[1:]]))"


def view_mlsample(
    atoms: Atoms | Iterable[Atoms] | str | Path,
    *,
    data: None = None,
    repeat: int | Sequence[int] | None = None,
    color: str = "force_sigma",
    window: tuple[float, float] | None = None,
    log: bool = False,
    live: bool = False,
    history: int = 200,
    plot: bool = False,
) -> subprocess.Popen[bytes]:
    """Open structures in a window of another process, coloured by a per-atom scalar.

    Parameters
    ----------
    atoms
        A structure, several, an ASE trajectory, a file, or the folder of a run. Arrays, constraints,
        ``info`` and results that calculators hold are passed; nothing is computed.
    data
        Volumetric data, which this viewer does not show.
    repeat
        Copies of the cell along each vector.
    color, window, log
        As for `open_viewer`.
    live
        Follow a file that grows, or a run at work.
    history
        Frames that are kept for stepping back, live.
    plot
        Open the window with the plots, too.

    Returns
    -------
    subprocess.Popen
        Of the window.

    Raises
    ------
    RuntimeError
        If Python has no tkinter, or there is no display.
    ValueError
        If there are no structures, for `data`, and if `color` is an array which is not one number an atom.
    TypeError
        If something is no structure, and for `live` without a path.

    Warns
    -----
    UserWarning
        About what cannot be passed to another process: objects in ``info``, constraints that are not ASE's,
        and results that ASE has no name for.

    Examples
    --------
    >>> view(atoms, viewer="mlsample")                                              # doctest: +SKIP
    >>> view("md.extxyz", viewer="mlsample", live=True, plot=True)                  # doctest: +SKIP
    """
    if data is not None:
        raise ValueError("volumetric data cannot be shown here; leave data out")
    if isinstance(atoms, str | Path):
        require_window()
        switches = {"log": log, "live": live, "plot": plot}
        return _open_path(Path(atoms), repeat, color=color, window=window, history=history, **switches)
    if live:
        raise TypeError("live=True follows a file or a run: pass its path, or attach a `LiveView`")
    frames = as_frames(atoms)
    pick_scalar(frames, color)  # complains here, where it can be read
    require_window()
    content, lost = pack_frames(
        frames, color=color, window=window, log=log, plot=plot, repeat=_repeats(repeat)
    )
    if lost:
        warnings.warn(f"the viewer does not get {', '.join(lost)}", stacklevel=4)
    process = subprocess.Popen([sys.executable, "-c", _WINDOW], stdin=subprocess.PIPE)  # noqa: S603
    assert process.stdin is not None  # noqa: S101 (for the type checker)
    try:
        process.stdin.write(content)
        process.stdin.close()
    except BrokenPipeError:  # it has said why
        raise RuntimeError(f"the viewer ended with status {process.wait()}") from None
    return process


def view_mlsample_notebook(
    atoms: Atoms | Iterable[Atoms] | str | Path, *, data: None = None, repeat: None = None, **options: Any
) -> ChemiscopeWidget:
    """Show structures beside a map of their properties in a notebook; see `open_notebook`."""
    if data is not None or repeat is not None:
        raise ValueError("neither volumetric data nor repeated cells can be shown here; leave them out")
    from ase_mlsample.gui.notebook import open_notebook

    return open_notebook(atoms, **options)


def as_frames(atoms: Atoms | Iterable[Atoms]) -> list[Atoms]:
    """Return one or several structures as a list.

    Raises
    ------
    TypeError
        If something is no structure.
    ValueError
        If there is none.
    """
    frames = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    for index, frame in enumerate(frames):
        if not isinstance(frame, Atoms):
            raise TypeError(f"frame {index} is a {type(frame).__name__}; ase.Atoms can be shown")
    if not frames:
        raise ValueError("there are no structures to show")
    return frames


def main() -> None:
    """Show what comes through standard input; ends with its window."""
    from ase_mlsample.gui.opening import open_viewer

    frames, options = unpack_frames(sys.stdin.buffer)
    repeat = options.pop("repeat")
    try:
        viewer = open_viewer(frames, **options)
    except RuntimeError as error:
        sys.exit(f"ase_mlsample: {error}")
    if repeat is not None:
        viewer.images.repeat_images(repeat)
        viewer.set_frame(focus=True)
    viewer.run()


def _open_path(
    path: Path,
    repeat: int | Sequence[int] | None,
    *,
    window: tuple[float, float] | None,
    color: str,
    history: int,
    **switches: bool,
) -> subprocess.Popen[bytes]:
    """Start the verb ``mlsample view`` on a file or a run."""
    if repeat is not None:
        raise ValueError("repeat is for structures, not for a path; read the file first")
    if not path.exists() and not switches["live"]:
        raise FileNotFoundError(f"{path} is neither a run's directory nor a file")
    command = [sys.executable, "-c", _VERB, str(path), "--color", color]
    if window is not None:
        # no exponents, since a parser of arguments takes -1e-05 for an option
        command += ["--range", *(np.format_float_positional(end, trim="0") for end in window)]
    command += [f"--{name}" for name, is_on in switches.items() if is_on]
    command += ["--history", str(history)] if switches["live"] else []
    return subprocess.Popen(command)  # noqa: S603 (this interpreter)


def _repeats(repeat: int | Sequence[int] | None) -> list[int] | None:
    if repeat is None:
        return None
    numbers = [int(repeat)] * 3 if isinstance(repeat, int | np.integer) else [int(n) for n in repeat]
    if len(numbers) != 3 or min(numbers) < 1:
        raise ValueError(f"repeat is one or three positive numbers, got {repeat!r}")
    return numbers


def require_window() -> None:
    """Complain where a window cannot open, rather than leave it to a process that nobody listens to."""
    if find_spec("tkinter") is None:
        raise RuntimeError(
            "the ASE GUI needs tkinter, which this Python lacks; on Debian or Ubuntu: apt install python3-tk."
            ' In a notebook, viewer="mlsample_notebook" needs no window'
        )
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        raise RuntimeError(
            "the ASE GUI cannot open a window: DISPLAY is not set. "
            'In a notebook, viewer="mlsample_notebook" needs no window'
        )
