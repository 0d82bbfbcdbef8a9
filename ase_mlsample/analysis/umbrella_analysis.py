"""Free energy from umbrella windows by MBAR, which is WHAM without bins, with errors from blocks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.analysis.blocks import average_blocks
from ase_mlsample.analysis.density import Domain, as_axes, as_domains, as_samples, bin_indices
from ase_mlsample.analysis.free_energy import FreeEnergy
from ase_mlsample.analysis.multistate import (
    States,
    disjoint_groups,
    inefficiency,
    overlap_matrix,
    solve_free_energies,
    weakest_link,
)

__all__ = ["CombinedWindows", "SampledWindow", "Window", "combine_windows"]

FloatArray = NDArray[np.float64]

_OVERSAMPLING = 4  # samples kept to a statistical inefficiency: what is left out then tells nothing new
_MAX_NUMBERS = 5_000_000  # windows times samples that are kept at most
_LEAST_OVERLAP = (
    0.03  # P. V. Klimovich, M. R. Shirts, D. L. Mobley, J. Comput. Aided Mol. Des. 29, 397 (2015)
)


class SampledWindow(Protocol):
    """What a window under a harmonic restraint Σ ½ κ (s − center)² gave.

    :class:`Window` is one, and so is what ``ase_mlsample.dynamics.umbrella_windows`` returns.

    Attributes
    ----------
    center, kappa : ndarray (d,)
    values : ndarray (T, d)
        Samples of the variables, in the order in which they were drawn.
    """

    @property
    def center(self) -> FloatArray:
        """Center (d,)."""

    @property
    def kappa(self) -> FloatArray:
        """Spring constants (d,)."""

    @property
    def values(self) -> FloatArray:
        """Samples (T, d)."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Samples of one window, and the restraint Σ ½ κ (s − center)² under which they were drawn.

    Attributes
    ----------
    center, kappa : float or ndarray (d,)
        κ in the unit of kT per variable squared; 0 for a run without a restraint.
    values : ndarray (T,) or (T, d)
    """

    center: FloatArray
    kappa: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        for name in ("center", "kappa"):
            object.__setattr__(self, name, np.atleast_1d(np.asarray(getattr(self, name), dtype=float)))
        values = np.asarray(self.values, dtype=float)
        object.__setattr__(self, "values", values[:, None] if values.ndim == 1 else values)


@dataclass(frozen=True, slots=True, eq=False)
class CombinedWindows:
    """Windows put together; made by :func:`combine_windows`.

    Attributes
    ----------
    samples : ndarray (N, d)
        Those that are used, window after window.
    weights : ndarray (N,)
        Of each in the ensemble without restraints at ``kT``; their sum is one.
    kT : float
    domains : tuple of (float, float) or None
    window, block : ndarray (N,)
        Which window a sample is of, and in which part of it: 0, 1 … ``n_blocks`` − 1.
    free_energies : ndarray (K,)
        Of each window with its restraint, in its kT, relative to the first.
    free_energy_errors : ndarray (K,)
    overlap : ndarray (K, K)
        Probability that a sample of a window (row) could be one of another; rows sum to one.
    inefficiencies : ndarray (K,)
        Samples of each window that are worth one independent one.
    """

    samples: FloatArray
    weights: FloatArray
    kT: float
    domains: tuple[Domain, ...]
    window: NDArray[np.int64]
    block: NDArray[np.int64]
    free_energies: FloatArray
    free_energy_errors: FloatArray
    overlap: FloatArray
    inefficiencies: FloatArray
    _influence: FloatArray  # (B, N): change of a weight's logarithm, times its number, by a block's noise

    @property
    def n_blocks(self) -> int:
        """Parts into which each window is cut for the errors."""
        return len(self._influence)

    @property
    def weakest_overlap(self) -> float:
        """Overlap of the two neighbouring windows that overlap least; 1 for a single window."""
        return weakest_link(self.overlap)[2]

    def free_energy(
        self, axes: ArrayLike | Sequence[ArrayLike], *, components: Sequence[int] | None = None
    ) -> FreeEnergy:
        """Free energy F(s) on a grid with standard errors, those of the windows' free energies included.

        Parameters
        ----------
        axes : array_like (m,), or one for each variable
            Centres of equal bins.
        components : sequence of int, optional
            Variables that the axes are of, the others summed over; default: all.

        Returns
        -------
        FreeEnergy
            Its blocks hold, to first order, what each part of the sampling says; basin differences and
            barriers have errors.

        Raises
        ------
        ValueError
            For axes that do not fit, or a grid without a sample.
        """
        axes_ = as_axes(axes)
        chosen = list(range(len(self.domains))) if components is None else list(components)
        periods = tuple(self.domains[k] for k in chosen)
        shape = [len(axis) for axis in axes_]
        place = bin_indices(as_samples(self.samples[:, chosen], len(axes_)), axes_, periods)
        inside = place >= 0
        if not inside.any():
            raise ValueError("no sample is in the grid: choose axes that cover the windows")

        def binned(amounts: FloatArray) -> FloatArray:
            counts: FloatArray = np.bincount(
                place[inside], weights=amounts[inside], minlength=math.prod(shape)
            ).astype(float)
            return counts

        share = binned(self.weights)
        total = share.sum()
        share /= total
        blocks = np.array([share / self.n_blocks + binned(part) / total for part in self._influence])
        blocks -= share * (blocks.sum(axis=1, keepdims=True) - 1 / self.n_blocks)
        values, errors = np.full(share.shape, np.inf), np.full(share.shape, np.nan)
        seen = share > 0
        values[seen] = self.kT * np.log(share.max() / share[seen])
        if self.n_blocks > 1:
            spread = average_blocks(blocks * self.n_blocks, np.full(self.n_blocks, 1 / self.n_blocks))[1]
            errors[seen] = self.kT * spread[seen] / share[seen]
        return FreeEnergy(
            axes_,
            values.reshape(shape),
            self.kT,
            periods,
            errors=errors.reshape(shape) if self.n_blocks > 1 else None,
            blocks=blocks.reshape(-1, *shape),
        )


def combine_windows(
    windows: Sequence[SampledWindow],
    *,
    kT: float | Sequence[float],
    target_kT: float | None = None,
    energies: Sequence[ArrayLike] | None = None,
    domains: Sequence[Domain] | None = None,
    n_blocks: int = 20,
) -> CombinedWindows:
    """Combine umbrella windows by the multistate Bennett acceptance ratio.

    Correlated samples are thinned out first, to four in a statistical inefficiency of the slowest variable,
    so that windows count by what they know. Errors come from consecutive blocks of all windows: the change
    that each block's noise makes in the solution, to first order. They are right when blocks are longer
    than ten correlation times; see whether half as many blocks give the same.

    Parameters
    ----------
    windows : sequence of SampledWindow
        Equilibrated: leave out the start of each.
    kT : float, or one for each window
    target_kT : float, optional
        The temperature of the result; default: that of the first window.
    energies : sequence of array_like (T,), optional
        Potential energy of each sample without the restraint (enthalpy U + PV at constant pressure), of
        each window; needed when temperatures differ.
    domains : one period or None for each variable, optional
    n_blocks : int
        1: no errors.

    Returns
    -------
    CombinedWindows

    Raises
    ------
    ValueError
        For windows that do not overlap, naming the gap; too few samples, arrays that do not fit, values
        that are not finite, or several temperatures without energies.
    ImportError
        Without pymbar.
    RuntimeError
        If the equations are not solved.

    Warns
    -----
    UserWarning
        When two windows overlap by less than 0.03: errors may be too small.

    References
    ----------
    M. R. Shirts, J. D. Chodera, J. Chem. Phys. 129, 124105 (2008); for the errors E. H. Thiede, B. Van
    Koten, J. Weare, A. R. Dinner, J. Chem. Phys. 145, 084115 (2016).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> windows = [Window(c, 8.0, c + rng.standard_normal(500) / 8**0.5) for c in (-0.5, 0.0, 0.5)]
    >>> F = combine_windows(windows, kT=1.0).free_energy(np.linspace(-0.7, 0.7, 8))  # a flat landscape
    >>> bool(np.ptp(F.values) < 0.3)
    True
    """
    kept, kTs, potential, speed = _prepared(windows, kT, energies, n_blocks)
    d = len(windows[0].center)
    periods = as_domains(domains, d)
    states = _states(windows, kept, kTs, potential, periods)
    _require_overlap(windows, states)
    f = solve_free_energies(states)
    matrix = overlap_matrix(states, f)
    _warn_of_weak_overlap(windows, matrix)
    target = float(kTs[0] if target_kT is None else target_kT)
    if not (math.isfinite(target) and target > 0):
        raise ValueError(f"target_kT must be positive and finite, got {target_kT!r}")
    if potential is None and target != kTs[0]:
        raise ValueError("a free energy at another temperature needs the energies of the samples")
    u = np.zeros(states.n_samples) if potential is None else _joined(potential, kept) / target
    block = np.concatenate([np.arange(n) * n_blocks // n for n in states.counts])
    weights, influence, shifts = states.weights(f, u, block, n_blocks)
    errors = np.sqrt((shifts**2).sum(axis=0) * n_blocks / max(1, n_blocks - 1))
    return CombinedWindows(
        samples=_joined([window.values for window in windows], kept),
        weights=weights,
        kT=target,
        domains=periods,
        window=np.repeat(np.arange(len(windows)), states.counts),
        block=block,
        free_energies=f,
        free_energy_errors=errors if n_blocks > 1 else np.full(len(f), np.nan),
        overlap=matrix,
        inefficiencies=speed,
        _influence=influence,
    )


def _prepared(
    windows: Sequence[SampledWindow],
    kT: float | Sequence[float],
    energies: Sequence[ArrayLike] | None,
    n_blocks: int,
) -> tuple[list[NDArray[np.int64]], FloatArray, list[FloatArray] | None, FloatArray]:
    """Return which samples to use of each window, temperatures, energies and inefficiencies, all checked."""
    if not windows:
        raise ValueError("there is no umbrella window")
    kTs = np.broadcast_to(np.asarray(kT, dtype=float), (len(windows),)).copy()
    if not (np.isfinite(kTs).all() and (kTs > 0).all()):
        raise ValueError(f"kT must be positive and finite, got {kT!r}")
    if energies is None and np.ptp(kTs) > 0:
        raise ValueError("windows of several temperatures need the energies of their samples")
    if n_blocks < 1:
        raise ValueError(f"n_blocks must be at least 1, got {n_blocks!r}")
    potential = None if energies is None else [np.asarray(energy, dtype=float) for energy in energies]
    d = len(windows[0].center)
    for number, window in enumerate(windows):
        _check_window(number, window, d, n_blocks)
    if potential is not None:
        lengths = [len(window.values) for window in windows]
        if [energy.shape for energy in potential] != [(n,) for n in lengths]:
            raise ValueError(f"each window needs as many energies as samples, {lengths}")
        if not all(np.isfinite(energy).all() for energy in potential):
            raise ValueError("energies of samples must be finite")
    speed = np.array([inefficiency(window.values) for window in windows])
    return _kept([len(window.values) for window in windows], speed, n_blocks), kTs, potential, speed


def _check_window(number: int, window: SampledWindow, d: int, n_blocks: int) -> None:
    where = f"window {number} at {window.center.tolist()}"
    if window.center.shape != (d,) or window.kappa.shape != (d,):
        raise ValueError(f"{where} must have {d} centers and spring constants, as the first")
    if not (np.isfinite(window.center).all() and np.isfinite(window.kappa).all()):
        raise ValueError(f"{where}: center and kappa {window.kappa.tolist()} must be finite")
    if (window.kappa < 0).any():
        raise ValueError(f"{where}: kappa must not be negative, got {window.kappa.tolist()}")
    if window.values.ndim != 2 or window.values.shape[1] != d:
        raise ValueError(f"{where} needs values (T, {d}), got shape {window.values.shape}")
    if len(window.values) < max(2, 2 * n_blocks):
        raise ValueError(
            f"{where} has {len(window.values)} samples, too few for {n_blocks} blocks: sample longer, or use "
            "fewer blocks"
        )
    if not np.isfinite(window.values).all():
        raise ValueError(f"{where} has values that are not finite; drop those frames")


def _kept(lengths: list[int], speed: FloatArray, n_blocks: int) -> list[NDArray[np.int64]]:
    """Return the indices of the samples of each window that are used."""
    wanted = np.minimum(lengths, np.ceil(_OVERSAMPLING * np.asarray(lengths) / speed))
    too_many = len(lengths) * wanted.sum() / _MAX_NUMBERS
    wanted = np.maximum(wanted / max(1.0, too_many), np.minimum(lengths, 2 * n_blocks)).astype(int)
    return [np.arange(n) * length // n for n, length in zip(wanted, lengths, strict=True)]


def _joined(parts: Sequence[FloatArray], kept: list[NDArray[np.int64]]) -> FloatArray:
    return np.concatenate([part[rows] for part, rows in zip(parts, kept, strict=True)])


def _states(
    windows: Sequence[SampledWindow],
    kept: list[NDArray[np.int64]],
    kTs: FloatArray,
    potential: list[FloatArray] | None,
    periods: tuple[Domain, ...],
) -> States:
    samples = _joined([window.values for window in windows], kept)
    rows = []
    for window, kT in zip(windows, kTs, strict=True):
        distance = samples - window.center
        for k, period in enumerate(periods):
            if period is not None:
                length = period[1] - period[0]
                distance[:, k] -= length * np.round(distance[:, k] / length)
        rows.append((0.5 * distance**2 @ window.kappa) / kT)
    reduced = np.array(rows)
    if potential is not None:
        reduced += _joined(potential, kept) / kTs[:, None]
    return States(reduced, np.array([len(rows) for rows in kept]))


def _require_overlap(windows: Sequence[SampledWindow], states: States) -> None:
    groups = disjoint_groups(states)
    if len(np.unique(groups)) == 1:
        return
    centers = np.array([window.center for window in windows])
    scale = np.ptp(centers, axis=0)
    scaled = centers / np.where(scale > 0, scale, 1)
    i, j = min(
        ((i, j) for i in range(len(windows)) for j in range(i) if groups[i] != groups[j]),
        key=lambda pair: float(np.linalg.norm(scaled[pair[0]] - scaled[pair[1]])),
    )
    raise ValueError(
        f"the {len(windows)} windows fall into {len(np.unique(groups))} groups without a sample in common; "
        f"the nearest are those at {centers[j].tolist()} and {centers[i].tolist()}: add windows in between, "
        "or give softer springs, or look whether a window has left its place"
    )


def _warn_of_weak_overlap(windows: Sequence[SampledWindow], matrix: FloatArray) -> None:
    i, j, overlap = weakest_link(matrix)
    if overlap < _LEAST_OVERLAP:
        warnings.warn(
            f"windows at {windows[i].center.tolist()} and {windows[j].center.tolist()} overlap by "
            f"{overlap:.2g} only (below {_LEAST_OVERLAP}): the free energy between them and its error are "
            "unsure; add a window in between",
            UserWarning,
            stacklevel=3,
        )
