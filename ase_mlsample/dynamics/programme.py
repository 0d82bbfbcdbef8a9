"""What a trajectory is driven along: temperature, density and pressure in time."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Course", "Programme", "Ramp", "Window", "as_window", "drawn"]

Window = float | tuple[float, float]
Bounds = tuple[float, float]


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

    @classmethod
    def draw(
        cls, windows: tuple[Bounds, Bounds, Bounds, Bounds], duration_fs: float, rng: np.random.Generator
    ) -> Ramp:
        """Draw a ramp from the windows of start, end, amplitude and period (ps)."""
        start, end, amplitude, period_ps = (drawn(window, rng) for window in windows)
        return cls(start, end, amplitude, 1000 * period_ps, duration_fs)


@dataclass(frozen=True, slots=True)
class Course:
    """A quantity that goes in straight lines between given values.

    Parameters
    ----------
    times_fs : tuple of float
        Increasing; the quantity is constant before the first and after the last.
    values : tuple of float
        As many.
    """

    times_fs: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, time_fs: float) -> float:
        """Return the quantity at a time."""
        return float(np.interp(time_fs, self.times_fs, self.values))


@dataclass(frozen=True, slots=True)
class Programme:
    """One trajectory's programme, with all random choices made.

    Attributes
    ----------
    n_steps : int
    timestep_fs : float
    temperature : callable
        Target in K at a time in fs.
    density : callable or None
        Density relative to the start, set at checks.
    pressure : callable or None
        External pressure in GPa; excludes ``density``.
    info : dict
        The drawn numbers by name, for the provenance of frames.
    stages : tuple of (float, str)
        Ends in fs and names of the stages, in order, if there are any.
    """

    n_steps: int
    timestep_fs: float
    temperature: Callable[[float], float]
    density: Callable[[float], float] | None = None
    pressure: Callable[[float], float] | None = None
    info: dict[str, float] = field(default_factory=dict)
    stages: tuple[tuple[float, str], ...] = ()

    def targets(self, time_fs: float) -> dict[str, float | str]:
        """Return what holds at a time: ``temperature_K``, ``pressure_GPa`` and ``stage`` if there are."""
        targets: dict[str, float | str] = {"temperature_K": self.temperature(time_fs)}
        if self.pressure is not None:
            targets["pressure_GPa"] = self.pressure(time_fs)
        if self.stages:
            later = (name for end, name in self.stages if time_fs <= end)
            targets["stage"] = next(later, self.stages[-1][1])
        return targets


def drawn(window: Bounds, rng: np.random.Generator) -> float:
    """Draw a number from a window, evenly."""
    return float(rng.uniform(*window))


def as_window(name: str, window: Window, *, zero: bool = False, signed: bool = False) -> Bounds:
    """Check a window (low, high), or a number as a window of no width.

    Parameters
    ----------
    name : str
        For messages.
    window : float or (float, float)
    zero : bool
        Whether zero is allowed.
    signed : bool
        Whether any finite number is.

    Raises
    ------
    TypeError, ValueError
        For what is no window, or out of range.
    """
    bounds = (window, window) if isinstance(window, numbers.Real) else window
    try:
        low, high = (float(bound) for bound in bounds)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or a window (low, high), got {window!r}") from error
    lowest = -math.inf if signed else 0.0
    if not (lowest <= low <= high < math.inf and low > -math.inf) or (low == 0 and not (zero or signed)):
        kind = "" if signed else "non-negative and " if zero else "positive and "
        raise ValueError(
            f"{name} must be {kind}finite, a window as (low, high) with low <= high, got {window!r}"
        )
    return low, high
