"""The liquid at zero pressure: density, structure and diffusion."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.analysis.blocks import BlockAverage, block_error
from ase_mlsample.analysis.diffusion import diffusion_coefficient
from ase_mlsample.samplers.packing import AMU_PER_A3
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.liquid import LiquidSettings, liquid_frames
from ase_mlsample.validation.liquid_structure import liquid_structure
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.simulation import constant_pressure, constant_volume, thermalised

__all__ = ["liquid_properties"]

#: From which the structure is averaged, at most about so many.
FRAMES = 60
#: 1 Å²/fs in 1e-9 m²/s.
_NM2 = 1e4


@each_member
def liquid_properties(
    calc: Any,
    symbol: str,
    *,
    temperature_K: float,
    density: float,
    n_atoms: int = 216,
    equilibration_ps: float = 6.0,
    pressure_ps: float = 20.0,
    production_ps: float = 20.0,
    timestep_fs: float = 2.0,
    r_max: float = 8.0,
    q_max: float = 7.0,
    reach: float | None = None,
    seed: int = 0,
    journal: Journal | None = None,
) -> PropertyResult:
    """Melt, bring to zero pressure, measure the density; then the structure at that density.

    A grid is melted at twice the temperature and a first density, runs at constant pressure until it has
    forgotten it and then for the density, and at the mean volume, thermostatted by velocity rescaling, for
    everything else.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    symbol : str
        The element.
    temperature_K : float
    density : float
        g/cm³; where it is melted, which should be right within a tenth.
    n_atoms : int
    equilibration_ps, pressure_ps, production_ps : float
        Lengths of the runs after melting.
    timestep_fs : float
    r_max, q_max : float
        Ends of g(r), Å, and S(q), 1/Å.
    reach : float, optional
        Å, up to which atoms are neighbours; by default the first minimum of g(r), which is another one for
        each potential.
    seed : int
        Of the random numbers.
    journal : Journal, optional
        Where it goes on after a kill.

    Returns
    -------
    PropertyResult
        "density", g/cm³; "diffusion", 1e-9 m²/s; "first_peak", Å, and "peak_height" of g(r); "coordination"
        and "mean_angle", degrees, of neighbours within reach; "main_peak" of S(q), 1/Å. All with a
        statistical error. Curves "rdf", "structure_factor", "angles" and "displacement" (Å² against ps).

    Raises
    ------
    RuntimeError, FloatingPointError
        When it does not melt, or falls apart.
    """
    rng = np.random.default_rng([seed, 1])
    journal = journal or Journal()
    melt = LiquidSettings(
        frames=1,
        temperature_K=(temperature_K, temperature_K),
        density=(density, density),
        timestep_fs=timestep_fs,
    )
    start = _melted(melt, symbol, n_atoms, calc, seed=seed, journal=journal)
    atoms = thermalised(start, calc, temperature_K, rng)
    how: dict[str, Any] = {"temperature_K": temperature_K, "timestep_fs": timestep_fs, "rng": rng}
    how["journal"] = journal
    found = _at_mean_volume(atoms, equilibration_ps, pressure_ps, how)
    every = max(1, round(20 / timestep_fs))  # 20 fs
    constant_volume(atoms, duration_ps=1.0, **how)
    positions = constant_volume(
        atoms, duration_ps=production_ps, sample=lambda: atoms.positions, interval=every, **how
    )
    frames = [
        Atoms(atoms.numbers, one, cell=atoms.cell, pbc=True)
        for one in positions[:: max(1, len(positions) // FRAMES)]
    ]
    draws = np.random.default_rng([seed, 7])
    structure, curves = liquid_structure(frames, r_max=r_max, q_max=q_max, reach=reach, rng=draws)
    moved = diffusion_coefficient(positions, every * timestep_fs)
    curves["displacement"] = curve(moved.times / 1000, moved.displacement)
    at = f"at {temperature_K:g} K"
    flow = [_NM2 * value for value in (moved.coefficient, moved.error)]
    quantities = (
        Quantity("density", float(found.mean), "g/cm³", f"liquid density {at}", error=float(found.error)),
        Quantity("diffusion", flow[0], "1e-9 m²/s", f"diffusion {at}", error=flow[1]),
        *structure,
    )
    facts = {
        "atoms": n_atoms,
        "temperature_K": temperature_K,
        "pressure_ps": pressure_ps,
        "production_ps": production_ps,
        "timestep_fs": timestep_fs,
        "seed": seed,
    }
    notes = () if found.converged else ("the run is short for the density: its error is a lower bound",)
    return PropertyResult("liquid", quantities, curves, facts, notes)


def _melted(
    settings: LiquidSettings, symbol: str, n_atoms: int, calc: Any, *, seed: int, journal: Journal
) -> Atoms:
    """A liquid in a cubic box."""
    temperature, density = settings.temperature_K[0], settings.density[0]

    def melted() -> NDArray[np.float64]:
        rng = np.random.default_rng([seed, 6])
        return np.asarray(next(iter(liquid_frames(settings, symbol, n_atoms, calc, rng))).positions)

    inputs = [n_atoms, temperature, density, settings.timestep_fs, seed]
    positions = journal.kept("melting a grid", melted, inputs)
    edge = (n_atoms * atomic_masses[atomic_numbers[symbol]] * AMU_PER_A3 / density) ** (1 / 3)
    return Atoms([symbol] * n_atoms, positions, cell=[edge] * 3, pbc=True)


def _at_mean_volume(
    atoms: Atoms, equilibration_ps: float, duration_ps: float, how: dict[str, Any]
) -> BlockAverage:
    """Bring a liquid to its mean volume at zero pressure, and give the density there, g/cm³."""
    constant_pressure(atoms, duration_ps=equilibration_ps, **how)
    volumes = constant_pressure(atoms, duration_ps=duration_ps, sample=atoms.get_volume, **how)
    mass = len(atoms) * float(atomic_masses[atoms.numbers[0]]) * AMU_PER_A3
    found = block_error(mass / volumes)
    edge = (mass / found.mean) ** (1 / 3)
    atoms.set_cell(atoms.cell.array * edge / atoms.get_volume() ** (1 / 3), scale_atoms=True)
    return found
