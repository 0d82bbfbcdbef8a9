"""Model potentials of a few variables, with exact free energies to hold a method against."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from ase_mlsample.calculators.model_calculator import ModelCalculator

__all__ = ["DoubleWell", "ModelPotential", "MullerBrown", "WolfeQuapp"]

FloatArray = NDArray[np.float64]
Period = tuple[float, float] | None


class ModelPotential(ABC):
    """Potential energy of n variables, evaluated for many points at once.

    Energies are in whatever unit ``scale`` is meant in: k_BT in a toy simulation, eV for an ASE calculator.

    Attributes
    ----------
    names : tuple of str
        Names of the n variables.
    domains : tuple of (float, float) or None
        The period of each variable; None for one that is not periodic.
    limits : tuple of (float, float)
        An interval of each variable that holds practically all the probability, for quadrature and plots.
    start : ndarray (n,)
        A minimum, or close to one: where simulations start by default.
    scale : float
        Factor on the energy.
    """

    names: tuple[str, ...]
    domains: tuple[Period, ...]
    limits: tuple[tuple[float, float], ...]
    start: FloatArray

    def __init__(self, scale: float = 1.0) -> None:
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be positive and finite, got {scale!r}")
        self.scale = float(scale)

    @property
    def n_variables(self) -> int:
        """How many variables there are."""
        return len(self.names)

    def energy(self, x: ArrayLike) -> FloatArray:
        """Return the energies (...) of points (..., n).

        Raises
        ------
        ValueError
            When the last axis is not that of the variables.
        """
        return self.scale * self._energy(self._points(x))

    def gradient(self, x: ArrayLike) -> FloatArray:
        """Return the derivatives (..., n) of the energy at points (..., n); memory is laid out as in ``x``.

        Raises
        ------
        ValueError
            When the last axis is not that of the variables.
        """
        points = self._points(x)
        gradient = np.empty_like(points)
        self._gradient(points, gradient)
        if self.scale != 1.0:
            gradient *= self.scale
        return gradient

    @abstractmethod
    def _energy(self, x: FloatArray) -> FloatArray:
        """Energies (...) for scale 1."""

    @abstractmethod
    def _gradient(self, x: FloatArray, out: FloatArray) -> None:
        """Write the derivatives (..., n) for scale 1."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Keywords that make this potential again, as plain values."""

    def free_energy(
        self, components: int | Sequence[int], kT: float, grid: ArrayLike | Sequence[ArrayLike]
    ) -> FloatArray:
        """Return the exact free energy of some variables, by quadrature over the others.

        Parameters
        ----------
        components : int or sequence of int
            Which variables to keep.
        kT : float
            Temperature in the unit of the energy.
        grid : array (m,), or a sequence of one array for each component
            Where to give the free energy.

        Returns
        -------
        ndarray (m,) or (m1, m2, ...)
            F = −k_BT ln ∫ e^{−U/k_BT}, zero at its lowest value on the grid.

        Raises
        ------
        ValueError
            For components or a grid that do not fit, a temperature that is not positive, or so high that
            the probability does not vanish at ``limits``.
        """
        kept = self._components(components)
        if not (math.isfinite(kT) and kT > 0):
            raise ValueError(f"kT must be positive and finite, got {kT!r}")
        axes = _axes(components, grid, len(kept))
        values = self._marginal(kept, kT, axes)
        above: FloatArray = values - values.min()
        return above

    def calculator(self) -> ModelCalculator:
        """Return an ASE calculator of this potential, for atoms whose coordinates are the variables."""
        from ase_mlsample.calculators.model_calculator import ModelCalculator

        return ModelCalculator(self)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        return f"{type(self).__name__}({given})"

    def _marginal(self, kept: tuple[int, ...], kT: float, axes: list[FloatArray]) -> FloatArray:
        """Free energy up to a constant, by the trapezoidal rule over all other variables."""
        others = [index for index in range(self.n_variables) if index not in kept]
        points = 2001 if len(others) <= 1 else 301
        if len(others) > 2:
            raise ValueError(
                f"{type(self).__name__} has {len(others)} variables besides {list(kept)}: quadrature goes "
                "over two at most; keep more components"
            )
        nodes = [np.linspace(*self.limits[index], points) for index in others]
        mesh = np.empty([len(node) for node in nodes] + [self.n_variables])
        for index, values in zip(others, np.meshgrid(*nodes, indexing="ij"), strict=True):
            mesh[..., index] = values
        values = np.empty([len(axis) for axis in axes])
        flat = values.reshape(-1)
        for number, point in enumerate(product(*axes)):
            mesh[..., list(kept)] = point
            exponent = -self.energy(mesh) / kT
            top = exponent.max()
            weights = np.exp(exponent - top)
            _require_vanishing(weights, kT)
            flat[number] = -kT * (top + math.log(weights.sum()))
        return values

    def _components(self, components: int | Sequence[int]) -> tuple[int, ...]:
        kept = (components,) if isinstance(components, int | np.integer) else tuple(components)
        if not kept or len(set(kept)) < len(kept) or not all(0 <= k < self.n_variables for k in kept):
            raise ValueError(
                f"components must be different numbers from 0 to {self.n_variables - 1}, got {components!r}"
            )
        return tuple(int(index) for index in kept)

    def _points(self, x: ArrayLike) -> FloatArray:
        points = np.asarray(x, dtype=float)
        if points.ndim == 0 or points.shape[-1] != self.n_variables:
            raise ValueError(
                f"{type(self).__name__} has {self.n_variables} variables ({', '.join(self.names)}), the last "
                f"axis of the points; got an array of shape {points.shape}"
            )
        return points


