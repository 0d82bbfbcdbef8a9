"""What a property comes to: numbers and curves of a potential, with those of its members one by one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ase_mlsample.validation.members import members_of

__all__ = [
    "FAILURES",
    "Curve",
    "Property",
    "PropertyResult",
    "Quantity",
    "curve",
    "each_member",
    "over_members",
    "plain_json",
]

#: What a member may fail with: its surface has no such crystal, or dynamics on it falls apart.
FAILURES = (RuntimeError, ValueError, FloatingPointError)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a property.

    Attributes
    ----------
    key
        Unique within the property, such as "C11".
    value
        Of the potential that was given; for an ensemble of its mean potential, which drives dynamics.
    unit
        Such as "GPa"; empty for a pure number.
    label
        In words, for tables.
    error
        Statistical standard error of `value`, of properties that are sampled; 0 for others.
    members
        The same number of every member alone, not a number where a member failed; empty without members.
    """

    key: str
    value: float
    unit: str
    label: str
    error: float = 0.0
    members: tuple[float, ...] = ()

    @property
    def std(self) -> float | None:
        """Standard deviation over the members that have a value, ddof = 1; None for fewer than two."""
        known = [value for value in self.members if math.isfinite(value)]
        return float(np.std(known, ddof=1)) if len(known) > 1 else None

    @property
    def mean(self) -> float | None:
        """Mean over the members that have a value; None without any."""
        known = [value for value in self.members if math.isfinite(value)]
        return float(np.mean(known)) if known else None


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a figure.

    Attributes
    ----------
    x, y
        (K,) numbers each; y may hold several lines on the same x, as rows (L, K).
    members
        The (x, y) of every member alone.
    """

    x: tuple[float, ...]
    y: tuple[Any, ...]
    members: tuple[tuple[tuple[float, ...], tuple[Any, ...]], ...] = ()


def curve(x: ArrayLike, y: ArrayLike) -> Curve:
    """A curve of arrays, x (K,) and y (K,) or (L, K), rounded to seven digits, which figures never show."""
    return Curve(_plain(np.asarray(x, float)), _plain(np.asarray(y, float)))


def _plain(values: Any) -> tuple[Any, ...]:
    return tuple(_plain(row) if np.ndim(row) else float(f"{row:.7g}") for row in values)


@dataclass(frozen=True, slots=True)
class PropertyResult:
    """Numbers and curves of one property.

    Attributes
    ----------
    name
        Of the property, such as "elastic".
    quantities
        In the order of a table; ``result["C11"]`` finds one by its key.
    curves
        By name.
    facts
        Plain values that say how it was computed: sizes, lengths, temperatures.
    notes
        Sentences for the reader.
    failures
        By number of a member that has no values: why.
    """

    name: str
    quantities: tuple[Quantity, ...]
    curves: Mapping[str, Curve] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failures: Mapping[int, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Quantity:
        for quantity in self.quantities:
            if quantity.key == key:
                return quantity
        known = ", ".join(quantity.key for quantity in self.quantities)
        raise KeyError(f"{self.name} has no quantity {key!r}; it has {known}")

    def __iter__(self) -> Iterator[Quantity]:
        return iter(self.quantities)

    def with_members(self, members: Sequence[PropertyResult | str]) -> PropertyResult:
        """The same with the values of members, a text where one has none: why.

        Parameters
        ----------
        members
            In their order.
        """
        found = [one if isinstance(one, PropertyResult) else None for one in members]
        tables = [{} if one is None else {q.key: q.value for q in one} for one in found]
        quantities = tuple(
            replace(q, members=tuple(table.get(q.key, math.nan) for table in tables)) for q in self.quantities
        )
        curves = {
            name: replace(
                line,
                members=tuple(
                    (one.curves[name].x, one.curves[name].y) for one in found if one and name in one.curves
                ),
            )
            for name, line in self.curves.items()
        }
        failures = {number: one for number, one in enumerate(members) if isinstance(one, str)}
        return replace(self, quantities=quantities, curves=curves, failures=failures)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them; what is no number becomes None."""
        return dict(plain_json(asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PropertyResult:
        """Build from :meth:`to_dict`."""
        quantities = tuple(
            Quantity(**q | {"value": _number(q["value"]), "members": tuple(_number(v) for v in q["members"])})
            for q in values["quantities"]
        )
        curves = {
            name: Curve(
                tuple(c["x"]), _tuples(c["y"]), tuple((tuple(x), _tuples(y)) for x, y in c["members"])
            )
            for name, c in values["curves"].items()
        }
        failures = {int(number): why for number, why in values["failures"].items()}
        return cls(
            values["name"], quantities, curves, dict(values["facts"]), tuple(values["notes"]), failures
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _tuples(rows: Any) -> Any:
    return tuple(_tuples(row) for row in rows) if isinstance(rows, list) else _number(rows)


def plain_json(value: Any) -> Any:
    """Nested values as JSON takes them: tuples as lists, what is no finite number as None."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Property(Protocol):
    """A property: of a calculator, what else it needs, and its settings."""

    def __call__(
        self, calc: Any, subject: Any, /, *, members: bool = True, **settings: Any
    ) -> PropertyResult:
        """Evaluate it for a calculator and, unless told otherwise, for each of its members alone."""


def each_member(function: Callable[..., PropertyResult]) -> Property:
    """Make a property of one potential into one that gives the members of an ensemble too, each alone.

    The keyword ``members=False`` leaves them out.
    """

    @functools.wraps(function)
    def of_all(calc: Any, subject: Any, /, *, members: bool = True, **settings: Any) -> PropertyResult:
        alone = members_of(calc) if members else ()
        return over_members(lambda one: function(one, subject, **settings), calc, alone)

    return of_all


def over_members(
    function: Callable[[Any], PropertyResult], calc: Any, members: Sequence[Any]
) -> PropertyResult:
    """Evaluate a property for a calculator, then for each of its members alone.

    Parameters
    ----------
    function
        Of a calculator alone.
    calc : ase Calculator
        What it raises for this one is raised.
    members : sequence of ase Calculators
        One that the property raises a RuntimeError, ValueError or FloatingPointError for is noted in
        ``failures``.
    """
    result = function(calc)
    if not members:
        return result
    found: list[PropertyResult | str] = []
    for member in members:
        try:
            found.append(function(member))
        except FAILURES as error:
            found.append(f"{type(error).__name__}: {error}")
    return result.with_members(found)
