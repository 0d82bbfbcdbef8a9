"""What codes say when they fail, and what it means."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from ase_mlsample.references.failures import OutOfResources, ReferenceFailure, SetupFailure

__all__ = ["RESOURCES", "START", "Rule", "failure_from"]

_KILLED = {137: "it was killed (SIGKILL): out of memory, or by a queue", 143: "it was told to stop (SIGTERM)"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a code may say.

    Attributes
    ----------
    pattern : regular expression, matched line by line without regard to case.
    failure : what it means.
    remedy : what can be done.
    """

    pattern: str
    failure: type[ReferenceFailure]
    remedy: str


RESOURCES = (
    Rule(r"no space left on device|disk quota exceeded", OutOfResources, "Free disk space in scratch."),
    Rule(
        r"cannot allocate memory|out of memory|not enough memory|insufficient virtual memory|bad_alloc"
        r"|allocat\w+ (\w+ )?fail|oom.?kill|failed to allocate",
        OutOfResources,
        "Give the job more memory, or fewer processes a node.",
    ),
    Rule(
        r"due to time limit|wall ?time.{0,20}exceeded|maximum cpu time exceeded",
        OutOfResources,
        "Give the job more time.",
    ),
    Rule(
        r"exited on signal 9|signal 9 \(killed\)|killed by signal",
        OutOfResources,
        "Look for the reason in the node's log; memory, as a rule.",
    ),
)
START = (
    Rule(
        r"error while loading shared libraries|unable to find the specified executable|execvp error"
        r"|no module named",
        SetupFailure,
        "Look at command and at the installation of the program.",
    ),
    Rule(
        r"mpirun has detected an attempt to run as root|not enough slots available",
        SetupFailure,
        "Look at command and at the options of mpirun.",
    ),
)


def failure_from(
    text: str, rules: Sequence[Rule], *, about: str, status: int = 0, ending: str = ""
) -> ReferenceFailure:
    """Failure of the first rule that matches a line of the code's output.

    Parameters
    ----------
    text : output and whatever else the code has written, such as a CRASH file.
    rules : in order of precedence; those of a lack of resources, and of programs that do not start, come
        first.
    about : code and structure, the beginning of the message.
    status : exit status of the program.
    ending : last lines of the output, quoted where no rule matches.
    """
    lines = text.splitlines()
    for rule in (*RESOURCES, *START, *rules):
        for number, line in enumerate(lines):
            if re.search(rule.pattern, line, re.IGNORECASE):
                return rule.failure(f"{about}: {_around(lines, number)}. {rule.remedy}")
    words = f" Last words:\n{ending}" if ending else " It left no output."
    if status in _KILLED:
        return OutOfResources(f"{about}: {_KILLED[status]}.{words}")
    return ReferenceFailure(f"{about}: {_ended(status)}.{words}")


def _ended(status: int) -> str:
    """Exit status in words; those above 128 are signals, as shells and mpirun tell them."""
    if status == 0:
        return "ended early"
    with contextlib.suppress(ValueError):
        return f"ended with exit status {status} ({signal.Signals(status - 128).name})"
    return f"ended with exit status {status}"


def _around(lines: Sequence[str], number: int) -> str:
    """The line that matched and the one after it, as one line."""
    said = (line.strip(" \t%*#!|-") for line in lines[number : number + 2])
    return " / ".join(" ".join(line.split()).rstrip(".") for line in said if line)[:400]
