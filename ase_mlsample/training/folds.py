"""Which member trains on which frame: strided cross-validation and bagging, as weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Split", "bagged_split", "fold_numbers", "strided_split"]


@dataclass(frozen=True, slots=True)
class Split:
    """The part of every frame in the training of every member.

    Attributes
    ----------
    train
        (M, S) non-negative multiplicity of a frame in a member's loss.
    validation
        (M, S) bool: the frames by which a member's best weights are chosen; never among its training frames.
    held_out
        (S,) bool: frames that no member trains on or is chosen by; the calibration rests on them.
    """

    train: NDArray[np.float64]
    validation: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    def select(self, frames: NDArray[np.int64]) -> "Split":
        """The split of the given frames; they keep their parts."""
        return Split(self.train[:, frames], self.validation[:, frames], self.held_out[frames])


def fold_numbers(n_frames: int, *, n_folds: int) -> NDArray[np.int64]:
    """(S,) fold of every frame: each run of `n_folds` frames visits every fold once, in a scrambled order.

    The fold of a frame depends on its place in the set alone, so that a growing set keeps its held-out frames
    held out; scrambling keeps periodic orders in the set (a diamond, a liquid, a diamond …) out of the folds.

    Raises
    ------
    ValueError
        If there are fewer frames than folds.
    """
    if n_frames < n_folds:
        raise ValueError(f"{n_frames} frames cannot be cut into {n_folds} folds; add frames or lower `folds`")
    blocks = -(-n_frames // n_folds)
    orders = [np.random.default_rng([n_folds, block]).permutation(n_folds) for block in range(blocks)]
    return np.concatenate(orders)[:n_frames]


def strided_split(
    n_frames: int, *, members: int, n_folds: int = 16, validation_folds: int = 2, held_out_folds: int = 1
) -> Split:
    """Strided cross-validation: a few folds for validation per member, the last ones held out from all.

    With 16 folds, two for validation and one held out this is the 13/2/1 scheme of ANI-Al, with one
    difference: the held-out fold is common to all members, so that the ensemble's errors on it are errors on
    unseen frames.

    Raises
    ------
    ValueError
        If no fold is left for training, or there are fewer frames than folds.
    """
    rotating = n_folds - held_out_folds
    if validation_folds >= rotating:
        raise ValueError(
            f"{n_folds} folds with {validation_folds} for validation and {held_out_folds} held out leave "
            "none to train on; raise `folds`"
        )
    fold = fold_numbers(n_frames, n_folds=n_folds)
    held_out = fold >= rotating
    validation = np.zeros((members, n_frames), dtype=bool)
    for member in range(members):
        # spread over the circle, so that members differ even where they are more than the folds allow
        chosen = (np.arange(validation_folds) + member * rotating // members) % rotating
        validation[member] = np.isin(fold, chosen)
    train = np.where(validation | held_out, 0.0, 1.0)
    return Split(train, validation, held_out)


def bagged_split(
    n_frames: int, *, members: int, rng: np.random.Generator, n_folds: int = 16, held_out_folds: int = 1
) -> Split:
    """Bootstrap aggregation: each member draws as many frames as there are, with replacement.

    A member's validation frames are those it did not draw (about 37 %); the held-out folds are drawn by none.

    Raises
    ------
    ValueError
        If there are fewer frames than folds, or all of them are held out.
    """
    if held_out_folds >= n_folds:
        raise ValueError(
            f"{n_folds} folds with {held_out_folds} held out leave none to train on; raise `folds`"
        )
    held_out = fold_numbers(n_frames, n_folds=n_folds) >= n_folds - held_out_folds
    pool = np.flatnonzero(~held_out)
    train = np.zeros((members, n_frames))
    for member in range(members):
        counts = rng.multinomial(len(pool), np.full(len(pool), 1.0 / len(pool)))
        if not (counts == 0).any():
            counts[rng.integers(len(pool))] = 0
        train[member, pool] = counts
    validation = (train == 0) & ~held_out
    return Split(train, validation, held_out)
