"""The section "Validation" of a page: verdicts, tables and figures of the properties of a potential."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from ase_mlsample.report.drawn import Drawn
from ase_mlsample.report.markup import definitions, figure, items, notice, paragraph, section, subsection
from ase_mlsample.report.validation_figures import FigurePlan
from ase_mlsample.report.validation_tables import VERDICTS, overview, quantities, sources

if TYPE_CHECKING:
    from ase_mlsample.validation.suite import Outcome, Validation

__all__ = ["Validated", "in_one_sentence", "validation_section"]

_PREFIX = "validation-"

_JUDGED = (
    "The model is compared with the reference, computed by the same protocol; where that has no value, with "
    "the literature; the drift of the energy with zero. It agrees where the deviation is within the "
    "criterion beside it, which was fixed beforehand. Otherwise it is within error where twice the standard "
    "errors of both and the spread of the members, in squares, cover the deviation: the members disagree too "
    "much, or the runs are too short, to tell. Else, and where the model has no value, it differs. ± members "
    "is the standard deviation over the members, each put through the check alone, and not calibrated."
)

_FILTER = """<div class="controls filter" role="group" aria-label="verdicts shown in the tables" hidden>
<span>show</span> <button type="button" data-verdict="" aria-pressed="true">everything</button>
{buttons}<span class="count" role="status"></span></div>"""


@dataclass(frozen=True)
class Validated:
    """A validation for a page.

    Attributes
    ----------
    found
        The results; None where their file cannot be read.
    plans
        Its figures, by name.
    drawn
        The same, drawn.
    folder
        Of the files, as seen from the page: "validation/", or empty.
    problem
        Why the file cannot be read.
    outdated
        That the results are of another model than the one that the page is about, in a sentence.
    """

    found: Validation | None
    plans: Mapping[str, FigurePlan] = field(default_factory=dict)
    drawn: Mapping[str, Drawn] = field(default_factory=dict)
    folder: str = ""
    problem: str = ""
    outdated: str = ""


def validation_section(validated: Validated | None, *, heading: str = "Validation", hint: str = "") -> str:
    """The section; without results it says so.

    Parameters
    ----------
    validated
        What to show; None where nothing was validated.
    heading
        Of the section.
    hint
        How to get results.
    """
    return section("validation", heading, *_parts(validated, hint))


def _parts(validated: Validated | None, hint: str) -> Iterable[str]:
    if validated is None:
        yield paragraph(f"No property of the model has been computed. {hint}".strip())
        return
    if validated.outdated:
        yield notice("These results are not of the present model.", [validated.outdated], css="notice stale")
    found = validated.found
    if found is None:
        yield notice("The results cannot be read.", [validated.problem], css="notice stale")
        return
    from ase_mlsample.validation.checks import all_checks

    numbered = sources(found.rows)
    told = in_one_sentence(found)
    yield paragraph(told[0].upper() + told[1:], "headline")
    yield definitions(_facts(found))
    yield overview(found, all_checks(found.suite, found.symbol))
    yield paragraph(_JUDGED)
    yield _figures(validated, "")
    buttons = "".join(f'<button type="button" data-verdict="{v}">{v}</button>\n' for v in VERDICTS)
    yield _FILTER.format(buttons=buttons)
    for outcome in found.outcomes:
        yield subsection(f"check-{outcome.check}", outcome.title, *_check(validated, outcome, numbered))
    yield _sources(numbered)
    address = f"{validated.folder}validation.json"
    yield (
        f'<p class="files">Numbers and curves of the model, its members and the reference: '
        f'<a href="{escape(address)}">{escape(address)}</a></p>'
    )


def in_one_sentence(found: Validation) -> str:
    """How many quantities agree, by what, and how many checks failed."""
    counts = [found.count(verdict) for verdict in VERDICTS]
    judged = sum(counts)
    failed = sum(outcome.result is None for outcome in found.outcomes)
    if judged:
        against = (
            f"the reference {found.reference} and the literature" if found.reference else "the literature"
        )
        words = f"{judged} quantities compared with {against}: "
        words += f"{counts[0]} agree, {counts[1]} within error, {counts[2]} differ"
    else:
        words = "no quantity could be judged"
    return f"{words}; {failed} of {len(found.outcomes)} checks failed." if failed else f"{words}."


def _facts(found: Validation) -> dict[str, str]:
    quick = sum(outcome.quick for outcome in found.outcomes)
    return {
        "model": found.model,
        "members": str(found.members) if found.members else "none evaluated",
        "reference": found.reference or "none: the literature alone",
        "suite": f"{found.suite} ({found.symbol})",
        "settings": f"quick in {quick} of {len(found.outcomes)} checks: smaller cells and shorter runs"
        if quick
        else "full",
        "software": f"ase-mlsample {found.version}",
    }


def _check(validated: Validated, outcome: Outcome, numbered: Mapping[str, int]) -> Iterable[str]:
    result = outcome.result
    if result is None:
        yield notice(f"The check failed: {outcome.failure}")
        return
    if outcome.quick:
        yield paragraph("Quick settings: smaller cells and shorter runs.", "sub")
    troubles = [f"member {member} has no values: {why}" for member, why in result.failures.items()]
    if outcome.failure:
        troubles.insert(0, f"{outcome.failure}; judged by the literature where there is any")
    if troubles:
        yield notice("Not everything could be computed:", troubles)
    yield quantities(outcome, numbered)
    notes = [*result.notes, *_caveats(outcome)]
    yield items(notes) if notes else ""
    yield _figures(validated, outcome.check)
    yield _settings(result.facts)


def _caveats(outcome: Outcome) -> list[str]:
    """Published values that are shown beside a quantity, but are of something else."""
    return [
        f"The published value of {row.label} is {row.literature.caveat}: nothing is judged by it."
        for row in outcome.rows
        if row.literature is not None and row.literature.caveat
    ]


def _figures(validated: Validated, check: str) -> str:
    place = {"folder": validated.folder, "prefix": _PREFIX}
    shown = [
        figure(name, validated.drawn[name], plan.caption, css="wide" if plan.wide else "", **place)
        for name, plan in validated.plans.items()
        if plan.check == check
    ]
    return '<div class="plots">\n' + "\n".join(shown) + "\n</div>" if shown else ""


def _settings(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    text = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in facts.items())
    return f"<details><summary>How it was computed</summary><pre>{escape(text)}</pre></details>"


def _sources(numbered: Mapping[str, int]) -> str:
    if not numbered:
        return ""
    listed = "\n".join(f'<li id="source-{place}">{escape(source)}</li>' for source, place in numbered.items())
    heading = '<h3 id="sources">Literature</h3>'
    return f'<section aria-labelledby="sources">{heading}\n<ol>\n{listed}\n</ol></section>'
