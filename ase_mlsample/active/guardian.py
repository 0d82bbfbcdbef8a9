"""Programs that a reference starts (pw.x, mpirun …) end with the process that started them, however it ends.

A worker that is killed cannot clean up. So the first label of a process starts a guardian: a small process
that waits for a pipe to close, which the kernel does when its owner dies, and then ends every program with
the owner's mark in its environment, also those that have left its process group.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["end_programs", "guarded"]

_VARIABLE = "MLSAMPLE_PROGRAMS_OF"
_PATIENCE_S = 2.0
_GUARDIAN = f"""
import os, sys, time
sys.stdin.buffer.read()
mark = b"{_VARIABLE}=" + sys.argv[1].encode()
def ours():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/" + name + "/environ", "rb") as file:
                if mark in file.read().split(b"\\0"):
                    yield int(name)
        except OSError:
            pass
limit = time.monotonic() + {_PATIENCE_S}
number = 15
while found := list(ours()):
    for pid in found:
        try:
            os.kill(pid, number)
        except OSError:
            pass
    time.sleep(0.05)
    number = 9 if time.monotonic() > limit else 0
"""

_marks: dict[int, str] = {}  # by process id: a forked child has none
_pipes: list[int] = []  # never closed, on purpose
_inside = 0  # calls in `guarded` now: the environment is shared by all threads
_lock = threading.Lock()


@contextmanager
def guarded() -> Iterator[None]:
    """Programs started inside end with this process; where there is no /proc, nothing is done."""
    global _inside  # noqa: PLW0603 - as the environment is
    if not sys.platform.startswith("linux"):
        yield
        return
    with _lock:
        _inside += 1
        os.environ[_VARIABLE] = _mark()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                os.environ.pop(_VARIABLE, None)


def end_programs() -> list[int]:
    """End the programs that calls inside `guarded` left running, first gently; returns their ids.

    While another thread is inside, nothing is done: its programs have the same mark.
    """
    mark = _marks.get(os.getpid())
    if mark is None or _inside:
        return []
    ended = found = _marked(mark)
    limit, number = time.monotonic() + _PATIENCE_S, signal.SIGTERM
    while found:
        for pid in found:
            _signal(pid, number)
        time.sleep(0.02)
        found = _marked(mark)
        if time.monotonic() > limit:
            number = signal.SIGKILL
    return ended


def _mark() -> str:
    pid = os.getpid()
    if pid not in _marks:
        mark = f"{pid}-{secrets.token_hex(8)}"
        _start_guardian(mark)
        _marks[pid] = mark
    return _marks[pid]


def _start_guardian(mark: str) -> None:
    ours, theirs = os.pipe()  # the end that stays open in this process closes with it
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _GUARDIAN, mark],
            {key: value for key, value in os.environ.items() if key != _VARIABLE},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ours, 0),
                *((os.POSIX_SPAWN_DUP2, nothing, n) for n in (1, 2)),
            ],
            setsid=True,  # Ctrl-C at the terminal is for the run, which needs its guardian to the end
        )
    finally:
        os.close(nothing)
        os.close(ours)
    _pipes.append(theirs)


def _marked(mark: str) -> list[int]:
    wanted = f"{_VARIABLE}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
