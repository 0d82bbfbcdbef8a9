"""Metadynamics: a potential of hills, dropped where the run has been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.arguments import (
    domain_list,
    file_names,
    per_variable,
    positive,
    variable_names,
    whole,
)
from ase_mlsample.biases.base import Bias, Domain
from ase_mlsample.biases.grid import grid_state, load_grid_state, make_grid, node_axes, node_values
from ase_mlsample.biases.hills_file import HillsFile
from ase_mlsample.biases.hills_table import Hills
from ase_mlsample.biases.kernel import kernel_constants

if TYPE_CHECKING:
    from ase_mlsample.biases.shared_hills import SharedHills
    from ase_mlsample.biases.static import StaticBias

__all__ = ["MetadynamicsBias"]

FloatArray = NDArray[np.float64]


class MetadynamicsBias(Bias):
    """Metadynamics, well-tempered or plain, on a grid with cubic interpolation.

    Every ``pace`` steps, from step ``pace`` on, each walker leaves a Gaussian hill where it is, of height
    h₀ exp(−V(s)/((γ−1) k_BT)) with V before any hill of that step. In the end F = −γ/(γ−1) V, up to a
    constant. The grid holds values and mixed derivatives of the hills exactly; it grows with the variable, or
    is as large as the period.

    Parameters
    ----------
    kT : float
        k_B times temperature, in the unit of energies.
    sigma : float or array_like (d,)
        Width of the hills in each of one to three variables.
    height : float
        h₀.
    bias_factor : float or None
        γ, above 1; None for hills that all have the height h₀.
    pace : int
        Steps from hill to hill.
    domains : sequence, optional
        The period of each variable, (low, high) or None.
    grid_spacing : float or array_like (d,), optional
        At most σ/2; σ/5 unless given.
    bounds : sequence, optional
        (low, high) or None for each variable: beyond them V goes on with its value there, without force, and
        no hills are left. Not for periodic variables.
    hills : path, optional
        HILLS file to write, one line a hill as it is added. It must not exist, unless a state is loaded.
    names : sequence of str, optional
        Of the variables, for the file: ``s1``, ``s2`` … unless given. What PLUMED stumbles over becomes "_".
    walkers : SharedHills, optional
        Directory through which this walker and others, in other processes, share their hills.
    timestep : float
        Factor from steps to the file's column ``time``.

    Attributes
    ----------
    n_hills : int
        Hills in V, those of others included.

    Raises
    ------
    ValueError
        For settings out of range, or shapes that do not fit.
    FileExistsError
        At the first update, when the HILLS file is of another run.

    Notes
    -----
    Hills are PLUMED's: h (A e^{−q} + 1 − A) with q = Σ (s − c)²/2σ² and A = 1/(1 − e^{−6.25}), zero from
    q = 6.25 on.
    ``plumed sum_hills --hills HILLS`` gives F in the unit of ``height``; where it integrates a variable out
    (``--idw``) it wants ``--kt`` in that unit too (eV: 0.08617 times the temperature in 1,000 K).

    References
    ----------
    A. Laio, M. Parrinello, PNAS 99, 12562 (2002); A. Barducci, G. Bussi, M. Parrinello, Phys. Rev. Lett. 100,
    020603 (2008).

    Examples
    --------
    >>> from ase_mlsample.biases import MetadynamicsBias
    >>> bias = MetadynamicsBias(kT=1.0, sigma=0.2, height=1.0, bias_factor=10, pace=500)
    >>> bias.update([0.3], 499), bias.update([0.3], 500)
    (False, True)
    >>> bias.potential([0.3])[0]
    0.999...
    """

    domains: tuple[Domain, ...]

    def __init__(
        self,
        *,
        kT: float,
        sigma: ArrayLike,
        height: float,
        bias_factor: float | None,
        pace: int,
        domains: Sequence[Domain] | None = None,
        grid_spacing: ArrayLike | None = None,
        bounds: Sequence[Domain] | None = None,
        hills: str | Path | None = None,
        names: Sequence[str] | None = None,
        walkers: SharedHills | None = None,
        timestep: float = 1.0,
    ) -> None:
        self.kT = positive(kT, "kT")
        self.sigma = _widths(sigma)
        self.n_cvs = len(self.sigma)
        self.height = positive(height, "height")
        self.bias_factor = None if bias_factor is None else positive(bias_factor, "bias_factor")
        if self.bias_factor is not None and self.bias_factor <= 1:
            raise ValueError(
                f"bias_factor must be above 1, got {bias_factor!r}; None for metadynamics without tempering"
            )
        self.pace = whole(pace, "pace")
        self.timestep = positive(timestep, "timestep")
        self.domains = domain_list(domains, self.n_cvs)
        self.bounds = _bounds(bounds, self.domains)
        self.grid_spacing = _spacing(grid_spacing, self.sigma)
        self.names = variable_names(names, self.n_cvs)
        self.n_hills = 0
        self._shape = kernel_constants()
        self._grid = make_grid(self.grid_spacing.tolist(), self.domains, self.bounds)
        self._own_widths = self.sigma[None, :].copy()
        self._walkers = walkers
        if hills is not None and walkers is not None:
            raise ValueError(f"walkers write {walkers.path}; hills={str(hills)!r} would be a second file")
        path = walkers.path if walkers is not None else hills
        self._file = (
            None if path is None else HillsFile(path, self.names, self.domains, bias_factor=self.bias_factor)
        )

    @property
    def hills(self) -> Path | None:
        """The HILLS file that is written."""
        return None if self._file is None else self._file.path

    def potential(self, s: ArrayLike) -> tuple[Any, FloatArray]:
        """Return V and its gradient by interpolation; see :meth:`Bias.potential`."""
        try:
            return self._grid.evaluate(np.ascontiguousarray(s, dtype=np.float64))
        except ValueError:
            self._points(s)  # this says more
            raise

    def update(self, s: ArrayLike, step: int) -> bool:
        """Leave hills when it is time, and take in those of other walkers; true when V changed."""
        if step < 1:
            return False
        if self._file is not None and self._file.size is None:
            self._begin(self._file)
        changed = step % self.pace == 0 and self._deposit(s, step)
        if self._walkers is not None and step % self._walkers.pace == 0:
            changed |= self._take_in(self._walkers)
        return changed

    def add_hills(self, hills: Hills) -> None:
        """Add hills of an earlier run, from :func:`read_hills`; the own file gets them too.

        Raises
        ------
        ValueError
            For hills of other variables, periods or kernel.
        """
        self.require_fitting(hills, "the hills")
        self._grid.add(hills.centers, hills.sigmas, hills.heights, **self._shape)
        self.n_hills += len(hills)
        if self._file is not None:
            self._begin(self._file)
            self._file.append(hills.times, hills.centers, hills.sigmas, hills.heights)

    def require_fitting(self, hills: Hills, source: str) -> None:
        """See that hills are of these variables; see :meth:`add_hills`."""
        theirs, mine = (hills.names, hills.domains), (self.names, self.domains)
        same_periods = all(
            (a is None) == (b is None) and (a is None or np.allclose(a, b, rtol=1e-9, atol=0))  # type: ignore[arg-type]
            for a, b in zip(hills.domains, self.domains, strict=False)
        )
        if file_names(hills.names) != self.names or not same_periods:
            raise ValueError(f"{source}: variables and periods {theirs}, but this bias has {mine}")
        if not hills.stretched:
            raise ValueError(
                f"{source} have PLUMED's old kernel, which is not stretched; use StaticBias.from_hills"
            )

    def nodes(self) -> tuple[list[FloatArray], FloatArray]:
        """Return the grid: coordinates along each axis, and V at the nodes (n₁, …)."""
        return node_axes(self._grid), node_values(self._grid)[..., 0].copy()

    def freeze(self) -> StaticBias:
        """Return the bias as it is now, as one that does not change any more; ValueError without hills."""
        from ase_mlsample.biases.static import StaticBias

        if not self.n_hills:
            raise ValueError("there are no hills yet: a bias to freeze needs some")
        terms = node_values(self._grid)
        return StaticBias(
            node_axes(self._grid), terms[..., 0], derivatives=terms[..., 1:], domains=self.domains
        )

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments, files excepted."""
        return {
            "kT": self.kT,
            "sigma": self.sigma.tolist(),
            "height": self.height,
            "bias_factor": self.bias_factor,
            "pace": self.pace,
            "domains": self.domains,
            "grid_spacing": self.grid_spacing.tolist(),
            "bounds": self.bounds,
            "names": self.names,
            "timestep": self.timestep,
        }

    def flush(self) -> None:
        """Wait until the disk has all hills."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the HILLS file; the next hill opens it again."""
        if self._file is not None:
            self._file.close()

    def _begin(self, file: HillsFile) -> None:
        if self._walkers is not None:
            self._walkers.directory.mkdir(parents=True, exist_ok=True)
        file.begin()

    def _deposit(self, s: ArrayLike, step: int) -> bool:
        points = self._points(s).reshape(-1, self.n_cvs)
        points = self._inside(points)
        if not len(points):
            return False
        heights = np.full(len(points), self.height)
        if self.bias_factor is not None:
            before, _ = self._grid.evaluate(points)
            heights *= np.exp(np.asarray(before) * (-1 / (self.kT * (self.bias_factor - 1))))
        widths = self._own_widths
        if len(points) != len(widths):
            widths = np.repeat(self.sigma[None, :], len(points), axis=0)
        self._grid.add(points, widths, heights, **self._shape)
        self.n_hills += len(points)
        if self._file is not None:
            self._file.append(np.full(len(points), step * self.timestep), points, widths, heights)
        return True

    def _inside(self, points: FloatArray) -> FloatArray:
        """Return points brought into their periods, without those beyond the bounds."""
        if self.domains.count(None) < self.n_cvs:
            points = points.copy()
        for axis, (domain, bounds) in enumerate(zip(self.domains, self.bounds, strict=True)):
            if domain is not None:
                low, period = domain[0], domain[1] - domain[0]
                column = points[:, axis]
                column -= np.floor((column - low) / period) * period
            elif bounds is not None:
                points = points[(points[:, axis] >= bounds[0]) & (points[:, axis] <= bounds[1])]
        return np.ascontiguousarray(points)

    def _take_in(self, walkers: SharedHills) -> bool:
        changed = False
        for hills, sign in walkers.changes(self):
            self._grid.add(hills.centers, hills.sigmas, sign * hills.heights, **self._shape)
            self.n_hills += int(sign) * len(hills)
            changed = True
        return changed

    def _state(self) -> dict[str, Any]:
        return {
            "n_hills": self.n_hills,
            "grid": grid_state(self._grid),
            "file_bytes": None if self._file is None else self._file.size,
            "walkers": None if self._walkers is None else self._walkers.state(),
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        file_bytes, n_hills = state["file_bytes"], int(state["n_hills"])
        if self._file is not None and file_bytes is None and n_hills:
            raise ValueError(
                f"the state is of a run that wrote no HILLS file, so {self._file.path} would lack its "
                f"first {n_hills} hills; continue without a file, or start a new run"
            )
        spacings = self.grid_spacing.tolist()
        grid = load_grid_state(state["grid"], spacings, self.domains, self.bounds)
        if self._walkers is not None:
            self._walkers.load_state(state["walkers"] or {})
        if self._file is not None:
            self._file.resume(None if file_bytes is None else int(file_bytes))
        self._grid, self.n_hills = grid, n_hills


def _widths(sigma: ArrayLike) -> FloatArray:
    widths = per_variable(sigma, "sigma")
    if (widths <= 0).any():
        raise ValueError(f"sigma must be positive, got {widths.tolist()}")
    if len(widths) > 3:
        raise ValueError(
            f"a grid of hills has one to three variables, got {len(widths)}; combine some of them"
        )
    return widths


def _spacing(grid_spacing: ArrayLike | None, sigma: FloatArray) -> FloatArray:
    if grid_spacing is None:
        return sigma / 5
    spacing = per_variable(grid_spacing, "grid_spacing", n_cvs=len(sigma))
    if (spacing <= 0).any() or (spacing > sigma / 2).any():
        raise ValueError(
            f"grid_spacing must be positive and at most sigma / 2 = {(sigma / 2).tolist()}, "
            f"got {spacing.tolist()}: hills would fall between the nodes"
        )
    return spacing


def _bounds(bounds: Sequence[Domain] | None, domains: tuple[Domain, ...]) -> tuple[Domain, ...]:
    checked = domain_list(bounds, len(domains), name="bounds")
    for bound, domain in zip(checked, domains, strict=True):
        if bound is not None and domain is not None:
            raise ValueError(f"a variable with the period {domain} cannot have bounds, got {bound}")
    return checked
