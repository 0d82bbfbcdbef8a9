"""Rows of a validation: each quantity beside what it is compared with, and whether they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ase_mlsample.validation.literature import Criterion, LiteratureValue, criterion
from ase_mlsample.validation.properties import PropertyResult, Quantity

__all__ = ["AGREES", "DIFFERS", "UNDECIDED", "Row", "rows"]

AGREES, UNDECIDED, DIFFERS = "agrees", "within error", "differs"
#: Compared with zero, whatever the reference does.
_FROM_ZERO = {("conservation", "drift")}


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity of a validation.

    Attributes
    ----------
    check, key, label, unit
        Which quantity.
    value, std, error
        Of the model; standard deviation over members and statistical error, None where there is none.
    reference, reference_error
        Of the reference calculator by the same protocol; None without one.
    literature
        Published value, or None.
    compared_with
        "reference" if there is one, else "experiment", "theory" or "zero"; empty without any, or with a
        published value of something that is not quite the same.
    deviation
        The model's value less what it is compared with; not a number where it has none.
    allowed
        The criterion's bound; None where there is no criterion.
    verdict
        "agrees" within the bound; else "within error" where twice the standard errors of both and the
        members' spread, added in squares, cover the deviation; else, and where there is no value, "differs".
        Empty without comparison or criterion.
    """

    check: str
    key: str
    label: str
    unit: str
    value: float
    std: float | None
    error: float | None
    reference: float | None
    reference_error: float | None
    literature: LiteratureValue | None
    compared_with: str
    deviation: float | None
    allowed: float | None
    verdict: str


def rows(
    check: str,
    result: PropertyResult,
    *,
    reference: PropertyResult | None,
    published: Mapping[str, LiteratureValue],
) -> list[Row]:
    """Compare a property with its reference, or with the literature where there is none.

    Parameters
    ----------
    check
        Name of the check.
    result
        Of the model.
    reference
        Of the reference calculator.
    published
        Values by key.

    Returns
    -------
    list of Row
        Of the model's quantities; then of those that only the reference has, such as the energy of a crystal
        that the model does not hold: their value is not a number, and they differ.
    """
    exact = {} if reference is None else {quantity.key: quantity for quantity in reference}
    own = {quantity.key for quantity in result}
    missing = [replace(q, value=math.nan, error=0.0) for key, q in exact.items() if key not in own]
    return [
        _row(check, result.name, quantity, exact.get(quantity.key), published.get(quantity.key))
        for quantity in (*result, *missing)
    ]


def _row(
    check: str, prop: str, quantity: Quantity, exact: Quantity | None, known: LiteratureValue | None
) -> Row:
    bound = criterion(prop, quantity.key)
    if (prop, quantity.key) in _FROM_ZERO:
        against, target, spread = "zero", 0.0, 0.0
    elif exact is not None and math.isfinite(exact.value):
        against, target, spread = "reference", exact.value, exact.error
    elif known is not None and not known.caveat:
        against = "theory" if known.calculated else "experiment"
        target, spread = known.value, known.uncertainty or 0.0
    else:
        against, target, spread = "", math.nan, 0.0
    deviation = quantity.value - target if against else None
    allowed = bound.allowed(target) if bound and against else None
    return Row(
        check=check,
        key=quantity.key,
        label=quantity.label,
        unit=quantity.unit,
        value=quantity.value,
        std=quantity.std,
        error=quantity.error or None,
        reference=None if exact is None else exact.value,
        reference_error=None if exact is None else exact.error or None,
        literature=known,
        compared_with=against,
        deviation=deviation,
        allowed=allowed,
        verdict=_verdict(quantity, deviation, bound, target, spread),
    )


def _verdict(
    quantity: Quantity, deviation: float | None, bound: Criterion | None, target: float, spread: float
) -> str:
    if deviation is None or bound is None:
        return ""
    if not math.isfinite(deviation):
        return DIFFERS
    if abs(deviation) <= bound.allowed(target):
        return AGREES
    error = math.sqrt((quantity.std or 0.0) ** 2 + quantity.error**2 + spread**2)
    return UNDECIDED if abs(deviation) <= 2 * error else DIFFERS
