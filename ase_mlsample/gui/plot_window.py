"""The window with diagrams beside the viewer: it grows with a run, and a click in it chooses the frame."""

from __future__ import annotations

import tkinter
from functools import partial
from typing import TYPE_CHECKING, Any

from ase_mlsample.gui.frame_plot import FramePlot, default_panels, panels

if TYPE_CHECKING:
    from ase_mlsample.gui.window import Viewer

__all__ = ["PlotWindow"]

_WIDTH, _HEIGHT = 560, 640
_KEYS = {"Prior": "PageUp", "Next": "PageDown", "Home": "Home", "End": "End"}


class PlotWindow:
    """Diagrams of the viewer's frames; the frame shown is marked.

    Parameters
    ----------
    viewer : whose frames are drawn.

    Attributes
    ----------
    shown : dict
        By name of a diagram, whether it is drawn; those that the user has not decided about are left to
        `default_panels`.
    """

    def __init__(self, viewer: Viewer) -> None:
        from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg
        from matplotlib.figure import Figure

        self.viewer = viewer
        self.shown: dict[str, bool] = {}
        self.win = tkinter.Toplevel(viewer.window.win)
        self.win.title(f"Plots — {viewer.heading}" if viewer.heading else "Plots")
        self.win.geometry(f"{_WIDTH}x{_HEIGHT}{self._place()}")
        self.figure = Figure(figsize=(5.6, 6.4), dpi=100)
        self.plot = FramePlot(self.figure)
        canvas: Any = FigureCanvasTkAgg  # its methods have no types
        self.canvas = canvas(self.figure, master=self.win)
        self.note = tkinter.Label(self.win, anchor=tkinter.W, fg="#555555")
        self.note.pack(side=tkinter.BOTTOM, fill=tkinter.X, padx=6)
        self.canvas.get_tk_widget().pack(fill=tkinter.BOTH, expand=True)
        self._background: Any = None
        self._variables: list[tkinter.BooleanVar] = []  # Tk forgets those that nobody holds
        self._drawn: tuple[int, tuple[str, ...], Any] = (-1, (), None)
        self.canvas.mpl_connect("draw_event", lambda _: self._drawn_anew())
        self.canvas.mpl_connect("button_press_event", self._pressed)
        # also when the window appears; the canvas draws after it by itself
        self.canvas.mpl_connect("resize_event", lambda _: self._compose())
        self.canvas.get_tk_widget().bind("<Destroy>", lambda _: self._forget_drawing(), add=True)
        for key, name in _KEYS.items():
            self.win.bind(f"<{key}>", partial(self._step, name))
        bar = tkinter.Menu(self.win)
        self.menu = tkinter.Menu(bar, tearoff=False, postcommand=self._fill)
        bar.add_cascade(label="Show", menu=self.menu)
        self.win.config(menu=bar)

    @property
    def exists(self) -> bool:
        """Whether it is still open."""
        try:
            return bool(self.win.winfo_exists())
        except tkinter.TclError:  # the whole application is gone
            return False

    def _place(self) -> str:
        """Right of the viewer as far as the screen is wide, or window managers may put one over the other."""
        beside = self.viewer.window.win
        beside.update_idletasks()
        right = beside.winfo_x() + max(beside.winfo_width(), beside.winfo_reqwidth()) + 8
        return f"+{max(0, min(right, beside.winfo_screenwidth() - _WIDTH))}+{max(0, beside.winfo_y())}"

    def update(self) -> None:
        """Draw anew if there is something new, and mark the frame shown.

        It is drawn before this returns, so that a viewer that looks at a run sees how long it takes.
        """
        if self._compose():
            self.canvas.draw()
        self._mark()

    def _compose(self) -> bool:
        """Put together what is to be drawn; says whether it is another picture than before."""
        numbers = self.viewer.numbers()
        shown = tuple(self._shown_panels())
        source = self.viewer.estimate
        estimate = None if source is None else source.look()
        state = len(numbers), shown, (numbers, estimate, *self.figure.get_size_inches())
        if state == self._drawn:
            return False
        self._drawn = state
        self.plot.draw(numbers, shown, estimate)
        self._background = None
        return True

    def _shown_panels(self) -> list[str]:
        usual = default_panels(self.viewer.numbers())
        return [name for name in panels(self.viewer.numbers()) if self.shown.get(name, name in usual)]

    def _drawn_anew(self) -> None:
        self._background = self.canvas.copy_from_bbox(self.figure.bbox)
        self._mark()

    def _mark(self) -> None:
        """Put the marks over the diagrams, which need not be drawn again for it."""
        if self._background is None:  # they are about to be drawn
            return
        self.canvas.restore_region(self._background)
        for mark in self.plot.mark(self.viewer.row()):
            mark.axes.draw_artist(mark)
        self.canvas.blit(self.figure.bbox)

    def _forget_drawing(self) -> None:
        """Call off what matplotlib would draw next into a window that is gone."""
        waiting = getattr(self.canvas, "_idle_draw_id", None)
        if waiting:
            self.canvas.get_tk_widget().after_cancel(waiting)

    def _step(self, key: str, event: object = None) -> None:  # noqa: ARG002 (how Tk calls it)
        self.viewer.step(key)

    def _pressed(self, event: Any) -> None:
        if event.inaxes is None or event.button != 1:
            return
        row = self.plot.row_at(event.inaxes, event.x, event.y)
        if row is None:
            return
        frame = row - self.viewer.row() + int(self.viewer.frame)
        if frame < 0:
            self.note.config(text=f"frame {row} is no longer kept; a longer history keeps more")
            return
        self.note.config(text="")
        self.viewer.set_frame(frame)

    def _fill(self) -> None:
        """List the diagrams that can be drawn now."""
        self.menu.delete(0, tkinter.END)
        drawn = self._shown_panels()
        self._variables.clear()
        for name in panels(self.viewer.numbers()):
            variable = tkinter.BooleanVar(self.win, value=name in drawn)
            self._variables.append(variable)
            self.menu.add_checkbutton(
                label=name, variable=variable, command=partial(self._show, name, variable)
            )

    def _show(self, name: str, variable: tkinter.BooleanVar) -> None:
        self.shown[name] = variable.get()
        self.update()
