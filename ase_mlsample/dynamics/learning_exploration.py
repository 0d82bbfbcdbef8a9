"""VES and Deep-VES as explorers: biases that learn from all steps, and are averaged between generations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Unpack

from ase import Atoms, units

from ase_mlsample.biases.averaging import averaged_state
from ase_mlsample.biases.base import Domain
from ase_mlsample.biases.basis import Basis
from ase_mlsample.biases.deep_ves import DeepVESBias
from ase_mlsample.biases.targets import Target
from ase_mlsample.biases.variational import VariationalBias
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased_exploration import (
    BiasedExplorer,
    BiasedRun,
    ExploringSettings,
    as_plain,
)
from ase_mlsample.dynamics.deep_ves import bounds_of
from ase_mlsample.dynamics.ramped_run import RunSummary
from ase_mlsample.dynamics.run_checks import require_variable
from ase_mlsample.dynamics.snapshot import Snapshot
from ase_mlsample.dynamics.ves import require_same_periods

__all__ = ["DeepVESExplorer", "LearnedRunSummary", "LearningExplorer", "VESExplorer", "averaged"]

LearningBias = VariationalBias | DeepVESBias

_KJ_PER_MOL = float(units.kJ / units.mol)


@dataclass(frozen=True, slots=True)
class LearnedRunSummary(RunSummary):
    """What became of one trajectory with VES or Deep-VES.

    Attributes
    ----------
    learned : dict of plain values
        ``bias``: its ``state_dict()`` at the end, with lists for arrays; ``iterations`` that the trajectory
        made; ``generations`` that the bias has been through, this one included. For :func:`averaged`.
    """

    learned: dict[str, Any]


class _LearningRun(BiasedRun):
    """A trajectory from which the bias learns."""

    bias: LearningBias

    def __init__(self, explorer: LearningExplorer, *arguments: Any) -> None:
        super().__init__(explorer, *arguments)
        self._generations = explorer.generations + 1
        self._iterations = self.bias.iterations

    def _moved_on(self) -> bool:
        return self.bias.update(self.values, self.step)

    def summary(self) -> LearnedRunSummary:
        """Return what became of the run."""
        learned = {
            "bias": as_plain(self.bias.state_dict()),
            "iterations": self.bias.iterations - self._iterations,
            "generations": self._generations,
        }
        return LearnedRunSummary(**asdict(super().summary()), learned=learned)

    def snapshot(self, trajectory: str, kept: list[Atoms]) -> Snapshot:
        """Return the state, with that of the bias."""
        snapshot = super().snapshot(trajectory, kept)
        return replace(snapshot, state=snapshot.state | {"bias": as_plain(self.bias.state_dict())})

    def restore(self, snapshot: Snapshot) -> list[Atoms]:
        """Take up a snapshot of this trajectory, and return the frames kept before it."""
        state = dict(snapshot.state)
        self.bias.load_state_dict(state.pop("bias"))
        return super().restore(replace(snapshot, state=state))


class LearningExplorer(BiasedExplorer):
    """An explorer whose bias learns from all steps of its trajectories.

    Such a bias is not made of points that could be visited again, so the bias itself is carried: what
    :func:`averaged` makes of the summaries of a generation, given as ``learned``, is what a later trajectory
    starts from. Averaging trajectories that ran side by side takes noise away, but takes the bias no farther
    than one of them: it is their length, times the generations, that has to suffice.

    Parameters
    ----------
    own : mapping
        Settings of the bias, temperature excepted.
    learned, memory
        As of :class:`VESExplorer`.
    **settings
        As of :class:`BiasedExplorer`.

    Attributes
    ----------
    generations : int
        Through which the bias has gone that trajectories start from.
    """

    _run = _LearningRun

    def __init__(
        self,
        own: Mapping[str, Any],
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        learned: Mapping[str, Any] | None,
        memory: int | None,
        **settings: Unpack[ExploringSettings],
    ) -> None:
        super().__init__(cv=cv, temperature_K=temperature_K, **settings)
        if memory is not None and memory < 1:
            raise ValueError(f"memory must be at least one generation, or None for ever, got {memory!r}")
        self._own = {"kT": float(units.kB) * self._temperature, **own}
        if learned is not None and memory is not None and learned["generations"] >= memory:
            learned = None
        self._learned = None if learned is None else learned["bias"]
        self.generations = 0 if learned is None else int(learned["generations"])
        bias = self.carried_bias()  # complains now of settings that cannot work
        self._iterations = bias.iterations
        self._require_time_for(bias.pace, "the first iteration")

    def carried_bias(self) -> LearningBias:
        """Build the bias that each trajectory starts from, anew."""
        bias = self._fresh_bias()
        if self._learned is not None:
            bias.load_state_dict(self._learned)
        return bias

    @abstractmethod
    def _fresh_bias(self) -> LearningBias:
        """Build a bias that has learned nothing."""


class VESExplorer(LearningExplorer):
    """Variationally enhanced sampling with a linear basis, until the ensemble is uncertain.

    Gate, guards and frames are those of :class:`MetadynamicsExplorer`. The bias is carried as coefficients:
    V of the next generation is the mean of V after each trajectory of this one, weighted by the iterations
    that it made. Averaging takes noise away; it takes the bias no farther than one trajectory does.

    Parameters
    ----------
    cv : CollectiveVariable
        The same for all structures that the explorer is given: if these differ in size, a mean rather than a
        count.
    temperature_K : float
    bases : mapping, or sequence of mappings
        ``{"class": "Legendre", "order": 20, "interval": (low, high)}`` for each variable, or
        :class:`~ase_mlsample.biases.Basis`. Beyond the interval the bias neither pushes nor pulls.
    bias_factor : float, optional
        γ of the well-tempered target: barriers are lowered to 1/γ.
    target : mapping or Target, optional
        Another one, instead: ``{"class": "Uniform"}``.
    pace : int
        Steps of an iteration, after which the bias changes. Trajectories have to be longer, better many
        times; what they see after their last iteration is not learned from.
    step_size_eV : float, optional
        μ; 0.4 k_BT unless given.
    average_window, target_pace, grid_cells
        As of :class:`~ase_mlsample.biases.VariationalBias`.
    learned : mapping, optional
        Of :func:`averaged`, from trajectories with the same settings.
    memory : int or None
        Generations after which the bias learns from nothing again, as the model that taught it is another
        by then; None: it goes on for ever.
    **settings
        As of :class:`BiasedExplorer`: ``duration_ps``, ``pressure_GPa``, ``timestep_fs``,
        ``friction_per_ps``, ``thermostat_fs``, ``barostat_fs``, ``compressibility_per_GPa``, ``gate``,
        ``guards``, ``check_every``, ``keep_every``.

    Raises
    ------
    TypeError, ValueError
        At construction, for settings out of range, what is no collective variable, bases of other periods
        than the variables', a bias learned with other settings, trajectories too short for an iteration, and
        if nothing could be yielded.

    References
    ----------
    O. Valsson, M. Parrinello, Phys. Rev. Lett. 113, 090601 (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> basis = {"class": "Legendre", "order": 8, "interval": (2.0, 3.0)}
    >>> explorer = VESExplorer(
    ...     cv=Distance(0, 1), temperature_K=300, bases=basis, bias_factor=10, pace=10, duration_ps=0.1,
    ...     keep_every=1,
    ... )
    >>> rng, crystal = np.random.default_rng(0), bulk("Si", cubic=True)
    >>> frames, summary = explorer.run(StillingerWeber(), crystal, rng)
    >>> summary.learned["iterations"]
    10
    """

    def __init__(
        self,
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        bases: Basis | Mapping[str, Any] | Sequence[Basis | Mapping[str, Any]],
        bias_factor: float | None = None,
        target: Target | Mapping[str, Any] | None = None,
        pace: int = 500,
        step_size_eV: float | None = None,
        average_window: float | None = None,
        target_pace: int = 1,
        grid_cells: int | Sequence[int] | None = None,
        learned: Mapping[str, Any] | None = None,
        memory: int | None = None,
        **settings: Unpack[ExploringSettings],
    ) -> None:
        own = {
            "bases": bases,
            "bias_factor": bias_factor,
            "target": target,
            "pace": pace,
            "step_size": step_size_eV,
            "average_window": average_window,
            "target_pace": target_pace,
            "grid_cells": grid_cells,
        }
        super().__init__(own, cv=cv, temperature_K=temperature_K, learned=learned, memory=memory, **settings)

    def _fresh_bias(self) -> VariationalBias:
        bias = VariationalBias(**self._own)
        require_same_periods(self.cv, bias.domains)
        return bias

    def _told(self) -> dict[str, float]:
        return _told("ves", self._own["bias_factor"], self._iterations)


class DeepVESExplorer(LearningExplorer):
    """Deep-VES, with a neural network as the bias, until the ensemble is uncertain.

    Gate, guards and frames are those of :class:`MetadynamicsExplorer`. The network is carried: all
    trajectories of a generation start from the same parameters, and those of the next from their mean,
    weighted by the iterations that each made, as in federated averaging. It takes noise away and the bias no
    farther than one trajectory does; and it holds as long as trajectories do not learn too far from where
    they began: with few iterations, or a small ``learning_rate``. :class:`MetadynamicsExplorer` and
    :class:`OPESExplorer` add up what trajectories visit, and so fill basins faster.

    A bias that has become static stays so; ``decay`` and ``memory`` say how long it learns.

    Parameters
    ----------
    cv : CollectiveVariable
        The same for all structures that the explorer is given: if these differ in size, a mean rather than a
        count.
    temperature_K : float
    bounds : sequence
        (low, high) of each variable, None for a periodic one; None altogether when all are periodic. Beyond
        them the bias neither pushes nor pulls.
    bias_factor : float, optional
        γ of the well-tempered target: barriers are lowered to 1/γ.
    target : mapping or Target, optional
        Another one, instead: ``{"class": "Uniform"}``.
    pace : int
        Steps from one change of the bias to the next. Trajectories have to be longer, better many times; what
        they see after their last iteration is not learned from.
    energy_unit_eV : float
        V where the network's output is 1: sets how fast V changes. 1 kJ/mol; for short trajectories more.
    tau, decay, hidden, activation, learning_rate, weight_decay, bins, target_points, kl_threshold, \
static_below, constant_iterations, seed
        As of :class:`~ase_mlsample.biases.DeepVESBias`.
    learned, memory
        As of :class:`VESExplorer`.
    **settings
        As of :class:`BiasedExplorer`: ``duration_ps``, ``pressure_GPa``, ``timestep_fs``,
        ``friction_per_ps``, ``thermostat_fs``, ``barostat_fs``, ``compressibility_per_GPa``, ``gate``,
        ``guards``, ``check_every``, ``keep_every``.

    Raises
    ------
    TypeError, ValueError
        At construction, for settings out of range, what is no collective variable, bounds that are not of its
        number, a bias learned with other settings, trajectories too short for an iteration, and if nothing
        could be yielded.

    References
    ----------
    L. Bonati, Y.-Y. Zhang, M. Parrinello, PNAS 116, 17641 (2019); H. B. McMahan, E. Moore, D. Ramage,
    S. Hampson, B. Agüera y Arcas, AISTATS 54, 1273 (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> explorer = DeepVESExplorer(
    ...     cv=Distance(0, 1), temperature_K=300, bounds=[(2.0, 3.0)], bias_factor=10, pace=10,
    ...     duration_ps=0.1, keep_every=1,
    ... )
    >>> rng, crystal = np.random.default_rng(0), bulk("Si", cubic=True)
    >>> frames, summary = explorer.run(StillingerWeber(), crystal, rng)
    >>> summary.learned["iterations"]
    10
    """

    def __init__(
        self,
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        bounds: Sequence[Domain] | None = None,
        bias_factor: float | None = None,
        target: Target | Mapping[str, Any] | None = None,
        pace: int = 500,
        energy_unit_eV: float = _KJ_PER_MOL,
        tau: int = 10_000,
        decay: int = 2_000,
        hidden: Sequence[int] = (48, 24, 12),
        activation: str = "relu",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        bins: int | Sequence[int] | None = None,
        target_points: int | None = None,
        kl_threshold: float = 0.5,
        static_below: float = 5e-5,
        constant_iterations: int = 0,
        seed: int = 0,
        learned: Mapping[str, Any] | None = None,
        memory: int | None = None,
        **settings: Unpack[ExploringSettings],
    ) -> None:
        require_variable(cv)
        own = {
            "bounds": bounds_of(cv, bounds),
            "domains": cv.domains,
            "bias_factor": bias_factor,
            "target": target,
            "pace": pace,
            "energy_unit": energy_unit_eV,
            "tau": tau,
            "decay": decay,
            "hidden": hidden,
            "activation": activation,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "bins": bins,
            "target_points": target_points,
            "kl_threshold": kl_threshold,
            "static_below": static_below,
            "constant_iterations": constant_iterations,
            "seed": seed,
        }
        super().__init__(own, cv=cv, temperature_K=temperature_K, learned=learned, memory=memory, **settings)

    def _fresh_bias(self) -> DeepVESBias:
        return DeepVESBias(**self._own)

    def _told(self) -> dict[str, float]:
        return _told("deep_ves", self._own["bias_factor"], self._iterations)


def averaged(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What trajectories that ran side by side hand on, by :func:`averaged_state`.

    Parameters
    ----------
    runs : sequence of mappings
        ``learned`` of the summaries of a generation, at least one. Each counts by the iterations it made;
        where none made any, the bias stays what it was.

    Returns
    -------
    dict
        As ``learned`` for the explorers of the next generation: plain values.
    """
    iterations = [int(run["iterations"]) for run in runs]
    weights = iterations if any(iterations) else [1, *(0 for _ in iterations[1:])]
    return {
        "bias": as_plain(averaged_state([run["bias"] for run in runs], weights)),
        "iterations": sum(iterations),
        "generations": max(int(run["generations"]) for run in runs),
    }


def _told(name: str, bias_factor: float | None, iterations: int) -> dict[str, float]:
    told = {} if bias_factor is None else {f"{name}_bias_factor": float(bias_factor)}
    return told | {f"{name}_carried": float(iterations)}
