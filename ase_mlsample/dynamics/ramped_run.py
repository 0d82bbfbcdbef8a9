"""One trajectory along ramps: its state, its checks, and what becomes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from numpy.typing import NDArray

from ase_mlsample.dynamics.base import internal_temperature
from ase_mlsample.dynamics.gate import GateReading
from ase_mlsample.dynamics.guards import Guards

if TYPE_CHECKING:
    from ase_mlsample.dynamics.ramps import RampedMD

__all__ = ["Ramp", "RampedRun", "RunSummary"]

Window = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ramp:
    """A quantity in time, X(t) = start (1 − t/τ) + end t/τ + amplitude sin²(π t / period).

    The form of the ANI metal potentials' sampling [J. S. Smith et al., Nat. Commun. 12, 1257, 2021]. Times in
    femtoseconds; the quantity in any unit.
    """

    start: float
    end: float
    amplitude: float
    period_fs: float
    duration_fs: float

    def __call__(self, time_fs: float) -> float:
        """Return X at a time."""
        share = time_fs / self.duration_fs
        wave = math.sin(math.pi * time_fs / self.period_fs) ** 2
        return self.start * (1 - share) + self.end * share + self.amplitude * wave


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What became of one trajectory.

    Attributes
    ----------
    stop_reason : str
        "finished", "uncertain", "unphysical", "exploded", "collapsed" or "failed".
    detail : str
        What exactly, where there is more to say.
    steps : int
    time_fs : float
    evaluations : int
        Passes through the model, those of the checks included.
    checks : int
        Passes that evaluated the members' disagreement.
    force_sigma_max : float
        Largest calibrated disagreement seen, eV/Å; NaN without a gate.
    """

    stop_reason: str
    detail: str
    steps: int
    time_fs: float
    evaluations: int
    checks: int
    force_sigma_max: float


