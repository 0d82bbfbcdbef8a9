"""A whole validation: every check of a suite for a model, its members and a reference, as files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ase_mlsample import __version__
from ase_mlsample._files import write_atomic
from ase_mlsample.validation.checks import Check, all_checks
from ase_mlsample.validation.evaluation import Answer, Source, Task, alone, answer
from ase_mlsample.validation.literature import literature
from ase_mlsample.validation.members import members_of
from ase_mlsample.validation.progress import Progress
from ase_mlsample.validation.properties import PropertyResult, plain_json
from ase_mlsample.validation.verdicts import Row, rows

__all__ = ["Outcome", "Validation", "run_suite"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check.

    Attributes
    ----------
    check, title
        Its name, and in words.
    result
        Of the model with its members, or None when it failed.
    reference
        Of the reference calculator, or None.
    rows
        Of the table.
    failure
        Why there is no result, or empty.
    seconds
        Of all its evaluations together.
    quick
        With settings of a quick run, where it has such.
    """

    check: str
    title: str
    result: PropertyResult | None
    reference: PropertyResult | None
    rows: tuple[Row, ...]
    failure: str
    seconds: float
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Validation:
    """A model's validation, as `validation.json` holds it.

    Attributes
    ----------
    suite, symbol
        Name of the suite and its element.
    model, reference
        Names of the calculators; the latter empty without one.
    members
        How many the model has.
    quick
        Whether settings were those of a quick run.
    outcomes
        By check, in the order of the suite.
    fingerprint, reference_fingerprint
        Of the calculators, as in `Source`; the latter empty without one.
    version
        Of the package.
    """

    suite: str
    symbol: str
    model: str
    reference: str
    members: int
    quick: bool
    outcomes: tuple[Outcome, ...]
    fingerprint: str = ""
    reference_fingerprint: str = ""
    version: str = __version__

    @property
    def rows(self) -> list[Row]:
        """All rows."""
        return [row for outcome in self.outcomes for row in outcome.rows]

    def count(self, verdict: str) -> int:
        """How many rows have a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def joined(self, before: Validation | None) -> Validation:
        """The same with the checks of an earlier validation that this one has not done.

        They are left out where they do not fit: those of another model, suite or version of the package, and
        those compared with another reference.

        Parameters
        ----------
        before : Validation or None
        """
        own = {outcome.check for outcome in self.outcomes}
        kept = [outcome for outcome in (before.outcomes if before else ()) if outcome.check not in own]
        if before is None or not kept or self._identity != before._identity:
            return self
        named = self if self.reference_fingerprint or not before.reference_fingerprint else before
        if before.reference_fingerprint not in ("", named.reference_fingerprint):
            kept = [outcome for outcome in kept if outcome.reference is None]
        places = {check.name: place for place, check in enumerate(all_checks(self.suite, self.symbol))}
        outcomes = sorted((*self.outcomes, *kept), key=lambda one: places.get(one.check, len(places)))
        return replace(
            self,
            outcomes=tuple(outcomes),
            reference=named.reference,
            reference_fingerprint=named.reference_fingerprint,
            members=max(self.members, before.members),
            quick=any(outcome.quick for outcome in outcomes),
        )

    @property
    def _identity(self) -> tuple[str, str, str]:
        return self.suite, self.fingerprint, self.version

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        content = asdict(self)
        return dict(plain_json(content))

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
        write_atomic(path, (text + "\n").encode())


def run_suite(
    checks: Sequence[Check],
    symbol: str,
    model: Source,
    *,
    suite: str,
    folder: Path,
    executor: Executor,
    workers: int = 1,
    reference: Source | None = None,
    reference_answers: Path | None = None,
    quick: bool = False,
    members: str = "fast",
    retry_failed: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Validation:
    """Evaluate checks; each answer is a file in ``folder/answers``, and what is there is not done again.

    Other checks that ``folder/validation.json`` holds stay in it, as far as they fit (`Validation.joined`),
    and so do those that another process adds meanwhile. A check joins them when all its answers are there. A
    long check that was killed goes on from the journal of its runs, which is there while it has no answer.

    Parameters
    ----------
    checks : sequence of Check
    symbol : str
        The element.
    model : Source
    suite : str
        Name of the suite, for the literature.
    folder : Path
        Made where it is missing; ``validation.json`` is written into it as checks are done.
    executor : concurrent.futures.Executor
        Runs the tasks: of every check the model, then the reference, then each member.
    workers : int
        Tasks that it is given at a time.
    reference : Source, optional
        Evaluated by the same protocol and compared first.
    reference_answers : Path, optional
        Folder of its answers, such as one that the validations of several models share; by default they are
        with the others.
    quick : bool
        With the settings of a quick run.
    members : {"fast", "all", "none"}
        For which checks members are evaluated; "fast": all but the slow ones.
    retry_failed : bool
        Evaluate again what has failed before.
    progress : callable, optional
        Called when a task begins and when one is done.

    Raises
    ------
    ValueError
        For another word of `members`, less than one worker, or a damaged file of results.
    """
    if members not in ("fast", "all", "none"):
        raise ValueError(f"members must be 'fast', 'all' or 'none', got {members!r}")
    if workers < 1:
        raise ValueError(f"workers must be at least one, got {workers}")
    answers = folder / "answers"
    answers.mkdir(parents=True, exist_ok=True)
    n_members = 0 if members == "none" else len(members_of(model.make("float64")))
    tasks = [
        task
        for check in checks
        for task in _tasks(
            Task(check, symbol, model, "model", quick=quick),
            reference,
            n_members if members == "all" or not check.slow else 0,
        )
    ]
    found: dict[tuple[str, str], Answer] = {}
    path = folder / "validation.json"
    name, fingerprint = ("", "") if reference is None else (reference.name, reference.fingerprint)
    empty = Validation(suite, symbol, model.name, name, n_members, quick, (), model.fingerprint, fingerprint)
    _saved(empty, path)  # says at once what is wrong with the file

    def gathered() -> Validation:
        return _saved(replace(empty, outcomes=_outcomes(tasks, found, literature(suite))), path)

    state = Progress(tasks, answers, reference_answers or answers, workers)
    state.reference_folder.mkdir(parents=True, exist_ok=True)
    for task, one in _answered(state, executor, retry_failed, progress or (lambda _: None)):
        found[task.check.name, task.who] = one
        if all((task.check.name, other.who) in found for other in tasks if other.check is task.check):
            gathered()
    return gathered()


def _saved(found: Validation, path: Path) -> Validation:
    """Join results with what their file holds by now, and write both; without results nothing is written."""
    from ase_mlsample.validation.files import load_validation

    with alone(path):
        joined = found.joined(load_validation(path) if path.is_file() else None)
        if found.outcomes:
            joined.save(path)
    return joined


def _answered(
    state: Progress, executor: Executor, retry_failed: bool, progress: Callable[[Progress], None]
) -> Iterator[tuple[Task, Answer]]:
    """Answers as they come, never more tasks under way than there are workers."""
    left = iter(state.tasks)
    running: dict[Future[Answer], Task] = {}
    try:
        while True:
            for task in itertools.islice(left, state.workers - len(running)):
                state.begin(task)
                progress(state)
                where = state.folder_of(task)
                running[executor.submit(answer, task, where, retry_failed=retry_failed)] = task
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                task, one = running.pop(future), future.result()
                state.end(task, one.seconds)
                yield task, one
                progress(state)
    finally:
        for future in running:
            future.cancel()


def _tasks(whole: Task, reference: Source | None, n_members: int) -> list[Task]:
    """A check of the model, of the reference and of each member."""
    exact = [] if reference is None else [replace(whole, source=reference, who="reference")]
    return [whole, *exact, *(replace(whole, who=f"member {k}", member=k) for k in range(n_members))]


def _outcomes(
    tasks: Sequence[Task],
    found: Mapping[tuple[str, str], Answer],
    published: Mapping[str, Mapping[str, Any]],
) -> tuple[Outcome, ...]:
    """What came of the checks all of whose tasks have an answer."""
    missing = {task.check.name for task in tasks if (task.check.name, task.who) not in found}
    return tuple(
        replace(
            _outcome(task.check, found, published.get(task.check.name, {})),
            quick=task.quick and bool(task.check.quick),
        )
        for task in tasks
        if task.who == "model" and task.check.name not in missing
    )


def _outcome(check: Check, found: Mapping[tuple[str, str], Answer], published: Mapping[str, Any]) -> Outcome:
    """What the answers to a check come to."""
    mine = {who: one for (name, who), one in found.items() if name == check.name}
    model, exact = mine["model"], mine.get("reference")
    seconds = round(sum(one.seconds for one in mine.values()), 1)
    reference = None if exact is None else exact.result
    if model.result is None:
        return Outcome(check.name, check.title, None, reference, (), model.failure, seconds)
    alone = sorted((int(who.split()[1]), one) for who, one in mine.items() if who.startswith("member"))
    result = model.result.with_members([one.result or one.failure for _, one in alone])
    compared = tuple(rows(check.name, result, reference=reference, published=published))
    failure = "" if exact is None or exact.result else f"the reference: {exact.failure}"
    return Outcome(check.name, check.title, result, reference, compared, failure, seconds)
