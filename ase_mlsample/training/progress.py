"""What a training shows while it runs: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["TrainingProgress"]

_SECONDS_BETWEEN_LINES = 20.0


class TrainingProgress(AbstractContextManager["TrainingProgress"]):
    """Reports epochs and validation errors on standard error, or nothing at all.

    Parameters
    ----------
    epochs
        Epochs of the whole training.
    done
        Epochs made before a resume.
    enabled
        Whether to report.
    """

    def __init__(self, epochs: int, *, done: int = 0, enabled: bool = True) -> None:
        self._epochs = epochs
        self._enabled = enabled
        self._text = "no validation yet"
        self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        console = Console(stderr=True)
        if enabled and console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TextColumn("epoch {task.completed:.0f}/{task.total:.0f}  {task.fields[errors]}"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("training", total=epochs, completed=done, errors=self._text)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def epoch(self, done: int, record: dict[str, Any] | None) -> None:
        """Report that `done` epochs are made; `record` is that of a validation made with the last one."""
        if record is not None:
            self._text = _errors(record)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, errors=self._text)
        elif self._enabled:
            now = time.monotonic()
            if done == self._epochs or now - self._last_line > _SECONDS_BETWEEN_LINES:
                self._last_line = now
                sys.stderr.write(f"training: epoch {done}/{self._epochs}, {self._text}\n")


def _errors(record: dict[str, Any]) -> str:
    text = f"validation {1e3 * record['energy_rmse']:.1f} meV/atom"
    forces = record["forces_rmse"]
    return text if forces is None else f"{text}, {1e3 * forces:.0f} meV/Å"
