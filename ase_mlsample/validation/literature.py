"""Values from the literature and the criteria of agreement, as shipped in data files."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase_mlsample._yaml import yaml_mapping

__all__ = ["Criterion", "LiteratureValue", "criterion", "literature"]

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class LiteratureValue:
    """A value that somebody has published.

    Attributes
    ----------
    value
        In the unit of the quantity.
    uncertainty
        As published, or None.
    source
        Where it is from, in full.
    calculated
        By theory, not measured.
    caveat
        In what it is something else than the quantity, so that nothing is judged by it; empty where it is
        alike.
    """

    value: float
    uncertainty: float | None
    source: str
    calculated: bool
    caveat: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """How far apart two values may be and still agree: the larger of both bounds.

    Attributes
    ----------
    absolute
        In the unit of the quantity.
    relative
        Of the value that is compared with.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def allowed(self, reference: float) -> float:
        """The largest difference from a reference."""
        return max(self.absolute, self.relative * abs(reference))


def literature(suite: str) -> dict[str, dict[str, LiteratureValue]]:
    """Values of a suite, by check and key; empty for an element without a file.

    Parameters
    ----------
    suite : str
        "silicon", "tin" or "aluminium".
    """
    path = _DATA / f"{suite}.yaml"
    if not path.is_file():
        return {}
    content = yaml_mapping(path)
    sources, calculated = content["sources"], set(content["calculated"])

    def made(entry: Mapping[str, Any]) -> LiteratureValue:
        uncertainty, name = entry.get("uncertainty"), entry["source"]
        return LiteratureValue(
            float(entry["value"]),
            None if uncertainty is None else float(uncertainty),
            sources[name],
            name in calculated,
            entry.get("caveat", ""),
        )

    return {
        check: {str(key): made(entry) for key, entry in entries.items()}
        for check, entries in content["values"].items()
    }


def criterion(prop: str, key: str) -> Criterion | None:
    """The criterion of a quantity; None where there is none.

    Parameters
    ----------
    prop : str
        Name of the property, such as "elastic".
    key : str
        Of the quantity: its own criterion, that of its first part, or of every other quantity.
    """
    table = _criteria().get(prop, {})
    for name in (key, key.split(".", maxsplit=1)[0], "*"):
        if name in table:
            return Criterion(**{bound: float(value) for bound, value in table[name].items()})
    return None


@functools.cache
def _criteria() -> Mapping[str, Any]:
    """The file is read once: each row of a table asks for its criterion."""
    return yaml_mapping(_DATA / "criteria.yaml")
