"""Thousands of walkers on a model potential at once, under the same biases as atoms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.base import Bias
from ase_mlsample.biases.comparison import differences
from ase_mlsample.calculators.model_potentials import ModelPotential
from ase_mlsample.dynamics.packed_file import read_packed, write_packed
from ase_mlsample.dynamics.run_progress import RunProgress
from ase_mlsample.dynamics.walker_arguments import (
    Variables,
    checked_masses,
    checked_variables,
    require_periods,
    require_types,
    starting_points,
)

__all__ = ["Variables", "WalkerDynamics", "WalkerObserver"]

FloatArray = NDArray[np.float64]
_VERSION = "ase-mlsample walkers 1"
_AT_ONCE = 2048  # walkers whose numbers stay in the cache during a step
_STEPS_BETWEEN_LOOKS = 100


class WalkerObserver(Protocol):
    """What is called with the dynamics at intervals; one with a state is kept in checkpoints."""

    def __call__(self, dynamics: WalkerDynamics) -> None:
        """Look at the walkers after a step."""


class WalkerDynamics:
    """Langevin dynamics of independent walkers on a model potential, under one bias that all of them build.

    The integrator is BAOAB (half a kick, half a drift, friction and noise, half a drift, half a kick), which
    samples positions in a harmonic potential exactly at any stable time step. A step of one walker takes
    about 0.1 µs. Observers see every walker, so that statistics are kept instead of trajectories.

    Parameters
    ----------
    potential : ModelPotential
        Energies in the unit of kT.
    kT : float
    timestep, friction : float
        In units of time that go with mass, length and energy.
    n_walkers : int
    rng : numpy.random.Generator
        The only source of randomness.
    bias : Bias, optional
        A function of ``variables``. Its ``update`` is called with all walkers after every step.
    variables : sequence of int, or function, optional
        What the bias and observers see: some of the coordinates (default: all), or a function of positions
        (W, n) that returns values (W, d) and derivatives (W, d, n).
    mass : float or array_like (n,)
    start : array_like (n,) or (W, n), optional
        Default: the potential's ``start``. Velocities are drawn at kT.
    name : str
        Of the run, where progress is shown.

    Attributes
    ----------
    step : int
        Steps done.
    frozen : bool
        Set it to True, and the bias stays as it is from then on.
    bias_changes : int
        How often the bias has changed.

    Raises
    ------
    TypeError
        For a potential, bias or rng of another type.
    ValueError
        For settings out of range, or a bias of another number of variables.

    References
    ----------
    B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34 (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from ase_mlsample.calculators import DoubleWell
    >>> walkers = WalkerDynamics(
    ...     DoubleWell(), kT=1.0, timestep=0.02, friction=1.0, n_walkers=100, rng=np.random.default_rng(0)
    ... )
    >>> walkers.run(1000)
    >>> walkers.positions.shape
    (100, 1)
    """

    def __init__(
        self,
        potential: ModelPotential,
        *,
        kT: float,
        timestep: float,
        friction: float,
        n_walkers: int,
        rng: np.random.Generator,
        bias: Bias | None = None,
        variables: Sequence[int] | Variables | None = None,
        mass: ArrayLike = 1.0,
        start: ArrayLike | None = None,
        name: str = "walkers",
    ) -> None:
        require_types(potential, bias, rng)
        positive = {"kT": kT, "timestep": timestep, "friction": friction, "n_walkers": n_walkers}
        for setting, value in positive.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{setting} must be positive and finite, got {value!r}")
        self.potential, self.bias, self.rng, self.name = potential, bias, rng, name
        self.kT, self.timestep, self.friction = float(kT), float(timestep), float(friction)
        self.step, self.bias_changes, self.frozen = 0, 0, False
        self._observers: list[tuple[WalkerObserver, int]] = []
        n, W = potential.n_variables, int(n_walkers)
        self.mass = checked_masses(mass, n)
        self._function, self._indices = checked_variables(variables, n)
        first, count = (self._indices or [0])[0], len(self._indices)
        consecutive = self._indices == list(range(first, first + count))
        self._rows = slice(first, first + count) if consecutive else self._indices  # a slice is faster
        # coordinates are rows, so that arithmetic runs along walkers
        self._x, self._v = np.empty((n, W)), np.empty((n, W))
        self._force, self._noise = np.empty((n, W)), np.empty((n, W))
        self._x[:] = starting_points(potential.start if start is None else start, n, W).T
        thermal = np.sqrt(self.kT / self.mass)[:, None]
        self._v[:] = thermal * rng.standard_normal((n, W))
        self._memory = math.exp(-self.friction * self.timestep)
        self._kick = (-0.5 * self.timestep / self.mass)[:, None]
        self._spread = thermal * math.sqrt(-math.expm1(-2 * self.friction * self.timestep))
        require_periods(bias, potential, self._indices)
        self._wrap()
        self._s, self._V = np.array(self._variables_of(self._x)[0], order="C"), np.zeros(W)
        self._parts = self._in_parts()
        if bias is not None and bias.n_cvs != self._s.shape[1]:
            raise ValueError(
                f"the bias is a function of {bias.n_cvs} variable(s), but the walkers have "
                f"{self._s.shape[1]}; choose which with variables=[...]"
            )
        self._refresh()

    @property
    def n_walkers(self) -> int:
        """Number of walkers W."""
        return int(self._x.shape[1])

    @property
    def positions(self) -> FloatArray:
        """A copy of the positions (W, n); periodic variables within their period."""
        return np.ascontiguousarray(self._x.T)

    @property
    def velocities(self) -> FloatArray:
        """A copy of the velocities (W, n)."""
        return np.ascontiguousarray(self._v.T)

    @property
    def variables(self) -> FloatArray:
        """A copy of what the bias is a function of, (W, d)."""
        return self._s.copy()

    @property
    def bias_energy(self) -> FloatArray:
        """A copy of the present bias V of each walker, (W,); zero without a bias."""
        return self._V.copy()

    def attach(self, observer: WalkerObserver, interval: int = 1) -> None:
        """Call ``observer(self)`` after every step whose number is a multiple of ``interval``.

        The bias has then been updated, and ``bias_energy`` is that of the updated one.

        Raises
        ------
        ValueError
            For an interval below one.
        """
        if interval < 1:
            raise ValueError(f"interval must be at least 1, got {interval!r}")
        self._observers.append((observer, int(interval)))

    def detach(self, observer: WalkerObserver) -> None:
        """Stop calling an observer.

        Raises
        ------
        ValueError
            For one that was not attached.
        """
        kept = [entry for entry in self._observers if entry[0] is not observer]
        if len(kept) == len(self._observers):
            raise ValueError(f"{observer!r} is not attached to these walkers")
        self._observers = kept

    def run(self, steps: int, *, progress: bool = False) -> None:
        """Do a number of steps with every walker.

        Parameters
        ----------
        steps : int
        progress : bool
            Whether to report on standard error.

        Raises
        ------
        ValueError
            For a negative number of steps.
        FloatingPointError
            When a walker leaves all bounds: the time step is too large.
        """
        if steps < 0:
            raise ValueError(f"steps must not be negative, got {steps!r}")
        with RunProgress(self.name, steps, enabled=progress) as shown, np.errstate(all="ignore"):
            for done in range(1, steps + 1):
                self._advance()
                self.step += 1
                if self.bias is not None and not self.frozen and self.bias.update(self._s, self.step):
                    self.bias_changes += 1
                    self._refresh()
                for observer, interval in self._observers:
                    if self.step % interval == 0:
                        observer(self)
                if done % _STEPS_BETWEEN_LOOKS == 0 or done == steps:
                    self._require_finite()
                    if shown.due(done):
                        shown.show(done, f"{self.bias_changes} changes of the bias" if self.bias else "")

    def settings(self) -> dict[str, Any]:
        """Return what defines the run, as plain values; a function of positions by its name."""
        variables = getattr(self._function, "__qualname__", repr(self._function))
        return {
            "potential": type(self.potential).__name__,
            "parameters": self.potential.settings(),
            "kT": self.kT,
            "timestep": self.timestep,
            "friction": self.friction,
            "n_walkers": self.n_walkers,
            "mass": self.mass.tolist(),
            "variables": list(self._indices) if self._function is None else variables,
            "observers": [[type(observer).__name__, interval] for observer, interval in self._observers],
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on, and what observers have gathered: values and arrays."""
        return {
            "settings": self.settings(),
            "step": self.step,
            "bias_changes": self.bias_changes,
            "frozen": self.frozen,
            "positions": self.positions,
            "velocities": self.velocities,
            "rng": self.rng.bit_generator.state,
            "bias": None if self.bias is None else self.bias.state_dict(),
            "observers": [
                observer.state_dict() if hasattr(observer, "state_dict") else None
                for observer, _ in self._observers
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of :meth:`state_dict`; the run goes on as if never interrupted.

        Observers are to be attached before, in the same order.

        Raises
        ------
        ValueError
            When the state is of other settings, another bias or another kind of generator.
        KeyError
            When something is missing.
        """
        different = differences(self.settings(), state["settings"])
        if different:
            raise ValueError(f"the state is of walkers with other settings: {different}")
        if (state["bias"] is None) != (self.bias is None):
            raise ValueError(f"the state is of walkers {'without' if self.bias else 'with'} a bias")
        kind, given = self.rng.bit_generator.state["bit_generator"], state["rng"]["bit_generator"]
        if kind != given:
            raise ValueError(f"the state has a generator of type {given}, but rng is of type {kind}")
        if self.bias is not None:
            self.bias.load_state_dict(state["bias"])
        for (observer, _), kept in zip(self._observers, state["observers"], strict=True):
            if kept is not None:
                loading: Any = observer  # it wrote a state, so it can read one
                loading.load_state_dict(kept)
        self.step, self.bias_changes = int(state["step"]), int(state["bias_changes"])
        self.frozen = bool(state["frozen"])
        self._x[:], self._v[:] = state["positions"].T, state["velocities"].T
        self.rng.bit_generator.state = state["rng"]
        self._refresh()

    def save(self, path: str | Path) -> None:
        """Write a checkpoint; whatever happens, the file holds the old one or all of the new one."""
        if self.bias is not None:
            self.bias.flush()
        write_packed(Path(path), self.state_dict(), version=_VERSION)

    def load(self, path: str | Path) -> Self:
        """Take up a checkpoint of :meth:`save`, and return the dynamics.

        Raises
        ------
        FileNotFoundError
            When there is none.
        ValueError
            For another file, or as :meth:`load_state_dict`.
        """
        self.load_state_dict(read_packed(Path(path), version=_VERSION, what="walkers"))
        return self

    def _advance(self) -> None:
        """One step of BAOAB; the last half of the kick is left with the force of the bias as it was."""
        half = 0.5 * self.timestep
        self.rng.standard_normal(out=self._noise)
        for x, v, force, noise, _, _ in self._parts:
            self._move(x, v, force, noise, half)
        self._wrap()
        self._refresh()
        self._v += self._force

    def _move(self, x: FloatArray, v: FloatArray, force: FloatArray, noise: FloatArray, half: float) -> None:
        """Half a kick (forces hold F·dt/2m), half a drift, friction and noise, half a drift."""
        v += force
        x += half * v
        v *= self._memory
        noise *= self._spread
        v += noise
        np.multiply(v, half, out=noise)  # used up, so it serves as scratch
        x += noise

    def _refresh(self) -> None:
        """Forces of potential and bias, and the variables, of the walkers where they are."""
        for x, _, force, _, s, V in self._parts:
            gradient = self.potential.gradient(x.T).T
            values, slopes = self._variables_of(x)
            s[:] = values
            if self.bias is not None:
                V[:], pull = self.bias.potential(s)
                if slopes is not None:
                    gradient += np.einsum("wd,wdn->nw", pull, slopes)
                else:
                    for column, index in enumerate(self._indices):
                        gradient[index] += pull[:, column]
            np.multiply(gradient, self._kick, out=force)

    def _variables_of(self, x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Variables (W, d), and their derivatives (W, d, n) unless they are coordinates."""
        if self._function is not None:
            return self._function(np.ascontiguousarray(x.T))
        return x[self._rows].T, None

    def _in_parts(self) -> list[tuple[FloatArray, ...]]:
        """Views of position, velocity, force, noise, variables and bias of walkers that share the cache."""
        rows = (self._x, self._v, self._force, self._noise)
        cuts = [slice(begin, begin + _AT_ONCE) for begin in range(0, self.n_walkers, _AT_ONCE)]
        return [(*(row[:, cut] for row in rows), self._s[cut], self._V[cut]) for cut in cuts]

    def _wrap(self) -> None:
        for index, domain in enumerate(self.potential.domains):
            if domain is not None:
                low, high = domain
                self._x[index] -= (high - low) * np.floor((self._x[index] - low) / (high - low))

    def _require_finite(self) -> None:
        if not math.isfinite(float(self._v.sum())):
            lost = int(np.count_nonzero(~np.isfinite(self._v).all(axis=0)))
            raise FloatingPointError(
                f"{lost} of {self.n_walkers} walkers have left all bounds by step {self.step}; give a time "
                f"step smaller than {self.timestep}"
            )
