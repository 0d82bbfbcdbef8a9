"""How a validation looks on a terminal: the table, the list of checks, the bar while it runs."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ase_mlsample.report.numbers import number

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ase_mlsample.validation.checks import Check
    from ase_mlsample.validation.progress import Progress
    from ase_mlsample.validation.suite import Outcome, Validation
    from ase_mlsample.validation.verdicts import Row

__all__ = ["check_list", "progress_bar", "validation_table"]

_STYLES = {"agrees": "green", "within error": "yellow", "differs": "red"}


def validation_table(found: Validation) -> RenderableType:
    """Every quantity with its reference, the literature, the model's value with ± and the verdict."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=_title(found), title_justify="left")
    table.add_column("property")
    table.add_column("unit", style="dim")
    for name in ("reference", "literature", "model", "±"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for outcome in found.outcomes:
        table.add_section()
        table.add_row(f"[bold]{escape(outcome.title)}[/]", *_failure(outcome))
        for row in outcome.rows:
            table.add_row(*(escape(cell) for cell in _cells(row)[:-1]), _verdict(row))
    return Group(table, _legend(found))


def _title(found: Validation) -> str:
    from rich.markup import escape

    words = [f"{found.model}: {found.suite}"]
    if found.reference:
        words.append(f"reference {found.reference}")
    if found.members:
        words.append(f"{found.members} members")
    if found.quick:
        words.append("quick settings")
    return escape(", ".join(words))


def _failure(outcome: Outcome) -> list[str]:
    if outcome.result is None:
        return ["", "", "", "[red]failed[/]", "", ""]
    return []


def _cells(row: Row) -> list[str]:
    known = row.literature
    published = "" if known is None else number(known.value) + (" (theory)" if known.calculated else "")
    spread = [x for x in (row.std, row.error) if x]
    total = math.sqrt(sum(x * x for x in spread)) if spread else None
    return [
        f"  {row.label}",
        row.unit,
        "" if row.reference is None else number(row.reference),
        published,
        number(row.value),
        "" if total is None else f"{total:.2g}",
        row.verdict,
    ]


def _verdict(row: Row) -> str:
    style = _STYLES.get(row.verdict)
    return f"[{style}]{row.verdict}[/]" if style else row.verdict


def _legend(found: Validation) -> RenderableType:
    from rich.markup import escape
    from rich.text import Text

    lines = [
        "  ".join(f"{found.count(verdict)} {verdict}" for verdict in _STYLES)
        + ". ± is the standard deviation over members alone and the statistical error, in squares.",
    ]
    for outcome in found.outcomes:
        if outcome.failure:
            lines.append(f"{outcome.check} failed: {outcome.failure}")
        lines += [f"{outcome.check}: {words}" for words in _caveats(outcome)]
        result = outcome.result
        if result is not None:
            lines += [f"{outcome.check}: {note}" for note in result.notes]
            lines += [f"{outcome.check}: member {k} failed: {why}" for k, why in result.failures.items()]
    return Text.from_markup("\n".join(escape(line) for line in lines))


def _caveats(outcome: Outcome) -> list[str]:
    """In what published values are something else than the rows that they stand in."""
    rows: dict[str, list[str]] = {}
    for row in outcome.rows:
        if row.literature is not None and row.literature.caveat:
            rows.setdefault(row.literature.caveat, []).append(row.label)
    return [f"published for {', '.join(labels)}: {caveat}" for caveat, labels in rows.items()]


def check_list(suite: str, checks: Sequence[Check]) -> RenderableType:
    """Names and titles of the checks of a suite."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"suite {suite}", title_justify="left")
    for name in ("check", "what it is", ""):
        table.add_column(name)
    for check in checks:
        table.add_row(check.name, check.title, "slow" if check.slow else "")
    return table


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[Progress], None]]:
    """A bar with what is under way and the time left on a terminal; elsewhere lines now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Bar(*columns, console=console, transient=True, refresh_per_second=1) as bar:
        task = bar.add_task(name, total=None, state="")
        # the bar draws itself from its own thread, and asks each time what the state is then
        yield lambda now: bar.update(task, completed=now.done, total=len(now.tasks), state=_State(now))


class _State:
    """Words about a validation as it is whenever they are asked for."""

    def __init__(self, now: Progress) -> None:
        self.now = now

    def __str__(self) -> str:
        return ", ".join(word for word in (_left(self.now), self.now.words()) if word)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def _left(now: Progress) -> str:
    seconds = now.seconds_left()
    if seconds is None or now.done == len(now.tasks):
        return ""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s left"
    minutes = seconds / 60
    return f"about {minutes:.0f} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"


def _lines(name: str) -> Callable[[Progress], None]:
    last = [time.monotonic()]

    def show(now: Progress) -> None:
        finished = now.done == len(now.tasks)
        if finished or (now.running and time.monotonic() - last[0] > 20):
            last[0] = time.monotonic()
            words = "" if finished else f", {_State(now)}"
            sys.stderr.write(f"{name}: {now.done} of {len(now.tasks)} done{words}\n")

    return show
