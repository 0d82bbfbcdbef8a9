"""Programs of other people, run in a folder: they end with us, and their output tells why they failed."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ase_mlsample.references.failures import SetupFailure

__all__ = ["output_of", "program_of", "run_program", "tail"]

_PATIENCE_S = 5.0
# what programs are told unless the environment says otherwise
_DEFAULTS = {
    # threads of small matrices get in each other's way
    "OMP_NUM_THREADS": "1",
    # without mpirun Open MPI starts a daemon beside the program: it doubles the time to start and stays, at
    # full load, when the program is killed at its beginning
    "OMPI_MCA_ess_singleton_isolated": "1",
}
# the kernel sends SIGTERM (15) to the program when the worker that waits for it dies; mpirun passes it on
_GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    os._exit(143)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def program_of(command: str, *, code: str, install: str) -> list[str]:
    """Words of a command line whose program is there.

    Raises
    ------
    SetupFailure
        It is not: the message says how to install it.
    """
    words = shlex.split(command)
    if not words:
        raise SetupFailure(f"{code}: the command is empty; give command")
    if shutil.which(words[0]) is None:
        raise SetupFailure(
            f"{code}: the program {words[0]!r} of command {command!r} is not installed or not on the PATH; "
            f"install it with: {install}"
        )
    return words


def run_program(words: Sequence[str], folder: Path, *, output: str) -> int:
    """Run a program in a folder until it ends.

    It has no standard input, its own session, and does not outlive this process; an exception in this thread
    (a time limit) ends it and its children.

    Parameters
    ----------
    words : program and arguments.
    folder : its working directory.
    output : file in the folder that takes its standard output and error.

    Returns
    -------
    int
        Exit status; negative for a signal, as 128 plus the signal that shells and mpirun report.
    """
    guarded = list(words)
    if sys.platform == "linux":
        guarded = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *words]
    with (folder / output).open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            guarded,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**_DEFAULTS, **os.environ},
        )
        try:
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    return 128 - status if status < 0 else status


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the program and all that it started."""
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def tail(path: Path, lines: int = 12, *, having: str = "") -> str:
    """Last lines of a text file that say something (or hold a text); nothing where there is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 20_000))
        text = file.read().decode(errors="replace")
    said = [line.rstrip() for line in text.splitlines() if line.strip(" \t%=-*#") and having in line]
    return "\n".join(said[-lines:])


@lru_cache(maxsize=16)
def output_of(words: tuple[str, ...]) -> str:
    """What a program prints when it is started in an empty folder without input; once a process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - the user's own command
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
            env={**_DEFAULTS, **os.environ},
        )
    return done.stdout.decode(errors="replace")
