"""Arguments of biases, brought to one form and checked."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.base import Domain

__all__ = [
    "domain_list",
    "dotted",
    "file_names",
    "per_variable",
    "periods",
    "positive",
    "variable_names",
    "whole",
    "wrapped",
]

FloatArray = NDArray[np.float64]


def positive(value: Any, name: str, *, unit: str = "") -> float:
    """Return a number that has to be positive and finite."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a positive, finite number{unit}, got {value!r}")
    return float(value)


def whole(value: Any, name: str, *, least: int = 1) -> int:
    """Return a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise ValueError(f"{name} must be a whole number, at least {least}, got {value!r}")
    return int(value)


def per_variable(
    values: ArrayLike, name: str, *, n_cvs: int | None = None, infinite: bool = False
) -> FloatArray:
    """Return one number for each variable, (d,); a single number serves all ``n_cvs`` of them."""
    expected = (
        f"{name} must hold {'numbers' if n_cvs is None else f'{n_cvs} number(s)'}, one for each variable"
    )
    try:
        array = np.atleast_1d(np.array(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{expected}, got {values!r:.60}") from None
    if n_cvs is not None and array.shape == (1,):
        array = np.repeat(array, n_cvs)
    if array.ndim != 1 or not array.size or (n_cvs is not None and array.size != n_cvs):
        raise ValueError(f"{expected}, got {values!r:.60}")
    if np.isnan(array).any() or not (infinite or np.isfinite(array).all()):
        raise ValueError(f"{name} must hold finite numbers, got {array.tolist()}")
    return array


def domain_list(domains: Sequence[Domain] | None, n_cvs: int, *, name: str = "domains") -> tuple[Domain, ...]:
    """Return the range of each variable, (low, high) or None."""
    if domains is None:
        return (None,) * n_cvs
    if len(domains) != n_cvs:
        raise ValueError(
            f"{name} must hold {n_cvs} entries, one for each variable, (low, high) or None, got {domains!r}"
        )
    checked: list[Domain] = []
    for domain in domains:
        if domain is None:
            checked.append(None)
            continue
        low, high = _ends(domain, name)
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"{name} must hold (low, high) with low < high, got {tuple(domain)!r}")
        checked.append((low, high))
    return tuple(checked)


def _ends(domain: Any, name: str) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in domain)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must hold (low, high) or None for each variable, got {domain!r:.60}"
        ) from None
    return low, high


def file_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names as columns of files have them: ``sq_1.96`` as ``sq_1_96``, ``(a-b)`` as ``a-b``.

    PLUMED takes a dot for the end of a label, and its ``sum_hills`` dies of a bracket.
    """
    return tuple(re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or name for name in names)


def variable_names(names: Sequence[str] | None, n_cvs: int) -> tuple[str, ...]:
    """Return a name for each variable as :func:`file_names` has it, ``s1``, ``s2`` … unless given."""
    if names is None:
        return tuple(f"s{k + 1}" for k in range(n_cvs))
    given = tuple(names)
    words = file_names(given) if all(len(name.split()) == 1 and name.isascii() for name in given) else ()
    if len(words) != n_cvs or len(set(words)) != n_cvs:
        raise ValueError(
            f"names must be {n_cvs} different words of ASCII letters, one for each variable, got {given!r}"
        )
    return words


def periods(domains: Sequence[Domain]) -> FloatArray | None:
    """Return the length of each period, infinite for a variable without, or None when none has any."""
    if all(domain is None for domain in domains):
        return None
    return np.array([np.inf if domain is None else domain[1] - domain[0] for domain in domains])


def wrapped(difference: FloatArray, lengths: FloatArray | None) -> FloatArray:
    """Return differences of variables by the shortest way round, in [−period/2, period/2]."""
    if lengths is None:
        return difference
    with np.errstate(invalid="ignore"):  # 0 * inf of variables without a period
        shifts = np.rint(difference / lengths) * lengths
    return difference - np.where(np.isfinite(lengths), shifts, 0.0)


def dotted(first: FloatArray, second: FloatArray) -> Any:
    """Return Σ a b over the variables: a float for (d,), an array (W,) for (W, d)."""
    return float(first @ second) if first.ndim == 1 else np.einsum("wd,wd->w", first, second)
