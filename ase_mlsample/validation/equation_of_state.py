"""Energy against volume of crystals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ase_mlsample.analysis import fit_equation_of_state
from ase_mlsample.validation.crystals import crystal_of
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal

__all__ = ["equations_of_state"]


@each_member
def equations_of_state(
    calc: Any,
    symbol: str,
    *,
    prototypes: Sequence[str] = ("diamond",),
    compression: tuple[float, float] = (0.8, 1.2),
    points: int = 41,
    window: float = 0.06,
) -> PropertyResult:
    """Energies of crystals scaled uniformly around their relaxed cells, and a Birch–Murnaghan fit.

    The curve spans the whole range; the fit takes nine more points within `window` of the minimum only, where
    three terms are enough.

    Parameters
    ----------
    calc : ase Calculator
    symbol : str
        The element.
    prototypes : sequence of str
        The first one is the ground state, from whose minimum energies count; others that do not relax are
        noted and left out.
    compression : (float, float)
        Smallest and largest volume, relative to the relaxed one.
    points : int
        Of each curve.
    window : float
        Relative change of volume up to which the fit goes.

    Returns
    -------
    PropertyResult
        "volume", Å³/atom, "bulk", GPa, and "derivative" dB/dP of each prototype, as in "bulk.diamond"; curves
        of energy (eV/atom) against volume (Å³/atom) by prototype.
    """
    quantities: list[Quantity] = []
    curves, notes = {}, []
    zero: float | None = None
    for name in prototypes:
        try:
            start = relaxed_crystal(calc, crystal_of(symbol, name))
        except RuntimeError as error:
            if zero is None:
                raise
            notes.append(f"{name} left out: {error}")
            continue
        zero = float(start.get_potential_energy()) / len(start) if zero is None else zero
        near = _energies(calc, start, np.linspace(1 - window, 1 + window, 9))
        fit = fit_equation_of_state(*near)
        quantities += [
            Quantity(f"volume.{name}", fit.volume, "Å³/atom", f"{name} equilibrium volume"),
            Quantity(f"bulk.{name}", fit.bulk_modulus_GPa, "GPa", f"{name} bulk modulus"),
            Quantity(f"derivative.{name}", fit.derivative, "", f"{name} dB/dP"),
        ]
        volumes, energies = _energies(calc, start, np.linspace(compression[0], compression[1], points))
        curves[name] = curve(volumes, energies - zero)
    facts = {"compression": list(compression), "fit": "Birch–Murnaghan", "fit_window": window}
    return PropertyResult("eos", tuple(quantities), curves, facts, tuple(notes))


def _energies(calc: Any, crystal: Any, ratios: Any) -> tuple[Any, Any]:
    """Volumes and energies per atom of scaled copies."""
    volumes, energies = [], []
    for ratio in ratios:
        atoms = crystal.copy()
        atoms.set_cell(crystal.cell.array * ratio ** (1 / 3), scale_atoms=True)
        atoms.calc = calc
        volumes.append(atoms.get_volume() / len(atoms))
        energies.append(atoms.get_potential_energy() / len(atoms))
    return np.array(volumes), np.array(energies)
