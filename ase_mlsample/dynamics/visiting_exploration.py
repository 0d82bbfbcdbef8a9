"""Metadynamics and OPES as explorers: their bias follows from the points where a run left its hills."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any, Unpack

import numpy as np
from ase import Atoms, units
from numpy.typing import ArrayLike

from ase_mlsample.biases.arguments import per_variable
from ase_mlsample.biases.hills import MetadynamicsBias
from ase_mlsample.biases.opes import OPESBias
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased_exploration import (
    BiasedExplorer,
    BiasedRun,
    ExploringSettings,
)
from ase_mlsample.dynamics.ramped_run import RunSummary
from ase_mlsample.dynamics.run_checks import require_variable
from ase_mlsample.dynamics.snapshot import Snapshot

__all__ = ["BiasedRunSummary", "MetadynamicsExplorer", "OPESExplorer", "VisitingExplorer", "interleaved"]

Points = list[list[float]]
VisitingBias = MetadynamicsBias | OPESBias


@dataclass(frozen=True, slots=True)
class BiasedRunSummary(RunSummary):
    """What became of one trajectory with metadynamics or OPES.

    Attributes
    ----------
    visited : list of lists of d floats
        Where hills or kernels were left, in order: from it the explorer builds the same bias again.
    """

    visited: Points


class _VisitingRun(BiasedRun):
    """A trajectory that leaves hills or kernels."""

    bias: VisitingBias

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.visited: Points = []

    def _moved_on(self) -> bool:
        values = self.values
        if not self.bias.update(values, self.step):
            return False
        self.visited.append(values.tolist())
        return True

    def summary(self) -> BiasedRunSummary:
        """Return what became of the run."""
        return BiasedRunSummary(**asdict(super().summary()), visited=self.visited)

    def snapshot(self, trajectory: str, kept: list[Atoms]) -> Snapshot:
        """Return the state; the bias follows from the points that were visited."""
        snapshot = super().snapshot(trajectory, kept)
        return replace(snapshot, state=snapshot.state | {"visited": self.visited})

    def restore(self, snapshot: Snapshot) -> list[Atoms]:
        """Take up a snapshot of this trajectory, and return the frames kept before it."""
        state = dict(snapshot.state)
        self.visited = state.pop("visited")
        _replay(self.bias, self.visited)
        return super().restore(replace(snapshot, state=state))


class VisitingExplorer(BiasedExplorer):
    """An explorer whose bias follows from the points where earlier trajectories left hills or kernels.

    The summary of a run has these points; given as ``visited``, they make the bias that a later trajectory
    starts from. At each of them a hill is left anew, in order, as high as it would be after those before. So
    many trajectories that filled the same basin side by side do not overfill it, and the points of an earlier
    model can be left out.

    Parameters
    ----------
    own : mapping
        Settings of the bias, temperature and periods excepted.
    visited, memory
        As of :class:`MetadynamicsExplorer`.
    **settings
        As of :class:`BiasedExplorer`.
    """

    _run = _VisitingRun

    def __init__(
        self,
        own: Mapping[str, Any],
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        visited: Sequence[Sequence[Sequence[float]]],
        memory: int | None,
        **settings: Unpack[ExploringSettings],
    ) -> None:
        super().__init__(cv=cv, temperature_K=temperature_K, **settings)
        if memory is not None and memory < 1:
            raise ValueError(f"memory must be at least one generation, or None for all, got {memory!r}")
        self._own = {"kT": float(units.kB) * self._temperature, "domains": cv.domains, **own}
        self._visited = _points(visited, memory, cv.n_cvs)
        self.carried_bias()  # complains now of settings that cannot work

    def carried_bias(self) -> VisitingBias:
        """Build the bias that each trajectory starts from, anew."""
        bias = self._fresh_bias()
        _replay(bias, self._visited)
        return bias

    @abstractmethod
    def _fresh_bias(self) -> VisitingBias:
        """Build the bias of a run that has visited nothing."""


class MetadynamicsExplorer(VisitingExplorer):
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
    **settings
        As of :class:`BiasedExplorer`: ``duration_ps``, ``pressure_GPa``, ``timestep_fs``,
        ``friction_per_ps``, ``thermostat_fs``, ``barostat_fs``, ``compressibility_per_GPa``, ``gate``,
        ``guards``, ``check_every``, ``keep_every``.

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
        **settings: Unpack[ExploringSettings],
    ) -> None:
        require_variable(cv)
        widths = np.atleast_1d(np.asarray(sigma, dtype=float)).tolist()
        if len(widths) != cv.n_cvs:
            raise ValueError(f"sigma has {len(widths)} numbers, but cv has {cv.n_cvs}: {', '.join(cv.names)}")
        if not bias_factor > 1:
            raise ValueError(
                f"bias_factor must be above 1, got {bias_factor!r}: hills of many trajectories come together "
                "in one bias, and only tempering keeps it from overfilling"
            )
        own = {
            "sigma": widths,
            "height": float(height_eV),
            "bias_factor": float(bias_factor),
            "pace": pace,
        }
        super().__init__(own, cv=cv, temperature_K=temperature_K, visited=visited, memory=memory, **settings)

    def _fresh_bias(self) -> MetadynamicsBias:
        return MetadynamicsBias(**self._own)

    def _told(self) -> dict[str, float]:
        return {
            "metadynamics_height_eV": self._own["height"],
            "metadynamics_bias_factor": self._own["bias_factor"],
            "metadynamics_carried": float(len(self._visited)),
        }


class OPESExplorer(VisitingExplorer):
    """OPES at constant temperature, until the ensemble is uncertain.

    Gate, guards, frames and the way in which a bias is carried are those of :class:`MetadynamicsExplorer`,
    with kernels for hills: each point that was visited leaves its kernel anew, with the weight that the bias
    of those before gives it. So the bias of many trajectories is that of one which visited all their points.

    Parameters
    ----------
    cv : CollectiveVariable
        The same for all structures that the explorer is given: if these differ in size, a mean rather than a
        count.
    temperature_K : float
    barrier_eV : float
        The free energy to be overcome at most.
    sigma : float or sequence of d floats
        Width of the first kernels; one number serves all variables. It is not measured: that takes all steps
        of a run, and points alone make the bias that is carried.
    bias_factor : float, optional
        γ; barrier/k_BT unless given, ``inf`` for a flat target.
    explore : bool
        Whether the bias changes faster, and is less exact.
    sigma_min : float or sequence of d floats, optional
        Kernels become no narrower.
    compression : float
        Distance in widths below which kernels are merged.
    pace : int
        Steps from kernel to kernel.
    visited, memory
        As of :class:`MetadynamicsExplorer`.
    **settings
        As of :class:`BiasedExplorer`: ``duration_ps``, ``pressure_GPa``, ``timestep_fs``,
        ``friction_per_ps``, ``thermostat_fs``, ``barostat_fs``, ``compressibility_per_GPa``, ``gate``,
        ``guards``, ``check_every``, ``keep_every``.

    Raises
    ------
    TypeError, ValueError
        At construction, for settings out of range, what is no collective variable, points that do not belong
        to it, trajectories too short for a kernel, and if nothing could be yielded.

    References
    ----------
    M. Invernizzi, M. Parrinello, J. Phys. Chem. Lett. 11, 2731 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> explorer = OPESExplorer(
    ...     cv=Distance(0, 1), temperature_K=300, barrier_eV=0.5, sigma=0.05, pace=10, duration_ps=0.1,
    ...     keep_every=1,
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
        barrier_eV: float,
        sigma: ArrayLike,
        bias_factor: float | None = None,
        explore: bool = False,
        sigma_min: ArrayLike | None = None,
        compression: float = 1.0,
        pace: int = 100,
        visited: Sequence[Sequence[Sequence[float]]] = (),
        memory: int | None = None,
        **settings: Unpack[ExploringSettings],
    ) -> None:
        require_variable(cv)
        if sigma is None:
            raise ValueError(
                "sigma must be given: widths are measured over all steps of a run, which is more than the "
                "points that one generation hands to the next; half the fluctuation in a basin will do"
            )
        floor = None if sigma_min is None else per_variable(sigma_min, "sigma_min", n_cvs=cv.n_cvs).tolist()
        own = {
            "barrier": barrier_eV,
            "sigma": per_variable(sigma, "sigma", n_cvs=cv.n_cvs).tolist(),
            "bias_factor": bias_factor,
            "explore": explore,
            "sigma_min": floor,
            "compression": compression,
            "pace": pace,
            "n_cvs": cv.n_cvs,
        }
        super().__init__(own, cv=cv, temperature_K=temperature_K, visited=visited, memory=memory, **settings)
        self._require_time_for(pace, "the first kernel")

    def _fresh_bias(self) -> OPESBias:
        return OPESBias(**self._own)

    def _told(self) -> dict[str, float]:
        return {
            "opes_barrier_eV": float(self._own["barrier"]),
            "opes_bias_factor": float(self._fresh_bias().bias_factor),
            "opes_carried": float(len(self._visited)),
        }


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


def _replay(bias: VisitingBias, points: Points) -> None:
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
