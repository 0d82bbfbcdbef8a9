import numpy as np
import pytest
from ase import Atoms

from ase_mlsample.gui.following import Follower, FrameHistory
from ase_mlsample.gui.sources import News, Sighting


def frame(number):
    return Atoms("H", positions=[[number, 0, 0]])


def numbers(frames):
    return [int(atoms.positions[0, 0]) for atoms in frames]


def news(*seen, running, ended=()):
    sightings = [Sighting(name, frame(number), float(number), name in ended) for name, number in seen]
    return News(sightings, running, [], "")


def test_the_newest_frame_is_followed():
    history = FrameHistory(3)
    assert history.add([frame(0)], 0) == 0
    assert history.add([frame(1), frame(2)], 0) == 2
    assert history.add([frame(3)], 2) == 2
    assert numbers(history.frames) == [1, 2, 3]


def test_a_step_back_keeps_the_picture_until_it_is_dropped():
    history = FrameHistory(3)
    history.add([frame(n) for n in range(3)], 0)
    assert history.add([frame(3)], 1) == 0
    assert numbers(history.frames)[0] == 1
    assert history.add([frame(4)], 0) == 0  # frame 1 is gone: the oldest there is
    assert numbers(history.frames) == [2, 3, 4]


def test_more_at_once_than_fits():
    history = FrameHistory(2)
    assert history.add([frame(n) for n in range(9)], 0) == 1
    assert numbers(history.frames) == [7, 8]
    with pytest.raises(ValueError, match="at least one frame"):
        FrameHistory(0)


def test_one_trajectory_is_followed_to_its_end():
    follower = Follower()
    assert numbers(follower.pick(news(("a", 1), ("b", 2), running=("a", "b")))) == [2]
    assert numbers(follower.pick(news(("a", 3), ("b", 4), running=("a", "b")))) == [4]
    assert numbers(follower.pick(news(("a", 5), running=("a", "b")))) == []
    after = news(("b", 6), ("c", 7), ("a", 8), running=("a", "c"), ended=("b",))
    assert numbers(follower.pick(after)) == [6, 8]
    assert follower.followed == "a"


def test_a_trajectory_that_vanishes_is_left_for_one_already_seen():
    follower = Follower()
    follower.pick(news(("a", 1), ("b", 2), running=("a", "b")))
    assert numbers(follower.pick(news(running=("a",)))) == [1]
    assert numbers(follower.pick(news(running=()))) == []
    assert follower.followed is None


def test_a_trajectory_over_between_two_looks_is_shown_if_nothing_else_is():
    follower = Follower()
    assert numbers(follower.pick(news(("a", 1), ("b", 2), running=(), ended=("a", "b")))) == [2]


def test_the_choice_holds_while_its_trajectory_lasts():
    follower = Follower()
    follower.pick(news(("a", 1), ("b", 2), running=("a", "b")))
    follower.chosen = "a"
    assert numbers(follower.pick(news(("a", 3), ("b", 4), running=("a", "b")))) == [3]
    assert numbers(follower.pick(news(("b", 5), running=("b",)))) == [5]
    assert follower.chosen is None


def test_all_as_they_come():
    follower = Follower()
    follower.everything = True
    rng = np.random.default_rng(0)
    names = [str(name) for name in rng.choice(list("abc"), 9)]
    seen = list(zip(names, range(9), strict=True))
    assert numbers(follower.pick(news(*seen, running=("a", "b", "c")))) == list(range(9))
