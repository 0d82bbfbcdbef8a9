"""Rational switching functions, which go smoothly from one to zero."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StretchedSwitch", "checked_exponents", "rational"]

_Array = NDArray[np.float64]

# beyond it the function is zero to double precision, and its powers would overflow
_FAR = 1e8
_LEAST_FALL = 1e-4


def checked_exponents(nn: int, mm: int | None) -> tuple[int, int]:
    """Exponents of a rational switching function, mm = 2 nn unless given.

    Raises
    ------
    ValueError
        If they are no whole numbers with 2 ≤ nn < mm ≤ 72.
    """
    mm = 2 * nn if mm is None else mm
    if int(nn) != nn or int(mm) != mm or not 2 <= nn < mm <= 72:
        raise ValueError(
            f"exponents nn = {nn!r}, mm = {mm!r}: whole numbers with 2 <= nn < mm <= 72 are meant"
        )
    return int(nn), int(mm)


def rational(x: _Array, nn: int, mm: int) -> tuple[_Array, _Array]:
    """Rational switching function s = (1 − xⁿ)/(1 − xᵐ) and its derivative; one for x ≤ 0.

    Parameters
    ----------
    x : (N,) array
        In units of the threshold, where s = nn/mm.
    nn, mm : int
        Exponents n < m.

    Returns
    -------
    s : (N,) array
    derivative : (N,) array
        ds/dx.

    Notes
    -----
    Both geometric sums of s = Σ_{k<n} xᵏ / Σ_{k<m} xᵏ are positive, so nothing is singular at x = 1.
    """
    x = np.minimum(np.maximum(x, 0.0), _FAR)
    if mm == 2 * nn:
        power = x ** (nn - 1)
        s = 1.0 / (1.0 + power * x)
        return s, -nn * power * s * s
    outside = x > 1.0
    y = np.where(outside, 1.0 / np.where(outside, x, 1.0), x)
    (upper, d_upper), (lower, d_lower) = _geometric(y, nn), _geometric(y, mm)
    ratio = upper / lower
    d_ratio = (d_upper - ratio * d_lower) / lower
    # With y = 1/x: s(x) = y^(m−n) ratio(y)
    gap = mm - nn
    scale = np.where(outside, y**gap, 1.0)
    far = -(y**2) * (gap * y ** (gap - 1) * ratio + scale * d_ratio)
    return scale * ratio, np.where(outside, far, d_ratio)


def _geometric(y: _Array, terms: int) -> tuple[_Array, _Array]:
    """Σ_{k<terms} yᵏ and its derivative, by Horner's rule."""
    value, slope = np.ones_like(y), np.zeros_like(y)
    for _ in range(terms - 1):
        slope = slope * y + value
        value = value * y + 1.0
    return value, slope


class StretchedSwitch:
    """PLUMED's rational switching function of a distance, shifted and stretched to end at zero.

    s(r) = [σ(x) − σ(x_max)] / [1 − σ(x_max)] with x = (r − d0)/r0 and σ the rational function, one below d0
    and zero from d_max on. That alone is PLUMED's function, whose slope jumps at d_max by what the rational
    function has left there. To be smooth, it is multiplied by w(u) = 1 − u³(10 − 15u + 6u²), which falls from
    one to zero with two continuous derivatives over the last fifth of the way from d0 to d_max.

    Parameters
    ----------
    r0 : float, Å
        Width.
    d0 : float, Å
        Where it begins to fall.
    nn, mm : int
        Exponents; mm = 2 nn unless given.
    d_max : float, Å, optional
        Where it ends; as in PLUMED where x^(n−m) = 1e-5 unless given.
    cutoff : "smooth" or "plumed"
        With or without w.

    Raises
    ------
    ValueError
        For lengths or exponents out of range, a function that hardly falls, or another cutoff.
    """

    def __init__(
        self,
        *,
        r0: float,
        d0: float = 0.0,
        nn: int = 6,
        mm: int | None = None,
        d_max: float | None = None,
        cutoff: str = "smooth",
    ) -> None:
        self.nn, self.mm = checked_exponents(nn, mm)
        self.r0, self.d0 = float(r0), float(d0)
        if not (np.isfinite(self.r0) and self.r0 > 0 and np.isfinite(self.d0) and self.d0 >= 0):
            raise ValueError(f"r0 = {r0!r} Å must be positive and d0 = {d0!r} Å not negative")
        far = self.d0 + self.r0 * 1e-5 ** (1.0 / (self.nn - self.mm))
        self.d_max = far if d_max is None else float(d_max)
        if not (np.isfinite(self.d_max) and self.d_max > self.d0):
            raise ValueError(f"d_max = {d_max!r} Å must lie beyond d0 = {d0!r} Å")
        if cutoff not in ("smooth", "plumed"):
            raise ValueError(f"cutoff {cutoff!r}: 'smooth', or 'plumed' for comparison")
        self.cutoff = cutoff
        end = np.array([(self.d_max - self.d0) / self.r0])
        self._left = float(rational(end, self.nn, self.mm)[0][0])
        if 1.0 - self._left < _LEAST_FALL:
            raise ValueError(
                f"a function of width r0 = {self.r0} Å falls by {1.0 - self._left:.1g} only between "
                f"d0 = {self.d0} Å and d_max = {self.d_max} Å, too little to stretch; take a smaller r0 or a "
                "larger d_max"
            )

    def __call__(self, distances: _Array) -> tuple[_Array, _Array]:
        """Values and derivatives (1/Å) at distances (Å) up to ``d_max``."""
        s, slope = rational((distances - self.d0) / self.r0, self.nn, self.mm)
        stretch = 1.0 / (1.0 - self._left)
        s, slope = (s - self._left) * stretch, slope * (stretch / self.r0)
        if self.cutoff == "plumed":
            return s, slope
        fall = 0.2 * (self.d_max - self.d0)
        u = np.maximum((distances - self.d_max) / fall + 1.0, 0.0)
        w, w_slope = 1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u**2), -30.0 * (u * (1.0 - u)) ** 2 / fall
        return s * w, slope * w + s * w_slope

    def todict(self) -> dict[str, Any]:
        """Parameters as plain values."""
        lengths = {"r0": self.r0, "d0": self.d0, "d_max": self.d_max}
        return {**lengths, "nn": self.nn, "mm": self.mm, "cutoff": self.cutoff}
