import numpy as np
import pytest

from ase_mlsample.training.folds import bagged_split, fold_numbers, strided_split


def test_folds_are_balanced_and_stay_when_frames_are_added() -> None:
    folds = fold_numbers(160, n_folds=16)
    assert np.bincount(folds).tolist() == [10] * 16
    assert fold_numbers(75, n_folds=16).tolist() == folds[:75].tolist()
    assert sorted(folds[:16]) == list(range(16))
    assert folds[:16].tolist() != folds[16:32].tolist()


@pytest.mark.parametrize("members", [1, 4, 8, 20])
def test_strided_split_has_thirteen_two_one_sixteenths(members: int) -> None:
    split = strided_split(160, members=members)
    assert split.held_out.sum() == 10
    assert (split.validation.sum(axis=1) == 20).all()
    assert (split.train.sum(axis=1) == 130).all()
    parts = split.validation.astype(int) + (split.train > 0) + split.held_out
    assert (parts == 1).all()
    if members == 4:
        assert split.validation.sum(axis=0).max() == 1  # four members, eight different folds


def test_bagging_draws_with_replacement_and_validates_on_the_rest() -> None:
    split = bagged_split(320, members=4, rng=np.random.default_rng(0))
    assert split.held_out.sum() == 20
    assert split.train.sum(axis=1).tolist() == [300] * 4
    assert (split.train[:, split.held_out] == 0).all()
    assert not (split.validation & (split.train > 0)).any()
    assert split.validation.mean(axis=1) == pytest.approx(np.full(4, 0.368 * 300 / 320), abs=0.06)
    assert not np.array_equal(split.train[0], split.train[1])


def test_too_few_frames_or_folds() -> None:
    with pytest.raises(ValueError, match="12 frames cannot be cut into 16 folds"):
        strided_split(12, members=4)
    with pytest.raises(ValueError, match="leave none to train on"):
        strided_split(12, members=4, n_folds=3)
    with pytest.raises(ValueError, match="3 folds with 3 held out leave none to train on"):
        bagged_split(12, members=4, rng=np.random.default_rng(0), n_folds=3, held_out_folds=3)


def test_a_selection_keeps_the_parts_of_its_frames() -> None:
    split = strided_split(64, members=4)
    kept = np.array([5, 9, 33])
    part = split.select(kept)
    assert part.train.tolist() == split.train[:, kept].tolist()
    assert part.validation.tolist() == split.validation[:, kept].tolist()
    assert part.held_out.tolist() == split.held_out[kept].tolist()
