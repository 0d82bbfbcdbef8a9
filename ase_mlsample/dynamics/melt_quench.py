"""Melting and quenching, for amorphous structures and everything on the way to them."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np

from ase_mlsample.dynamics.explorer import ProgrammeExplorer, RunSettings
from ase_mlsample.dynamics.gate import UncertaintyGate
from ase_mlsample.dynamics.guards import Guards
from ase_mlsample.dynamics.programme import Course, Programme, Window, as_window, drawn

__all__ = ["MeltQuench"]

_STAGES = ("heating", "melt", "quench", "end")


class MeltQuench(ProgrammeExplorer):
    """Dynamics that heats a structure, holds the melt, quenches it and holds the product.

    The temperature goes in straight lines; the numbers are drawn for each trajectory from windows
    (low, high), a number stands for a window of no width. Gate, guards and kept frames are those of
    :class:`RampedMD`; ``info["stage"]`` of a frame is "heating", "melt", "quench" or "end".

    Parameters
    ----------
    melt_K : window
        Temperature of the melt.
    rate_K_per_ps : window
        Rate of the quench, drawn evenly in its logarithm: rates differ by orders of magnitude.
    start_K, end_K : window
        Temperatures before heating and after the quench.
    heat_ps, melt_ps, end_ps : window
        Time of heating, in the melt and at the end; zero leaves the stage out.
    pressure_GPa : window or None
        Constant pressure, kept by stochastic cell rescaling; None: constant volume, Langevin dynamics.
    timestep_fs : float
    friction_per_ps : float
        Langevin friction.
    thermostat_fs, barostat_fs : float
        Time constants at constant pressure.
    compressibility_per_GPa : float
        Estimate, the inverse of a bulk modulus; too large by a factor, and the volume is faster by it.
    gate : UncertaintyGate or None
        None: no uncertainty is evaluated.
    guards : Guards or None
        None: the default limits.
    check_every : int
        Steps between checks.
    keep_every : int or None
        Also yield every so many checks' frame.

    Raises
    ------
    TypeError, ValueError
        At construction, for what is no window or a window out of range, an end above the melt, and if
        nothing could be yielded.

    Examples
    --------
    Amorphous silicon by a potential that is known to be right, every picosecond's structure kept::

        explorer = MeltQuench(melt_K=3500, rate_K_per_ps=(50, 500), pressure_GPa=0, keep_every=20)
        crystal, rng = bulk("Si", cubic=True) * 2, np.random.default_rng(0)
        frames, summary = explorer.run(StillingerWeber(), crystal, rng)
    """

    def __init__(
        self,
        *,
        melt_K: Window = (2000.0, 4000.0),
        rate_K_per_ps: Window = (100.0, 1000.0),
        start_K: Window = 300.0,
        end_K: Window = 300.0,
        heat_ps: Window = 1.0,
        melt_ps: Window = 2.0,
        end_ps: Window = 1.0,
        pressure_GPa: Window | None = None,
        timestep_fs: float = 1.0,
        friction_per_ps: float = 10.0,
        thermostat_fs: float = 100.0,
        barostat_fs: float = 1000.0,
        compressibility_per_GPa: float = 0.01,
        gate: UncertaintyGate | None = None,
        guards: Guards | None = None,
        check_every: int = 50,
        keep_every: int | None = None,
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
        self._melt, self._end = as_window("melt_K", melt_K), as_window("end_K", end_K)
        if self._end[1] > self._melt[0]:
            raise ValueError(f"end_K ({end_K!r}) must not reach above melt_K ({melt_K!r})")
        self._start = as_window("start_K", start_K)
        self._rate = as_window("rate_K_per_ps", rate_K_per_ps)
        times = {"heat_ps": heat_ps, "melt_ps": melt_ps, "end_ps": end_ps}
        self._times = [as_window(name, window, zero=True) for name, window in times.items()]
        signed = as_window("pressure_GPa", 0.0 if pressure_GPa is None else pressure_GPa, signed=True)
        self._pressure = None if pressure_GPa is None else signed

    def draw(self, rng: np.random.Generator) -> Programme:
        """Draw the temperatures, times and rate of one trajectory."""
        start, melt, end = (drawn(window, rng) for window in (self._start, self._melt, self._end))
        low, high = self._rate
        rate = math.exp(drawn((math.log(low), math.log(high)), rng))
        heat_ps, melt_ps, end_ps = (drawn(window, rng) for window in self._times)
        ends = tuple(accumulate(1000 * ps for ps in (heat_ps, melt_ps, (melt - end) / rate, end_ps)))
        info = {
            "quench_start_K": start,
            "quench_melt_K": melt,
            "quench_end_K": end,
            "quench_rate_K_per_ps": rate,
            "quench_duration_ps": ends[-1] / 1000,
        }
        pressure = None
        if self._pressure is not None:
            constant = drawn(self._pressure, rng)
            pressure = Course((0.0,), (constant,))
        timestep = self.settings.timestep_fs
        return Programme(
            n_steps=max(1, round(ends[-1] / timestep)),
            timestep_fs=timestep,
            temperature=Course((0.0, *ends), (start, melt, melt, end, end)),
            pressure=pressure,
            info=info,
            stages=tuple(zip(ends, _STAGES, strict=True)),
        )
