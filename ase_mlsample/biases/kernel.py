"""The hill of PLUMED's metadynamics: a Gaussian that ends, stretched so that it ends at zero."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["CUTOFF", "RADIUS", "kernel_constants"]

# h (scale e^{-q} + shift) where q = Σ (s − c)²/2σ² is below the cutoff, else nothing
CUTOFF: Final = 6.25
RADIUS: Final = math.sqrt(2 * CUTOFF)
_STRETCH: Final = 1 / (1 - math.exp(-CUTOFF))


def kernel_constants(stretched: bool = True) -> dict[str, float]:
    """Return cutoff, scale and shift of a hill.

    Parameters
    ----------
    stretched : bool
        False for files of PLUMED before 2.8 that say ``kerneltype gaussian``: cut, and not stretched.
    """
    if stretched:
        return {"cutoff": CUTOFF, "scale": _STRETCH, "shift": 1 - _STRETCH}
    return {"cutoff": CUTOFF, "scale": 1.0, "shift": 0.0}
