"""Thermal expansion in the quasi-harmonic approximation."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray

from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.phonons import harmonic, thermal_functions
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal

__all__ = ["quasi_harmonic_expansion"]


@each_member
def quasi_harmonic_expansion(
    calc: Any,
    crystal: Atoms,
    *,
    temperature_K: float = 300.0,
    highest_K: float = 800.0,
    stretch: tuple[float, float] = (0.985, 1.02),
    points: int = 8,
    width: float = 15.0,
    mesh: int = 16,
    journal: Journal | None = None,
) -> PropertyResult:
    """Minimise E(V) + F_vib(V, T) over volumes of a crystal that is scaled uniformly.

    Parameters
    ----------
    calc : ase Calculator
    crystal : Atoms
        A primitive cell of a cubic crystal, whose shape and positions do not change with the volume.
    temperature_K : float
        For which numbers are given.
    highest_K : float
        End of the curves.
    stretch : (float, float)
        Smallest and largest length, relative to the relaxed one.
    points : int
        Volumes.
    width, mesh
        As of `phonons`.
    journal : Journal, optional
        Where it goes on after a kill, with the next volume.

    Returns
    -------
    PropertyResult
        "expansion", the linear coefficient in 1e-6/K, "bulk", the isothermal bulk modulus in GPa, "length",
        the length at the temperature over that of the static crystal. Curves "expansion" and "length" against
        temperature.

    Raises
    ------
    RuntimeError
        When the crystal is unstable at one of the volumes.
    ValueError
        When the minimum at the highest temperature is outside the volumes.

    References
    ----------
    A. Togo, I. Tanaka, Scr. Mater. 108, 1 (2015).
    """
    ground = relaxed_crystal(calc, crystal)
    temperatures = np.arange(0.0, highest_K + 40.0, 20.0)
    ratios = np.linspace(stretch[0], stretch[1], points)
    journal = journal or Journal()
    volumes, energies = np.empty(points), np.empty((points, len(temperatures)))
    for number, ratio in enumerate(ratios):
        atoms = ground.copy()
        atoms.set_cell(ground.cell.array * ratio, scale_atoms=True)
        volumes[number] = atoms.get_volume() / len(atoms)
        energies[number] = journal.kept(
            f"volume {number + 1} of {points}",
            partial(_free_energies, calc, atoms, temperatures, width, mesh),
            atoms.positions,
            atoms.cell.array,
            temperatures,
            [width, mesh],
        )
    best, bulk = np.array([_minimum(volumes, row) for row in energies.T]).T
    if not (volumes.min() < best.min() and best.max() < volumes.max()):
        raise ValueError(
            f"the volume goes from {best.min():.2f} to {best.max():.2f} Å³/atom up to {highest_K:g} K, "
            f"beyond those that were looked at ({volumes.min():.2f} to {volumes.max():.2f}): widen stretch"
        )
    linear = 1e6 * np.gradient(np.log(best), temperatures) / 3
    length = (best / (ground.get_volume() / len(ground))) ** (1 / 3)

    def at(values: Any) -> float:
        return float(np.interp(temperature_K, temperatures, values))

    word = f"at {temperature_K:g} K"
    quantities = (
        Quantity("expansion", at(linear), "1e-6/K", f"linear expansion {word}"),
        Quantity("bulk", at(bulk), "GPa", f"bulk modulus {word}"),
        Quantity("length", at(length), "", f"length {word} over static"),
    )
    shown = temperatures <= highest_K
    curves = {
        "expansion": curve(temperatures[shown], linear[shown]),
        "length": curve(temperatures[shown], length[shown]),
    }
    facts = {"volumes": points, "stretch": list(stretch), "equation_of_state": "Birch–Murnaghan"}
    return PropertyResult("expansion_qha", quantities, curves, facts)


def _free_energies(
    calc: Any, atoms: Atoms, temperatures: NDArray[np.float64], width: float, mesh: int
) -> NDArray[np.float64]:
    """E + F_vib at one volume, eV/atom."""
    atoms.calc = calc
    static = float(atoms.get_potential_energy()) / len(atoms)
    free, _, _ = thermal_functions(harmonic(calc, atoms, width=width), temperatures, mesh=mesh)
    return static + free / 1000


def _minimum(volumes: NDArray[np.float64], energies: NDArray[np.float64]) -> tuple[float, float]:
    """Volume and bulk modulus (GPa) at the minimum of the Birch–Murnaghan form, which is cubic in V^(−2/3).

    A linear fit: its minimum is as smooth a function of the temperature as the energies are.
    """
    middle = volumes.mean()
    cubic = np.polynomial.Polynomial.fit((volumes / middle) ** (-2 / 3), energies, 3)
    slope, curvature = cubic.deriv(), cubic.deriv(2)
    roots = [float(root.real) for root in slope.roots() if abs(root.imag) < 1e-9 and curvature(root.real) > 0]
    if not roots:
        raise ValueError("the free energy has no minimum among volumes; widen stretch or lower highest_K")
    x = min(roots, key=lambda root: abs(root - 1))
    volume = float(middle * x**-1.5)
    # d²E/dV² = E'' x'², as E' = 0, with x = (V/V_m)^(−2/3)
    second = float(curvature(x)) * (2 / 3 * x / volume) ** 2
    return volume, volume * second / float(GPa)
