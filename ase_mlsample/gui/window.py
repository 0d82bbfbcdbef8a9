"""The ASE GUI with colours by per-atom scalars: a menu of them, and a colour bar with unit and range."""

from __future__ import annotations

import sys
import tkinter
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.gui.gui import GUI
from ase.gui.images import Images
from ase.gui.status import Status

from ase_mlsample.gui.captions import describe
from ase_mlsample.gui.color_bar import ColorBar
from ase_mlsample.gui.frame_numbers import FrameNumbers
from ase_mlsample.gui.plot_window import PlotWindow
from ase_mlsample.gui.range_window import RangeWindow
from ase_mlsample.gui.run_estimate import RunEstimate
from ase_mlsample.gui.scalars import Scalar, colors, find_scalars, pick_scalar, value_range

__all__ = ["Viewer"]

RangeMode = Literal["all", "most", "frame", "fixed"]
Window = tuple[float, float]

# share of the atoms that "most" leaves out: one structure that fell apart would make all others look alike
_OUTLIERS = 0.02
# choices of the menu that are not scalars; no array of extended XYZ has such a name
_ELEMENTS, _NEIGHBORS = "<elements>", "<neighbors>"


class Viewer(GUI):  # type: ignore[misc]
    """The ASE GUI on some frames, which may differ in size and in what they know of their atoms.

    It has one menu more, Scalars, which also opens in place of ASE's window under View > Colors: that one
    stops at vectors and at frames of different size.

    Parameters
    ----------
    frames : structures to step through.
    color : key of a `Scalar` to colour by; by element if no frame has it.
    window : values at the ends of the colour scale; by default the range of the scalar over all frames.
    log : whether the colour scale is logarithmic.
    title : of the window.

    Raises
    ------
    ValueError
        Frames have an array named `color` which is not one number an atom.
    tkinter.TclError
        There is no display.
    """

    def __init__(
        self,
        frames: Sequence[Atoms],
        *,
        color: str | None = None,
        window: Window | None = None,
        log: bool = False,
        title: str = "",
    ) -> None:
        # the base class draws while it is constructed
        self.scalar: Scalar | None = None
        self.range_mode: RangeMode = "all"
        self.fixed_window: Window | None = None
        self.color_bar: ColorBar | None = None
        self.heading, self.note = title, ""
        self._ranges: dict[str, Window | None] = {}  # over all frames
        self._most: dict[str, Window | None] = {}  # without outliers
        self._range_window: RangeWindow | None = None
        self.plot_window: PlotWindow | None = None
        self.estimate: RunEstimate | None = None  # of the free energy, for the plots
        self._numbers, self._counted = FrameNumbers(), (-1, 0)
        self.movie_window: Any = None
        scalar = None if color is None else pick_scalar(frames, color)
        super().__init__(_Frames(list(frames)), expr="")  # no window with graphs
        self.window.win.report_callback_exception = self._report
        self.window.win.geometry("760x640")  # or each text of the status line would resize the window
        self.window.status.config(justify=tkinter.LEFT)
        self.status = _FrameStatus(self)
        self._choice = tkinter.StringVar(self.window.win, value=_ELEMENTS)
        self._scope = tkinter.StringVar(self.window.win, value="all")
        self._show_bar = tkinter.BooleanVar(self.window.win, value=True)
        self._log = tkinter.BooleanVar(self.window.win, value=log)
        self.window.status.pack(side=tkinter.BOTTOM, fill=tkinter.X, before=self.window.canvas)
        self.color_bar = ColorBar(self.window.win, before=self.window.canvas)
        self._add_menu()
        if window is not None:
            self.set_range("fixed", window)
        self.color_by(scalar)

    def color_by(self, scalar: Scalar | None) -> None:
        """Colour by a scalar, with its range over all frames unless a range is fixed; None: by element."""
        if self.scalar is not None and scalar != self.scalar and self.range_mode == "fixed":
            self.set_range("all")  # the range of another quantity says nothing about this one
        self.scalar, self.colormode = scalar, "jmol"
        self._choice.set(_ELEMENTS if scalar is None else scalar.key)
        self.draw()

    def set_range(self, mode: RangeMode, window: Window | None = None) -> None:
        """Take the ends of the scale from all frames, most atoms, this frame, or as given ("fixed")."""
        self.range_mode, self.fixed_window = mode, window
        self._scope.set(mode)
        self.draw()

    def current_range(self) -> Window | None:
        """Values at the ends of the colour scale; None without scalar or values."""
        if self.scalar is None:
            return None
        if self.range_mode == "fixed":
            return self.fixed_window
        if self.range_mode == "frame":
            return value_range(self.scalar, [self.atoms])
        known, outliers = (self._most, _OUTLIERS) if self.range_mode == "most" else (self._ranges, 0.0)
        key = self.scalar.key
        if key not in known:
            known[key] = value_range(self.scalar, self.images, outliers=outliers)
        return known[key]

    def show_frames(
        self, frames: Sequence[Atoms], position: int, *, new: Sequence[Atoms], focus: bool
    ) -> None:
        """Replace the frames, while somebody looks on.

        Parameters
        ----------
        frames : all that can be stepped through.
        position : index of the one to show.
        new : those whose values the range of all frames grows by; it never shrinks.
        focus : fit the view to the structure.
        """
        self._most.clear()
        self._grow_ranges(new)
        images = self.images
        repeat, selected = images.repeat.copy(), images.selected.copy()
        if (repeat != 1).any():
            images.repeat_images(np.ones(3, int))
        self.frame = position
        images.filenames = [None] * len(frames)
        images.initialize(list(frames), images.filenames)
        if (repeat != 1).any():
            images.repeat_images(repeat)
        if len(selected) == len(images.selected):
            images.selected[:] = selected
        images.history.initialize_history()
        if self.movie_window is not None and self.movie_window.win.exists:
            self.movie_window.frame_number.scale.configure(to=len(frames) - 1)
        self.set_frame(position, focus=focus)

    def forget_ranges(self) -> None:
        """Start ranges anew with the frames that come."""
        self._ranges.clear()
        self._most.clear()

    def scalars(self) -> list[Scalar]:
        """All that the frames can be coloured by."""
        return find_scalars(self.images)

    def numbers(self) -> FrameNumbers:
        """What the frames are in numbers, in their order."""
        state = self.images.version, len(self.images)
        if self._counted != state:
            self._numbers, self._counted = FrameNumbers(self.images), state
        return self._numbers

    def row(self) -> int:
        """Place of the frame shown in `numbers`, which may know of frames that are no longer kept."""
        return len(self.numbers()) - len(self.images) + int(self.frame)

    def show_plots(self) -> PlotWindow:
        """Open the window with variables, bias, disagreement and energies over time."""
        if self.plot_window is not None and self.plot_window.exists:
            self.plot_window.win.lift()
        else:
            self.plot_window = PlotWindow(self)
        return self.plot_window

    # what follows replaces methods of ASE's GUI

    def get_colors(self, rgb: bool = False) -> Any:
        """Colours of the atoms of the frame shown, as texts or as triples."""
        window = self.current_range()
        if self.scalar is None or window is None:
            return super().get_colors(rgb)
        found = colors(self.scalar.values(self.atoms), window, len(self.atoms), log=self._is_log())
        if not rgb:
            return found
        return [tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)) for color in found]

    def draw(self, status: bool = True) -> None:
        """Draw the frame and the colour bar."""
        super().draw(status)
        if self.color_bar is None:  # the base class is still being constructed
            return
        if self.scalar is None or not self._show_bar.get():
            self.color_bar.hide()
            return
        missing = self.scalar.values(self.atoms) is None
        self.color_bar.show(self.scalar, self.current_range(), log=self._is_log(), missing=missing)

    def set_frame(self, frame: int | None = None, focus: bool = False) -> None:
        """Show a frame."""
        if self.movie_window is not None and not self.movie_window.win.exists:
            self.movie_window = None  # the base class would move its slider
        # after a frame with positions that are no numbers, nothing would be seen of the others
        lost = not np.isfinite(getattr(self, "center", 0.0)).all()
        super().set_frame(frame, focus or lost)
        if self.heading:
            self.window.title = f"{self.heading} — frame {self.frame + 1} of {len(self.images)}"
        if self.plot_window is not None and self.plot_window.exists:
            self.plot_window.update()

    def colors_window(self, key: str | None = None) -> RangeWindow:  # noqa: ARG002 (how ASE calls it)
        """Open the window with the scalars and the ends of the scale."""
        if self._range_window is not None and self._range_window.exists:
            self._range_window.win.lift()
        else:
            self._range_window = RangeWindow(self)
        return self._range_window

    def status_text(self) -> str:
        """Text of the status line when no atom is selected."""
        text = describe(self.atoms)
        return f"{text}\n{self.note}" if self.note else text

    def _grow_ranges(self, new: Sequence[Atoms]) -> None:
        for scalar in find_scalars(new):
            before = self._ranges.get(scalar.key)
            if scalar.key not in self._ranges and self.scalar != scalar:
                continue  # nobody has asked yet: it is found over all frames when somebody does
            here = value_range(scalar, new)
            if before is None or here is None:
                self._ranges[scalar.key] = here or before
            else:
                self._ranges[scalar.key] = (min(before[0], here[0]), max(before[1], here[1]))

    def _add_menu(self) -> None:
        bar = self.window.win.nametowidget(self.window.win["menu"])
        menu = tkinter.Menu(bar, tearoff=False)
        menu.configure(postcommand=lambda: self._fill(menu))
        bar.insert_cascade(4, label="Scalars", underline=2, menu=menu)  # after View
        self.scalars_menu = menu
        self._fill(menu)

    def _fill(self, menu: tkinter.Menu) -> None:
        """List what the frames have now."""
        menu.delete(0, tkinter.END)

        def radio(label: str, value: str, command: Any) -> None:
            menu.add_radiobutton(label=label, variable=self._choice, value=value, command=command)

        radio("Elements", _ELEMENTS, lambda: self.color_by(None))
        radio("Number of neighbours", _NEIGHBORS, self._color_by_neighbors)
        menu.add_separator()
        scalars = self.scalars()
        for scalar in scalars:
            radio(scalar.title, scalar.key, partial(self.color_by, scalar))
        if not scalars:
            menu.add_command(label="No frame has numbers for its atoms", state=tkinter.DISABLED)
        menu.add_separator()
        scopes: tuple[tuple[str, RangeMode], ...] = (
            ("Range of all frames", "all"),
            ("Range without outliers (2 % of the atoms)", "most"),
            ("Range of this frame", "frame"),
        )
        for label, mode in scopes:
            menu.add_radiobutton(
                label=label, variable=self._scope, value=mode, command=partial(self.set_range, mode)
            )
        menu.add_radiobutton(label="Range …", variable=self._scope, value="fixed", command=self._ask_range)
        menu.add_checkbutton(label="Logarithmic scale", variable=self._log, command=self.draw)
        menu.add_checkbutton(label="Colour bar", variable=self._show_bar, command=self.draw)
        menu.add_separator()
        menu.add_command(label="Plots …", command=self.show_plots)

    def _color_by_neighbors(self) -> None:
        self.scalar, self.colormode = None, "neighbors"
        self._choice.set(_NEIGHBORS)
        self.draw()

    def _ask_range(self) -> None:
        self._scope.set(self.range_mode)  # nothing changes before somebody types
        self.colors_window()

    def _is_log(self) -> bool:
        """Whether colours are logarithmic, which needs a positive upper end."""
        window = self.current_range()
        return bool(self._log.get()) and window is not None and window[1] > 0

    def _report(self, kind: Any, error: BaseException, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):  # Ctrl-C in the terminal
            self.exit()
        else:
            sys.excepthook(kind, error, trace)


class _Frames(Images):  # type: ignore[misc]
    """ASE's list of frames, which need not be of one system; `version` changes when they are replaced."""

    version = 0

    def initialize(self, images: list[Atoms], filenames: list[str | None] | None = None) -> None:
        """Take other frames."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Not all images have the same boundary")
            super().initialize(images, filenames)
        self.version += 1

    def repeat_images(self, repeat: Any) -> None:
        """Repeat cells; the frames stay what they are in numbers."""
        version = self.version
        super().repeat_images(repeat)
        self.version = version


class _FrameStatus(Status):  # type: ignore[misc]
    """ASE's status line of the selected atoms; without any, what is known of the frame."""

    def status(self, atoms: Atoms) -> None:
        """Show it."""
        if self.gui.images.selected[: len(atoms)].any():
            super().status(atoms)
        else:
            self.gui.window.update_status_line(self.gui.status_text())
