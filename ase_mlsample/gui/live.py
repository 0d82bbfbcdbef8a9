"""The live view: a viewer that looks at a run, or at a growing file, several times a second."""

from __future__ import annotations

import time
import tkinter

from ase import Atoms

from ase_mlsample.gui.following import Follower, FrameHistory
from ase_mlsample.gui.frame_numbers import FrameNumbers
from ase_mlsample.gui.scalars import pick_scalar
from ase_mlsample.gui.sources import FrameSource, News
from ase_mlsample.gui.window import Viewer

__all__ = ["LiveViewer"]

# a look that takes long (a large file) is followed by a rest that is this much longer
_REST = 4.0
# trajectories in the menu
_LISTED = 40
_AUTOMATIC, _ALL = "<one>", "<all>"


class LiveViewer(Viewer):
    """Shows the newest frame; stepping back keeps the picture still, End follows again.

    Frames are looked for by a timer of the window (no thread). The colour scale grows with what was seen and
    does not shrink, unless a range is given.

    Parameters
    ----------
    source : of the frames.
    color : key of the scalar to colour by, as soon as frames have it.
    window : values at the ends of the colour scale.
    log : whether the colour scale is logarithmic.
    history : frames kept for stepping back.
    interval_s : time between two looks.

    Raises
    ------
    ValueError
        The interval is not positive, or the history is empty.
    tkinter.TclError
        There is no display.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        color: str = "force_sigma",
        window: tuple[float, float] | None = None,
        log: bool = False,
        history: int = 200,
        interval_s: float = 0.5,
    ) -> None:
        if not interval_s > 0:
            raise ValueError(f"interval must be a positive number of seconds, got {interval_s!r}")
        self.source, self.interval_s = source, interval_s
        self.kept, self.follower, self._seen = FrameHistory(history), Follower(), FrameNumbers()
        self.follower.everything = source.is_single
        self._wanted: str | None = color
        self._timer: str | None = None
        self._has_moved = False
        self._shape: tuple[str | None, int] = (None, 0)
        super().__init__([Atoms()], window=window, log=log, title=source.title)
        self._follow = tkinter.StringVar(self.window.win, value=_AUTOMATIC)
        self._running: tuple[str, ...] = ()
        self._add_live_menu()
        self.look()

    @property
    def is_following(self) -> bool:
        """Whether the newest frame is shown, and the next one will be."""
        return int(self.frame) >= len(self.kept.frames) - 1

    def look(self) -> None:
        """Look for new frames once, show them, and set the timer for the next look."""
        began = time.monotonic()
        try:
            self._take(self.source.poll())
        finally:  # a frame that cannot be drawn is not the last one
            rest = max(self.interval_s, _REST * (time.monotonic() - began))
            self._timer = self.window.win.after(int(1000 * rest), self.look)

    def numbers(self) -> FrameNumbers:
        """What all frames seen so far are in numbers, also those that are no longer kept."""
        return self._seen

    def exit(self, event: object = None) -> None:
        """Close the window."""
        if self._timer is not None:
            self.window.win.after_cancel(self._timer)
            self._timer = None
        super().exit(event)

    def status_text(self) -> str:
        """Frame in the first line, run in the second."""
        if not self.kept.frames:
            return f"nothing to show yet\n{self.note}"
        back = len(self.kept.frames) - 1 - self.frame
        hint = f"  —  {back} back, End follows again" if back > 0 else ""
        return super().status_text() + hint

    def _take(self, news: News) -> None:
        self._running, self.note = news.running, news.state
        moving = self.follower.pick(news)
        new = news.extra + moving
        if not new:
            self.status.status(self.atoms)
            return
        self._seen.add(new)
        first = not self.kept.frames
        position = self.kept.add(new, 0 if first else self.frame)
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None  # what cannot be a colour is complained of once
            scalar = pick_scalar(new, wanted)
            if scalar is None:
                self._wanted = wanted
            else:
                self.scalar = scalar
                self._choice.set(scalar.key)
        if moving and not self._has_moved:
            self.forget_ranges()  # those of candidates, among which are the worst of all
            self._has_moved = True
        shown = self.kept.frames[position]
        grown = moving if self._has_moved else new
        shape = (self._trajectory(shown), len(shown))
        self.show_frames(self.kept.frames, position, new=grown, focus=shape != self._shape)
        self._shape = shape

    @staticmethod
    def _trajectory(atoms: Atoms) -> str | None:
        name = atoms.info.get("live_name")
        return None if name is None else str(name)

    def _add_live_menu(self) -> None:
        bar = self.window.win.nametowidget(self.window.win["menu"])
        menu = tkinter.Menu(bar, tearoff=False)
        menu.configure(postcommand=lambda: self._fill_live(menu))
        bar.insert_cascade(5, label="Live", underline=0, menu=menu)
        self.live_menu = menu
        self._fill_live(menu)

    def _fill_live(self, menu: tkinter.Menu) -> None:
        menu.delete(0, tkinter.END)
        menu.add_command(label="Newest frame", accelerator="End", command=self._to_newest)
        if self.source.is_single:
            return
        menu.add_separator()
        if self.follower.chosen is None and not self.follower.everything:
            self._follow.set(_AUTOMATIC)  # the trajectory that was chosen is over
        choices = [("One trajectory after the other", _AUTOMATIC), ("All, as they come", _ALL)]
        for label, value in choices + [(name, name) for name in self._running[:_LISTED]]:
            menu.add_radiobutton(label=label, variable=self._follow, value=value, command=self._choose)

    def _choose(self) -> None:
        value = self._follow.get()
        self.follower.everything = value == _ALL
        self.follower.chosen = None if value in (_ALL, _AUTOMATIC) else value
        self._to_newest()

    def _to_newest(self) -> None:
        self.set_frame(len(self.images) - 1)
