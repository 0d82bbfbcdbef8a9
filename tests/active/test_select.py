import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.active import Ledger
from ase_mlsample.active.config import SelectionSettings
from ase_mlsample.active.descriptors import KnownDescriptors
from ase_mlsample.active.select import TrustWindow, describe, farthest_points, nearest_known, select_batch


class TestWindow:
    def test_judges(self):
        verdicts = TrustWindow(0.1, 0.5).judge([0.05, 0.1, 0.3, 0.5, 2.0, np.nan, np.inf])
        assert verdicts.tolist() == ["learned", "candidate", "candidate", *["rejected"] * 4]

    def test_adapts_to_the_error(self):
        settings = SelectionSettings(lo_factor=2.0, hi_factor=5.0, lo_floor=0.05)
        window = TrustWindow.adaptive(settings, 0.1)
        assert window.lo == pytest.approx(2.0 * 0.1 * 3**0.5)
        assert window.hi == pytest.approx(5 * window.lo)
        assert TrustWindow.adaptive(settings, 1e-4).lo == 0.05

    def test_fixed(self):
        assert TrustWindow.adaptive(SelectionSettings(lo=0.1, hi=0.3), 9.0) == TrustWindow(0.1, 0.3)
        assert TrustWindow.adaptive(SelectionSettings(hi=0.6, hi_factor=6), 9.0).lo == pytest.approx(0.1)

    def test_empty_window_is_refused(self):
        with pytest.raises(ValueError, match="below hi"):
            SelectionSettings(lo=0.3, hi=0.3)


def test_farthest_points():
    points = np.array([[0.0], [1.0], [10.0], [10.1], [4.0]])
    assert farthest_points(points, 3, known=np.array([[0.0]])) == [3, 4, 1]
    assert farthest_points(points, 9, known=np.array([[0.0]]), duplicate=0.2) == [3, 4, 1]
    assert farthest_points(points, 2, known=np.empty((0, 1))) == [0, 3]
    assert farthest_points(np.zeros((3, 1)), 3, known=np.empty((0, 1))) == [0]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_nearest_known_is_that_of_all_differences_to_the_last_bit(rng, scale):
    points = scale * (5 + rng.normal(size=(50, 30)))
    known = np.concatenate(
        [points[:10], points[10:20] + 1e-9 * scale, scale * (5 + rng.normal(size=(700, 30)))]
    )
    expected = np.full(len(points), np.inf)
    for other in known:
        expected = np.minimum(expected, ((points - other) ** 2).sum(axis=1))
    assert np.array_equal(nearest_known(points, np.array_split(known, 7)), expected)
    assert np.array_equal(nearest_known(points, [np.repeat(known, 20, axis=0)]), expected)


@pytest.fixture
def frames(rng):
    frames = []
    for a in (5.2, 5.43, 5.7):
        atoms = bulk("Si", a=a, cubic=True)
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        frames.append(atoms)
    return frames


def test_description_does_not_depend_on_how_a_structure_is_written(frames, rng):
    atoms = frames[0]
    other = atoms * (1, 2, 1)
    other = other[rng.permutation(len(other))]
    other.rotate(30, "z", rotate_cell=True)
    other.positions += 3.0
    first, second, third = describe([atoms, other, frames[1]], ["Si"])
    assert np.allclose(first, second, atol=1e-4)
    assert np.abs(first - third).max() > 1e-2


def test_elements_have_their_own_part(frames):
    mixed = frames[0].copy()
    mixed.numbers[:4] = 6
    one, two = describe([mixed, frames[0]], ["C", "Si"])
    carbon = len(one) // 2
    assert np.any(one[:carbon] > 0)
    assert not np.any(two[:carbon])


class TestBatch:
    def choose(self, candidates, labelled, rng, **settings):
        return select_batch(
            candidates, labelled, settings=SelectionSettings(**settings), elements=["Si"], rng=rng
        )

    def test_prefers_what_is_new_and_drops_duplicates(self, frames, rng):
        candidates = [frames[0].copy(), frames[2].copy(), frames[2].copy(), frames[1].copy()]
        assert self.choose(candidates, frames[:1], rng, batch=4) == [1, 3]
        assert self.choose(candidates, frames, rng, batch=4) == []

    def test_descriptors_kept_in_a_ledger_give_the_same_choice(self, frames, rng, tmp_path):
        ledger = Ledger.create(tmp_path / "ledger.db", reference="r", config={})
        ledger.propose(0, frames[:1], stage="select", summary={})
        known = KnownDescriptors(ledger, ["Si"])
        candidates = [frames[0].copy(), frames[2].copy(), frames[1].copy()]
        assert self.choose(candidates, known, rng) == [1, 2]
        ledger.propose(1, frames[1:2], stage="select", summary={})
        assert self.choose(candidates, known, rng) == [1]
        (block,) = known.blocks(10)
        assert np.array_equal(block, describe(frames[:2], ["Si"]))
        assert [len(block) for block in known.blocks(1)] == [1, 1]

    def test_random(self, frames, rng):
        chosen = self.choose(frames * 4, [], rng, batch=5, strategy="random")
        assert len(set(chosen)) == 5

    def test_nothing(self, rng):
        assert self.choose([], [], rng) == []