class WolfeQuapp(ModelPotential):
    """Wolfe–Quapp potential, turned so that neither axis is a good reaction coordinate.

    U = 1.34549x⁴ + 1.90211x³y + 3.92705x²y² − 1.90211xy³ + 1.34549y⁴ − 6.44246x² + 5.58721xy − 5.55754y²
    + 1.33481x + 0.9904586y + 19, the coefficients of the deposited runs.

    References
    ----------
    W. Quapp, J. Chem. Phys. 122, 174106 (2005); O. Valsson, M. Parrinello, Phys. Rev. Lett. 113, 090601
    (2014), rotated and scaled; L. Bonati, Y.-Y. Zhang, M. Parrinello, PNAS 116, 17641 (2019), deposited
    input (the formula printed in the paper is another landscape).
    """

    names = ("x", "y")
    domains: tuple[Period, ...] = (None, None)
    limits = ((-4.0, 4.0), (-4.0, 4.0))
    start = np.array([-1.87996, 0.78205])

    def _energy(self, x: FloatArray) -> FloatArray:
        a, b = x[..., 0], x[..., 1]
        a2, b2, ab = a * a, b * b, a * b
        quartic = 1.34549 * (a2 * a2 + b2 * b2) + 1.90211 * ab * (a2 - b2) + 3.92705 * a2 * b2
        quadratic = -6.44246 * a2 + 5.58721 * ab - 5.55754 * b2
        energy: FloatArray = quartic + quadratic + 1.33481 * a + 0.9904586 * b + 19.0
        return energy

    def _gradient(self, x: FloatArray, out: FloatArray) -> None:
        a, b = x[..., 0], x[..., 1]
        a2, b2 = a * a, b * b
        # Horner's scheme in either variable: walkers spend their time here
        out[..., 0] = (5.38196 * a2 + 7.8541 * b2 - 12.88492) * a
        out[..., 0] += (5.70633 * a2 - 1.90211 * b2 + 5.58721) * b + 1.33481
        out[..., 1] = (5.38196 * b2 + 7.8541 * a2 - 11.11508) * b
        out[..., 1] += (1.90211 * a2 - 5.70633 * b2 + 5.58721) * a + 0.9904586

    def settings(self) -> dict[str, Any]:
        """Keywords that make this potential again."""
        return {"scale": self.scale}


