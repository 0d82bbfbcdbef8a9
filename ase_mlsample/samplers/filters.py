"""Tests that a frame must pass."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms

from ase_mlsample.samplers.base import AtomsFilter, checked_window
from ase_mlsample.samplers.packing import AMU_PER_A3, MinDistanceSpec, closest_pair

__all__ = ["Density", "MinDistance"]


class MinDistance(AtomsFilter):
    """No pair of atoms, periodic images included, closer than its minimum distance.

    Parameters
    ----------
    distance : float, mapping or None
        One distance in Å, a table with every pair, or None: ``fraction`` times the sum of covalent radii.
    fraction : float
        For the default.
    """

    def __init__(self, distance: MinDistanceSpec = None, *, fraction: float = 0.9) -> None:
        if not 0 < fraction < math.inf:
            raise ValueError(f"fraction must be positive, got {fraction!r}")
        if isinstance(distance, int | float) and not 0 < distance < math.inf:
            raise ValueError(f"distance must be positive and finite, got {distance!r}; give it in Å")
        self.distance, self.fraction = distance, float(fraction)

    def accepts(self, atoms: Atoms) -> tuple[bool, str]:
        """Return (True, ""), or (False, the pair that is too close)."""
        if not np.isfinite(atoms.positions).all():
            return False, "positions are not finite"
        ratio, pair, _ = closest_pair(atoms, self.distance, fraction=self.fraction)
        return (True, "") if ratio >= 1 else (False, f"{pair} closer than the minimum distance")

    def __repr__(self) -> str:
        return f"MinDistance({self.distance!r})"


class Density(AtomsFilter):
    """Mass density within a window.

    Parameters
    ----------
    window : (float, float)
        In g/cm³.
    """

    def __init__(self, window: tuple[float, float]) -> None:
        if isinstance(window, int | float):
            raise TypeError(
                f"no frame has a density of exactly {window!r}; give a window (low, high) in g/cm³"
            )
        self.window = checked_window("the density", window, unit=" in g/cm³")

    def accepts(self, atoms: Atoms) -> tuple[bool, str]:
        """Return (True, ""), or (False, the side on which the density lies); a cell needs a volume."""
        if atoms.cell.rank < 3:
            return False, "the cell has no volume"
        density = float(atoms.get_masses().sum()) * AMU_PER_A3 / atoms.get_volume()
        low, high = self.window
        if low <= density <= high:
            return True, ""
        return False, f"density {'below' if density < low else 'above'} the window"

    def __repr__(self) -> str:
        return f"Density({self.window})"
