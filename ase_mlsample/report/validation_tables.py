"""The tables of a validation: what came of each check, and its quantities beside what they are judged by."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ase_mlsample.report.markup import Cell, Markup, table
from ase_mlsample.report.numbers import LEAST, number, signed
from ase_mlsample.report.verdict import duration

if TYPE_CHECKING:
    from ase_mlsample.validation.checks import Check
    from ase_mlsample.validation.suite import Outcome, Validation
    from ase_mlsample.validation.verdicts import Row

__all__ = ["VERDICTS", "overview", "quantities", "sources"]

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Verdicts, the best first, with the class that gives them their colour.
VERDICTS = {"agrees": "good", "within error": "doubt", "differs": "bad"}


def overview(found: Validation, checks: Sequence[Check]) -> str:
    """What came of every check of the suite, done or not.

    Parameters
    ----------
    found
        The validation.
    checks
        Of its suite.
    """
    outcomes = {outcome.check: outcome for outcome in found.outcomes}
    names = {check.name: check.title for check in checks} | {o.check: o.title for o in found.outcomes}
    slow = {check.name for check in checks if check.slow}
    rows = [_line(title, outcomes.get(name), slow=name in slow) for name, title in names.items()]
    sums = [sum(row.verdict == verdict for row in found.rows) for verdict in (*VERDICTS, "")]
    rows.append(
        ["all", *(str(count) for count in sums), duration(sum(o.seconds for o in found.outcomes)), ""]
    )
    headings: list[Cell] = ["check", *VERDICTS, "no verdict", "computing time", ("", "text")]
    return table(headings, rows, caption="Quantities by verdict, of every check of the suite")


def _line(title: str, outcome: Outcome | None, *, slow: bool) -> list[Cell]:
    if outcome is None:
        why = " (slow: --slow, or --only)" if slow else ""
        return [title, "", "", "", "", "", (f"not computed{why}", "wrap")]
    link = Markup(f'<a href="#check-{escape(outcome.check)}">{escape(title)}</a>')
    counts = [sum(row.verdict == verdict for row in outcome.rows) for verdict in (*VERDICTS, "")]
    shown: list[Cell] = [
        (str(count), css) if count and css == "bad" else str(count)
        for count, css in zip(counts, (*VERDICTS.values(), ""), strict=True)
    ]
    if outcome.result is None:
        shown = [""] * 4
    return [link, *shown, duration(outcome.seconds), _state(outcome)]


def _state(outcome: Outcome) -> Cell:
    if outcome.result is None:
        return ("failed", "text bad")
    told = ["quick settings"] if outcome.quick else []
    if outcome.result.failures:
        members = ", ".join(str(number) for number in outcome.result.failures)
        told.append(f"failed for member{'s' * (len(outcome.result.failures) > 1)} {members}")
    if outcome.failure:
        told.append("its reference failed")
    return (", ".join(told), "text bad" if outcome.failure else "text")


def quantities(outcome: Outcome, numbered: Mapping[str, int]) -> str:
    """The quantities of a check, with what they are compared with and the verdict.

    Parameters
    ----------
    outcome
        Of the check.
    numbered
        Numbers of the sources, as `sources` gives them.
    """
    rows = outcome.rows
    if not rows:
        return ""
    shown = {
        "reference": any(row.reference is not None for row in rows),
        "model": True,
        "± members": any(row.std is not None for row in rows),
        "± sampling": any(row.error for row in rows),
        "literature": any(row.literature for row in rows),
        "deviation": any(row.compared_with for row in rows),
        "criterion": any(row.allowed is not None for row in rows),
        "verdict": any(row.verdict for row in rows),
    }
    texts = {"literature", "criterion", "verdict"}
    headings: list[Cell] = ["quantity"]
    headings += [(name, "text") if name in texts else name for name, is_shown in shown.items() if is_shown]
    lines = []
    for row in rows:
        cells = _cells(row, numbered)
        lines.append([_named(row), *(cells[name] for name, is_shown in shown.items() if is_shown)])
    return table(headings, lines, label=f"quantities of {outcome.title}", css="judged")


def _named(row: Row) -> str:
    unit = re.sub(r"1e-(\d+)", lambda found: f"10⁻{found[1].translate(_RAISED)}", row.unit)
    return f"{row.label} ({unit})" if unit else row.label


def _cells(row: Row, numbered: Mapping[str, int]) -> dict[str, Cell]:
    total = math.hypot(row.std or 0.0, row.error or 0.0)
    total = total if total >= LEAST else 0.0
    deviation = "" if not row.compared_with else signed(number(row.deviation, total))
    return {
        "reference": "" if row.reference is None else _sampled(row.reference, row.reference_error),
        "model": _typeset(number(row.value, total)),
        "± members": _error(row.std),
        "± sampling": _error(row.error),
        "literature": _published(row, numbered),
        "deviation": deviation,
        "criterion": (_criterion(row), "text"),
        "verdict": (row.verdict or "–", f"judged {VERDICTS.get(row.verdict, '')}".strip()),
    }


def _sampled(value: float, error: float | None) -> str:
    known = error if error and error >= LEAST else None
    text = _typeset(number(value, known))
    return f"{text} ± {_error(known)}" if known else text


def _published(row: Row, numbered: Mapping[str, int]) -> Cell:
    known = row.literature
    if known is None:
        return ("", "text")
    uncertainty = known.uncertainty if known.uncertainty and known.uncertainty >= LEAST else None
    text = _typeset(number(known.value, uncertainty))
    text += f" ± {_error(uncertainty)}" if uncertainty else ""
    text += " theory" if known.calculated else ""
    place = numbered[known.source]
    link = f'<a href="#source-{place}" title="{escape(known.source)}">[{place}]</a>'
    return (Markup(f"{escape(text)} {link}"), "text")


def _criterion(row: Row) -> str:
    """What is allowed, and by which bound, with its subject where that is not the reference."""
    if row.allowed is None or row.criterion is None:
        return ""
    other = row.compared_with != "reference"
    if row.criterion.relative and row.allowed > row.criterion.absolute:
        share = f"{100 * row.criterion.relative:g} %" + (f" of {row.compared_with}" if other else "")
        return f"±{row.allowed:.3g} ({share})"
    return f"±{row.allowed:.3g}" + (f" from {row.compared_with}" if other else "")


def _error(value: float | None) -> str:
    """An uncertainty with two digits that count."""
    if value is None or not math.isfinite(value):
        return ""
    if value < LEAST:
        return "0"
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"


def _typeset(text: str) -> str:
    return text.replace("-", "−")


def sources(rows: Iterable[Row]) -> dict[str, int]:
    """Numbers of the sources of the literature, in the order of their first mention."""
    named = dict.fromkeys(row.literature.source for row in rows if row.literature)
    return {source: place for place, source in enumerate(named, start=1)}
