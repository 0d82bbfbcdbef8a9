"""The melting point, from a crystal and its liquid side by side at constant enthalpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.analysis.blocks import BlockAverage, block_error
from ase_mlsample.samplers.transforms import near_cubic_repeats
from ase_mlsample.validation.journal import Journal
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal
from ase_mlsample.validation.simulation import COMPRESSIBILITY, constant_pressure, steps_of, thermalised
from ase_mlsample.validation.thermal_expansion import mean_length

__all__ = ["AxialPressure", "melting_point"]

FloatArray = NDArray[np.float64]

#: Share of crystal between which both phases are there to stay.
_BOTH = (0.15, 0.85)
_LEAST_HEAT = 0.25  # of melting, over k_BT: most elements have 0.8 and more
_EVERY = 20  # steps between samples


class AxialPressure:
    """Keeps the normal stress along z near zero by scaling the height of the cell, without noise.

    Attached to an integrator of constant energy it makes one of nearly constant enthalpy: the two faces of a
    crystal and its liquid can move, and the cross-section, which the crystal sets, stays.

    Parameters
    ----------
    integrator : ase.md.verlet.VelocityVerlet
        Whose atoms lie in an upright cell and have a calculator with stress.
    taup : float
        Time constant in ASE time units.

    References
    ----------
    H. J. C. Berendsen et al., J. Chem. Phys. 81, 3684 (1984), for one axis.
    """

    def __init__(self, integrator: Any, *, taup: float) -> None:
        self.integrator = integrator
        self.rate = COMPRESSIBILITY * float(integrator.dt) / taup

    def __call__(self) -> None:
        """Scale the height by the present normal stress."""
        atoms = self.integrator.atoms
        stress = float(atoms.get_stress(include_ideal_gas=True)[2])
        scale = 1.0 - self.rate * float(np.clip(stress, -0.05, 0.05))
        cell = atoms.cell.array.copy()
        cell[2] *= scale
        atoms.set_cell(cell, scale_atoms=True)


def _temperature(atoms: Atoms) -> float:
    return float(2 * atoms.get_kinetic_energy() / ((3 * len(atoms) - 3) * units.kB))


def _joined(crystal: Atoms, liquid: Atoms, gap: float) -> Atoms:
    """Crystal below, liquid above, with a gap at both faces."""
    below, above = crystal.copy(), liquid.copy()
    for part in (below, above):
        part.wrap()
    above.positions[:, 2] += below.cell[2, 2] + gap
    cell = below.cell.array.copy()
    cell[2, 2] += above.cell[2, 2] + 2 * gap
    both = below + above
    both.set_cell(cell)
    both.set_momenta(np.concatenate([crystal.get_momenta(), liquid.get_momenta()]))
    return both


@each_member
def melting_point(
    calc: Any,
    crystal: Atoms,
    *,
    guess_K: float,
    n_atoms: int = 1000,
    length: float = 2.5,
    duration_ps: float = 100.0,
    timestep_fs: float = 2.0,
    attempts: int = 3,
    seed: int = 0,
    journal: Journal | None = None,
) -> PropertyResult:
    """Let a crystal and its liquid share their enthalpy until they are at the temperature of coexistence.

    The crystal is brought to zero pressure at the guess; half of a bar of it, along z, is melted and joined
    again with the other half. At constant enthalpy and zero normal stress the faces move until the
    temperature is that of melting: latent heat makes it stable. Its mean over the second half counts. When
    one phase is lost, it begins anew from the temperature it was lost at.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        The conventional cell, right-angled.
    guess_K : float
        Within about a fifth.
    n_atoms : int
        Of both phases together, at most about so many.
    length : float
        Of the bar over its width.
    duration_ps, timestep_fs : float
        Of the run with both phases.
    attempts : int
        Runs until both phases last.
    seed : int
    journal : Journal, optional
        Where it goes on after a kill.

    Returns
    -------
    PropertyResult
        "temperature", K, and "enthalpy", of melting, kJ/mol, at the guess, both with a statistical error;
        the curve "temperature" against time (ps). ``facts["crystal_share"]`` is the share of crystal at the
        end, by energy.

    Raises
    ------
    RuntimeError
        When one of the phases is lost in every attempt, or turns into the other by itself.
    ValueError
        For a cell that is not right-angled.

    References
    ----------
    J. R. Morris et al., Phys. Rev. B 49, 3109 (1994).
    """
    if not crystal.cell.orthorhombic:
        raise ValueError(f"the crystal's cell must be right-angled, got {crystal.cell.cellpar().tolist()}")
    unit = relaxed_crystal(calc, crystal)
    bar = _Bar(calc, unit, n_atoms, length, timestep_fs, journal or Journal())
    temperature, lost = guess_K, ""
    for attempt in range(attempts):
        run = bar.coexist(temperature, duration_ps, np.random.default_rng([seed, 4, attempt]))
        if _BOTH[0] < run.share < _BOTH[1]:
            facts = {"guess_K": temperature, "attempt": attempt + 1, "duration_ps": duration_ps, "seed": seed}
            return _result(run, facts)
        word = "crystal" if run.share <= _BOTH[0] else "liquid"
        lost += f"; from {temperature:.0f} K the {word} was lost at {run.mean:.0f} K"
        temperature = run.mean
    raise RuntimeError(f"crystal and liquid did not coexist in {attempts} attempts{lost}; guess better")


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A run with both phases."""

    times: FloatArray  # (T,), ps
    temperatures: FloatArray  # (T,), K
    share: float  # of crystal at the end
    enthalpy: float  # of melting, eV/atom
    enthalpy_error: float
    n_atoms: int

    @property
    def late(self) -> FloatArray:
        return self.temperatures[len(self.temperatures) // 2 :]

    @property
    def mean(self) -> float:
        return float(self.late.mean())


@dataclass(frozen=True, slots=True, eq=False)
class _Bar:
    """A bar of crystal, half of which is melted."""

    calc: Any
    unit: Atoms
    n_atoms: int
    length: float
    timestep_fs: float
    journal: Journal

    def coexist(self, temperature: float, duration_ps: float, rng: np.random.Generator) -> _Run:
        cube, half = self._cells(temperature, rng)
        crystal = thermalised(half, self.calc, 2 * temperature, rng)
        self._axial(crystal, "the crystal", 1.5)
        liquid = self._melted(half, temperature, rng)
        solid = self._energy(thermalised(cube, self.calc, temperature, rng), temperature, 5.0, rng)
        fluid = self._energy(thermalised(liquid, self.calc, temperature, rng), temperature, 8.0, rng)
        heat = fluid.mean - solid.mean
        if heat < _LEAST_HEAT * units.kB * temperature:
            raise RuntimeError(
                f"at {temperature:.0f} K crystal and liquid cannot be told apart, their energies differ by "
                f"{heat:.3f} eV/atom: the crystal melts by itself there (guess lower), or the "
                "liquid freezes (guess higher)"
            )
        atoms = _joined(crystal, liquid, gap=0.3 * (half.get_volume() / len(half)) ** (1 / 3))
        for _ in range(6):  # momenta drawn anew take up what the joining releases
            atoms = thermalised(atoms, self.calc, temperature, rng)
            self._axial(atoms, "joining", 0.7, slower=2)
        atoms = thermalised(atoms, self.calc, temperature, rng)

        def sample() -> tuple[float, float]:
            return _temperature(atoms), float(atoms.get_potential_energy()) / len(atoms)

        history = self._axial(atoms, "crystal and liquid", duration_ps, sample=sample)
        temperatures, energies = history.T
        late = len(history) * 3 // 4
        # the phases' energies at the guess are moved to where the run is, harmonically
        energy = energies[late:].mean() - 1.5 * units.kB * (temperatures[late:].mean() - temperature)
        times = 1e-3 * _EVERY * self.timestep_fs * np.arange(1.0, len(history) + 1)
        return _Run(
            np.asarray(times, dtype=np.float64),
            temperatures,
            float((fluid.mean - energy) / heat),
            heat,
            float(np.hypot(fluid.error, solid.error)),
            len(atoms),
        )

    def _axial(
        self,
        atoms: Atoms,
        what: str,
        duration_ps: float,
        *,
        slower: int = 1,
        sample: Callable[[], ArrayLike] | None = None,
    ) -> FloatArray:
        """Run at constant enthalpy, with a shorter step where atoms are hot."""
        timestep_fs = self.timestep_fs / slower
        integrator = VelocityVerlet(atoms, timestep_fs * units.fs)
        integrator.attach(AxialPressure(integrator, taup=500 * units.fs))
        steps = steps_of(duration_ps, timestep_fs)
        return self.journal.run(what, integrator, steps, sample=sample, interval=_EVERY, inputs=timestep_fs)

    def _cells(self, temperature: float, rng: np.random.Generator) -> tuple[Atoms, Atoms]:
        """A cube and half of the bar, at the length that the crystal has at the temperature."""
        cube = self.unit.repeat(near_cubic_repeats(self.unit, n_atoms=(1, 216))[-1])
        length = mean_length(
            self.calc,
            cube,
            temperature_K=temperature,
            equilibration_ps=2.0,
            duration_ps=8.0,
            timestep_fs=self.timestep_fs,
            rng=rng,
            journal=self.journal,
        )
        a, b, c = length.mean * self.unit.cell.lengths()
        width = (self.n_atoms / len(self.unit) * a * b * c / self.length) ** (1 / 3)
        counts = [width / a, width / b, self.length * width / c / 2]
        half = self.unit.repeat([max(1, round(count)) for count in counts])
        for cell in (cube, half):
            cell.set_cell(cell.cell.array * length.mean, scale_atoms=True)
        return cube, half

    def _melted(self, block: Atoms, temperature: float, rng: np.random.Generator) -> Atoms:
        """Melt a block in its own cross-section, and bring it back to the temperature."""
        hot = thermalised(block, self.calc, 4 * temperature, rng)
        self._axial(hot, "melting the liquid's half", 3.0, slower=2)
        for _ in range(6):  # momenta drawn anew, as often as it takes to lose the heat
            hot = thermalised(hot, self.calc, temperature, rng)
            self._axial(hot, "cooling the liquid's half", 0.7)
        return hot

    def _energy(
        self, atoms: Atoms, temperature: float, duration_ps: float, rng: np.random.Generator
    ) -> BlockAverage:
        """Mean potential energy of an atom at zero pressure, eV, over the second half of a run."""
        energies = constant_pressure(
            atoms,
            temperature_K=temperature,
            duration_ps=duration_ps,
            timestep_fs=self.timestep_fs,
            rng=rng,
            sample=lambda: float(atoms.get_potential_energy()) / len(atoms),
            journal=self.journal,
        )
        return block_error(energies[len(energies) // 2 :])


def _result(run: _Run, facts: dict[str, Any]) -> PropertyResult:
    mean, molar = block_error(run.late), float(units.mol / units.kJ)
    quantities = (
        Quantity("temperature", float(mean.mean), "K", "melting point", error=float(mean.error)),
        Quantity(
            "enthalpy",
            run.enthalpy * molar,
            "kJ/mol",
            "enthalpy of melting",
            error=run.enthalpy_error * molar,
        ),
    )
    width = min(25, len(run.times) // 4)
    smooth = np.convolve(run.temperatures, np.full(width, 1 / width), mode="valid")
    start = width // 2
    line = curve(run.times[start : start + len(smooth)], smooth)
    more = {"atoms": run.n_atoms, "crystal_share": run.share}
    notes = () if mean.converged else ("the run is short for the temperature: its error is a lower bound",)
    return PropertyResult("melting", quantities, {"temperature": line}, facts | more, notes)
