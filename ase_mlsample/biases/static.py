"""A bias that is given once and for all, on a grid."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample._files import write_atomic
from ase_mlsample.biases.arguments import domain_list
from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.biases.grid import make_grid, node_axes, node_values
from ase_mlsample.biases.hills_table import Hills
from ase_mlsample.biases.kernel import RADIUS, kernel_constants
from ase_mlsample.biases.plumed_grid import read_plumed_grid

if TYPE_CHECKING:
    from ase_mlsample._core import HillGrid

__all__ = ["StaticBias"]

FloatArray = NDArray[np.float64]


class StaticBias(Bias):
    """A potential of one to three variables that does not change: cubic splines through values on a grid.

    Beyond the grid, along a variable that is not periodic, V goes on with its value at the end, without
    force.

    Parameters
    ----------
    axes : sequence of array_like (n₁,), …
        Coordinates of the nodes along each variable, equally spaced. Those of a periodic variable begin at
        the low end of its period and stop one step before the high one.
    values : array_like (n₁, …)
        V at the nodes.
    derivatives : array_like (n₁, …, 2^d − 1), optional
        Mixed first derivatives at the nodes: ∂₁; or ∂₁, ∂₂, ∂₁∂₂; or ∂₁, ∂₂, ∂₁∂₂, ∂₃, ∂₁∂₃, ∂₂∂₃, ∂₁∂₂∂₃.
        Those of the spline (not-a-knot, or periodic) unless given.
    domains : sequence, optional
        The period of each variable, (low, high) or None.

    Raises
    ------
    ValueError
        For shapes that do not fit, numbers that are not finite, or nodes that are not equally spaced.

    Examples
    --------
    >>> import numpy as np
    >>> from ase_mlsample.biases import StaticBias
    >>> x = np.linspace(-1, 1, 21)
    >>> bias = StaticBias([x], x**2)
    >>> round(bias.potential([0.25])[0], 6)
    0.0625
    """

    domains: tuple[Domain, ...]

    def __init__(
        self,
        axes: Sequence[ArrayLike],
        values: ArrayLike,
        *,
        derivatives: ArrayLike | None = None,
        domains: Sequence[Domain] | None = None,
    ) -> None:
        self.n_cvs = len(axes)
        if not 1 <= self.n_cvs <= 3:
            raise ValueError(f"a grid has one to three variables, got {self.n_cvs} axes")
        self.domains = domain_list(domains, self.n_cvs)
        self.axes = [
            _checked_axis(axis, domain, k)
            for k, (axis, domain) in enumerate(zip(axes, self.domains, strict=True))
        ]
        self.values: FloatArray = np.array(values, dtype=np.float64)
        shape = tuple(len(axis) for axis in self.axes)
        if self.values.shape != shape or not np.isfinite(self.values).all():
            raise ValueError(
                f"values must be finite numbers of shape {shape}, as the axes are long; got shape "
                f"{self.values.shape}, {int((~np.isfinite(self.values)).sum())} not finite"
            )
        terms = (2**self.n_cvs) - 1
        if derivatives is None:
            derivatives = _spline_derivatives(self.axes, self.values, self.domains)
        self.derivatives: FloatArray = np.array(derivatives, dtype=np.float64)
        if self.derivatives.shape != (*shape, terms) or not np.isfinite(self.derivatives).all():
            raise ValueError(
                f"derivatives must be finite numbers of shape {(*shape, terms)}, got {self.derivatives.shape}"
            )
        self._grid = self._make_grid()

    @classmethod
    def read(cls, path: str | Path, *, scale: float = 1.0) -> StaticBias:
        """Read a bias from a file of :meth:`write`, or from a grid file of PLUMED.

        Parameters
        ----------
        path : str or Path
        scale : float
            Factor to the values: −1 makes a free energy (``fes.dat`` of ``plumed sum_hills``) the bias that
            flattens it, and a factor of units may come in.

        Raises
        ------
        FileNotFoundError
            Without the file.
        ValueError
            For a file of another kind.
        """
        path = Path(path)
        if zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as file:
                if "values" not in file or "periods" not in file:
                    raise ValueError(f"{path} is no bias: it holds {', '.join(file) or 'nothing'}")
                axes = [file[f"axis{k}"] for k in range(file["values"].ndim)]
                domains = [None if np.isnan(low) else (low, high) for low, high in file["periods"].tolist()]
                values, derivatives = scale * file["values"], scale * file["derivatives"]
            return cls(axes, values, derivatives=derivatives, domains=domains)
        grid = read_plumed_grid(path)
        return cls(grid.axes, scale * grid.values, domains=grid.domains)

    @classmethod
    def from_hills(cls, hills: Hills, *, grid_spacing: ArrayLike | None = None) -> StaticBias:
        """Return the V of hills, as :func:`read_hills` gives them.

        Parameters
        ----------
        hills : Hills
        grid_spacing : float or array_like (d,), optional
            The smallest σ over five unless given.

        Raises
        ------
        ValueError
            Without hills.
        """
        if not len(hills):
            raise ValueError("there are no hills to make a bias of")
        smallest = hills.sigmas.min(axis=0)
        spacing = np.broadcast_to(smallest / 5 if grid_spacing is None else grid_spacing, smallest.shape)
        reach = RADIUS * hills.sigmas
        low, high = (hills.centers - reach).min(axis=0), (hills.centers + reach).max(axis=0)
        bounds = list(zip(low.tolist(), high.tolist(), strict=True))
        grid = make_grid(spacing.tolist(), hills.domains, bounds)
        grid.add(hills.centers, hills.sigmas, hills.heights, **kernel_constants(hills.stretched))
        terms = node_values(grid)
        return cls(node_axes(grid), terms[..., 0], derivatives=terms[..., 1:], domains=hills.domains)

    def write(self, path: str | Path) -> None:
        """Write the bias to a ``.npz`` file that :meth:`read` takes; the file is whole or absent."""
        buffer = io.BytesIO()
        periods = [(np.nan, np.nan) if domain is None else domain for domain in self.domains]
        arrays = {f"axis{k}": axis for k, axis in enumerate(self.axes)}
        arrays |= {"values": self.values, "derivatives": self.derivatives, "periods": np.array(periods)}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomic(Path(path), buffer.getvalue())

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient; see :meth:`Bias.potential`."""
        try:
            return self._grid.evaluate(np.ascontiguousarray(s, dtype=np.float64))
        except ValueError:
            self._points(s)  # this says more
            raise

    def settings(self) -> dict[str, Any]:
        """Return axes, values, derivatives and domains, arrays among them."""
        return {
            "axes": [axis.copy() for axis in self.axes],
            "values": self.values.copy(),
            "derivatives": self.derivatives.copy(),
            "domains": self.domains,
        }

    def _make_grid(self) -> HillGrid:
        from ase_mlsample import _core

        domains = self.domains
        grid = _core.HillGrid(
            kinds=["bounded" if domain is None else "periodic" for domain in domains],
            origins=[float(axis[0]) for axis in self.axes],
            spacings=[_step(axis, domain) for axis, domain in zip(self.axes, domains, strict=True)],
            first=[0] * self.n_cvs,
            size=[len(axis) for axis in self.axes],
        )
        data = np.concatenate([self.values[..., None], self.derivatives], axis=-1)
        grid.set_data(np.ascontiguousarray(data.reshape(self.values.size, -1)))
        return grid


