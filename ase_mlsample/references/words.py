"""What codes say when they fail, and what it means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ase_mlsample.references.failures import (
    OutOfResources,
    ReferenceFailure,
)

__all__ = ["RESOURCES", "Rule", "failure_from"]

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


def failure_from(
    text: str, rules: Sequence[Rule], *, about: str, status: int = 0, ending: str = ""
) -> ReferenceFailure:
    """Failure of the first rule that matches a line of the code's output.

    Parameters
    ----------
    text : output and whatever else the code has written, such as a CRASH file.
    rules : in order of precedence; those of a lack of resources come first.
    about : code and structure, the beginning of the message.
    status : exit status of the program.
    ending : last lines of the output, quoted where no rule matches.
    """
    lines = text.splitlines()
    for rule in (*RESOURCES, *rules):
        for number, line in enumerate(lines):
            if re.search(rule.pattern, line, re.IGNORECASE):
                return rule.failure(f"{about}: {_around(lines, number)}. {rule.remedy}")
    if status in _KILLED:
        return OutOfResources(f"{about}: {_KILLED[status]}. Last words:\n{ending}")
    ended = f"ended with exit status {status}" if status else "ended early"
    return ReferenceFailure(f"{about}: {ended}. Last words:\n{ending}")


def _around(lines: Sequence[str], number: int) -> str:
    """The line that matched and the one after it, as one line."""
    said = (line.strip(" \t%*#!|-") for line in lines[number : number + 2])
    return " / ".join(" ".join(line.split()).rstrip(".") for line in said if line)[:400]