class DoubleWell(ModelPotential):
    """Double well along the first variable, harmonic in all others.

    U = h[(x/a)² − 1]² + t x/a + ½k Σ y², so minima are near ±a, with a barrier of about h between them.

    Parameters
    ----------
    n_variables : int
        One or more.
    barrier, width, tilt, stiffness : float
        h, a, t and k.
    scale : float
        Factor on the energy.

    Raises
    ------
    ValueError
        For a number of variables below one, or parameters that leave no bound potential.
    """

    def __init__(
        self,
        n_variables: int = 1,
        *,
        barrier: float = 5.0,
        width: float = 1.0,
        tilt: float = 0.0,
        stiffness: float = 10.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(scale)
        if n_variables < 1:
            raise ValueError(f"n_variables must be at least 1, got {n_variables!r}")
        for name, value in {"barrier": barrier, "width": width, "stiffness": stiffness}.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        if not math.isfinite(tilt):
            raise ValueError(f"tilt must be finite, got {tilt!r}")
        self.barrier, self.width, self.tilt = float(barrier), float(width), float(tilt)
        self.stiffness = float(stiffness)
        self.names = ("x", *(f"y{index}" for index in range(1, n_variables)))
        self.domains = (None,) * n_variables
        reach = 6 * math.sqrt(barrier / stiffness)
        self.limits = ((-3 * width, 3 * width), *[(-reach, reach)] * (n_variables - 1))
        self.start = np.zeros(n_variables)
        self.start[0] = -width if tilt >= 0 else width

    def _energy(self, x: FloatArray) -> FloatArray:
        u = x[..., 0] / self.width
        well = u * u - 1
        rest = (x[..., 1:] ** 2).sum(axis=-1)
        energy: FloatArray = self.barrier * well * well + self.tilt * u + 0.5 * self.stiffness * rest
        return energy

    def _gradient(self, x: FloatArray, out: FloatArray) -> None:
        np.multiply(x, self.stiffness, out=out)
        u = x[..., 0] / self.width
        out[..., 0] = (4 * self.barrier * u * (u * u - 1) + self.tilt) / self.width

    def _marginal(self, kept: tuple[int, ...], kT: float, axes: list[FloatArray]) -> FloatArray:  # noqa: ARG002
        # the energy is a sum over variables, so what is integrated out is a constant
        mesh = np.zeros([*(len(axis) for axis in axes), self.n_variables])
        for index, values in zip(kept, np.meshgrid(*axes, indexing="ij"), strict=True):
            mesh[..., index] = values
        return self.energy(mesh)

    def settings(self) -> dict[str, Any]:
        """Keywords that make this potential again."""
        names = ("n_variables", "barrier", "width", "tilt", "stiffness", "scale")
        return {name: getattr(self, name) for name in names}


class MullerBrown(ModelPotential):
    """Müller–Brown potential: Σ_k A_k exp[a_k(x − x_k)² + b_k(x − x_k)(y − y_k) + c_k(y − y_k)²].

    Three minima: −146.700 at (−0.558, 1.442), −108.167 at (0.623, 0.028), −80.768 at (−0.050, 0.467); saddle
    points at −40.665 and −72.249. The usual temperature is k_BT = 10 to 20 in its own unit.

    References
    ----------
    K. Müller, L. D. Brown, Theor. Chim. Acta 53, 75 (1979).
    """

    names = ("x", "y")
    domains: tuple[Period, ...] = (None, None)
    limits = ((-3.0, 2.5), (-2.0, 3.5))
    start = np.array([-0.55822, 1.44173])
    _TERMS: ClassVar[tuple[tuple[float, ...], ...]] = (  # A, a, b, c, x, y
        (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
        (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
        (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
        (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
    )

    def _energy(self, x: FloatArray) -> FloatArray:
        energy = np.zeros(x.shape[:-1])
        for A, a, b, c, x0, y0 in self._TERMS:
            u, v = x[..., 0] - x0, x[..., 1] - y0
            energy += A * np.exp((a * u + b * v) * u + c * v * v)
        return energy

    def _gradient(self, x: FloatArray, out: FloatArray) -> None:
        out[:] = 0.0
        for A, a, b, c, x0, y0 in self._TERMS:
            u, v = x[..., 0] - x0, x[..., 1] - y0
            term = A * np.exp((a * u + b * v) * u + c * v * v)
            out[..., 0] += term * (2 * a * u + b * v)
            out[..., 1] += term * (b * u + 2 * c * v)

    def settings(self) -> dict[str, Any]:
        """Keywords that make this potential again."""
        return {"scale": self.scale}


def _axes(components: Any, grid: Any, number: int) -> list[FloatArray]:
    single = isinstance(components, int | np.integer)
    axes = [np.asarray(axis, dtype=float) for axis in ([grid] if single else grid)]
    if len(axes) != number or any(axis.ndim != 1 or not len(axis) for axis in axes):
        raise ValueError(
            f"grid must be one array (m,) for each of {number} components, got shapes "
            f"{[axis.shape for axis in axes]}"
        )
    return axes


def _require_vanishing(weights: FloatArray, kT: float) -> None:
    """See that the integrand is nothing at the limits of the quadrature."""
    for axis in range(weights.ndim):
        edge = float(np.take(weights, [0, -1], axis=axis).max())
        if edge > 1e-8:
            raise ValueError(
                f"at kT = {kT} the probability at the limits of the quadrature is still {edge:.1e} of its "
                "maximum; lower kT, or widen the potential's limits"
            )
