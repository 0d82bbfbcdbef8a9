"""The colour bar at the right of the viewer: what the colours mean, with unit and range."""

from __future__ import annotations

import tkinter
from typing import Any

from ase_mlsample.gui.captions import ticks
from ase_mlsample.gui.scalars import Scalar, palette

__all__ = ["ColorBar"]

_WIDTH = 104
_LEFT, _RIGHT, _TOP, _GAP = 12, 34, 12, 10
_INK = "#202020"


class ColorBar:
    """A narrow canvas beside that of the atoms, which it never covers.

    Parameters
    ----------
    window : of the viewer.
    before : widget that gives the room.
    """

    def __init__(self, window: tkinter.Misc, before: tkinter.Misc) -> None:
        self.canvas = tkinter.Canvas(window, width=_WIDTH, bg="white", highlightthickness=0)
        self._before = before
        self._shown: Any = None
        self.canvas.bind("<Configure>", lambda _: self._redraw())

    def show(self, scalar: Scalar, window: tuple[float, float] | None, *, log: bool, missing: bool) -> None:
        """Draw the scale.

        Parameters
        ----------
        scalar : what the colours mean.
        window : values at the ends; None if no frame has any.
        log : whether the scale is logarithmic.
        missing : whether the frame shown has no values.
        """
        content = scalar, window, log, missing
        if content == self._shown:
            return
        if self._shown is None:
            self.canvas.pack(side=tkinter.RIGHT, fill=tkinter.Y, before=self._before)
        self._shown = content
        self._redraw()

    def hide(self) -> None:
        """Give the room back to the atoms."""
        if self._shown is not None:
            self._shown = None
            self.canvas.pack_forget()

    def _redraw(self) -> None:
        if self._shown is None:
            return
        self.canvas.delete(tkinter.ALL)
        scalar, window, log, missing = self._shown
        bottom = self._text(_TOP, f"{scalar.label}\n{scalar.unit}".strip())
        if missing:
            bottom = self._text(bottom + 2, "no values in this frame" if window is not None else "no values")
        if window is not None:
            height = max(self.canvas.winfo_height(), 1)
            first = bottom + _GAP
            self._scale(window, log=log, first=first, last=max(first + 80, min(first + 320, height - 40)))

    def _scale(self, window: tuple[float, float], *, log: bool, first: int, last: int) -> None:
        scale = palette()
        step = (last - first) / len(scale)
        for n, color in enumerate(reversed(scale)):
            y = first + n * step
            self.canvas.create_rectangle(_LEFT, y, _RIGHT, y + step + 1, fill=color, outline="")
        self.canvas.create_rectangle(_LEFT, first, _RIGHT, last, outline=_INK)
        marks = ticks(*window, log=log)
        for n, text in enumerate(marks):
            y = first + n * (last - first) / (len(marks) - 1)
            self.canvas.create_line(_RIGHT, y, _RIGHT + 5, y, fill=_INK)
            self.canvas.create_text(_RIGHT + 8, y, text=text, anchor=tkinter.W, fill=_INK)

    def _text(self, top: int, text: str) -> int:
        """Write below each other; returns the lower edge."""
        item = self.canvas.create_text(
            _LEFT, top, text=text, anchor=tkinter.NW, fill=_INK, width=_WIDTH - _LEFT
        )
        return int(self.canvas.bbox(item)[3])
