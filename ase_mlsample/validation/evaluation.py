"""One check of one potential as a task: what is computed, and its file, which a second start takes up."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase_mlsample import __version__
from ase_mlsample._files import write_atomic
from ase_mlsample.validation.checks import Check
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.members import members_of
from ase_mlsample.validation.properties import FAILURES, PropertyResult

__all__ = ["Answer", "Source", "Task", "alone", "answer"]


@dataclass(frozen=True, slots=True)
class Source:
    """A calculator that any process can make.

    Attributes
    ----------
    name
        For people.
    make
        Of the precision, "float32" or "float64", a calculator; picklable. One that knows no precision may
        ignore it.
    fingerprint
        Changes when results may: a hash of the model file, or the name and arguments of a factory.
    """

    name: str
    make: Callable[[str], Any] = field(compare=False)
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Task:
    """One check of one potential.

    Attributes
    ----------
    check
        What to evaluate.
    symbol
        The element.
    source
        The calculator.
    who
        "model" or "reference", or with `member` "member 0" and so on.
    member
        Number of the member alone, or None for the whole.
    quick
        With the settings of a quick run.
    """

    check: Check
    symbol: str
    source: Source
    who: str
    member: int | None = None
    quick: bool = False

    @property
    def name(self) -> str:
        """Of it among the tasks of a validation."""
        return f"{self.check.name}, {self.who}"

    @property
    def key(self) -> str:
        """Hash of all that the answer depends on."""
        arguments = self.check.arguments(quick=self.quick)
        parts = (
            __version__,
            self.source.fingerprint,
            self.member,
            self.symbol,
            self.check.function,
            self.check.crystal,
            self.check.conventional,
            self.check.dynamics,
            sorted((name, repr(value)) for name, value in arguments.items()),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def file_name(self) -> str:
        """Of its answer."""
        return f"{self._stem}.json"

    @property
    def journal_name(self) -> str:
        """Of the folder with what is done of it, while it has no answer."""
        return f"{self._stem}.{self.key}.journal"

    @property
    def _stem(self) -> str:
        return f"{self.check.name}.{self.who.replace(' ', '-')}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a task.

    Attributes
    ----------
    result
        Or None when it failed.
    failure
        Why, or empty.
    seconds
        It took.
    """

    result: PropertyResult | None
    failure: str
    seconds: float


@functools.lru_cache(maxsize=4)
def _calculator(source: Source, precision: str) -> Any:
    return source.make(precision)


@functools.lru_cache(maxsize=4)
def _members(source: Source, precision: str) -> tuple[Any, ...]:
    return members_of(_calculator(source, precision))


def answer(task: Task, folder: Path, *, retry_failed: bool = False) -> Answer:
    """Evaluate a task, or read the answer that its file holds already.

    Failures of the property are answers too, and are kept; what else goes wrong is raised. A check that was
    killed on the way goes on from its journal. Of two processes that want one answer the second waits for it.

    Parameters
    ----------
    task
        What to do.
    folder
        Of the answers; exists.
    retry_failed
        Evaluate it again when its answer is a failure.

    Raises
    ------
    ValueError
        When its file is damaged.
    """
    path = folder / task.file_name
    with alone(path):
        known = _read(path, task.key)
        if known is None or (retry_failed and known.failure):
            known = _evaluated(task, path)
        return known


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which the kernel releases when its holder ends, however it does."""
    with path.with_name(f".{path.stem}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _evaluated(task: Task, path: Path) -> Answer:
    """Evaluate a task, and write its answer."""
    precision = "float32" if task.check.dynamics else "float64"
    calc = _calculator(task.source, precision)
    if task.member is not None:
        calc = _members(task.source, precision)[task.member]
    start = time.perf_counter()
    result, failure = None, ""
    journal = _journal(task, path.parent)
    try:
        result = task.check.run(calc, task.symbol, quick=task.quick, journal=journal)
    except FAILURES as error:
        failure = f"{type(error).__name__}: {error}"
    found = Answer(result, failure, round(time.perf_counter() - start, 2))
    content = {
        "key": task.key,
        "who": task.who,
        "calculator": task.source.name,
        "seconds": found.seconds,
        "failure": failure,
        "result": None if result is None else result.to_dict(),
    }
    write_atomic(path, (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode())
    if journal is not None:
        journal.remove()
    return found


def _journal(task: Task, folder: Path) -> Journal | None:
    """The journal of a task whose check keeps one; those of other settings or models are removed."""
    if not task.check.journal:
        return None
    mine = folder / task.journal_name
    for other in folder.glob(task.journal_name.replace(task.key, "*")):
        if other != mine:
            Journal(other).remove()
    return Journal(mine)


def _read(path: Path, key: str) -> Answer | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        if content["key"] != key:
            return None
        known = content["result"]
        result = None if known is None else PropertyResult.from_dict(known)
        return Answer(result, content["failure"], content["seconds"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # whatever is not as it was written
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}). Remove it and start again: this answer "
            "alone is computed anew"
        ) from None
