import numpy as np
import pytest

from ase_mlsample.active.candidates import Candidate, CandidatePool
from ase_mlsample.active.descriptors import describe
from ase_mlsample.active.select import farthest_points
from ase_mlsample.samplers import RandomDisorder


@pytest.fixture
def frames(rng):
    return list(RandomDisorder("Si", n_atoms=(4, 6), density=(2.0, 2.4)).sample(14, rng))


def pool_of(known, *, strategy="novelty", names=()):
    blocks = [describe(known, ["Si"])] if known else []
    return CandidatePool(["Si"], known=blocks, names=names, strategy=strategy, rng=np.random.default_rng(1))


def candidates(frames, *, generation=1, **options):
    return [Candidate(atoms, generation, generation - 1, **options) for atoms in frames]


def test_the_most_novel_first_as_in_a_synchronous_run(frames):
    known, new = frames[:4], frames[4:]
    expected = farthest_points(describe(new, ["Si"]), 6, known=describe(known, ["Si"]))
    for parts in ((6,), (1, 2, 3), (1,) * 6):  # whether chosen together or one after the other
        pool = pool_of(known)
        pool.add(candidates(new))
        chosen = [one.atoms for part in parts for one in pool.choose(part, 0)]
        assert [new.index(atoms) for atoms in chosen] == expected
        assert len(pool) == len(new) - 6


def test_what_was_chosen_counts_for_those_that_come_later(frames):
    pool = pool_of(frames[:1])
    pool.add(candidates(frames[1:6]))
    first = [one.atoms for one in pool.choose(5, 0)]
    pool.add(candidates(frames[6:]))
    expected = farthest_points(describe(frames[6:], ["Si"]), 8, known=describe([frames[0], *first], ["Si"]))
    assert [frames[6:].index(one.atoms) for one in pool.choose(8, 0)] == expected


def test_nothing_twice(frames):
    pool = pool_of([], names=[candidates(frames)[0].name])
    pool.add(candidates([*frames[:3], frames[1].copy()]))
    assert len(pool) == 2
    pool.add(candidates(frames[:3]))
    assert len(pool) == 2
    turned = frames[1].copy()
    turned.rotate(40, "z", rotate_cell=True)  # another file, the same structure for the model
    pool.add(candidates([turned]))
    assert len(pool.choose(5, 0)) == 2
    assert len(pool) == 0


def test_the_newest_model_is_asked_first(frames):
    pool = pool_of([])
    pool.add([*candidates(frames[:4]), *candidates(frames[4:6], audited=True)])
    assert pool.ready(0) == 6
    assert {one.name for one in pool.outdated(1)} == {one.name for one in candidates(frames[:4])}
    assert pool.ready(1) == 2  # audited ones are taken for being thought certain
    assert all(one.audited for one in pool.choose(9, 1))
    for one in pool.outdated(1)[:1]:
        one.judged_by = 1
    assert pool.ready(1) == 1
    assert len(pool.choose(9, 1)) == 1
    assert len(pool) == 3


def test_too_old_ones_are_dropped(frames):
    pool = pool_of([])
    pool.add([*candidates(frames[:4], generation=1), *candidates(frames[4:6], generation=3)])
    assert pool.drop_stale(1) == 4
    assert [one.proposed_by for one in pool.outdated(9)] == [2, 2]


def test_at_random(frames):
    chosen = []
    for _ in range(2):
        pool = pool_of([], strategy="random")
        pool.add(candidates(frames))
        chosen.append([one.name for one in pool.choose(5, 0)])
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 5
    novel = pool_of([])
    novel.add(candidates(frames))
    assert [one.name for one in novel.choose(5, 0)] != chosen[0]
