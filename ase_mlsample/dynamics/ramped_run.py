"""One trajectory along a programme: its state, its checks, and what becomes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed, PropertyNotImplementedError
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from numpy.typing import NDArray

from ase_mlsample.dynamics.base import internal_temperature
from ase_mlsample.dynamics.gate import GateReading
from ase_mlsample.dynamics.programme import Programme
from ase_mlsample.dynamics.rescaling import StochasticCellRescaling, cell_volume, plain
from ase_mlsample.dynamics.snapshot import Snapshot

if TYPE_CHECKING:
    from ase_mlsample.dynamics.explorer import RunSettings

__all__ = ["RampedRun", "RunSummary"]


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
    """State of one trajectory of an explorer."""

    def __init__(
        self,
        settings: RunSettings,
        programme: Programme,
        calc: Any,
        start: Atoms,
        rng: np.random.Generator,
        *,
        source: str,
    ) -> None:
        self.settings, self.programme, self.calc, self.rng = settings, programme, calc, rng
        self.source, self.start_info = source, dict(start.info)
        if programme.density is not None and not (start.pbc.all() and start.cell.rank == 3):
            raise ValueError(
                "a density ramp needs a cell that is periodic in three directions; pass density=None"
            )
        self.step = self.evaluations = self.checks = 0
        self.reason = self.detail = ""
        self.sigma_max = math.nan
        self.atoms = start.copy()
        self.atoms.info, self.cell = {}, np.array(start.cell.array)
        self.atoms.calc = calc
        thermalize_momenta(self.atoms, programme.temperature(0.0), rng=rng)
        Stationary(self.atoms, preserve_temperature=False)
        self.masses: NDArray[np.float64] = self.atoms.get_masses()
        self.dynamics = self._integrator()
        self.sane: tuple[int, Atoms] | None = None

    def _integrator(self) -> Any:
        settings, programme = self.settings, self.programme
        common: dict[str, Any] = {
            "timestep": settings.timestep_fs * units.fs,
            "temperature_K": programme.temperature(0.0),
            "rng": self.rng,
        }
        if programme.pressure is None:
            # fixcm=False: removing the drift of the noise at every step samples the wrong distribution
            friction = settings.friction_per_ps / (1000 * units.fs)
            return Langevin(self.atoms, friction=friction, fixcm=False, **common)
        if "stress" not in getattr(self.calc, "implemented_properties", ("stress",)):
            raise PropertyNotImplementedError(
                f"{type(self.calc).__name__} gives no stress, which a pressure needs; "
                "leave pressure_GPa out, or take a calculator with stress"
            )
        return StochasticCellRescaling(
            self.atoms,
            pressure_au=programme.pressure(0.0) * units.GPa,
            taut=settings.thermostat_fs * units.fs,
            taup=settings.barostat_fs * units.fs,
            compressibility_au=settings.compressibility_per_GPa / units.GPa,
            **common,
        )

    @property
    def time_fs(self) -> float:
        """Time of the current step."""
        return self.step * self.settings.timestep_fs

    @property
    def at_check(self) -> bool:
        """Whether the present step is one of those that are checked."""
        return self.step % self.settings.check_every == 0 or self.step == self.programme.n_steps

    def density_scale(self, step: int) -> float:
        """Return the density of the programme at the last check up to a step, relative to the start."""
        if self.programme.density is None:
            return 1.0
        checked = step if step == self.programme.n_steps else step - step % self.settings.check_every
        return self.programme.density(checked * self.settings.timestep_fs)

    def check(self) -> Atoms | None:
        """Scale the cell, look at the uncertainty, and return the frame if it is to be kept."""
        settings = self.settings
        if self.programme.density is not None:
            cell = self.cell * self.density_scale(self.step) ** (-1 / 3)
            self.atoms.set_cell(cell, scale_atoms=True)
        number = -(-self.step // settings.check_every)
        last = self.step == self.programme.n_steps
        reading = None
        if settings.gate is not None:
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
        wanted = settings.keep_every is not None and number > 0 and number % settings.keep_every == 0
        if self.reason == "uncertain" or (wanted and self.reason != "unphysical"):
            return self._frame(self.atoms, self.step, self.reason or "running", reading)
        return None

    def _read(self, atoms: Atoms) -> GateReading | None:
        """Ask the gate; a calculator that fails after the first step ends the run."""
        assert self.settings.gate is not None  # noqa: S101 (for the type checker)
        self.evaluations += 1
        self.checks += 1
        try:
            reading = self.settings.gate.check(self.calc, atoms)
        except (ValueError, ArithmeticError, CalculationFailed) as error:
            if self.step == 0:
                raise  # the structure given was wrong, not the dynamics
            self.reason, self.detail = "failed", f"{type(error).__name__}: {error}"
            return None
        self.sigma_max = float(np.fmax(self.sigma_max, reading.force_sigma_max))
        return reading

    def advance(self) -> None:
        """Move on to the next check, or to the step at which a guard fires."""
        settings, programme, dynamics = self.settings, self.programme, self.dynamics
        target = min(programme.n_steps, self.step + settings.check_every)
        forces = None
        while self.step < target:
            try:
                changed = self.step == 0 or programme.density is not None
                if forces is None and changed and settings.gate is None:
                    self.evaluations += 1  # the check would have paid for it
                dynamics.set_temperature(temperature_K=programme.temperature(self.time_fs))
                if programme.pressure is not None:
                    dynamics.set_pressure(pressure_au=programme.pressure(self.time_fs) * units.GPa)
                forces = dynamics.step(forces)
            except (ValueError, ArithmeticError, CalculationFailed) as error:
                if self.step == 0:
                    raise
                self.reason, self.detail = "failed", f"{type(error).__name__}: {error}"
                return
            self.step += 1
            self.evaluations += 1
            if self._stopped(forces):
                return
            if self._moved_on():
                forces = None  # they are others now

    def _moved_on(self) -> bool:
        """Do what a step is followed by, and return whether it changed the forces."""
        return False

    def _stopped(self, forces: NDArray[np.float64]) -> bool:
        guards = self.settings.limits
        velocities = self.atoms.arrays["momenta"] / self.masses[:, None]
        fastest = math.sqrt(float(np.einsum("ij,ij->i", velocities, velocities).max()))
        found = guards.motion(
            forces,
            step_length=fastest * self.dynamics.dt,
            kinetic_K=internal_temperature(self.masses, velocities),
            target_K=self.programme.temperature(self.time_fs),
            time_fs=self.time_fs,
        )
        if not found and self.programme.pressure is not None:
            found = guards.volume(self._swelling(self.atoms))
        if not found and (self.at_check or self.step % guards.every == 0):
            found = guards.contacts(self.atoms)
            if not found and not self.at_check:  # the gate sees the frames of checks itself
                self.sane = (self.step, _bare(self.atoms))
        if found:
            self.reason, _, self.detail = found.partition(": ")
        return bool(found)

    def _swelling(self, atoms: Atoms) -> float:
        """Volume relative to the start."""
        return cell_volume(atoms.cell.array) / cell_volume(self.cell)

    def look_back(self) -> Atoms | None:
        """Return the last sane frame if the gate takes it for a candidate."""
        if self.settings.gate is None or self.sane is None:
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
        time_fs = step * self.settings.timestep_fs
        has_pressure = self.programme.pressure is not None
        frame.info = {
            "config_type": self.start_info.get("config_type", "unknown"),
            "source": self.source,
            "start_source": self.start_info.get("source", "unknown"),
            "stop_reason": reason,
            "time_fs": time_fs,
            **self.programme.targets(time_fs),
            "density_scale": 1 / self._swelling(atoms) if has_pressure else self.density_scale(step),
            "evaluations": self.evaluations,
            **self.programme.info,
        }
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

    def snapshot(self, trajectory: str, kept: list[Atoms]) -> Snapshot:
        """Return the state between a step and its check, with the frames kept so far."""
        sane_step, sane = self.sane or (None, None)
        state = {name: getattr(self, name) for name in ("step", "evaluations", "checks", "sigma_max")}
        return Snapshot(
            trajectory,
            state | {"sane_step": sane_step, "rng": plain(self.rng.bit_generator.state)},
            positions=self.atoms.arrays["positions"],
            momenta=self.atoms.arrays["momenta"],
            cell=self.atoms.cell.array,
            frames=[*kept] if sane is None else [*kept, sane],
        )

    def restore(self, snapshot: Snapshot) -> list[Atoms]:
        """Take up a snapshot of this trajectory, and return the frames kept before it."""
        state, kept = dict(snapshot.state), list(snapshot.frames)
        self.rng.bit_generator.state = state.pop("rng")
        sane_step = state.pop("sane_step")
        self.sane = None if sane_step is None else (sane_step, kept.pop())
        for name, value in state.items():
            setattr(self, name, value)
        self.atoms.arrays["positions"][:] = snapshot.positions
        self.atoms.arrays["momenta"][:] = snapshot.momenta
        self.atoms.cell.array[:] = snapshot.cell
        self.atoms.get_forces()  # a gate must find what the last step left, or forces differ by rounding
        return kept


def _bare(atoms: Atoms) -> Atoms:
    """Return a copy of the structure alone."""
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
