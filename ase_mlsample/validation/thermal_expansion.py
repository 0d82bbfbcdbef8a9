"""Thermal expansion of a cubic crystal by molecular dynamics at zero pressure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.analysis.blocks import BlockAverage, block_error
from ase_mlsample.samplers.transforms import near_cubic_repeats
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal
from ase_mlsample.validation.simulation import constant_pressure, thermalised

__all__ = ["expansion_by_dynamics", "mean_length"]


def mean_length(
    calc: Any,
    supercell: Atoms,
    *,
    temperature_K: float,
    equilibration_ps: float,
    duration_ps: float,
    timestep_fs: float,
    rng: np.random.Generator,
    journal: Journal | None = None,
) -> BlockAverage:
    """Mean length of a crystal at zero pressure over its length as given, with its standard error.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    supercell : Atoms
        At rest.
    temperature_K, equilibration_ps, duration_ps, timestep_fs : float
    rng : numpy.random.Generator
    journal : Journal, optional
        Where it goes on after a kill.
    """
    atoms = thermalised(supercell, calc, 2 * temperature_K, rng)
    first = float(supercell.get_volume())
    how: dict[str, Any] = {
        "temperature_K": temperature_K,
        "timestep_fs": timestep_fs,
        "rng": rng,
        "journal": journal,
    }
    constant_pressure(atoms, duration_ps=equilibration_ps, **how)
    volumes = constant_pressure(atoms, duration_ps=duration_ps, sample=atoms.get_volume, **how)
    return block_error(np.cbrt(volumes / first))


@each_member
def expansion_by_dynamics(
    calc: Any,
    crystal: Atoms,
    *,
    temperatures_K: Sequence[float] = (300.0, 500.0, 700.0, 900.0),
    n_atoms: int = 216,
    equilibration_ps: float = 5.0,
    duration_ps: float = 40.0,
    timestep_fs: float = 2.0,
    seed: int = 0,
    journal: Journal | None = None,
) -> PropertyResult:
    """Mean lengths at several temperatures, of classical atoms: below the Debye temperature they expand more.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        The conventional cell of a cubic crystal.
    temperatures_K : sequence of float
        At least two.
    n_atoms : int
        Of the supercell, at most.
    equilibration_ps, duration_ps, timestep_fs : float
        Of each run.
    seed : int
    journal : Journal, optional
        Where it goes on after a kill.

    Returns
    -------
    PropertyResult
        "expansion", the linear coefficient from a line through all lengths, 1e-6/K, with a statistical error;
        "length", at the lowest temperature over that of the static crystal. The curve "length" against
        temperature.
    """
    if len(temperatures_K) < 2:
        raise ValueError(f"a slope needs at least two temperatures, got {temperatures_K}")
    unit = relaxed_crystal(calc, crystal)
    supercell = unit.repeat(near_cubic_repeats(unit, n_atoms=(1, n_atoms))[-1])
    found = [
        mean_length(
            calc,
            supercell,
            temperature_K=temperature,
            equilibration_ps=equilibration_ps,
            duration_ps=duration_ps,
            timestep_fs=timestep_fs,
            rng=np.random.default_rng([seed, 3, round(temperature)]),
            journal=journal,
        )
        for temperature in temperatures_K
    ]
    lengths, errors = np.array([(one.mean, one.error) for one in found]).T
    x = np.asarray(temperatures_K, float)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slope, error = weights @ lengths, np.sqrt(weights**2 @ errors**2)
    quantities = (
        Quantity(
            "expansion",
            float(1e6 * slope / lengths.mean()),
            "1e-6/K",
            f"linear expansion, {x.min():g} to {x.max():g} K",
            error=float(1e6 * error / lengths.mean()),
        ),
        Quantity("length", float(lengths[0]), "", f"length at {x[0]:g} K over static", float(errors[0])),
    )
    facts = {"atoms": len(supercell), "duration_ps": duration_ps, "timestep_fs": timestep_fs, "seed": seed}
    short = [f"{at:g} K" for at, one in zip(x, found, strict=True) if not one.converged]
    notes = (f"runs are short at {', '.join(short)}: errors are lower bounds",) if short else ()
    return PropertyResult("expansion", quantities, {"length": curve(x, lengths)}, facts, notes)
