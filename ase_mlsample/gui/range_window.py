"""The window under View > Colors: what to colour by, and the values at the ends of the scale."""

from __future__ import annotations

import math
import tkinter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase_mlsample.gui.window import Viewer

__all__ = ["RangeWindow", "parse_range"]


def parse_range(low: str, high: str) -> tuple[float, float]:
    """Read the ends of a colour scale as typed.

    Raises
    ------
    ValueError
        They are no finite numbers, or in the wrong order.
    """
    try:
        window = float(low.replace(",", ".")), float(high.replace(",", "."))
    except ValueError:
        raise ValueError(f"the range is two numbers, got {low!r} and {high!r}") from None
    if not all(map(math.isfinite, window)) or not window[0] < window[1]:
        raise ValueError(f"the range goes from a smaller to a larger number, got {low} and {high}")
    return window


class RangeWindow:
    """Choose a scalar and type the ends of its scale; it stays open beside the viewer."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.win = tkinter.Toplevel(viewer.window.win)
        self.win.title("Colours")
        self.choice = tkinter.StringVar(self.win, value=viewer.scalar.key if viewer.scalar else "")
        tkinter.Radiobutton(
            self.win, text="Elements", variable=self.choice, value="", command=self._choose
        ).pack(anchor=tkinter.W, padx=8, pady=(8, 0))
        self.scalars = {scalar.key: scalar for scalar in viewer.scalars()}
        for scalar in self.scalars.values():
            tkinter.Radiobutton(
                self.win, text=scalar.title, variable=self.choice, value=scalar.key, command=self._choose
            ).pack(anchor=tkinter.W, padx=8)
        self._add_range()
        self.show_range()

    @property
    def exists(self) -> bool:
        """Whether it is still open."""
        try:
            return bool(self.win.winfo_exists())
        except tkinter.TclError:  # the whole application is gone
            return False

    def show_range(self) -> None:
        """Put the present range into the fields."""
        window = self.viewer.current_range()
        for entry, value in zip(self.entries, window or ("", ""), strict=True):
            entry.delete(0, tkinter.END)
            entry.insert(0, value if isinstance(value, str) else f"{value:.4g}")
        self.message.config(text="")

    def apply(self) -> None:
        """Take over what was typed."""
        try:
            window = parse_range(*(entry.get() for entry in self.entries))
        except ValueError as error:
            self.message.config(text=str(error))
            return
        self.message.config(text="")
        self.viewer.set_range("fixed", window)

    def _add_range(self) -> None:
        row = tkinter.Frame(self.win)
        row.pack(anchor=tkinter.W, padx=8, pady=8)
        tkinter.Label(row, text="from").pack(side=tkinter.LEFT)
        self.entries = [tkinter.Entry(row, width=9) for _ in range(2)]
        self.entries[0].pack(side=tkinter.LEFT)
        tkinter.Label(row, text="to").pack(side=tkinter.LEFT)
        self.entries[1].pack(side=tkinter.LEFT)
        for entry in self.entries:
            entry.bind("<Return>", lambda _: self.apply())
        tkinter.Button(row, text="Set", command=self.apply).pack(side=tkinter.LEFT, padx=(6, 0))
        tkinter.Button(row, text="All frames", command=self._all_frames).pack(side=tkinter.LEFT)
        self.message = tkinter.Label(self.win, fg="#a00000", wraplength=320, justify=tkinter.LEFT)
        self.message.pack(anchor=tkinter.W, padx=8)

    def _choose(self) -> None:
        self.viewer.color_by(self.scalars.get(self.choice.get()))
        self.show_range()

    def _all_frames(self) -> None:
        self.viewer.set_range("all")
        self.show_range()
