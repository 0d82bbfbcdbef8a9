"""Equilibrium cell and bulk modulus of a crystal, from the stress of a calculator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa
from scipy.optimize import brentq

__all__ = ["BulkProperties", "bulk_properties"]


@dataclass(frozen=True, slots=True)
class BulkProperties:
    """A crystal at zero pressure.

    Attributes
    ----------
    scale
        Length at zero pressure over length as given.
    volume
        Å³/atom.
    energy
        eV/atom.
    bulk_modulus
        GPa.
    """

    scale: float
    volume: float
    energy: float
    bulk_modulus: float


def bulk_properties(
    crystal: Atoms, calculator: Any, *, search: float = 0.08, strain: float = 0.01
) -> BulkProperties:
    """Scale a crystal to zero pressure and take its bulk modulus there.

    The cell is scaled uniformly and fractional coordinates stay, which is all the freedom of a cubic crystal
    whose atoms symmetry fixes. The pressure comes from the stress, not from energy differences: ripples of
    machine-learned surfaces move a fitted minimum.

    Parameters
    ----------
    crystal
        Its lengths within `search` of equilibrium; left alone.
    calculator : ase Calculator
        Gives energy and stress.
    search
        Relative range of lengths in which zero pressure is looked for.
    strain
        Largest linear strain of the nine cells from which the modulus is taken: B = −dP/dlnV at V0, from a
        quadratic through P(ln V).

    Raises
    ------
    ValueError
        If the pressure does not change its sign in the range, going outward from the given lengths.
    """
    atoms = crystal.copy()
    atoms.calc = calculator

    def pressure(scale: float) -> float:
        atoms.set_cell(crystal.cell.array * scale, scale_atoms=True)
        return -float(np.mean(atoms.get_stress()[:3]))

    scale = _zero(pressure, search)
    logs = 3 * np.log1p(np.linspace(-strain, strain, 9))
    pressures = [pressure(scale * np.exp(log / 3)) for log in logs]
    slope = np.polynomial.Polynomial.fit(logs, pressures, 2).deriv()(0.0)
    pressure(scale)
    volume, energy = atoms.get_volume() / len(atoms), atoms.get_potential_energy() / len(atoms)
    return BulkProperties(scale, volume, float(energy), float(-slope / GPa))


def _zero(pressure: Any, search: float) -> float:
    # outward from the start, so that of several zeros (far from equilibrium) the nearest is taken
    step = search / 8
    here = pressure(1.0)
    direction = 1.0 if here > 0 else -1.0
    inner = 1.0
    for outer in 1.0 + direction * step * np.arange(1, 9):
        if pressure(outer) * here <= 0:
            return float(brentq(pressure, inner, outer, xtol=1e-8))
        inner = float(outer)
    raise ValueError(
        f"the pressure keeps its sign ({here / GPa:.3g} GPa at the start) while lengths change by "
        f"{search:.0%}: start nearer to equilibrium or raise `search`"
    )
