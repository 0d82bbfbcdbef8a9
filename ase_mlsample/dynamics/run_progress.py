"""What a long run shows while it runs: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["RunProgress"]

_SECONDS_BETWEEN_LINES = 20.0
_SECONDS_BETWEEN_LOOKS = 0.1


class RunProgress(AbstractContextManager["RunProgress"]):
    """Reports steps and what is told of them on standard error, or nothing at all.

    Parameters
    ----------
    name : str
        Of the run.
    steps : int
        Of this call.
    enabled : bool
    """

    def __init__(self, name: str, steps: int, *, enabled: bool = True) -> None:
        self._name, self._steps, self._enabled = name, steps, enabled and steps > 0
        self._last_line = self._last_look = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        console = Console(stderr=True)
        if self._enabled and console.is_terminal:
            self._bar = Progress(
                TextColumn(name),
                BarColumn(),
                TextColumn("step {task.completed:.0f}/{task.total:.0f}  {task.fields[text]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task(name, total=steps, text="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            try:
                self._bar.start()
            except LiveError:  # another run shows its bar in this terminal
                self._bar = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def due(self, done: int) -> bool:
        """Whether :meth:`show` is worth its cost after ``done`` steps."""
        if not self._enabled:
            return False
        now = time.monotonic()
        if self._bar is None:
            return now - self._last_line > _SECONDS_BETWEEN_LINES
        return now - self._last_look > _SECONDS_BETWEEN_LOOKS or done == self._steps

    def show(self, done: int, text: str) -> None:
        """Report that ``done`` steps are made, and what there is to say."""
        self._last_look = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, text=text)
        else:
            self._last_line = self._last_look
            sys.stderr.write(f"{self._name}: step {done}/{self._steps}  {text}\n")
