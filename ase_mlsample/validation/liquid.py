"""Frames of a liquid from molecular dynamics of a calculator at given densities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers
from ase.md.langevin import Langevin
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from ase_mlsample.samplers.packing import AMU_PER_A3

__all__ = ["LiquidSettings", "liquid_frames"]

PositiveRange = tuple[PositiveFloat, PositiveFloat]


class LiquidSettings(BaseModel):
    """How the liquid is made: melted from a grid, brought to its temperature, sampled.

    Attributes
    ----------
    frames
        How many in all.
    temperature_K
        Range; runs are spread evenly over it.
    density
        Range, g/cm³; drawn for each run.
    frames_per_run
        Frames taken from one melt.
    melt_K
        Temperature that destroys the grid; twice the highest `temperature_K` by default.
    melt_ps, equilibration_ps, interval_ps
        Lengths of the melting, of the equilibration, and between two frames of a run, ps.
    timestep_fs
        Time step, fs.
    friction_per_ps
        Langevin friction, 1/ps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    frames: PositiveInt = 50
    temperature_K: PositiveRange
    density: PositiveRange
    frames_per_run: PositiveInt = 5
    melt_K: PositiveFloat | None = None
    melt_ps: PositiveFloat = 2.0
    equilibration_ps: PositiveFloat = 2.0
    interval_ps: PositiveFloat = 1.0
    timestep_fs: Annotated[float, Field(gt=0, le=10)] = 2.0
    friction_per_ps: PositiveFloat = 5.0

    @model_validator(mode="after")
    def _ordered(self) -> LiquidSettings:
        for name in ("temperature_K", "density"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} = {low, high} must be an increasing range")
        return self


def liquid_frames(
    settings: LiquidSettings, symbol: str, n_atoms: int, calculator: Any, rng: np.random.Generator
) -> Iterator[Atoms]:
    """Sample the liquid at constant volume.

    Parameters
    ----------
    settings
        What to make.
    symbol
        The element.
    n_atoms
        Atoms in the cubic box.
    calculator : ase Calculator
        Drives the dynamics.
    rng
        Source of all randomness.

    Yields
    ------
    Atoms
        Without calculator and momenta; `config_type` "liquid", temperature (K), density (g/cm³) in ``info``.

    Raises
    ------
    RuntimeError
        If a run did not melt, or fell apart.
    """
    n_runs = -(-settings.frames // settings.frames_per_run)
    temperatures = np.linspace(*settings.temperature_K, n_runs)
    for run, temperature in enumerate(temperatures):
        density = rng.uniform(*settings.density)
        atoms = _grid(symbol, n_atoms, density, rng)
        atoms.calc = calculator
        melt = settings.melt_K or 2 * settings.temperature_K[1]
        _melt(atoms, settings, melt, float(temperature), rng)
        left = settings.frames - run * settings.frames_per_run
        for _ in range(min(settings.frames_per_run, left)):
            _dynamics(atoms, settings, float(temperature), settings.interval_ps, rng)
            frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            frame.wrap()
            frame.info.update(config_type="liquid", temperature_K=float(temperature), density=density)
            frame.info["source"] = "held-out liquid"
            yield frame


def _grid(symbol: str, n_atoms: int, density: float, rng: np.random.Generator) -> Atoms:
    mass = atomic_masses[atomic_numbers[symbol]] * AMU_PER_A3
    edge = (n_atoms * mass / density) ** (1 / 3)
    n = int(np.ceil(n_atoms ** (1 / 3) - 1e-9))
    points = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = points[np.sort(rng.permutation(len(points))[:n_atoms])]
    return Atoms([symbol] * n_atoms, points * (edge / n), cell=[edge] * 3, pbc=True)


def _melt(
    atoms: Atoms, settings: LiquidSettings, melt: float, temperature: float, rng: np.random.Generator
) -> None:
    thermal = np.sqrt(units.kB * melt * atoms.get_masses())[:, None]
    atoms.set_momenta(thermal * rng.standard_normal((len(atoms), 3)))
    start = atoms.positions.copy()
    _dynamics(atoms, settings, melt, settings.melt_ps, rng)
    _dynamics(atoms, settings, temperature, settings.equilibration_ps, rng)
    shift = atoms.positions - start
    moved = float(np.sqrt(np.mean(np.sum((shift - shift.mean(axis=0)) ** 2, axis=1))))
    spacing = (atoms.get_volume() / len(atoms)) ** (1 / 3)
    if not moved > spacing:
        raise RuntimeError(
            f"the liquid at {temperature:.0f} K did not melt: atoms moved {moved:.2f} Å (rms) in "
            f"{settings.melt_ps + settings.equilibration_ps} ps, the spacing is {spacing:.2f} Å; "
            "raise melt_K or melt_ps"
        )


def _dynamics(
    atoms: Atoms, settings: LiquidSettings, temperature: float, duration: float, rng: np.random.Generator
) -> None:
    integrator = Langevin(
        atoms,
        settings.timestep_fs * units.fs,
        temperature_K=temperature,
        friction=settings.friction_per_ps / (1000 * units.fs),
        fixcm=False,
        rng=rng,
    )
    integrator.run(max(1, round(duration * 1000 / settings.timestep_fs)))
    if not np.isfinite(atoms.positions).all():
        raise RuntimeError(f"the liquid at {temperature:.0f} K fell apart; lower timestep_fs or the density")
