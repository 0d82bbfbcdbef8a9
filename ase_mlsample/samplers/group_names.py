"""Names of the space groups, as spglib has them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

__all__ = ["first_setting", "quiet_spglib", "space_group_number"]

_HALL_NUMBERS = range(1, 531)
# names until 1992, when the International Tables introduced the glide plane e
_OLD_NAMES = {"Abm2": 39, "Aba2": 41, "Cmca": 64, "Cmma": 67, "Ccca": 68}


@contextmanager
def quiet_spglib() -> Iterator[None]:
    """Keep spglib from announcing a change of its error handling at every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@cache
def _settings() -> tuple[dict[int, tuple[int, str]], dict[str, int]]:
    """Return (hall number, symbol) of each number's first setting, and the numbers by any symbol."""
    import spglib

    first: dict[int, tuple[int, str]] = {}
    numbers = dict(_OLD_NAMES)
    with quiet_spglib():
        kinds = [(hall, spglib.get_spacegroup_type(hall)) for hall in _HALL_NUMBERS]
    for hall, kind in kinds:
        first.setdefault(kind.number, (hall, kind.international_short))
        full = [kind.international_full, *kind.international.split("=")]
        short = []
        if kind.number <= 15:  # "P2_1/n" for what spglib calls "P 2_1/c = P 1 2_1/n 1"
            short = [" ".join(part for part in symbol.split() if part != "1") for symbol in full]
        elif kind.number >= 195:  # "Fm3m", the older name of Fm-3m
            short = [kind.international_short.replace("-3", "3")]
        for symbol in (kind.international_short, *full, *short):
            numbers.setdefault(_compact(symbol), kind.number)
    return first, numbers


def _compact(symbol: str) -> str:
    return symbol.replace(" ", "").replace("_", "")


def first_setting(number: int) -> tuple[int, str]:
    """Return the Hall number and the short symbol of a space group's first setting."""
    return _settings()[0][number]


def space_group_number(group: int | str) -> int:
    """Return the number of a space group.

    Parameters
    ----------
    group : int or str
        1 to 230, or a Hermann–Mauguin symbol, short or full: "Fd-3m", "P6_3/mmc" or "P63/mmc", "P2_1/n";
        names of before 1992 such as "Cmca" or "Fd3m" are known as well.

    Raises
    ------
    ValueError
        For another number, or a symbol that spglib's list of 530 settings lacks.
    TypeError
        For anything else.
    """
    if isinstance(group, str):
        number = _settings()[1].get(_compact(group))
        if number is None:
            raise ValueError(
                f"no space group is called {group!r}; use a number from 1 to 230 or a Hermann–Mauguin symbol "
                "such as 'Fd-3m' or 'P6_3/mmc'"
            )
        return number
    if isinstance(group, bool) or not isinstance(group, int | np.integer):
        raise TypeError(
            f"a space group is a number or a Hermann–Mauguin symbol, got {group!r}; use 227 or 'Fd-3m'"
        )
    if not 1 <= group <= 230:
        raise ValueError(f"space groups have numbers from 1 to 230, got {group}")
    return int(group)
