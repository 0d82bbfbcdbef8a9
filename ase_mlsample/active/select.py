"""Which frames are worth a label: the trust window, then the most novel environments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.active.config import SelectionSettings
from ase_mlsample.calculators.aev import AEVParameters

__all__ = ["TrustWindow", "describe", "farthest_points", "select_batch"]

Array = NDArray[np.float64]

# frames closer than this fraction of a typical descriptor are the same structure for the model
_DUPLICATE = 1e-3


@dataclass(frozen=True)
class TrustWindow:
    """Limits of the measure of a frame, in eV/Å: see `ase_mlsample.active.config.SelectionSettings`.

    Attributes
    ----------
    lo : below it a frame counts as learned.
    hi : from it on a frame is rejected as unphysical.

    References
    ----------
    Y. Zhang et al., DP-GEN, Comput. Phys. Commun. 253, 107206 (2020).
    """

    lo: float
    hi: float

    @classmethod
    def adaptive(cls, settings: SelectionSettings, force_rmse: float) -> TrustWindow:
        """The window for an ensemble with this component RMSE (eV/Å) on validation data.

        Raises
        ------
        ValueError
            A limit that is set leaves no window.
        """
        if settings.lo != "auto":
            lo = float(settings.lo)
        else:
            error = math.sqrt(3) * force_rmse if math.isfinite(force_rmse) else 0.0
            lo = max(settings.lo_floor, settings.lo_factor * error)
            if settings.hi != "auto":
                lo = min(lo, settings.hi / settings.hi_factor)
        hi = settings.hi_factor * lo if settings.hi == "auto" else float(settings.hi)
        if not lo < hi:
            raise ValueError(f"the trust window is empty: lo = {lo} eV/Å, hi = {hi} eV/Å")
        return cls(lo, hi)

    def judge(self, measures: ArrayLike) -> NDArray[np.str_]:
        """Say "learned", "candidate" or "rejected" of each measure; what is not a number is rejected."""
        m = np.asarray(measures, dtype=float)
        verdict = np.where(m < self.lo, "learned", np.where(m < self.hi, "candidate", "rejected"))
        return np.where(np.isfinite(m), verdict, "rejected")


def describe(frames: Sequence[Atoms], elements: Sequence[str]) -> Array:
    """What an ensemble sees of structures: mean and standard deviation of the AEV over atoms of each element.

    Parameters
    ----------
    frames : S structures.
    elements : chemical symbols; those of the frames must be among them.

    Returns
    -------
    (S, 2·E·L) array
        For E elements and AEVs of length L.
    """
    from ase_mlsample import _core

    parameters = AEVParameters.for_element(tuple(elements))
    kernel, cutoff = parameters.kernel(), parameters.radial_cutoff
    index = {atomic_numbers[symbol]: number for number, symbol in enumerate(elements)}
    rows = np.zeros((len(frames), 2 * len(elements), parameters.length))
    for row, atoms in zip(rows, frames, strict=True):
        pairs = _core.NeighborList(cutoff)
        pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)
        species = np.array([index[number] for number in atoms.numbers], dtype=np.int32)
        features = np.asarray(
            kernel.forward(species, pairs.first, pairs.second, pairs.vectors, double=False), dtype=float
        )
        for number in np.unique(species):
            row[2 * number] = features[species == number].mean(axis=0)
            row[2 * number + 1] = features[species == number].std(axis=0)
    return rows.reshape(len(frames), -1)


def farthest_points(points: Array, n: int, *, known: Array, duplicate: float = 0.0) -> list[int]:
    """Choose points one by one, each the farthest from all known and chosen ones.

    Parameters
    ----------
    points : (P, D) array.
    n : how many to choose at most.
    known : (K, D) array, where there is no need for another.
    duplicate : points this close to a known or chosen one are not chosen.

    Returns
    -------
    list of int
        In the order of choice; the first of equals wins.
    """
    distances = np.full(len(points), np.inf)
    for other in known:
        np.minimum(distances, ((points - other) ** 2).sum(axis=1), out=distances)
    chosen: list[int] = []
    while len(chosen) < min(n, len(points)):
        best = int(np.argmax(distances))
        if distances[best] <= duplicate**2:
            break
        chosen.append(best)
        np.minimum(distances, ((points - points[best]) ** 2).sum(axis=1), out=distances)
        distances[best] = -1.0
    return chosen


def select_batch(
    candidates: Sequence[Atoms],
    labelled: Sequence[Atoms],
    *,
    settings: SelectionSettings,
    elements: Sequence[str],
    rng: np.random.Generator,
) -> list[int]:
    """Choose the candidates to label.

    Parameters
    ----------
    candidates : frames in the trust window.
    labelled : structures that need no label any more.
    settings : size of the batch and strategy.
    elements : of the run.
    rng : for the random strategy.

    Returns
    -------
    list of int
        Indices of the chosen candidates.
    """
    if not candidates:
        return []
    if settings.strategy == "random":
        size = min(settings.batch, len(candidates))
        return sorted(int(n) for n in rng.choice(len(candidates), size=size, replace=False))
    points = describe(candidates, elements)
    known = describe(labelled, elements)
    scale = float(np.sqrt((points**2).sum(axis=1).mean()))
    return farthest_points(points, settings.batch, known=known, duplicate=_DUPLICATE * scale)
