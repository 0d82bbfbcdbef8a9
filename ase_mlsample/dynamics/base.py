"""What an explorer is, and what it needs from a calculator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from ase.units import kB
from numpy.typing import NDArray

__all__ = ["Explorer", "UncertainCalculator", "internal_temperature"]


@runtime_checkable
class Explorer(Protocol):
    """Anything that moves atoms: ``explore(calc, atoms, rng)`` yields the frames that are worth a look."""

    def explore(self, calc: Any, atoms: Atoms, rng: np.random.Generator) -> Iterator[Atoms]:
        """Yield copies without calculator, each with its provenance in ``info``."""
        ...


class UncertainCalculator(Protocol):
    """An ASE calculator whose members can disagree, such as ``ANIEnsemble`` and ``Committee``."""

    def get_spread(self, atoms: Atoms | None = None) -> Any:
        """Return the spread of the members, with ``calibrated.force_sigma`` (N,) in eV/Å."""
        ...

    def get_forces(self, atoms: Atoms | None = None) -> Any:
        """Return the mean forces (N, 3) in eV/Å."""
        ...


def internal_temperature(masses: NDArray[np.float64], velocities: NDArray[np.float64]) -> float:
    """Return the kinetic temperature (K) of the motion relative to the centre of mass.

    Counts 3N − 3 degrees of freedom; a single atom, which has none, gives 0.

    Parameters
    ----------
    masses : ndarray (N,), amu
    velocities : ndarray (N, 3), ASE units
    """
    if len(masses) < 2:
        return 0.0
    momentum = masses @ velocities
    twice_kinetic = float(masses @ np.einsum("ij,ij->i", velocities, velocities))
    drift = float(momentum @ momentum) / float(masses.sum())
    return (twice_kinetic - drift) / (float(kB) * (3 * len(masses) - 3))