class RampedRun:
    """State of one trajectory of :class:`RampedMD`."""

    def __init__(self, plan: RampedMD, calc: Any, start: Atoms, rng: np.random.Generator) -> None:
        self.plan, self.calc = plan, calc
        self.n_steps = max(1, round(1000 * float(rng.uniform(*plan.duration_ps)) / plan.timestep_fs))
        duration_fs = self.n_steps * plan.timestep_fs  # of whole steps, so that ramps end where they should
        windows = plan.temperature_K, plan.end_temperature_K, plan.amplitude_K, plan.period_ps
        self.temperature = _drawn(windows, duration_fs, rng)
        self.density: Ramp | None = None
        if plan.density is not None:
            windows = plan.density, plan.density, plan.density_amplitude, plan.period_ps
            self.density = _drawn(windows, duration_fs, rng)
        self.step = self.evaluations = self.checks = 0
        self.reason = self.detail = ""
        self.sigma_max = math.nan
        self.start_info = dict(start.info)
        self.atoms = start.copy()
        self.atoms.info, self.cell = {}, np.array(start.cell.array)
        self.atoms.calc = calc
        thermalize_momenta(self.atoms, self.temperature(0.0), rng=rng)
        Stationary(self.atoms, preserve_temperature=False)
        self.masses: NDArray[np.float64] = self.atoms.get_masses()
        # fixcm=False: removing the drift of the noise at every step does not sample the right distribution
        self.dynamics = Langevin(
            self.atoms,
            plan.timestep_fs * units.fs,
            temperature_K=self.temperature(0.0),
            friction=plan.friction_per_ps / (1000 * units.fs),
            fixcm=False,
            rng=rng,
        )
        self.sane: tuple[int, Atoms] | None = None

    @property
    def time_fs(self) -> float:
        """Time of the current step."""
        return self.step * self.plan.timestep_fs

    def density_scale(self, step: int) -> float:
        """Return the density at the last check up to a step, relative to the start."""
        if self.density is None:
            return 1.0
        checked = step if step == self.n_steps else step - step % self.plan.check_every
        return self.density(checked * self.plan.timestep_fs)

    def check(self) -> Atoms | None:
        """Scale the cell, look at the uncertainty, and return the frame if it is to be kept."""
        if self.density is not None:
            cell = self.cell * self.density_scale(self.step) ** (-1 / 3)
            self.atoms.set_cell(cell, scale_atoms=True)
        number = -(-self.step // self.plan.check_every)
        last = self.step == self.n_steps
        reading = None
        if self.plan.gate is not None:
            reading = self._read(self.atoms)
            if reading is None:
                return None
            if reading.decision != "accurate":
                self.reason = "uncertain" if reading.decision == "candidate" else "unphysical"
                self.detail = f"{reading.value:.4g} at the gate"
            else:
                self.sane = None  # frames before an accurate one are no candidates
        if not self.reason and last:
            self.reason = "finished"
        wanted = self.plan.keep_every is not None and number > 0 and number % self.plan.keep_every == 0
        if self.reason == "uncertain" or (wanted and self.reason != "unphysical"):
            return self._frame(self.atoms, self.step, self.reason or "running", reading)
        return None

    def _read(self, atoms: Atoms) -> GateReading | None:
        """Ask the gate; a calculator that fails after the first step ends the run."""
        assert self.plan.gate is not None  # noqa: S101 (for the type checker)
        self.evaluations += 1
        self.checks += 1
        try:
            reading = self.plan.gate.check(self.calc, atoms)
        except (ValueError, ArithmeticError, CalculationFailed) as error:
            if self.step == 0:
                raise  # the structure given was wrong, not the dynamics
            self.reason, self.detail = "failed", f"{type(error).__name__}: {error}"
            return None
        self.sigma_max = float(np.fmax(self.sigma_max, reading.force_sigma_max))
        return reading

    def advance(self) -> None:
        """Move on to the next check, or to the step at which a guard fires."""
        plan, guards, dynamics = self.plan, self.plan.guards, self.dynamics
        target = min(self.n_steps, self.step + plan.check_every)
        forces = None
        while self.step < target:
            try:
                if forces is None and (self.step == 0 or self.density is not None) and plan.gate is None:
                    self.evaluations += 1  # the check would have paid for it
                dynamics.set_temperature(temperature_K=self.temperature(self.time_fs))
                forces = dynamics.step(forces)
            except (ValueError, ArithmeticError, CalculationFailed) as error:
                if self.step == 0:
                    raise
                self.reason, self.detail = "failed", f"{type(error).__name__}: {error}"
                return
            self.step += 1
            self.evaluations += 1
            if self._stopped(guards, forces):
                return

    def _stopped(self, guards: Guards, forces: NDArray[np.float64]) -> bool:
        velocities = self.dynamics.v
        fastest = math.sqrt(float(np.einsum("ij,ij->i", velocities, velocities).max()))
        kinetic = internal_temperature(self.masses, velocities)
        found = guards.motion(
            forces,
            step_length=fastest * self.dynamics.dt,
            kinetic_K=kinetic,
            target_K=self.temperature(self.time_fs),
            time_fs=self.time_fs,
        )
        at_check = self.step % self.plan.check_every == 0 or self.step == self.n_steps
        looked = at_check or self.step % guards.every == 0
        if not found and looked:
            found = guards.contacts(self.atoms)
            if not found and not at_check:  # the gate sees the frames of checks itself
                self.sane = (self.step, _bare(self.atoms))
        if found:
            self.reason, _, self.detail = found.partition(": ")
        return bool(found)

    def look_back(self) -> Atoms | None:
        """Return the last sane frame if the gate takes it for a candidate."""
        if self.plan.gate is None or self.sane is None:
            return None
        step, atoms = self.sane
        stopped = self.reason, self.detail
        reading = self._read(atoms)
        self.reason, self.detail = stopped
        if reading is None or reading.decision != "candidate":
            return None
        return self._frame(atoms, step, self.reason, reading)

    def _frame(self, atoms: Atoms, step: int, reason: str, reading: GateReading | None) -> Atoms:
        frame = _bare(atoms)
        frame.wrap()
        time_fs = step * self.plan.timestep_fs
        ramp = self.temperature
        frame.info = {
            "config_type": self.start_info.get("config_type", "unknown"),
            "source": "RampedMD",
            "start_source": self.start_info.get("source", "unknown"),
            "stop_reason": reason,
            "time_fs": time_fs,
            "temperature_K": ramp(time_fs),
            "density_scale": self.density_scale(step),
            "evaluations": self.evaluations,
            "ramp_start_K": ramp.start,
            "ramp_end_K": ramp.end,
            "ramp_amplitude_K": ramp.amplitude,
            "ramp_period_ps": ramp.period_fs / 1000,
            "ramp_duration_ps": ramp.duration_fs / 1000,
        }
        if self.density is not None:
            frame.info |= {"ramp_density_start": self.density.start, "ramp_density_end": self.density.end}
        if reading is not None:
            frame.info["force_sigma_max"] = reading.force_sigma_max
            frame.arrays["force_sigma"] = np.array(reading.force_sigma)
        return frame

    def summary(self) -> RunSummary:
        """Return what became of the run."""
        return RunSummary(
            stop_reason=self.reason,
            detail=self.detail,
            steps=self.step,
            time_fs=self.time_fs,
            evaluations=self.evaluations,
            checks=self.checks,
            force_sigma_max=self.sigma_max,
        )


def _drawn(
    windows: tuple[Window, Window, Window, Window], duration_fs: float, rng: np.random.Generator
) -> Ramp:
    """Draw a ramp from the windows of start, end, amplitude and period (ps)."""
    start, end, amplitude, period_ps = (float(rng.uniform(low, high)) for low, high in windows)
    return Ramp(start, end, amplitude, 1000 * period_ps, duration_fs)


def _bare(atoms: Atoms) -> Atoms:
    """Return a copy of the structure alone."""
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
