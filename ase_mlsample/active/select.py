"""Which frames are worth a label: the trust window, then the most novel environments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.active.config import SelectionSettings
from ase_mlsample.active.descriptors import KnownDescriptors, describe

__all__ = ["DUPLICATE", "TrustWindow", "describe", "farthest_points", "nearest_known", "select_batch"]

Array = NDArray[np.float64]

# frames closer than this fraction of a typical descriptor are the same structure for the model
DUPLICATE = 1e-3
# known structures compared at a time; with all candidates at most so many pairs (64 MB)
_BLOCK = 8192
_PAIRS = 8_000_000


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


def farthest_points(
    points: Array, n: int, *, known: Array | Iterable[Array], duplicate: float = 0.0
) -> list[int]:
    """Choose points one by one, each the farthest from all known and chosen ones.

    Parameters
    ----------
    points : (P, D) array.
    n : how many to choose at most.
    known : (K, D) array, or blocks of it, where there is no need for another.
    duplicate : points this close to a known or chosen one are not chosen.

    Returns
    -------
    list of int
        In the order of choice; the first of equals wins.
    """
    distances = nearest_known(points, [known] if isinstance(known, np.ndarray) else known)
    chosen: list[int] = []
    while len(chosen) < min(n, len(points)):
        best = int(np.argmax(distances))
        if distances[best] <= duplicate**2:
            break
        chosen.append(best)
        np.minimum(distances, ((points - points[best]) ** 2).sum(axis=1), out=distances)
        distances[best] = -1.0
    return chosen


def nearest_known(points: Array, blocks: Iterable[Array]) -> Array:
    """Squared distance of each point to the nearest known one, infinite where there is none.

    Products of matrices say which pairs could be the nearest within rounding; these alone are subtracted, so
    that the result is to the last bit that of all differences.

    Parameters
    ----------
    points : (P, D) array.
    blocks : of known points, (K, D) each.

    Returns
    -------
    (P,) array
    """
    nearest = np.full(len(points), np.inf)
    squares = (points**2).sum(axis=1)
    rounding = 8 * points.shape[1] * np.finfo(float).eps
    step = _block(len(points))
    for whole in blocks:
        for start in range(0, len(whole), step):
            block = whole[start : start + step]
            sums = squares[:, None] + (block**2).sum(axis=1)
            slack = rounding * sums.max(axis=1)
            sums -= 2 * points @ block.T
            limit = np.minimum(nearest, sums.min(axis=1) + 2 * slack) + 2 * slack
            first, second = np.nonzero(sums <= limit[:, None])
            for part in range(0, len(first), _BLOCK):
                i, j = first[part : part + _BLOCK], second[part : part + _BLOCK]
                np.minimum.at(nearest, i, ((points[i] - block[j]) ** 2).sum(axis=1))
    return nearest


def _block(n_points: int) -> int:
    return min(_BLOCK, max(1, _PAIRS // max(1, n_points)))


def select_batch(
    candidates: Sequence[Atoms],
    labelled: Sequence[Atoms] | KnownDescriptors,
    *,
    settings: SelectionSettings,
    elements: Sequence[str],
    rng: np.random.Generator,
) -> list[int]:
    """Choose the candidates to label.

    Parameters
    ----------
    candidates : frames in the trust window.
    labelled : structures that need no label any more, or their descriptors in a ledger.
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
    known: Array | Iterable[Array]
    if isinstance(labelled, KnownDescriptors):
        known = labelled.blocks(_block(len(candidates)))
    else:
        known = describe(labelled, elements)
    scale = float(np.sqrt((points**2).sum(axis=1).mean()))
    return farthest_points(points, settings.batch, known=known, duplicate=DUPLICATE * scale)
