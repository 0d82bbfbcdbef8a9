"""How fast work gets done: rates, the time that is left, a bar on a terminal and lines in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Bar", "Pace", "duration"]

# finished calls that the rate is measured over
_RECENT = 200
# least time between two lines of a log
_EVERY_S = 60.0


def duration(seconds: float | None) -> str:
    """A time for people: ``"40 s"``, ``"12 min"``, ``"3.5 h"``, ``"2.1 d"``; "?" for None."""
    if seconds is None:
        return "?"
    for limit, unit, name in ((90.0, 1.0, "s"), (5400.0, 60.0, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    unit, name = (3600.0, "h") if seconds < 36 * 3600.0 else (86400.0, "d")
    return f"{seconds / unit:.1f} {name}"


class Pace:
    """Rate of finished calls over the recent past, and when the rest will be done.

    Parameters
    ----------
    total : calls in all.
    clock : seconds that only go forward.
    """

    def __init__(self, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)], maxlen=_RECENT)

    def advance(self, number: int = 1) -> None:
        """Count finished calls."""
        self.done += number
        self._recent.append((self._clock(), self.done))

    @property
    def per_hour(self) -> float | None:
        """Finished calls an hour, or None before there are any."""
        began, before = self._recent[0]
        seconds = self._clock() - began
        return 3600.0 * (self.done - before) / seconds if self.done > before and seconds > 0 else None

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds until all are done, or None before a rate is known."""
        rate = self.per_hour
        return None if rate is None else 3600.0 * (self.total - self.done) / rate

    def __str__(self) -> str:
        rate = self.per_hour
        if rate is None:
            return ""
        shown = f"{rate:.0f}/h" if rate < 1200 else f"{rate / 60:.0f}/min"
        return f"{shown}, {duration(self.remaining_s)} left"


class Bar:
    """Progress of one kind of work: a bar on a terminal, elsewhere a line a minute; a context manager.

    Parameters
    ----------
    console : where it goes.
    name : of the work.
    pace : that is advanced with it.
    log : called with ``done``, ``total``, ``per_hour`` and ``remaining_s`` at most once a minute.
    quiet : show nothing.
    clock : seconds that only go forward.
    """

    def __init__(
        self,
        console: Console,
        name: str,
        pace: Pace,
        *,
        log: Callable[..., None],
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace
        self._console, self._name, self._log = console, name, log
        self._clock, self._due = clock, clock() + _EVERY_S
        self._lines = not quiet and not console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        self._progress = Progress(
            *columns, console=console, disable=quiet or not console.is_terminal, transient=True
        )
        self._bar = self._progress.add_task(name, total=pace.total, pace="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, number: int) -> None:
        """Count finished calls."""
        self.pace.advance(number)
        self._progress.update(self._bar, advance=number, pace=str(self.pace))
        if self._clock() >= self._due:
            self._due = self._clock() + _EVERY_S
            self.report()

    def report(self) -> None:
        """Write down how far it is."""
        pace = self.pace
        rate, left = pace.per_hour, pace.remaining_s
        self._log(
            done=pace.done,
            total=pace.total,
            per_hour=None if rate is None else round(rate, 1),
            remaining_s=None if left is None else round(left),
        )
        if self._lines:
            text = f"{self._name}: {pace.done} of {pace.total}, {pace}"
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
