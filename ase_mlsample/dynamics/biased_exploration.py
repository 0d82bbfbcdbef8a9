"""Metadynamics as an explorer: rare events, until the ensemble is uncertain about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import ArrayLike

from ase_mlsample.biases.hills import MetadynamicsBias
from ase_mlsample.calculators.biased import BiasedCalculator
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.explorer import ProgrammeExplorer, RunSettings
from ase_mlsample.dynamics.gate import GateReading, UncertaintyGate
from ase_mlsample.dynamics.guards import Guards
from ase_mlsample.dynamics.programme import Course, Programme, Window, as_window, drawn
from ase_mlsample.dynamics.ramped_run import RampedRun, RunSummary
from ase_mlsample.dynamics.snapshot import Snapshot

__all__ = ["BiasedRunSummary", "MetadynamicsExplorer", "interleaved"]

Points = list[list[float]]


@dataclass(frozen=True, slots=True)
class BiasedRunSummary(RunSummary):
    """What became of one trajectory with metadynamics.

    Attributes
    ----------
    visited : list of lists of d floats
        Where hills were left, in order: from it :class:`MetadynamicsExplorer` builds the same bias again.
    """

    visited: Points


class MetadynamicsExplorer(ProgrammeExplorer):
    """Well-tempered metadynamics at constant temperature, until the ensemble is uncertain.

    Gate, guards and kept frames are those of :class:`RampedMD`. Frames have in ``info`` the variable as
    ``cv`` (several as ``cv_`` and the name of each), the ``bias`` there in eV, and the settings. The gate
    reads the model's own disagreement and forces.

    A bias can be carried from generation to generation: the summary of a run says where hills were left, and
    those points, given as ``visited``, make the bias that a later trajectory starts from. Each of them leaves
    its hill anew, in order, with the height that tempering gives it then. So many trajectories that filled
    the same basin side by side do not overfill it, and the points of an earlier model can be left out.

    Parameters
    ----------
    cv : CollectiveVariable
        The same for all structures that the explorer is given: if these differ in size, a mean rather than a
        count.
    temperature_K : float
    sigma : float or sequence of d floats
        Width of the hills.
    height_eV : float
        Of the first hill.
    bias_factor : float
        γ of well-tempered metadynamics, above 1.
    pace : int
        Steps from hill to hill.
    visited : sequence of generations, each a sequence of points (d,)
        Oldest first; within a generation as :func:`interleaved` orders them.
    memory : int or None
        How many of the newest generations in ``visited`` count; None: all.
    duration_ps : window
        Rounded to whole steps.
    pressure_GPa : float or None
        Constant pressure by stochastic cell rescaling; None: constant volume, Langevin dynamics.
    timestep_fs, friction_per_ps, thermostat_fs, barostat_fs, compressibility_per_GPa, gate, guards, \
