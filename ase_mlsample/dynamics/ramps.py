"""Molecular dynamics with ramps of temperature, density or pressure, ended by the ensemble's uncertainty."""

from __future__ import annotations

import numpy as np

from ase_mlsample.dynamics.explorer import ProgrammeExplorer, RunSettings
from ase_mlsample.dynamics.gate import UncertaintyGate
from ase_mlsample.dynamics.guards import Guards
from ase_mlsample.dynamics.programme import Programme, Ramp, Window, as_window, drawn

__all__ = ["RampedMD"]

_DENSITY = (0.9, 1.1)  # the very object tells whether a density was asked for


class RampedMD(ProgrammeExplorer):
    """Dynamics along random ramps of temperature and density or pressure, until the ensemble is uncertain.

    For every trajectory the ramps are drawn from the windows (low, high) given here; a number stands for a
    window of no width. Every ``check_every`` steps, and before the first, the cell is scaled to the density
    of that time and the gate looks; the first frame at or above its threshold ends the run and is yielded. A
    run that explodes or collapses, or whose calculator fails, ends with a reason; then the last sane frame is
    yielded if the gate takes it for a candidate. Nothing is yielded from a run that stays certain to its end,
    unless ``keep_every`` says so.

    Without a pressure this is Langevin dynamics; with one it is stochastic cell rescaling, and the targets of
    temperature and pressure move with every step.

    Parameters
    ----------
    temperature_K : window
        Start temperature, and end temperature unless this is given.
    end_temperature_K : window or None
    amplitude_K : window
        Amplitude of the temperature wave.
    period_ps : window
        Periods of the waves.
    density : window or None
        Density at start and at end, relative to the structure given; None: the cell stays. With a pressure
        there is none.
    density_amplitude : window
        Amplitude of the density wave, relative likewise.
    duration_ps : window
        Rounded to whole steps.
    timestep_fs : float
    friction_per_ps : float
        Langevin friction.
    gate : UncertaintyGate or None
        None: no uncertainty is evaluated.
    guards : Guards or None
        None: the default limits.
    check_every : int
        Steps between checks.
    keep_every : int or None
        Also yield every so many checks' frame.
    pressure_GPa : window or None
        Pressure at start and at end; negative is tension. None: density or constant volume.
    pressure_amplitude_GPa : window
        Amplitude of the pressure wave.
    thermostat_fs, barostat_fs : float
        Time constants at constant pressure.
    compressibility_per_GPa : float
        Estimate, the inverse of a bulk modulus; too large by a factor, and the volume is faster by it.

    Raises
    ------
    TypeError, ValueError
        At construction, for what is no window or a window out of range, for a density together with a
        pressure, an amplitude without its quantity, and if nothing could be yielded.

    Notes
    -----
    Velocities start from the Maxwell–Boltzmann distribution with zero total momentum; temperatures count
    3N − 3 degrees of freedom. Every random number comes from the generator given to :meth:`explore`, so that
    equal generators give equal trajectories.
    """

    def __init__(
        self,
        *,
        temperature_K: Window = (100.0, 5000.0),
        end_temperature_K: Window | None = None,
        amplitude_K: Window = (0.0, 2000.0),
        period_ps: Window = (2.0, 50.0),
        density: Window | None = _DENSITY,
        density_amplitude: Window = (0.0, 0.0),
        duration_ps: Window = 5.0,
        timestep_fs: float = 1.0,
        friction_per_ps: float = 10.0,
        gate: UncertaintyGate | None = None,
        guards: Guards | None = None,
        check_every: int = 50,
        keep_every: int | None = None,
        pressure_GPa: Window | None = None,
        pressure_amplitude_GPa: Window = (0.0, 0.0),
        thermostat_fs: float = 100.0,
        barostat_fs: float = 1000.0,
        compressibility_per_GPa: float = 0.01,
    ) -> None:
        super().__init__(
            RunSettings(
                timestep_fs=timestep_fs,
                friction_per_ps=friction_per_ps,
                thermostat_fs=thermostat_fs,
                barostat_fs=barostat_fs,
                compressibility_per_GPa=compressibility_per_GPa,
                gate=gate,
                guards=guards,
                check_every=check_every,
                keep_every=keep_every,
            )
        )
        end = temperature_K if end_temperature_K is None else end_temperature_K
        self._temperature = (
            as_window("temperature_K", temperature_K),
            as_window("end_temperature_K", end),
            as_window("amplitude_K", amplitude_K, zero=True),
        )
        self._period = as_window("period_ps", period_ps)
        if pressure_GPa is not None and density is _DENSITY:
            density = None
        if density is not None and pressure_GPa is not None:
            raise ValueError(
                f"density ({density!r}) and pressure_GPa ({pressure_GPa!r}) cannot both be set: the pressure "
                "moves the cell; leave one of them out, or give it as None"
            )
        self._density = self._pressure = None
        wave = as_window("density_amplitude", density_amplitude, zero=True)
        if density is not None:
            window = as_window("density", density)
            self._density = window, window, wave
        elif wave != (0, 0):
            raise ValueError(f"density_amplitude is {density_amplitude!r}, but there is no density to ramp")
        wave = as_window("pressure_amplitude_GPa", pressure_amplitude_GPa, signed=True)
        if pressure_GPa is not None:
            window = as_window("pressure_GPa", pressure_GPa, signed=True)
            self._pressure = window, window, wave
        elif wave != (0, 0):
            raise ValueError(
                f"pressure_amplitude_GPa is {pressure_amplitude_GPa!r}, but there is no pressure; "
                "give pressure_GPa too"
            )
        self._duration = as_window("duration_ps", duration_ps)

    def draw(self, rng: np.random.Generator) -> Programme:
        """Draw the ramps of one trajectory."""
        timestep = self.settings.timestep_fs
        n_steps = max(1, round(1000 * drawn(self._duration, rng) / timestep))
        duration = n_steps * timestep  # of whole steps, so that ramps end where they should
        temperature = Ramp.draw((*self._temperature, self._period), duration, rng)
        info = {
            "ramp_start_K": temperature.start,
            "ramp_end_K": temperature.end,
            "ramp_amplitude_K": temperature.amplitude,
            "ramp_period_ps": temperature.period_fs / 1000,
            "ramp_duration_ps": temperature.duration_fs / 1000,
        }
        density = pressure = None
        if self._density is not None:
            density = Ramp.draw((*self._density, self._period), duration, rng)
            info |= {"ramp_density_start": density.start, "ramp_density_end": density.end}
        if self._pressure is not None:
            pressure = Ramp.draw((*self._pressure, self._period), duration, rng)
            info |= {"ramp_start_GPa": pressure.start, "ramp_end_GPa": pressure.end}
        return Programme(n_steps, timestep, temperature, density, pressure, info)
