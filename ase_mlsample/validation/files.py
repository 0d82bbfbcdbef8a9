"""A validation read from its file again, or a clear word on why it cannot be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase_mlsample.validation.checks import all_checks
from ase_mlsample.validation.literature import Criterion, LiteratureValue
from ase_mlsample.validation.properties import PropertyResult
from ase_mlsample.validation.suite import Outcome, Validation
from ase_mlsample.validation.verdicts import Row

__all__ = ["load_validation"]


def load_validation(path: Path) -> Validation:
    """Read what `Validation.save` wrote.

    Parameters
    ----------
    path : Path
        ``validation.json``.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is cut, damaged, or of another version: with what is wrong, and what to do.
    """
    text = path.read_bytes()
    try:
        content = json.loads(text)
        return _validation(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # whatever is not as it was written
        told = f"lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} cannot be read ({told}). Remove it and run `mlsample validate` again: the answers "
            "beside it are kept and not computed again"
        ) from None


def _validation(content: Mapping[str, Any]) -> Validation:
    texts = {key: _text(content[key]) for key in ("suite", "symbol", "model", "reference", "version")}
    prints = {key: _text(content[key]) for key in ("fingerprint", "reference_fingerprint")}
    outcomes = tuple(_outcome(one) for one in content["outcomes"])
    all_checks(texts["suite"], texts["symbol"])  # there is such a suite
    return Validation(
        **texts,
        **prints,
        members=int(content["members"]),
        quick=bool(content["quick"]),
        outcomes=outcomes,
    )


def _outcome(content: Mapping[str, Any]) -> Outcome:
    results = {
        key: None if content[key] is None else PropertyResult.from_dict(content[key])
        for key in ("result", "reference")
    }
    return Outcome(
        _text(content["check"]),
        _text(content["title"]),
        results["result"],
        results["reference"],
        tuple(_row(row) for row in content["rows"]),
        _text(content["failure"]),
        float(content["seconds"]),
        bool(content["quick"]),
    )


def _row(content: Mapping[str, Any]) -> Row:
    known, bound, against = content["literature"], content["criterion"], _text(content["compared_with"])
    words = ("check", "key", "label", "unit", "verdict")
    texts: dict[str, Any] = {key: _text(content[key]) for key in words}
    optional = ("std", "error", "reference", "reference_error", "allowed")
    numbers: dict[str, Any] = {key: None if content[key] is None else float(content[key]) for key in optional}
    return Row(
        **texts,
        **numbers,
        value=_number(content["value"]),
        literature=None if known is None else LiteratureValue(**known),
        compared_with=against,
        deviation=_number(content["deviation"]) if against else None,
        criterion=None if bound is None else Criterion(**bound),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
