"""Molecular dynamics with ramps of temperature and density, ended by the ensemble's uncertainty."""

from __future__ import annotations

import math
import numbers
from collections.abc import Generator
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.dynamics.gate import UncertaintyGate
from ase_mlsample.dynamics.guards import Guards
from ase_mlsample.dynamics.ramped_run import RampedRun, RunSummary

__all__ = ["RampedMD"]

Window = float | tuple[float, float]


class RampedMD:
    """Langevin dynamics along random ramps of temperature and density, until the ensemble is uncertain.

    For every trajectory the ramps are drawn from the windows (low, high) given here; a number stands for a
    window of no width. Every ``check_every`` steps, and
    before the first, the cell is scaled to the density of that time and the gate looks; the first frame at or
    above its threshold ends the run and is yielded. A run that explodes or collapses, or whose calculator
    fails, ends with a reason; then the last sane frame is yielded if the gate takes it for a candidate.
    Nothing is yielded from a run that stays certain to its end, unless ``keep_every`` says so.

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
        Density at start and at end, relative to the structure given; None: the cell stays.
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

    Raises
    ------
    TypeError, ValueError
        At construction, for what is no window or a window out of range, and if nothing could be yielded.

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
        density: Window | None = (0.9, 1.1),
        density_amplitude: Window = (0.0, 0.0),
        duration_ps: Window = 5.0,
        timestep_fs: float = 1.0,
        friction_per_ps: float = 10.0,
        gate: UncertaintyGate | None = None,
        guards: Guards | None = None,
        check_every: int = 50,
        keep_every: int | None = None,
    ) -> None:
        self.temperature_K = _window("temperature_K", temperature_K)
        end = temperature_K if end_temperature_K is None else end_temperature_K
        self.end_temperature_K = _window("end_temperature_K", end)
        self.amplitude_K = _window("amplitude_K", amplitude_K, zero=True)
        self.period_ps = _window("period_ps", period_ps)
        self.density = None if density is None else _window("density", density)
        self.density_amplitude = _window("density_amplitude", density_amplitude, zero=True)
        self.duration_ps = _window("duration_ps", duration_ps)
        for name, value in (("timestep_fs", timestep_fs), ("friction_per_ps", friction_per_ps)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive finite number, got {value!r}")
        self.timestep_fs, self.friction_per_ps = float(timestep_fs), float(friction_per_ps)
        if check_every < 1 or (keep_every is not None and keep_every < 1):
            raise ValueError(
                f"check_every ({check_every!r}) and keep_every ({keep_every!r}) must be at least 1; "
                "keep_every=None keeps only what the gate stops"
            )
        if gate is None and keep_every is None:
            raise ValueError("without gate and keep_every nothing would ever be yielded; give one of them")
        self.gate, self.guards = gate, guards or Guards()
        self.check_every, self.keep_every = check_every, keep_every

    def explore(
        self, calc: Any, atoms: Atoms, rng: np.random.Generator
    ) -> Generator[Atoms, None, RunSummary]:
        """Run one trajectory.

        Parameters
        ----------
        calc : ASE calculator
            With ``get_spread`` where there is a gate.
        atoms : Atoms
            The start; not changed.
        rng : numpy.random.Generator
            The only source of randomness.

        Yields
        ------
        Atoms
            Copies without calculator and momenta, wrapped into the cell, with ``force_sigma`` (N,) in
            ``arrays`` where there is a gate, and in ``info``: ``source``, ``start_source``, ``stop_reason``
            ("running" for those of ``keep_every``), ``time_fs``, ``temperature_K`` (the target),
            ``density_scale``, ``force_sigma_max``, ``evaluations``, and the drawn numbers ``ramp_…``.

        Returns
        -------
        RunSummary
            The generator's return value (``summary = yield from ...``); :meth:`run` gives both.

        Raises
        ------
        TypeError
            At the call, for an ``rng`` that is no Generator.
        ValueError
            At the call, for no atoms, or a density ramp without a fully periodic cell.
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rng must be a numpy.random.Generator, got {type(rng).__name__}; "
                "pass numpy.random.default_rng(seed)"
            )
        if len(atoms) == 0:
            raise ValueError("there are no atoms to move; pass a structure")
        if self.density is not None and not (atoms.pbc.all() and atoms.cell.rank == 3):
            raise ValueError(
                "a density ramp needs a cell that is periodic in three directions; pass density=None"
            )
        return self._trajectory(RampedRun(self, calc, atoms, rng))

    def run(self, calc: Any, atoms: Atoms, rng: np.random.Generator) -> tuple[list[Atoms], RunSummary]:
        """Run one trajectory to its end and return the frames of :meth:`explore` with the summary."""
        frames, generator = [], self.explore(calc, atoms, rng)
        while True:
            try:
                frames.append(next(generator))
            except StopIteration as end:
                return frames, end.value

    def _trajectory(self, run: RampedRun) -> Generator[Atoms, None, RunSummary]:
        while True:
            kept = run.check()
            if kept is not None:
                yield kept
            if not run.reason:
                run.advance()
            if run.reason:
                break
        if run.reason in ("exploded", "collapsed", "failed", "unphysical"):
            kept = run.look_back()
            if kept is not None:
                yield kept
        return run.summary()


def _window(name: str, window: Window, *, zero: bool = False) -> tuple[float, float]:
    bounds = (window, window) if isinstance(window, numbers.Real) else window
    try:
        low, high = (float(bound) for bound in bounds)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or a window (low, high), got {window!r}") from error
    if not (0 <= low <= high < math.inf) or (low == 0 and not zero):
        raise ValueError(
            f"{name} must be {'non-negative' if zero else 'positive'} and finite, a window as "
            f"(low, high) with low <= high, got {window!r}"
        )
    return low, high
