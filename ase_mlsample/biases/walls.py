"""Walls: potentials that keep variables on one side."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import dotted, per_variable
from ase_mlsample.biases.base import Bias

__all__ = ["LowerWall", "UpperWall"]

FloatArray = NDArray[np.float64]


class _Wall(Bias):
    """What both walls share; ``_side`` is +1 for one above and −1 for one below."""

    _side: ClassVar[float]

    def __init__(
        self, at: ArrayLike, kappa: ArrayLike, *, exponent: ArrayLike = 2.0, offset: ArrayLike = 0.0
    ) -> None:
        self.at = per_variable(at, "at", infinite=True)
        self.n_cvs = len(self.at)
        self.kappa = per_variable(kappa, "kappa", n_cvs=self.n_cvs)
        self.exponent = per_variable(exponent, "exponent", n_cvs=self.n_cvs)
        self.offset = per_variable(offset, "offset", n_cvs=self.n_cvs)
        if (self.at == -self._side * np.inf).any():
            raise ValueError(f"at = {self.at.tolist()} puts everything behind the wall")
        if (self.kappa < 0).any():
            raise ValueError(f"kappa must not be negative, got {self.kappa.tolist()}: such a wall attracts")
        if (self.exponent <= 1).any():
            raise ValueError(
                f"exponent must be above 1, got {self.exponent.tolist()}: the force would jump at the wall"
            )

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        depth = self._side * (self._points(s) - self.at) + self.offset
        if not (depth > 0).any():  # nearly always, and a power costs more than all the rest
            return (0.0 if depth.ndim == 1 else np.zeros(len(depth))), np.zeros_like(depth)
        np.maximum(depth, 0.0, out=depth)
        force = self.kappa * depth ** (self.exponent - 1)
        return dotted(force, depth), self._side * self.exponent * force

    def settings(self) -> dict[str, Any]:
        """Return at, kappa, exponent and offset."""
        return {name: getattr(self, name).tolist() for name in ("at", "kappa", "exponent", "offset")}


class UpperWall(_Wall):
    """V = Σ κ (s − at + offset)^exponent where that is positive, else nothing: keeps s below ``at``.

    Parameters
    ----------
    at : float or array_like (d,)
        ``inf`` for a variable that needs no wall.
    kappa : float or array_like (d,)
        In energy per variable to the power ``exponent``; there is no factor ½, as in PLUMED.
    exponent : float or array_like (d,)
        Above 1.
    offset : float or array_like (d,)
        How far before ``at`` the wall begins.

    Raises
    ------
    ValueError
        For settings out of range, or shapes that do not fit.

    Notes
    -----
    As UPPER_WALLS of PLUMED with EPS=1. The values of periodic variables are taken as they are.

    Examples
    --------
    >>> from ase_mlsample.biases import UpperWall
    >>> UpperWall(4.0, 10.0).potential([5.0])
    (10.0, array([20.]))
    """

    _side = 1.0


class LowerWall(_Wall):
    """V = Σ κ (at + offset − s)^exponent where that is positive, else nothing: keeps s above ``at``.

    Parameters
    ----------
    at : float or array_like (d,)
        ``-inf`` for a variable that needs no wall.
    kappa : float or array_like (d,)
        In energy per variable to the power ``exponent``; there is no factor ½, as in PLUMED.
    exponent : float or array_like (d,)
        Above 1.
    offset : float or array_like (d,)
        How far before ``at`` the wall begins.

    Raises
    ------
    ValueError
        For settings out of range, or shapes that do not fit.

    Notes
    -----
    As LOWER_WALLS of PLUMED with EPS=1. The values of periodic variables are taken as they are.
    """

    _side = -1.0
