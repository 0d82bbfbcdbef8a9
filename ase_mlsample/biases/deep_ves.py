"""Variationally enhanced sampling with a neural network as the bias."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import domain_list, positive, whole
from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.biases.convergence import ConvergenceRecord
from ase_mlsample.biases.grid import node_values
from ase_mlsample.biases.grid_learning import GridLearning
from ase_mlsample.biases.network import ACTIVATIONS, Adam, BiasNetwork
from ase_mlsample.biases.rate_schedule import Phase, RateSchedule
from ase_mlsample.biases.sampled_learning import SampledLearning
from ase_mlsample.biases.static import StaticBias
from ase_mlsample.biases.tabulated import TabulatedPotential
from ase_mlsample.biases.targets import GivenTarget, GridTarget, Target, chosen_target

__all__ = ["DeepVESBias"]

FloatArray = NDArray[np.float64]

_BINS = {1: 100, 2: 50, 3: 25}
_TARGET_POINTS = 20_000


class DeepVESBias(Bias):
    """Deep-VES: a network V(s) that is trained until the run samples a target distribution.

    Every ``pace`` steps the parameters w take a step of Adam against the gradient of Ω[V],
    −⟨∂V/∂w⟩ over the samples since the last one + ⟨∂V/∂w⟩_p. A running histogram of the variables is compared
    with the target p; the learning rate decays only in iterations in which their divergence KL(p_V ‖ p) is
    below a threshold, and when it has become small enough the bias is static: from then on, and only then,
    samples are reweighted by e^{V/k_BT} (:meth:`static_mask`).

    Up to three variables live on a grid: the network is evaluated at its nodes once an iteration, and V is
    the cubic spline through them. Beyond the bounds V goes on with its value there, so the bias neither
    pushes nor pulls, and such samples are left out of the averages; without any other there is no iteration.
    Where the free energy does not hold the system, add walls at the bounds. For more variables V is the
    network itself and the target a sample of Metropolis chains.

    Parameters
    ----------
    kT : float
        k_B times temperature, in the unit of energies.
    bounds : sequence
        (low, high) for each variable; None for a periodic one.
    bias_factor : float, optional
        γ of a well-tempered target, p ∝ e^{−F/γk_BT}, which is updated with F ← −V + F/γ in every iteration.
    target : Target, optional
        Another target, instead: :class:`Uniform`, :class:`GivenTarget`.
    pace : int
        Steps of the dynamics in an iteration. All walkers' samples count, W of them in a step: to keep the
        number of samples, divide.
    tau : int
        Iterations over which the histogram averages. The more so the slower what the variables leave out.
    decay : int
        The scale of the learning rate becomes (1 − 1/decay) times itself in an iteration.
    domains : sequence, optional
        The period of each variable, (low, high) or None.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : {"relu", "tanh"}
    learning_rate : float
        Of Adam.
    weight_decay : float
        Added to the gradient of the network's output, times w (L2).
    energy_unit : float, optional
        V of an output of 1, and with it how fast V changes; k_BT unless given. Published runs of atoms have
        1 kJ/mol, which is 0.0103643 eV, the default of :class:`~ase_mlsample.dynamics.DeepVES`.
    bins : int or sequence of int, optional
        Of the grid, along each variable; 100, 50 or 25 for one, two or three variables.
    target_points : int, optional
        Points of the target in an iteration, instead of a grid; 20,000 when there are more than three
        variables.
    kl_threshold, static_below, constant_iterations
        As of :class:`RateSchedule`.
    seed : int
        Of the network's first parameters, and of the chains.

    Attributes
    ----------
    iterations : int
    divergence : float
        KL(p_V ‖ p) after the last iteration; with ``target_points``, the sum of those of each variable alone.
    inside : float
        Share of the samples of the last ``pace`` steps that was within the bounds; 1 before.
    static_since : int or None
        Step at which the bias became static.
    record : ConvergenceRecord
        Columns "iteration", "step", "divergence", "scale", "omega" and "inside".

    Raises
    ------
    ValueError, TypeError
        For settings out of range, or that do not fit together.
    FloatingPointError
        In an update, when the learning rate was too large for the network to stay finite.

    References
    ----------
    L. Bonati, Y.-Y. Zhang, M. Parrinello, PNAS 116, 17641 (2019); O. Valsson, M. Parrinello, Phys. Rev. Lett.
    113, 090601 (2014).

    Examples
    --------
    >>> from ase_mlsample.biases import DeepVESBias
    >>> bias = DeepVESBias(kT=1.0, bounds=[(-3, 3)], bias_factor=10, pace=500, tau=50_000, decay=5_000)
    >>> any(bias.update([0.3], step) for step in range(500)), bias.update([0.3], 500)
    (False, True)
    >>> bias.phase, bias.iterations
    ('decaying', 1)
    """

    domains: tuple[Domain, ...]

    def __init__(
        self,
        *,
        kT: float,
        bounds: Sequence[Domain],
        bias_factor: float | None = None,
        target: Target | Mapping[str, Any] | None = None,
        pace: int = 500,
        tau: int = 10_000,
        decay: int = 2_000,
        domains: Sequence[Domain] | None = None,
        hidden: Sequence[int] = (48, 24, 12),
        activation: str = "relu",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        energy_unit: float | None = None,
        bins: int | Sequence[int] | None = None,
        target_points: int | None = None,
        kl_threshold: float = 0.5,
        static_below: float = 5e-5,
        constant_iterations: int = 0,
        seed: int = 0,
    ) -> None:
        self.kT, self.n_cvs = positive(kT, "kT"), len(bounds)
        self.domains = domain_list(domains, self.n_cvs)
        self.ranges = _ranges(bounds, self.domains)
        self.pace, self.tau = whole(pace, "pace"), whole(tau, "tau")
        self.learning_rate = positive(learning_rate, "learning_rate")
        self.weight_decay = 0.0 if weight_decay == 0 else positive(weight_decay, "weight_decay, unless zero,")
        self.energy_unit = positive(self.kT if energy_unit is None else energy_unit, "energy_unit")
        self.hidden, self.activation = _layers(hidden, activation)
        self.seed = whole(seed, "seed", least=0)
        self.bins, self.target_points = _resolution(bins, target_points, self.n_cvs)
        self.target = chosen_target(target, bias_factor)
        self.schedule = RateSchedule(
            decay=decay,
            kl_threshold=kl_threshold,
            constant_iterations=constant_iterations,
            static_below=static_below,
        )
        rng = np.random.default_rng(self.seed)
        self.network = BiasNetwork(
            self.ranges, self.domains, hidden=self.hidden, activation=activation, rng=rng
        )
        self._adam = Adam(len(self.network.parameters))
        self._learning = self._make_learning(rng)
        self.iterations, self.divergence, self.inside = 0, 0.0, 1.0
        self.static_since: int | None = None
        self.record = ConvergenceRecord(("iteration", "step", "divergence", "scale", "omega", "inside"))
        self._samples = list[FloatArray]()

    @property
    def phase(self) -> Phase:
        """What learning does: "learning", "decaying" or "static"; see :class:`RateSchedule`."""
        return self.schedule.phase

    @property
    def scale(self) -> float:
        """Factor on the learning rate."""
        return self.schedule.scale

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        if self.bins is None:
            return self._learning.potential(self._points(s))
        try:
            return self._learning.potential(np.ascontiguousarray(s, dtype=np.float64))
        except ValueError:
            self._points(s)  # this says more
            raise

    def update(self, s: ArrayLike, step: int) -> bool:
        """Keep the sample, and do an iteration when it is time; true when V changed."""
        if step < 1 or self.static_since is not None:
            return False
        self._samples.append(self._points(s).reshape(-1, self.n_cvs).copy())
        return step % self.pace == 0 and self._iterate(step)

    def diagnostics(self) -> dict[str, float]:
        """Return divergence, scale of the learning rate, phase as 0, 1 or 2, and share of samples inside."""
        phase = float(get_args(Phase).index(self.phase))
        return {"kl": self.divergence, "rate_scale": self.scale, "phase": phase, "inside": self.inside}

    def nodes(self) -> tuple[list[FloatArray], FloatArray]:
        """Return the grid: coordinates along each axis, and V at the nodes (n₁, …).

        Raises
        ------
        ValueError
            Without a grid.
        """
        learning = self._on_grid()
        return [axis.copy() for axis in learning.table.axes], learning.values.reshape(learning.table.shape)

    def free_energy(self) -> tuple[list[FloatArray], FloatArray]:
        """Return the grid, and F = −V − k_BT ln p at its nodes (n₁, …), zero at its lowest.

        Raises
        ------
        ValueError
            Without a grid.
        """
        learning = self._on_grid()
        return [axis.copy() for axis in learning.table.axes], learning.target.free_energy.reshape(
            learning.table.shape
        )

    def static_mask(self, steps: ArrayLike) -> NDArray[np.bool_]:
        """Say which steps were made with the static bias, so that e^{V/k_BT} reweights their samples.

        Parameters
        ----------
        steps : array_like (n,)

        Returns
        -------
        ndarray (n,) of bool
        """
        if self.static_since is None:
            return np.zeros(np.shape(steps), dtype=bool)
        mask: NDArray[np.bool_] = np.asarray(steps) > self.static_since
        return mask

    def freeze(self) -> StaticBias:
        """Return the bias as it is now, as one that does not change any more; ValueError without a grid."""
        table = self._on_grid().table
        terms = node_values(table.grid)
        return StaticBias(table.axes, terms[..., 0], derivatives=terms[..., 1:], domains=self.domains)

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments."""
        names = ("kT", "pace", "tau", "learning_rate", "weight_decay", "energy_unit", "hidden", "activation")
        return {
            **{name: getattr(self, name) for name in (*names, "bins", "target_points", "seed", "domains")},
            "bounds": [
                None if domain is not None else given
                for given, domain in zip(self.ranges, self.domains, strict=True)
            ],
            "target": self.target.todict(),
            **self.schedule.settings(),
        }

    def _make_learning(self, rng: np.random.Generator) -> GridLearning | SampledLearning:
        scales = {"unit": self.energy_unit, "tau": float(self.tau)}
        if self.bins is not None:
            table = TabulatedPotential(self.ranges, self.domains, self.bins)
            self.target = self.target.on(table.points)
            target = GridTarget(self.target, table.points, table.volumes, self.kT)
            return GridLearning(self.network, table, target, **scales)
        if isinstance(self.target, GivenTarget):
            raise ValueError(
                "a target of one's own needs a grid: at most three variables, and no target_points"
            )
        n_points = self.target_points or _TARGET_POINTS
        return SampledLearning(
            self.network,
            self.target,
            self.ranges,
            self.domains,
            kT=self.kT,
            n_points=n_points,
            rng=rng,
            **scales,
        )

    def _iterate(self, step: int) -> bool:
        samples = np.concatenate(self._samples)
        self._samples.clear()
        within = self._within(samples)
        self.inside = float(within.mean())
        if not self.inside:
            return False
        gradient = self._learning.gradient(samples[within])
        parameters = self.network.parameters
        if self.weight_decay:
            gradient += self.weight_decay * parameters
        self._adam.step(parameters, gradient, self.learning_rate * self.scale)
        if not math.isfinite(parameters.sum()):
            raise FloatingPointError(
                f"the network is not finite at step {step}: learning_rate={self.learning_rate:.6g} is too "
                "large"
            )
        self.divergence, omega = self._learning.follow()
        self.iterations += 1
        self.record.add(self.iterations, step, self.divergence, self.scale, omega, self.inside)
        self.schedule.advance(self.iterations, self.divergence)
        if self.phase == "static":
            self.static_since = step
        return True

    def _within(self, samples: FloatArray) -> NDArray[np.bool_]:
        low, high = np.array(self.ranges).T
        periodic = [domain is not None for domain in self.domains]
        inside: NDArray[np.bool_] = (periodic | (samples >= low) & (samples <= high)).all(axis=1)
        return inside

    def _on_grid(self) -> GridLearning:
        if not isinstance(self._learning, GridLearning):
            raise ValueError(f"the bias of {self.n_cvs} variables has no grid; call potential at points")
        return self._learning

    def _state(self) -> dict[str, Any]:
        return {
            "parameters": self.network.parameters.copy(),
            "adam": [self._adam.mean.copy(), self._adam.square.copy()],
            "adam_steps": self._adam.steps,
            "learning": self._learning.state(),
            "schedule": self.schedule.state(),
            "iterations": self.iterations,
            "divergence": self.divergence,
            "inside": self.inside,
            "static_since": self.static_since,
            "record": self.record.state(),
            "samples": np.concatenate([np.empty((0, self.n_cvs)), *self._samples]),
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self.network.parameters[:] = state["parameters"]
        self._adam.mean[:], self._adam.square[:] = state["adam"]
        self._adam.steps = int(state["adam_steps"])
        self._learning.load_state(state["learning"])
        self.schedule.load_state(state["schedule"])
        self.iterations, self.divergence = int(state["iterations"]), float(state["divergence"])
        self.inside, since = float(state["inside"]), state["static_since"]
        self.static_since = None if since is None else int(since)
        self.record.load_state(state["record"])
        self._samples = [np.array(state["samples"], dtype=np.float64).reshape(-1, self.n_cvs)]


def _ranges(bounds: Sequence[Domain], domains: tuple[Domain, ...]) -> list[tuple[float, float]]:
    ranges = []
    checked = domain_list(bounds, len(bounds), name="bounds")
    for k, (given, domain) in enumerate(zip(checked, domains, strict=True)):
        if given is not None and domain is not None:
            raise ValueError(f"a variable with the period {domain} cannot have bounds, got {given}")
        one = given or domain
        if one is None:
            raise ValueError(
                f"variable {k} is not periodic and needs bounds, (low, high), that hold all it is to visit"
            )
        ranges.append(one)
    if not ranges:
        raise ValueError("a bias needs at least one variable, got empty bounds")
    return ranges


def _layers(hidden: Sequence[int], activation: str) -> tuple[tuple[int, ...], str]:
    if not isinstance(hidden, Sequence | np.ndarray):
        raise TypeError(f"hidden must hold the width of each layer, such as (48, 24, 12), got {hidden!r}")
    widths = tuple(whole(width, "a width in hidden") for width in hidden)
    if not widths:
        raise ValueError("hidden must hold the width of at least one layer")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    return widths, activation


def _resolution(
    bins: int | Sequence[int] | None, target_points: int | None, n_cvs: int
) -> tuple[tuple[int, ...] | None, int | None]:
    """Return bins of the grid, or points of the target's sample."""
    if target_points is None and n_cvs > len(_BINS):
        target_points = _TARGET_POINTS
    if target_points is not None:
        if bins is not None:
            raise ValueError(
                f"bins={bins!r} and {target_points!r} target_points exclude each other; a grid has at most "
                "three variables"
            )
        return None, whole(target_points, "target_points")
    given: Any = _BINS[n_cvs] if bins is None else bins
    counts = tuple(whole(count, "bins") for count in ([given] * n_cvs if np.ndim(given) == 0 else given))
    if len(counts) != n_cvs or min(counts) < 4:
        raise ValueError(f"bins must hold {n_cvs} numbers, one for each variable, at least 4, got {bins!r}")
    return counts, None
