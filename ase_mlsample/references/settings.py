"""Numerical accuracy of a reference: cutoff, spacing of k-points, width of the smearing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.references.failures import SetupFailure

__all__ = ["Accuracy", "chosen_accuracy", "k_grid", "require_elements"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Three numbers that decide how exact labels are and what they cost.

    Attributes
    ----------
    cutoff : eV, of the plane waves (of the density's grid for CP2K).
    k_spacing : Å⁻¹, largest distance of neighbouring k-points along each reciprocal vector (2π included).
    smearing_width : eV, of the occupations.
    """

    cutoff: float
    k_spacing: float
    smearing_width: float

    def __post_init__(self) -> None:
        for name in ("cutoff", "k_spacing"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} must be positive")
        if not self.smearing_width >= 0:
            raise ValueError(f"smearing_width = {self.smearing_width} eV must not be negative")


def chosen_accuracy(
    code: str,
    ready: Mapping[str, Accuracy],
    elements: Sequence[str] | None,
    *,
    cutoff: float | None,
    k_spacing: float | None,
    smearing_width: float | None,
) -> Accuracy:
    """Given numbers, and for those that are None the ready ones of the elements.

    All structures of a run share one accuracy, whatever elements each of them has: energies of different
    cutoffs do not belong together. So the ready cutoff of several elements is the largest of them, the
    spacing the smallest, the width the largest.

    Raises
    ------
    SetupFailure
        A number is missing and there are no ready settings.
    """
    given = {"cutoff": cutoff, "k_spacing": k_spacing, "smearing_width": smearing_width}
    missing = [name for name, value in given.items() if value is None]
    known = [ready[symbol] for symbol in elements or () if symbol in ready]
    if missing and (not elements or len(known) < len(elements)):
        without = [symbol for symbol in elements or () if symbol not in ready]
        why = f"there are no ready settings for {', '.join(without)}" if without else "elements are not given"
        raise SetupFailure(
            f"{code}: {why}; give {', '.join(missing)}"
            + (f", or elements among {', '.join(sorted(ready))}" if ready else "")
        )
    choice = {"cutoff": max, "k_spacing": min, "smearing_width": max}
    numbers = {
        name: choice[name](getattr(item, name) for item in known) if value is None else float(value)
        for name, value in given.items()
    }
    return Accuracy(**numbers)


def k_grid(
    cell: NDArray[np.float64], spacing: float, pbc: Sequence[bool] = (True, True, True)
) -> tuple[int, int, int]:
    """Grid of k-points, which every code is told to centre on Γ.

    Parameters
    ----------
    cell : (3, 3) array, Å.
    spacing : Å⁻¹; the length 2π|b| of each reciprocal vector is divided into so many equal parts that none is
        longer than this, even numbers of parts or odd ones.
    pbc : directions without periodicity get one k-point.

    Returns
    -------
    tuple of int
        Points along the three reciprocal vectors.
    """
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell).T, axis=1)
    # a cell at exactly n spacings has n points, however its lengths are rounded
    parts = [max(1, int(np.ceil(length / spacing - 1e-6))) for length in lengths]
    a, b, c = (n if periodic else 1 for n, periodic in zip(parts, pbc, strict=True))
    return a, b, c


def require_elements(elements: Sequence[str] | None) -> tuple[str, ...] | None:
    """Symbols of chemical elements, each once.

    Raises
    ------
    ValueError
        For anything else.
    """
    if elements is None:
        return None
    symbols = (elements,) if isinstance(elements, str) else tuple(elements)
    wrong = [symbol for symbol in symbols if atomic_numbers.get(symbol, 0) == 0]
    if wrong or not symbols or len(set(symbols)) < len(symbols):
        raise ValueError(f"elements = {list(symbols)} must be symbols of chemical elements, each once")
    return symbols
