"""Energy conservation of dynamics without a thermostat."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from ase_mlsample.samplers.transforms import near_cubic_repeats
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal
from ase_mlsample.validation.simulation import constant_energy, thermalised

__all__ = ["energy_conservation"]

FloatArray = NDArray[np.float64]

_BLOCK = 20  # samples that a point of the curve, and of the fit, is the mean of


@each_member
def energy_conservation(
    calc: Any,
    crystal: Atoms,
    *,
    temperature_K: float = 600.0,
    duration_ps: float = 20.0,
    timestep_fs: float = 2.0,
    n_atoms: int = 64,
    seed: int = 0,
    journal: Journal | None = None,
) -> PropertyResult:
    """Run a crystal at constant energy and look at what the energy does.

    Parameters
    ----------
    calc : ase Calculator
    crystal : Atoms
        Relaxed, then repeated to at most `n_atoms`.
    temperature_K : float
        About; the atoms start from rest positions with twice as much.
    duration_ps, timestep_fs : float
    n_atoms, seed : int
    journal : Journal, optional
        Where it goes on after a kill.

    Returns
    -------
    PropertyResult
        "drift", slope of the total energy, meV/atom/ps, with the error of the slope, and "fluctuation", its
        standard deviation about the line, meV/atom; the curve "energy" (meV/atom, means of 100
        steps) against time (ps).

    Raises
    ------
    ValueError
        For less than 300 steps.
    """
    unit = relaxed_crystal(calc, crystal)
    cell = unit.repeat(near_cubic_repeats(unit, n_atoms=(1, n_atoms))[-1])
    atoms = thermalised(cell, calc, 2 * temperature_K, np.random.default_rng([seed, 2]))

    def sample() -> tuple[float, float]:
        return float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())

    how: dict[str, Any] = {"duration_ps": duration_ps, "timestep_fs": timestep_fs, "journal": journal}
    potential, kinetic = constant_energy(atoms, sample=sample, interval=5, **how).T
    energies = potential + kinetic
    time = np.asarray(5e-3 * timestep_fs * np.arange(1, len(energies) + 1), dtype=np.float64)
    values = 1000 * (energies - energies[0]) / len(atoms)
    smooth = _means(time), _means(values)
    slope, offset, error = _line(*smooth)
    scatter = float(np.std(values - slope * time - offset))
    quantities = (
        Quantity("drift", slope, "meV/atom/ps", "energy drift", error=error),
        Quantity("fluctuation", scatter, "meV/atom", "energy fluctuation"),
    )
    facts = {
        "atoms": len(atoms),
        "mean_temperature_K": float(2 * kinetic.mean() / ((3 * len(atoms) - 3) * units.kB)),
        "timestep_fs": timestep_fs,
        "duration_ps": duration_ps,
        "seed": seed,
    }
    line = curve(smooth[0], smooth[1] - smooth[1][0])
    return PropertyResult("conservation", quantities, {"energy": line}, facts)


def _means(values: FloatArray) -> FloatArray:
    """Means of blocks of samples, (K,)."""
    blocks = len(values) // _BLOCK
    return np.asarray(values[: blocks * _BLOCK].reshape(blocks, _BLOCK).mean(axis=1))


def _line(time: FloatArray, values: FloatArray) -> tuple[float, float, float]:
    """Slope and offset of a line through means of blocks, and the error of the slope.

    Samples that follow each other at 10 fs are not independent, as the usual error of a slope has it; means
    over 100 steps nearly are.
    """
    if len(values) < 3:
        raise ValueError(f"{len(values)} blocks of 100 steps give no error of a drift; raise duration_ps")
    (slope, offset), covariance = np.polyfit(time, values, 1, cov=True)
    return float(slope), float(offset), float(np.sqrt(covariance[0, 0]))
