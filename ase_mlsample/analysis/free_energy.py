"""Free energies on a grid: from a bias, from samples, and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.analysis.density import Domain, as_axes, as_domains, histogram, kernel_density
from ase_mlsample.analysis.leaving_out import jackknife
from ase_mlsample.analysis.saddles import lowest_saddle

__all__ = ["Barrier", "FreeEnergy", "from_bias", "from_histogram", "from_samples", "rmse_in_time"]

FloatArray = NDArray[np.float64]
Basin = tuple[float, float] | Sequence[tuple[float, float]] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Barrier:
    """The highest point of the lowest way between two basins.

    Attributes
    ----------
    height : float
        From the bottom of the first basin.
    error : float
        Its standard error; NaN where the free energy has none.
    saddle, bottom : tuple of float
        Where the highest point and the bottom of the first basin are.
    """

    height: float
    error: float
    saddle: tuple[float, ...]
    bottom: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FreeEnergy:
    """A free energy F(s) on a uniform grid.

    Attributes
    ----------
    axes : tuple of ndarray (m,)
        Points along each variable.
    values : ndarray (m1, ...)
        In the unit of kT, zero at the lowest point; infinite where nothing was ever seen.
    kT : float
    domains : tuple of (float, float) or None
        The period of each variable.
    errors : ndarray (m1, ...) or None
        Standard errors of kT ln p, by a jackknife over blocks; NaN where fewer than two of them saw anything.
    blocks : ndarray (B, m1, ...) or None
        Weights that fell to each point in consecutive blocks of the sampling.
    """

    axes: tuple[FloatArray, ...]
    values: FloatArray
    kT: float
    domains: tuple[Domain, ...]
    errors: FloatArray | None = None
    blocks: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = tuple(len(axis) for axis in self.axes)
        if self.values.shape != shape:
            raise ValueError(f"a free energy on axes of {shape} points cannot have shape {self.values.shape}")
        if not (math.isfinite(self.kT) and self.kT > 0):
            raise ValueError(f"kT must be positive and finite, got {self.kT!r}")

    @property
    def probabilities(self) -> FloatArray:
        """e^{−F/kT}, normalised to one over the grid."""
        weights = np.exp(-self.values / self.kT)
        shares: FloatArray = weights / weights.sum()
        return shares

    def rmse(self, reference: FreeEnergy | ArrayLike, *, ceiling: float = math.inf) -> float:
        """Root mean square difference to a reference, both shifted to the same mean.

        Parameters
        ----------
        reference : FreeEnergy or array (m1, ...)
            On the same grid.
        ceiling : float
            Only points where the reference, above its lowest, is below this count.

        Returns
        -------
        float
            Infinite when a point that counts was never seen.

        Raises
        ------
        ValueError
            For another grid, or when no point counts.
        """
        exact = self._same_grid(reference)
        counted = exact - exact.min() < ceiling
        if not counted.any():
            raise ValueError(f"no point of the reference is below the ceiling of {ceiling}")
        difference = self.values[counted] - exact[counted]
        if not np.isfinite(difference).all():
            return math.inf
        return float(np.std(difference))

    def basin_difference(self, first: Basin, second: Basin) -> tuple[float, float]:
        """Free energy of the second basin less that of the first, and its standard error.

        Parameters
        ----------
        first, second : (low, high), one such pair for each variable, or a mask (m1, ...)
            Intervals include their ends; low > high goes through the end of a period.

        Returns
        -------
        difference : float
            −kT ln(P₂/P₁).
        error : float
            From blocks; NaN without them.

        Raises
        ------
        ValueError
            For a basin without a point in the grid.
        """
        masks = self.basin_mask(first), self.basin_mask(second)
        shares = [float(self.probabilities[mask].sum()) for mask in masks]
        if min(shares) == 0:
            raise ValueError(
                f"a basin was never seen: its probability is 0 (basins {first!r} and {second!r})"
            )
        difference = -self.kT * math.log(shares[1] / shares[0])
        return difference, self._ratio_error(*masks)

    def barrier(self, first: Basin, second: Basin) -> Barrier:
        """Height of the lowest way from one basin to another, from the bottom of the first.

        The way goes through neighbouring points of the grid, diagonals included.

        Parameters
        ----------
        first, second : as for :meth:`basin_difference`

        Raises
        ------
        ValueError
            For a basin without a point in the grid, or when no way was ever seen.
        """
        bottoms = []
        for mask in (self.basin_mask(first), self.basin_mask(second)):
            lowest = int(np.argmin(np.where(mask, self.values, np.inf)))
            bottoms.append(tuple(int(k) for k in np.unravel_index(lowest, self.values.shape)))
        saddle = lowest_saddle(
            self.values, bottoms[0], bottoms[1], [domain is not None for domain in self.domains]
        )
        height = float(self.values[saddle] - self.values[bottoms[0]])
        points = np.zeros((2, *self.values.shape), dtype=bool)
        points[0][bottoms[0]] = points[1][saddle] = True
        error = self._ratio_error(points[0], points[1]) if height > 0 else math.nan
        return Barrier(height, error, self._place(saddle), self._place(bottoms[0]))

    def marginal(self, component: int) -> FreeEnergy:
        """Return the free energy of one variable, the others summed over.

        Raises
        ------
        ValueError
            For a variable that is not there.
        """
        if not 0 <= component < len(self.axes):
            raise ValueError(f"there are {len(self.axes)} variables, counted from 0; got {component!r}")
        others = tuple(index for index in range(len(self.axes)) if index != component)
        axes, periods = (self.axes[component],), (self.domains[component],)
        if self.blocks is not None:
            summed = self.blocks.sum(axis=tuple(index + 1 for index in others))
            return _of_blocks(axes, summed, self.kT, periods)
        return FreeEnergy(axes, _as_energy(self.probabilities.sum(axis=others), self.kT), self.kT, periods)

    def _same_grid(self, reference: FreeEnergy | ArrayLike) -> FloatArray:
        if isinstance(reference, FreeEnergy):
            same = len(reference.axes) == len(self.axes) and all(
                len(mine) == len(theirs) and np.allclose(mine, theirs)
                for mine, theirs in zip(self.axes, reference.axes, strict=True)
            )
            if not same:
                raise ValueError("the free energies are on different grids; compute them on the same axes")
            return reference.values
        exact = np.asarray(reference, dtype=float)
        if exact.shape != self.values.shape:
            raise ValueError(f"the reference has shape {exact.shape}, the free energy {self.values.shape}")
        return exact

    def basin_mask(self, basin: Basin) -> NDArray[np.bool_]:
        """Return which points of the grid are in a basin, (m1, ...).

        Parameters
        ----------
        basin : as for :meth:`basin_difference`

        Raises
        ------
        ValueError
            For a basin that does not fit, or without a point in the grid.
        """
        if isinstance(basin, np.ndarray) and basin.dtype == bool:
            mask = basin
            if mask.shape != self.values.shape:
                raise ValueError(f"a mask has shape {mask.shape}, the free energy {self.values.shape}")
        else:
            pairs = np.asarray(basin, dtype=float).reshape(-1, 2)
            if len(pairs) != len(self.axes):
                raise ValueError(f"a basin needs (low, high) of {len(self.axes)} variable(s), got {basin!r}")
            mask = np.ones(self.values.shape, dtype=bool)
            for index, (axis, domain, (low, high)) in enumerate(
                zip(self.axes, self.domains, pairs, strict=True)
            ):
                through = domain is not None and low > high
                inside = (axis >= low) | (axis <= high) if through else (axis >= low) & (axis <= high)
                mask &= inside.reshape([-1 if k == index else 1 for k in range(len(self.axes))])
        if not mask.any():
            raise ValueError(f"no point of the grid is in the basin {basin!r}")
        return mask

    def _ratio_error(self, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
        """Standard error of kT ln(P₁/P₂); NaN when leaving out one block leaves a basin empty."""
        if self.blocks is None or len(self.blocks) < 2:
            return math.nan
        flat = self.blocks.reshape(len(self.blocks), -1)
        parts = np.stack([flat[:, mask.ravel()].sum(axis=1) for mask in (first, second)], axis=1)
        return float(_error_of(parts, lambda p: self.kT * np.log(p[0] / p[1])))

    def _place(self, index: tuple[int, ...]) -> tuple[float, ...]:
        return tuple(float(axis[k]) for axis, k in zip(self.axes, index, strict=True))


def from_bias(
    axes: ArrayLike | Sequence[ArrayLike],
    potential: ArrayLike,
    *,
    kT: float,
    bias_factor: float | None = None,
    domains: Sequence[Domain] | None = None,
) -> FreeEnergy:
    """Free energy that a converged metadynamics bias stands for, F = −γ/(γ−1) V.

    Parameters
    ----------
    axes : array_like (m,), or one for each variable
    potential : array_like (m1, ...)
        V on the grid.
    kT : float
    bias_factor : float or None
        γ; None when the bias was not tempered: F = −V.
    domains : one period or None for each variable, optional

    Raises
    ------
    ValueError
        For a bias factor of one or less, or arrays that do not fit or are not finite.
    """
    if bias_factor is not None and not bias_factor > 1:
        raise ValueError(f"bias_factor must be more than 1, or None for no tempering, got {bias_factor!r}")
    axes_, values = as_axes(axes), np.asarray(potential, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("the bias must be finite on the whole grid")
    scale = 1.0 if bias_factor is None else bias_factor / (bias_factor - 1)
    return FreeEnergy(axes_, scale * (values.max() - values), kT, as_domains(domains, len(axes_)))


def from_histogram(
    axes: ArrayLike | Sequence[ArrayLike],
    weights: ArrayLike,
    *,
    kT: float,
    domains: Sequence[Domain] | None = None,
) -> FreeEnergy:
    """Free energy −kT ln p of a histogram, with errors when it comes in blocks.

    Parameters
    ----------
    axes : array_like (m,), or one for each variable
        Centres of equal bins.
    weights : array_like (m1, ...) or (B, m1, ...)
        Weight in each bin, as a whole or in B consecutive blocks. Errors are right when blocks are longer
        than ten correlation times; see whether half as many blocks give the same.
    kT : float
    domains : one period or None for each variable, optional

    Raises
    ------
    ValueError
        For arrays that do not fit, or a histogram that is empty.
    """
    axes_ = as_axes(axes)
    counts = np.asarray(weights, dtype=float)
    blocks = counts if counts.ndim == len(axes_) + 1 else counts[None]
    total = blocks.sum(axis=0)
    if not (np.isfinite(total).all() and (blocks >= 0).all() and total.sum() > 0):
        raise ValueError("a histogram must be finite, not negative and not empty")
    return _of_blocks(axes_, blocks, kT, as_domains(domains, len(axes_)))


def _of_blocks(
    axes: tuple[FloatArray, ...], blocks: FloatArray, kT: float, domains: tuple[Domain, ...]
) -> FreeEnergy:
    """Free energy of the sum over blocks (B, m1, ...), single ones of which may be negative in places."""
    values = _as_energy(blocks.sum(axis=0), kT)
    if np.count_nonzero(blocks.reshape(len(blocks), -1).any(axis=1)) < 2:
        return FreeEnergy(axes, values, kT, domains, blocks=blocks)
    errors = _error_of(blocks, lambda p: kT * np.log(p / p.sum()))
    return FreeEnergy(axes, values, kT, domains, errors=errors, blocks=blocks)


def _error_of(blocks: FloatArray, estimate: Callable[[FloatArray], Any]) -> Any:
    """Jackknife error, NaN where one block alone has all there is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = jackknife(blocks, estimate)[1]
    return np.where(np.isfinite(error), error, math.nan)[()]


