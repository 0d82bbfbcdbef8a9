"""Distributions that a variational bias is to make the run sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import positive

__all__ = ["GivenTarget", "GridTarget", "Target", "Uniform", "WellTempered", "chosen_target"]

FloatArray = NDArray[np.float64]


class Target(ABC):
    """A distribution of the variables within the bias's bounds and periods; it may follow the free energy."""

    @abstractmethod
    def log_density(self, points: FloatArray, free_energy: FloatArray, kT: float) -> FloatArray:
        """Return the logarithm of the density (n,) at points (n, d), up to a constant.

        Parameters
        ----------
        points : ndarray (n, d)
        free_energy : ndarray (n,)
            As it is known so far, zero at its lowest.
        kT : float
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments that make an equal target, as plain values and arrays."""

    def on(self, points: FloatArray) -> Target:  # noqa: ARG002 (only a function has to be tabulated)
        """Return the same target for use at the points of a grid alone."""
        return self

    def todict(self) -> dict[str, Any]:
        """Return class and settings, from which :func:`chosen_target` makes an equal target."""
        return {"class": type(self).__name__, **self.settings()}


class Uniform(Target):
    """The same density everywhere."""

    def log_density(self, points: FloatArray, free_energy: FloatArray, kT: float) -> FloatArray:  # noqa: ARG002
        """Return zeros; see :meth:`Target.log_density`."""
        return np.zeros(len(points))

    def settings(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class WellTempered(Target):
    """p ∝ e^{−F/γk_BT}, with F as it becomes known: barriers are lowered by the factor γ.

    Parameters
    ----------
    bias_factor : float
        γ, above 1.

    References
    ----------
    O. Valsson, M. Parrinello, J. Chem. Theory Comput. 11, 1996 (2015).
    """

    def __init__(self, bias_factor: float) -> None:
        self.bias_factor = positive(bias_factor, "bias_factor")
        if self.bias_factor <= 1:
            raise ValueError(
                f"bias_factor must be above 1, got {bias_factor!r}; target=Uniform() for a flat distribution"
            )

    def log_density(self, points: FloatArray, free_energy: FloatArray, kT: float) -> FloatArray:  # noqa: ARG002
        """Return −F/γk_BT; see :meth:`Target.log_density`."""
        return free_energy * (-1 / (self.bias_factor * kT))

    def settings(self) -> dict[str, Any]:
        """Return γ."""
        return {"bias_factor": self.bias_factor}


class GivenTarget(Target):
    """A density that the user gives.

    Parameters
    ----------
    density : function, or array_like (n₁, …)
        A function of points (n, d) that returns (n,); or values at the nodes of the bias's grid. Positive
        everywhere; the factor does not matter.

    Raises
    ------
    ValueError
        For values that are not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from ase_mlsample.biases import GivenTarget
    >>> target = GivenTarget(lambda s: np.exp(-0.5 * s[:, 0] ** 2))
    """

    def __init__(self, density: Callable[[FloatArray], ArrayLike] | ArrayLike) -> None:
        self._given = density if callable(density) else _positive_densities(density)

    def log_density(self, points: FloatArray, free_energy: FloatArray, kT: float) -> FloatArray:  # noqa: ARG002
        """Return the logarithm of what was given; see :meth:`Target.log_density`."""
        logarithms: FloatArray = np.log(self._values(points)).reshape(-1)
        return logarithms

    def on(self, points: FloatArray) -> Target:
        """Return the target by its values at points; ValueError when it has another number of values."""
        values = self._values(points)
        if values.size != len(points):
            raise ValueError(
                f"the target density has {values.size} values, but the grid {len(points)} nodes; give a "
                "function of points (n, d), or values at the nodes"
            )
        return GivenTarget(values)

    def settings(self) -> dict[str, Any]:
        """Return the values; ValueError while it is a function."""
        if callable(self._given):
            raise ValueError(
                "a target that is a function has no settings before a bias has put it on its grid"
            )
        return {"density": self._given.copy()}

    def _values(self, points: FloatArray) -> FloatArray:
        return _positive_densities(self._given(points)) if callable(self._given) else self._given


class GridTarget:
    """A target on the nodes of a grid, and the free energy that the bias stands for.

    Parameters
    ----------
    target : Target
    points : ndarray (n, d)
    volumes : ndarray (n,)
        Share of each node in the volume.
    kT : float

    Attributes
    ----------
    free_energy : ndarray (n,)
        Zero at its lowest. F ← −V − k_BT ln p, and then the target follows F: for well-tempered p that is
        F ← −V + F/γ.
    probabilities, log_probabilities : ndarray (n,)
        Of the nodes; their sum is 1.
    """

    def __init__(self, target: Target, points: FloatArray, volumes: FloatArray, kT: float) -> None:
        self.target, self.kT = target, kT
        self._points, self._log_volumes = points, np.log(volumes)
        self.free_energy = np.zeros(len(points))
        self._follow()

    def update(self, potential: FloatArray) -> None:
        """Take the bias (n,) at the nodes as the one that gives the present target."""
        F = -potential - self.kT * self._log_density
        F -= F.min()
        self.free_energy = F
        self._follow()

    def state(self) -> dict[str, Any]:
        """Return what changes."""
        return {"free_energy": self.free_energy.copy()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        self.free_energy = np.array(state["free_energy"], dtype=np.float64)
        self._follow()

    def _follow(self) -> None:
        self._log_density = self.target.log_density(self._points, self.free_energy, self.kT)
        logarithms = self._log_density + self._log_volumes
        logarithms -= logarithms.max()
        weights = np.exp(logarithms)
        total = weights.sum()
        self.probabilities: FloatArray = weights / total
        self.log_probabilities: FloatArray = logarithms - np.log(total)


def chosen_target(target: Target | Mapping[str, Any] | None, bias_factor: float | None) -> Target:
    """Return the target that is meant: given, in the form of :meth:`Target.todict`, or well-tempered.

    Raises
    ------
    ValueError
        When none or both are given, or for an unknown class.
    TypeError
        For something that is no target.
    """
    if (target is None) == (bias_factor is None):
        raise ValueError(
            "give either bias_factor, for a well-tempered target, or target; got "
            f"{bias_factor!r} and {target!r}"
        )
    if bias_factor is not None:
        return WellTempered(bias_factor)
    if isinstance(target, Mapping):
        given = dict(target)
        kinds = {kind.__name__: kind for kind in (Uniform, WellTempered, GivenTarget)}
        name = given.pop("class", None)
        if name not in kinds:
            raise ValueError(f"there is no target {name!r}; known are {', '.join(kinds)}")
        made: Target = kinds[name](**given)
        return made
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target, such as Uniform(), got {type(target).__name__}")
    return target


def _positive_densities(values: ArrayLike) -> FloatArray:
    density: FloatArray = np.array(values, dtype=np.float64)
    if not (np.isfinite(density).all() and (density > 0).all()):
        raise ValueError(
            "a target density must be positive and finite everywhere; add a small number where the run need "
            "not go"
        )
    return density
