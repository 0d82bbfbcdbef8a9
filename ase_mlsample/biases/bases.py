"""Polynomials, Fourier series, Gaussians and splines, of which a variational bias is a linear combination."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.biases.arguments import positive, whole
from ase_mlsample.biases.basis import Basis, checked_interval

__all__ = ["Chebyshev", "CubicSplines", "Fourier", "Gaussians", "Legendre", "basis_list"]

FloatArray = NDArray[np.float64]
_ONE_PERIOD = (-math.pi, math.pi)


class _Polynomials(Basis):
    """Polynomials in t, the interval brought to [−1, 1].

    Parameters
    ----------
    order : int
        The highest degree.
    interval : (float, float)
    """

    periodic = False

    def __init__(self, order: int, interval: Sequence[float]) -> None:
        self.order = whole(order, "order")
        self.interval = checked_interval(interval)
        self.n_functions = self.order + 1

    def _fill(self, s: FloatArray, values: FloatArray, slopes: FloatArray | None) -> None:
        low, high = self.interval
        values[1] = (2 * s - (low + high)) / (high - low)
        self._recur(values)
        if slopes is not None:
            slopes[1] = 1.0
            self._recur_slopes(values, slopes)
            slopes *= 2 / (high - low)

    @abstractmethod
    def _recur(self, values: FloatArray) -> None:
        """Write the functions (m, n) from degree 2 on; that of degree 1 is t."""

    @abstractmethod
    def _recur_slopes(self, values: FloatArray, slopes: FloatArray) -> None:
        """Write their derivatives by t."""

    def _settings(self) -> dict[str, Any]:
        return {"order": self.order}


class Legendre(_Polynomials):
    """Legendre polynomials P_k(t), with t the interval brought to [−1, 1].

    Parameters
    ----------
    order : int
        The highest degree.
    interval : (float, float)

    Raises
    ------
    ValueError
        For an order below 1, or an interval that is none.

    Examples
    --------
    >>> from ase_mlsample.biases import Legendre
    >>> Legendre(2, (0, 4)).evaluate([3.0])
    (array([[ 1.   ,  0.5  , -0.125]]), array([[0.  , 0.5 , 0.75]]))
    """

    def _recur(self, values: FloatArray) -> None:
        for k in range(1, self.order):
            np.multiply(values[1], values[k], out=values[k + 1])
            values[k + 1] *= (2 * k + 1) / (k + 1)
            values[k + 1] -= (k / (k + 1)) * values[k - 1]

    def _recur_slopes(self, values: FloatArray, slopes: FloatArray) -> None:
        for k in range(1, self.order):
            slopes[k + 1] = slopes[k - 1] + (2 * k + 1) * values[k]


class Chebyshev(_Polynomials):
    """Chebyshev polynomials of the first kind T_k(t), with t the interval brought to [−1, 1].

    Parameters
    ----------
    order : int
        The highest degree.
    interval : (float, float)

    Raises
    ------
    ValueError
        For an order below 1, or an interval that is none.
    """

    def _recur(self, values: FloatArray) -> None:
        twice = 2 * values[1]
        for k in range(1, self.order):
            np.multiply(twice, values[k], out=values[k + 1])
            values[k + 1] -= values[k - 1]

    def _recur_slopes(self, values: FloatArray, slopes: FloatArray) -> None:
        twice = 2 * values[1]
        for k in range(1, self.order):
            slopes[k + 1] = 2 * values[k] + twice * slopes[k] - slopes[k - 1]


class Fourier(Basis):
    """1, cos φ, sin φ, cos 2φ, sin 2φ, … with φ the period brought to [−π, π].

    Parameters
    ----------
    order : int
        The highest multiple of φ.
    interval : (float, float)
        The period of the variable.

    Raises
    ------
    ValueError
        For an order below 1, or an interval that is none.
    """

    periodic = True

    def __init__(self, order: int, interval: Sequence[float] = _ONE_PERIOD) -> None:
        self.order = whole(order, "order")
        self.interval = checked_interval(interval)
        self.n_functions = 2 * self.order + 1

    def _fill(self, s: FloatArray, values: FloatArray, slopes: FloatArray | None) -> None:
        low, high = self.interval
        scale = 2 * math.pi / (high - low)
        angles = (s - 0.5 * (low + high)) * scale
        phases = np.exp(1j * angles)
        power = phases.copy()
        for k in range(1, self.order + 1):
            values[2 * k - 1], values[2 * k] = power.real, power.imag
            power *= phases
            if slopes is not None:
                slopes[2 * k - 1], slopes[2 * k] = -scale * k * values[2 * k], scale * k * values[2 * k - 1]

    def _settings(self) -> dict[str, Any]:
        return {"order": self.order}


class _Local(Basis):
    """One shape many times, a step apart: on n + 1 nodes and one beyond each end, or on a period's n nodes.

    Parameters
    ----------
    intervals : int
        n, equal parts of the interval.
    interval : (float, float)
    periodic : bool
    """

    _least: ClassVar[int]

    def __init__(self, intervals: int, interval: Sequence[float], *, periodic: bool = False) -> None:
        self.intervals = whole(intervals, "intervals", least=self._least)
        self.interval = checked_interval(interval)
        self.periodic = bool(periodic)
        self.n_functions = self.intervals + (1 if self.periodic else 4)
        low, high = self.interval
        self.step = (high - low) / self.intervals
        first = 0 if self.periodic else -1
        self._centers = low + self.step * np.arange(first, first + self.n_functions - 1)

    def _distances(self, s: FloatArray) -> FloatArray:
        """Distances from the centres, the shortest in a period, (m − 1, n)."""
        distances: FloatArray = s - self._centers[:, None]
        if self.periodic:
            period = self.interval[1] - self.interval[0]
            distances -= period * np.rint(distances / period)
        return distances

    def _settings(self) -> dict[str, Any]:
        return {"intervals": self.intervals, "periodic": self.periodic}


class Gaussians(_Local):
    """Gaussians e^{−(s − c)²/2w²} on equally spaced centres c.

    There is one at both ends of each part of the interval, and one more beyond either end; for a period one
    at the beginning of each part.

    Parameters
    ----------
    intervals : int
        n, equal parts of the interval.
    interval : (float, float)
    width : float, optional
        w; the length of a part unless given.
    periodic : bool
        Whether the interval is a period of the variable.

    Raises
    ------
    ValueError
        For too few parts, an interval that is none, or a width that is not positive, or above a twelfth of
        the period (Gaussians would see themselves).

    References
    ----------
    B. Pampel, O. Valsson, J. Chem. Theory Comput. 18, 4127 (2022).
    """

    _least = 2

    def __init__(
        self,
        intervals: int,
        interval: Sequence[float],
        *,
        width: float | None = None,
        periodic: bool = False,
    ) -> None:
        super().__init__(intervals, interval, periodic=periodic)
        self.width = self.step if width is None else positive(width, "width")
        period = self.interval[1] - self.interval[0]
        if self.periodic and self.width > period / 12 * (1 + 1e-12):
            raise ValueError(
                f"Gaussians of width {self.width:.6g} are too wide for a period of {period:.6g}: it must be "
                "at most a twelfth; give 12 parts or more, or take Fourier"
            )

    def _fill(self, s: FloatArray, values: FloatArray, slopes: FloatArray | None) -> None:
        scaled = self._distances(s) / self.width
        np.exp(-0.5 * scaled * scaled, out=values[1:])
        if slopes is not None:
            slopes[1:] = scaled * values[1:] * (-1 / self.width)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "width": self.width}


class CubicSplines(_Local):
    """Cubic B-splines on equally spaced knots, three times the usual ones: 2 at the centre, 1/2 beside it.

    There is one at both ends of each part of the interval, and one more beyond either end. A period has one
    for each part, the first of them a step before its beginning.

    Parameters
    ----------
    intervals : int
        n, equal parts of the interval.
    interval : (float, float)
    periodic : bool
        Whether the interval is a period of the variable.

    Raises
    ------
    ValueError
        For fewer than four parts, or an interval that is none.

    References
    ----------
    C. Habermann, F. Kindermann, Comput. Econ. 30, 153 (2007); B. Pampel, O. Valsson, J. Chem. Theory Comput.
    18, 4127 (2022).
    """

    _least = 4

    def __init__(self, intervals: int, interval: Sequence[float], *, periodic: bool = False) -> None:
        super().__init__(intervals, interval, periodic=periodic)
        self._centers = self.interval[0] + self.step * np.arange(-1, self.n_functions - 2)

    def _fill(self, s: FloatArray, values: FloatArray, slopes: FloatArray | None) -> None:
        t = self._distances(s) / self.step
        near = np.abs(t)
        rest, core = np.maximum(2 - near, 0), np.maximum(1 - near, 0)
        # (2 − |t|)³ less 4 (1 − |t|)³, where these are positive, over 2
        values[1:] = 0.5 * rest * rest * rest - 2 * core * core * core
        if slopes is not None:
            slopes[1:] = np.sign(t) * (6 * core * core - 1.5 * rest * rest) / self.step


def basis_list(bases: Basis | Mapping[str, Any] | Sequence[Basis | Mapping[str, Any]]) -> tuple[Basis, ...]:
    """Return the bases of one to three variables, given as such or in the form of :meth:`Basis.todict`.

    Raises
    ------
    ValueError
        For none or more than three, or an unknown class.
    TypeError
        For something that is no basis, or unknown arguments.
    """
    given: list[Any] = list(bases) if isinstance(bases, list | tuple) else [bases]
    if not 1 <= len(given) <= 3:
        raise ValueError(
            f"bases must hold one for each of one to three variables, got {len(given)}; for more there are "
            "networks, DeepVESBias"
        )
    return tuple(_made(one) for one in given)


def _made(basis: Basis | Mapping[str, Any]) -> Basis:
    if isinstance(basis, Basis):
        return basis
    if not isinstance(basis, Mapping):
        raise TypeError(f"a basis is, for example, Legendre(20, (0.0, 1.0)), got {basis!r}")
    kinds = {kind.__name__: kind for kind in (Legendre, Chebyshev, Fourier, Gaussians, CubicSplines)}
    settings = dict(basis)
    name = settings.pop("class", None)
    if name not in kinds:
        raise ValueError(f"there is no basis {name!r}; known are {', '.join(kinds)}")
    known = inspect.signature(kinds[name]).parameters
    missing = [key for key, one in known.items() if one.default is one.empty and key not in settings]
    unknown = [key for key in settings if key not in known]
    if missing or unknown:
        wrong = f"without {' and '.join(missing)}" if missing else f"with {', '.join(map(repr, unknown))}"
        raise TypeError(f"a {name} takes {', '.join(known)}; it was given {wrong}")
    made: Basis = kinds[name](**settings)
    return made