def from_samples(
    samples: ArrayLike,
    axes: ArrayLike | Sequence[ArrayLike],
    *,
    kT: float,
    weights: ArrayLike | None = None,
    bandwidth: float | Sequence[float] | None = None,
    domains: Sequence[Domain] | None = None,
    n_blocks: int = 20,
) -> FreeEnergy:
    """Free energy of weighted samples, by a histogram or by Gaussian kernels.

    Parameters
    ----------
    samples : array_like (T,) or (T, d)
        In the order in which they were drawn.
    axes : array_like (m,), or d of them
        Centres of equal bins.
    kT : float
    weights : array_like (T,), optional
        See :mod:`ase_mlsample.analysis.reweighting`.
    bandwidth : float or d floats, optional
        Standard deviation of the kernels; default: a histogram.
    domains : d periods or None, optional
    n_blocks : int
        Parts into which the samples are cut for the errors; see :func:`from_histogram`.

    Raises
    ------
    ValueError
        As :func:`from_histogram` and :mod:`ase_mlsample.analysis.density`.

    Examples
    --------
    >>> import numpy as np
    >>> samples = np.random.default_rng(0).standard_normal(100_000)
    >>> F = from_samples(samples, np.linspace(-2, 2, 21), kT=1.0)
    >>> bool(F.rmse(F.axes[0] ** 2 / 2) < 0.05)
    True
    """
    parameters: dict[str, Any] = {"weights": weights, "domains": domains, "n_blocks": n_blocks}
    if bandwidth is None:
        counts = histogram(samples, axes, **parameters)
    else:
        counts = kernel_density(samples, axes, bandwidth=bandwidth, **parameters)
    return from_histogram(axes, counts, kT=kT, domains=domains)


def rmse_in_time(
    series: Sequence[FreeEnergy],
    reference: FreeEnergy | ArrayLike | None = None,
    *,
    ceiling: float = math.inf,
) -> FloatArray:
    """Distance of each free energy of a series to a reference, by default to the last of them.

    Parameters
    ----------
    series : sequence of FreeEnergy
        Such as :func:`~ase_mlsample.analysis.reweighting.hills_series`, or those of longer and longer runs.
    reference : FreeEnergy or array, optional
    ceiling : float
        As for :meth:`FreeEnergy.rmse`.

    Raises
    ------
    ValueError
        For an empty series, or different grids.
    """
    if not series:
        raise ValueError("there is no free energy in the series")
    target = series[-1] if reference is None else reference
    return np.array([estimate.rmse(target, ceiling=ceiling) for estimate in series])


def _as_energy(weights: FloatArray, kT: float) -> FloatArray:
    """−kT ln of weights, zero at the lowest; infinite where there is none."""
    energy = np.full(weights.shape, np.inf)
    seen = weights > 0
    energy[seen] = kT * np.log(weights.max() / weights[seen])
    return energy
