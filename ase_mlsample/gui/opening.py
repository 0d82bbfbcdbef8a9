"""Open the viewer, and say what is missing where it cannot be opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

    from ase_mlsample.gui.live import LiveViewer
    from ase_mlsample.gui.window import Viewer

__all__ = ["open_live", "open_viewer"]


def open_viewer(
    frames: Sequence[Atoms],
    color: str = "force_sigma",
    *,
    window: tuple[float, float] | None = None,
    log: bool = False,
    title: str = "",
    plot: bool = False,
    md: Path | None = None,
) -> Viewer:
    """Build the ASE GUI on frames, coloured by a per-atom scalar, with a menu of all of them.

    Parameters
    ----------
    frames
        Structures; sizes, arrays and elements may differ between them.
    color
        Key of the scalar: an (N,) array, ``"force"``, ``"force_error"``, or ``"|name|"`` of an (N, 3) array.
        Where no frame has it, atoms are coloured by element.
    window
        Values at the ends of the colour scale; by default the range over all frames.
    log
        Whether the colour scale is logarithmic.
    title
        Of the window.
    plot
        Open the window with the plots, too.
    md
        Folder of ``mlsample md`` that the frames are of; the plots have its free energy.

    Returns
    -------
    Viewer
        Not yet running: call its ``run()``, which returns when the window is closed.

    Raises
    ------
    RuntimeError
        If Python has no tkinter, or there is no display.
    ValueError
        If there are no frames, or `color` is an array which is not one number an atom.

    Examples
    --------
    >>> open_viewer(ase.io.read("candidates.extxyz", ":")).run()
    """
    if not frames:
        raise ValueError("there are no structures to show")
    with _display():
        from ase_mlsample.gui.run_estimate import RunEstimate
        from ase_mlsample.gui.window import Viewer

        viewer = Viewer(frames, color=color, window=window, log=log, title=title)
        if md is not None:
            viewer.estimate = RunEstimate(md)
        if plot:
            viewer.show_plots()
        return viewer


def open_live(
    path: Path | str,
    color: str = "force_sigma",
    *,
    window: tuple[float, float] | None = None,
    log: bool = False,
    history: int = 200,
    interval_s: float = 0.5,
    plot: bool = False,
) -> LiveViewer:
    """Build a viewer that follows a run, or a trajectory file that grows.

    Parameters
    ----------
    path
        Folder of a run or of an md, or a file; it may not be there yet, and then a name with a suffix is that
        of a file.
    color
        Key of the scalar to colour by, as in `open_viewer`.
    window
        Values at the ends of the colour scale; by default it grows with what is seen.
    log
        Whether the colour scale is logarithmic.
    history
        Frames that are kept for stepping back.
    interval_s
        Time between two looks.
    plot
        Open the window with the plots, too.

    Returns
    -------
    LiveViewer
        Not yet running: call its ``run()``.

    Raises
    ------
    RuntimeError
        If Python has no tkinter, or there is no display.
    ValueError
        If history or interval are not positive.
    """
    path = Path(path)
    with _display():
        from ase_mlsample.gui.live import LiveViewer
        from ase_mlsample.gui.run_estimate import RunEstimate
        from ase_mlsample.gui.run_files import md_trajectory
        from ase_mlsample.gui.sources import FileSource, RunSource

        trajectory = md_trajectory(path)
        path = trajectory or path
        is_run = path.is_dir() or (not path.exists() and not path.suffix)
        source = RunSource(path) if is_run else FileSource(path)
        viewer = LiveViewer(
            source, color=color, window=window, log=log, history=history, interval_s=interval_s
        )
        if trajectory is not None:
            viewer.estimate = RunEstimate(trajectory.parent)
        if plot:
            viewer.show_plots()
        return viewer


@contextmanager
def _display() -> Iterator[None]:
    try:
        import tkinter
    except ImportError as error:
        raise RuntimeError(
            f"the ASE GUI needs tkinter, which this Python lacks ({error}); "
            "on Debian or Ubuntu: apt install python3-tk"
        ) from error
    try:
        yield
    except tkinter.TclError as error:
        raise RuntimeError(f"the ASE GUI cannot open a window ({error}); is DISPLAY set?") from error