def _step(axis: FloatArray, domain: Domain) -> float:
    n = len(axis)
    return float((axis[-1] - axis[0]) / (n - 1)) if domain is None else (domain[1] - domain[0]) / n


def _checked_axis(axis: ArrayLike, domain: Domain, number: int) -> FloatArray:
    nodes: FloatArray = np.array(axis, dtype=np.float64)
    if nodes.ndim != 1 or len(nodes) < 4 or not np.isfinite(nodes).all():
        raise ValueError(f"axis {number} must hold at least four finite coordinates, got shape {nodes.shape}")
    step = _step(nodes, domain)
    even = nodes[0] + step * np.arange(len(nodes))
    if not step > 0 or np.abs(nodes - even).max() > 1e-6 * step:
        kind = "" if domain is None else f" and cover the period {domain}"
        raise ValueError(
            f"axis {number} must rise in equal steps{kind}; it goes from {nodes[0]} to {nodes[-1]} in "
            f"{len(nodes)} nodes that are off by up to {np.abs(nodes - even).max():.3g}"
        )
    if domain is not None and abs(nodes[0] - domain[0]) > 1e-6 * step:
        raise ValueError(f"axis {number} must begin at the low end of its period {domain}, not at {nodes[0]}")
    return nodes


def _spline_derivatives(
    axes: Sequence[FloatArray], values: FloatArray, domains: Sequence[Domain]
) -> FloatArray:
    """Return the mixed first derivatives of the tensor product of cubic splines, (n₁, …, 2^d − 1)."""
    from scipy.interpolate import CubicSpline

    terms = [values]
    for k, (axis, domain) in enumerate(zip(axes, domains, strict=True)):
        for table in list(terms):
            if domain is None:
                spline = CubicSpline(axis, table, axis=k)
            else:
                closed = np.concatenate([table, table.take([0], axis=k)], axis=k)
                ends = np.append(axis, axis[0] + domain[1] - domain[0])
                spline = CubicSpline(ends, closed, axis=k, bc_type="periodic")
            terms.append(spline(axis, 1))
    return np.stack(terms[1:], axis=-1)