check_every, keep_every
        As of :class:`RampedMD`.

    Raises
    ------
    TypeError, ValueError
        At construction, for settings out of range, what is no collective variable, points that do not belong
        to it, and if nothing could be yielded.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> explorer = MetadynamicsExplorer(
    ...     cv=Distance(0, 1), temperature_K=300, sigma=0.05, height_eV=0.1, bias_factor=10, pace=10,
    ...     duration_ps=0.1, keep_every=1,
    ... )
    >>> rng, crystal = np.random.default_rng(0), bulk("Si", cubic=True)
    >>> frames, summary = explorer.run(StillingerWeber(), crystal, rng)
    >>> len(summary.visited)
    10
    """

    def __init__(
        self,
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        sigma: ArrayLike,
        height_eV: float,
        bias_factor: float,
        pace: int = 100,
        visited: Sequence[Sequence[Sequence[float]]] = (),
        memory: int | None = None,
        duration_ps: Window = 5.0,
        pressure_GPa: float | None = None,
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
        _require_variable(cv)
        widths = np.atleast_1d(np.asarray(sigma, dtype=float)).tolist()
        if len(widths) != cv.n_cvs:
            raise ValueError(f"sigma has {len(widths)} numbers, but cv has {cv.n_cvs}: {', '.join(cv.names)}")
        if not bias_factor > 1:
            raise ValueError(
                f"bias_factor must be above 1, got {bias_factor!r}: hills of many trajectories come together "
                "in one bias, and only tempering keeps it from overfilling"
            )
        if memory is not None and memory < 1:
            raise ValueError(f"memory must be at least one generation, or None for all, got {memory!r}")
        temperature, _ = as_window("temperature_K", float(temperature_K))
        self.cv, self._temperature = cv, temperature
        self._duration = as_window("duration_ps", duration_ps)
        self._pressure = None
        if pressure_GPa is not None:
            self._pressure, _ = as_window("pressure_GPa", float(pressure_GPa), signed=True)
        self._hills: dict[str, Any] = {
            "kT": float(units.kB) * temperature,
            "sigma": widths,
            "height": float(height_eV),
            "bias_factor": float(bias_factor),
            "pace": pace,
            "domains": cv.domains,
        }
        self._visited = _points(visited, memory, cv.n_cvs)
        self.carried_bias()  # complains now of settings that cannot work

    def carried_bias(self) -> MetadynamicsBias:
        """Build the bias that each trajectory starts from, anew."""
        bias = MetadynamicsBias(**self._hills)
        _replay(bias, self._visited)
        return bias

    def draw(self, rng: np.random.Generator) -> Programme:
        """Draw the duration of one trajectory; all else is given."""
        timestep = self.settings.timestep_fs
        n_steps = max(1, round(1000 * drawn(self._duration, rng) / timestep))
        pressure = None if self._pressure is None else Course((0.0,), (self._pressure,))
        info = {
            "metadynamics_height_eV": self._hills["height"],
            "metadynamics_bias_factor": self._hills["bias_factor"],
            "metadynamics_carried": float(len(self._visited)),
        }
        return Programme(
            n_steps, timestep, Course((0.0,), (self._temperature,)), pressure=pressure, info=info
        )

    def _trajectory(self, calc: Any, atoms: Atoms, rng: np.random.Generator) -> RampedRun:
        return _BiasedRun(self, self.draw(rng), calc, atoms, rng)

    def _windows(self) -> dict[str, Any]:
        visited = hashlib.sha256(np.array(self._visited).tobytes()).hexdigest()
        own = {"cv": self.cv.todict(), "visited": visited}
        return super()._windows() | own | {"_visited": len(self._visited)}


class _BiasedRun(RampedRun):
    """A trajectory that leaves hills."""

    def __init__(
        self,
        explorer: MetadynamicsExplorer,
        programme: Programme,
        calc: Any,
        start: Atoms,
        rng: np.random.Generator,
    ) -> None:
        self.bias = explorer.carried_bias()
        self.visited: Points = []
        biased = BiasedCalculator(calc, explorer.cv, self.bias)
        super().__init__(explorer.settings, programme, biased, start, rng, source=type(explorer).__name__)

    def _moved_on(self) -> bool:
        values = self.calc.evaluate_cv(self.atoms).value
        if not self.bias.update(values, self.step):
            return False
        self.visited.append(values.tolist())
        return True

    def _frame(self, atoms: Atoms, step: int, reason: str, reading: GateReading | None) -> Atoms:
        frame = super()._frame(atoms, step, reason, reading)
        cv = self.calc.cv
        values = self.calc.evaluate_cv(atoms).value
        names = ["cv"] if cv.n_cvs == 1 else [f"cv_{name}" for name in cv.names]
        frame.info |= dict(zip(names, values.tolist(), strict=True))
        frame.info["bias"] = float(self.bias.potential(values)[0])
        return frame

    def summary(self) -> BiasedRunSummary:
        """Return what became of the run."""
        return BiasedRunSummary(**asdict(super().summary()), visited=self.visited)

    def snapshot(self, trajectory: str, kept: list[Atoms]) -> Snapshot:
        """Return the state; the bias follows from the points where hills were left."""
        snapshot = super().snapshot(trajectory, kept)
        return replace(snapshot, state=snapshot.state | {"visited": self.visited})

    def restore(self, snapshot: Snapshot) -> list[Atoms]:
        """Take up a snapshot of this trajectory, and return the frames kept before it."""
        state = dict(snapshot.state)
        self.visited = state.pop("visited")
        _replay(self.bias, self.visited)
        return super().restore(replace(snapshot, state=state))


def interleaved(runs: Iterable[Sequence[Sequence[float]]]) -> Points:
    """Points of trajectories that ran side by side, in the order of their times.

    Parameters
    ----------
    runs : iterable of sequences of points
        ``visited`` of each trajectory, in the order that breaks ties.

    Returns
    -------
    list of points
        The first of each, the second of each, and so on: as if they had shared one bias.
    """
    rounds = zip_longest(*(np.asarray(run, dtype=float).tolist() for run in runs))
    return [point for points in rounds for point in points if point is not None]


def _require_variable(cv: Any) -> None:
    if not isinstance(cv, CollectiveVariable):
        hint = "; pool it, with .mean() or .count()" if hasattr(cv, "mean") else ""
        raise TypeError(f"cv must be a CollectiveVariable, got {type(cv).__name__}{hint}")


def _replay(bias: MetadynamicsBias, points: Points) -> None:
    """Leave hills at points, as a run would that came to each of them when a hill was due."""
    for point in points:
        bias.update(np.array(point), bias.pace)


def _points(visited: Sequence[Sequence[Sequence[float]]], memory: int | None, n_cvs: int) -> Points:
    generations = list(visited) if memory is None else list(visited)[-memory:]
    points = [point for generation in generations for point in np.asarray(generation, dtype=float).tolist()]
    if any(not isinstance(point, list) or len(point) != n_cvs for point in points):
        raise ValueError(
            f"visited must be generations of points of {n_cvs} variable(s) each, as the summaries of this "
            "explorer have them, but they are of another one"
        )
    if not np.isfinite(np.array(points)).all():
        raise ValueError("visited has points that are not finite")
    return points
