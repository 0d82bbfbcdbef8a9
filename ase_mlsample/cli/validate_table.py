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
        result = outcome.result
        if result is not None:
            lines += [f"{outcome.check}: {note}" for note in result.notes]
            lines += [f"{outcome.check}: member {k} failed: {why}" for k, why in result.failures.items()]
    return Text.from_markup("\n".join(escape(line) for line in lines))


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
def progress_bar(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal's standard error; elsewhere a line at most every twenty seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, what="")
        yield lambda what, done, total: bar.update(task, completed=done, total=total, what=what)


def _lines(name: str) -> Callable[[str, int, int], None]:
    last = [time.monotonic()]

    def show(what: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] > 20 or done == total:
            last[0] = time.monotonic()
            sys.stderr.write(f"{name}: {done}/{total} done, the last: {what}\n")

    return show
