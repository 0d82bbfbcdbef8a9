"""Short molecular dynamics for properties: constant pressure, constant volume, constant energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.dynamics.bussi import BussiThermostat
from ase_mlsample.dynamics.rescaling import StochasticCellRescaling
from ase_mlsample.validation.journal import Journal

__all__ = ["constant_energy", "constant_pressure", "constant_volume", "steps_of", "thermalised"]

FloatArray = NDArray[np.float64]

#: Å³/eV, of the barostat; only its ratio to the time constant matters, and averages depend on neither.
COMPRESSIBILITY = 2.0


def steps_of(duration_ps: float, timestep_fs: float) -> int:
    """Steps of a duration, at least one."""
    return max(1, round(1000 * duration_ps / timestep_fs))


def thermalised(atoms: Atoms, calc: Any, temperature_K: float, rng: np.random.Generator) -> Atoms:
    """Copy the atoms with a calculator and random momenta whose sum is zero.

    Parameters
    ----------
    atoms : Atoms
    calc : ase Calculator
    temperature_K : float
        Of the momenta. A crystal at rest shares its energy with the potential: give twice its temperature.
    rng : numpy.random.Generator
    """
    copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    copy.calc = calc
    masses = copy.get_masses()[:, None]
    momenta = np.sqrt(units.kB * temperature_K * masses) * rng.standard_normal((len(copy), 3))
    copy.set_momenta(momenta - masses / masses.sum() * momenta.sum(axis=0))
    return copy


def constant_pressure(
    atoms: Atoms,
    *,
    temperature_K: float,
    duration_ps: float,
    timestep_fs: float,
    rng: np.random.Generator,
    pressure_GPa: float = 0.0,
    sample: Callable[[], ArrayLike] | None = None,
    interval: int = 10,
    journal: Journal | None = None,
) -> FloatArray:
    """Run at constant temperature and pressure by stochastic cell rescaling; the atoms move on.

    Parameters
    ----------
    atoms : Atoms
        With momenta and a calculator that gives the stress.
    temperature_K, duration_ps, timestep_fs, pressure_GPa : float
    rng : numpy.random.Generator
    sample : callable, optional
        Gives numbers, always as many, every `interval` steps.
    interval : int
    journal : Journal, optional
        Where the run goes on after a kill.

    Returns
    -------
    (samples, ...) array
        Empty without `sample`.

    Raises
    ------
    FloatingPointError
        When the volume leaves the range of a half to twice the first, or is not a number.
    """
    integrator = StochasticCellRescaling(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature_K,
        compressibility_au=COMPRESSIBILITY,
        pressure_au=pressure_GPa * units.GPa,
        taup=500 * units.fs,
        rng=rng,
    )
    first = float(atoms.get_volume())

    def look() -> ArrayLike:
        _require_bounded(atoms, first, temperature_K)
        return () if sample is None else sample()

    return (journal or Journal()).run(
        f"constant pressure at {temperature_K:.0f} K",
        integrator,
        steps_of(duration_ps, timestep_fs),
        sample=look,
        interval=interval,
        rng=rng,
        inputs=[temperature_K, pressure_GPa, timestep_fs],
    )


def constant_volume(
    atoms: Atoms,
    *,
    temperature_K: float,
    duration_ps: float,
    timestep_fs: float,
    rng: np.random.Generator,
    sample: Callable[[], ArrayLike] | None = None,
    interval: int = 10,
    journal: Journal | None = None,
) -> FloatArray:
    """Run at constant temperature and volume by stochastic velocity rescaling, which leaves diffusion alone.

    Parameters
    ----------
    atoms : Atoms
        With momenta and a calculator; they move on.
    temperature_K, duration_ps, timestep_fs : float
    rng : numpy.random.Generator
    sample, interval, journal
        As of :func:`constant_pressure`, like what is returned.
    """
    integrator = VelocityVerlet(atoms, timestep_fs * units.fs)
    thermostat = BussiThermostat(
        temperature_K=temperature_K, taut=100 * units.fs, degrees_of_freedom=3 * len(atoms) - 3, rng=rng
    )
    integrator.thermostat = thermostat  # a part of it, with its generator, for checkpoints
    integrator.attach(lambda: thermostat.apply(atoms, integrator.dt))
    return (journal or Journal()).run(
        f"constant volume at {temperature_K:.0f} K",
        integrator,
        steps_of(duration_ps, timestep_fs),
        sample=sample,
        interval=interval,
        rng=rng,
        inputs=[temperature_K, timestep_fs],
    )


def constant_energy(
    atoms: Atoms,
    *,
    duration_ps: float,
    timestep_fs: float,
    sample: Callable[[], ArrayLike] | None = None,
    interval: int = 10,
    journal: Journal | None = None,
) -> FloatArray:
    """Run at constant energy; parameters and what is returned as of :func:`constant_volume`."""
    integrator = VelocityVerlet(atoms, timestep_fs * units.fs)
    return (journal or Journal()).run(
        "constant energy",
        integrator,
        steps_of(duration_ps, timestep_fs),
        sample=sample,
        interval=interval,
        inputs=timestep_fs,
    )


def _require_bounded(atoms: Atoms, first: float, temperature: float) -> None:
    ratio = float(atoms.get_volume()) / first
    if not 0.5 < ratio < 2.0:
        raise FloatingPointError(
            f"the volume became {ratio:.3g} times what it was at {temperature:.0f} K and the given pressure: "
            "the potential does not hold this phase together"
        )
