"""The end that somebody asks for: the first signal winds a run down, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Interrupted", "interruptible", "interruption_point"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came.

    Attributes
    ----------
    signal : its number; the exit status of a command that ends so is 128 more.
    at_once : whether it was not the first one: then nothing is tidied up.
    """

    def __init__(self, number: int, *, at_once: bool = False) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.signal, self.at_once = number, at_once


class _State:
    """Whether the main thread may be interrupted now, and who asked while it might not."""

    open = False
    asked: int | None = None


_state = _State()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM raise `Interrupted` in the main thread: the first at an `interruption_point`.

    A run is interrupted while it waits for work or does some, never in the middle of a transaction; the
    second signal does not wait for that. After it, signals do what they always do. In another thread than the
    main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        if len(came) > 1:
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)  # should even the end hang, the third gets through
            raise Interrupted(number, at_once=True)
        if _state.open:
            raise Interrupted(number)
        _state.asked = number

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield
    finally:
        _state.asked = None
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def interruption_point() -> Iterator[None]:
    """Here the main thread of a run may be interrupted.

    Raises
    ------
    Interrupted
        A signal came, now or since the last such point.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _state.open = _state.open, True
    try:
        if _state.asked is not None:
            number, _state.asked = _state.asked, None
            raise Interrupted(number)
        yield
    finally:
        _state.open = before
