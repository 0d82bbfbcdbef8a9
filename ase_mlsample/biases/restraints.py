"""Restraints: springs that hold variables, where they are or along a way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import domain_list, dotted, per_variable, periods, wrapped
from ase_mlsample.biases.base import Bias, Domain

__all__ = ["HarmonicRestraint", "LinearBias", "MovingRestraint"]

FloatArray = NDArray[np.float64]


class HarmonicRestraint(Bias):
    """V = Σ ½ κ (s − c)², the difference taken by the shortest way round where a variable is periodic.

    Parameters
    ----------
    center : float or array_like (d,)
    kappa : float or array_like (d,)
        In energy per variable squared; zero leaves a variable free.
    domains : sequence, optional
        The period of each variable, (low, high) or None.

    Raises
    ------
    ValueError
        For a negative kappa, a number that is not finite, or shapes that do not fit.

    Examples
    --------
    >>> import math
    >>> from ase_mlsample.biases import HarmonicRestraint
    >>> HarmonicRestraint(3.0, 2.0, domains=[(-math.pi, math.pi)]).potential([-3.0])
    (0.08019391820239662, array([0.56637061]))
    """

    def __init__(
        self, center: ArrayLike, kappa: ArrayLike, *, domains: Sequence[Domain] | None = None
    ) -> None:
        self.center = per_variable(center, "center")
        self.n_cvs = len(self.center)
        self.kappa = _springs(kappa, self.n_cvs)
        self.domains = domain_list(domains, self.n_cvs)
        self._periods = periods(self.domains)

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        difference = wrapped(self._points(s) - self.center, self._periods)
        gradient = self.kappa * difference
        return 0.5 * dotted(gradient, difference), gradient

    def settings(self) -> dict[str, Any]:
        """Return center, kappa and domains."""
        return {"center": self.center.tolist(), "kappa": self.kappa.tolist(), "domains": self.domains}


class LinearBias(Bias):
    """V = Σ a (s − c): a constant force on each variable.

    Parameters
    ----------
    slope : float or array_like (d,)
        a, in energy per variable.
    center : float or array_like (d,)
        Where V is zero.

    Raises
    ------
    ValueError
        For numbers that are not finite, or shapes that do not fit.
    """

    def __init__(self, slope: ArrayLike, center: ArrayLike = 0.0) -> None:
        self.slope = per_variable(slope, "slope")
        self.n_cvs = len(self.slope)
        self.center = per_variable(center, "center", n_cvs=self.n_cvs)

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        points = self._points(s)
        slope = np.broadcast_to(self.slope, points.shape).copy()
        return dotted(points - self.center, slope), slope

    def settings(self) -> dict[str, Any]:
        """Return slope and center."""
        return {"slope": self.slope.tolist(), "center": self.center.tolist()}


class MovingRestraint(Bias):
    """A spring whose centre and strength move on a schedule, and the work that it does.

    Between the steps of the schedule center and kappa are interpolated linearly, before and after it they
    stay. While step n is done the spring is where it was at step n − 1; then it moves on with s held, and the
    work grows by the change of V in that: the definition with which Jarzynski's equality is exact.

    Parameters
    ----------
    steps : sequence of int
        Increasing.
    centers : array_like (n,) or (n, d)
        At those steps. To go through a period's end, go on past it: from 3.0 to 3.5, not to −2.78.
    kappas : float, array_like (n,) or (n, d)
        At those steps, in energy per variable squared.
    domains : sequence, optional
        The period of each variable, (low, high) or None.

    Attributes
    ----------
    center, kappa : ndarray (d,)
        As they are now.
    work : float or ndarray (W,)
        Done on the one walker, or on each, so far.

    Raises
    ------
    ValueError
        For steps that do not increase, a negative kappa, or shapes that do not fit.

    References
    ----------
    C. Jarzynski, Phys. Rev. Lett. 78, 2690 (1997), eq. 3.
    """

    def __init__(
        self,
        steps: Sequence[int],
        centers: ArrayLike,
        kappas: ArrayLike,
        *,
        domains: Sequence[Domain] | None = None,
    ) -> None:
        self.steps = np.array(steps, dtype=np.int64)
        n = self.steps.size
        if self.steps.ndim != 1 or n < 1 or (np.diff(self.steps) <= 0).any():
            raise ValueError(f"steps must increase, got {list(steps)!r}")
        self.centers = _waypoints(centers, "centers", n)
        self.n_cvs = self.centers.shape[1]
        given = np.array(kappas, dtype=np.float64)
        self.kappas = np.broadcast_to(
            np.full((n, 1), given) if given.ndim == 0 else _waypoints(given, "kappas", n), self.centers.shape
        ).copy()
        _springs(self.kappas.ravel(), self.kappas.size)
        self.domains = domain_list(domains, self.n_cvs)
        self._periods = periods(self.domains)
        self.center, self.kappa = self._place(0)
        self.work: Any = 0.0

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient for the spring as it is now; see :meth:`Bias.potential`."""
        difference = wrapped(self._points(s) - self.center, self._periods)
        gradient = self.kappa * difference
        return 0.5 * dotted(gradient, difference), gradient

    def update(self, s: ArrayLike, step: int) -> bool:
        """Move the spring to where it is at ``step``, and count the work; true when it moved."""
        if step < 1:
            return False
        center, kappa = self._place(step)
        if np.array_equal(center, self.center) and np.array_equal(kappa, self.kappa):
            return False
        before, _ = self.potential(s)
        self.center, self.kappa = center, kappa
        self.work = self.work + (self.potential(s)[0] - before)
        return True

    def settings(self) -> dict[str, Any]:
        """Return the schedule and domains."""
        return {
            "steps": self.steps.tolist(),
            "centers": self.centers.tolist(),
            "kappas": self.kappas.tolist(),
            "domains": self.domains,
        }

    def _place(self, step: int) -> tuple[FloatArray, FloatArray]:
        center, kappa = (
            np.array([np.interp(step, self.steps, column) for column in table.T])
            for table in (self.centers, self.kappas)
        )
        return center, kappa

    def _state(self) -> dict[str, Any]:
        return {"center": self.center.copy(), "kappa": self.kappa.copy(), "work": np.array(self.work)}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self.center = per_variable(state["center"], "center", n_cvs=self.n_cvs)
        self.kappa = per_variable(state["kappa"], "kappa", n_cvs=self.n_cvs)
        work = np.array(state["work"], dtype=np.float64)
        self.work = float(work) if work.ndim == 0 else work


def _springs(kappa: ArrayLike, n_cvs: int) -> FloatArray:
    springs = per_variable(kappa, "kappa", n_cvs=n_cvs)
    if (springs < 0).any():
        raise ValueError(f"kappa must not be negative, got {springs.tolist()}: such a spring pushes away")
    return springs


def _waypoints(values: ArrayLike, name: str, n: int) -> FloatArray:
    """Return values at n steps as (n, d)."""
    table = np.array(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or len(table) != n or not np.isfinite(table).all():
        raise ValueError(
            f"{name} must hold finite numbers for each of the {n} steps, ({n},) or ({n}, d), "
            f"got shape {np.shape(values)}"
        )
    return table
