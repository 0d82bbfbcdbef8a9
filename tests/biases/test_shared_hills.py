import math

import numpy as np
import pytest

from ase_mlsample.biases import MetadynamicsBias, SharedHills, read_hills
from ase_mlsample.testing import check_bias

POINTS = np.linspace(-3, 4, 61)[:, None]


def make(folder, walker, *, pace=10, read=20, **settings):
    walkers = SharedHills(folder, walker=walker, pace=read)
    settings = {"kT": 0.5, "sigma": 0.2, "height": 1.0, "bias_factor": 6.0, "pace": pace} | settings
    return MetadynamicsBias(walkers=walkers, **settings)


def run(bias, steps, offset):
    for step in steps:
        bias.update([math.sin(0.1 * step) + offset], step)


def look(bias):
    """Read the others' files at a step that leaves no hill."""
    walkers = bias._walkers
    walkers.pace, pace = 1, walkers.pace
    bias.update([0.0], bias.pace * 1000 + 1)
    walkers.pace = pace


def total(folder):
    return sum(read_hills(path).potential(POINTS) for path in folder.glob("HILLS.*"))


def assert_sum(bias, folder):
    assert np.abs(bias.potential(POINTS)[0] - total(folder)).max() < 2e-3
    assert bias.n_hills == sum(len(read_hills(path)) for path in folder.glob("HILLS.*"))


def test_contract(tmp_path):
    run(make(tmp_path, "b"), range(1, 41), 1.0)
    check_bias(make(tmp_path, "a"), np.random.default_rng(0).uniform(-2, 2, (6, 1)), steps=40)
    assert not (tmp_path / "HILLS.a").exists()  # copies write nothing


def test_walkers_feel_one_bias(tmp_path):
    first, second = make(tmp_path / "new", 0), make(tmp_path / "new", 1)
    for start in range(1, 200, 20):
        run(first, range(start, start + 20), 0.0)
        run(second, range(start, start + 20), 1.0)
    for bias in (first, second):
        look(bias)
        assert_sum(bias, tmp_path / "new")
    assert np.abs(first.potential(POINTS)[0] - second.potential(POINTS)[0]).max() < 1e-12
    assert first.n_hills == 40


def test_hills_of_others_temper(tmp_path):
    first, second = make(tmp_path, 0, pace=20), make(tmp_path, 1, pace=20)
    first.update([0.0], 20)
    assert not second.update([0.0], 10)
    look(second)
    second.update([0.0], 40)
    assert read_hills(tmp_path / "HILLS.1").heights[0] == pytest.approx(math.exp(-0.4), abs=1e-4)


def test_reads_only_when_it_is_time(tmp_path):
    first, second = make(tmp_path, 0), make(tmp_path, 1, read=30)
    run(first, range(1, 21), 0.0)
    assert [second.update([9.0], step) for step in (7, 29, 30, 60)] == [False, False, True, True]
    assert second.n_hills == 4


def test_half_written_lines_wait(tmp_path):
    first, second = make(tmp_path, 0), make(tmp_path, 1)
    run(first, range(1, 41), 0.0)
    path = tmp_path / "HILLS.0"
    content = path.read_bytes()
    for size in range(0, len(content) + 1, 7):
        path.write_bytes(content[:size])
        look(second)
        complete = max(0, content[:size].count(b"\n") - 3)
        assert second.n_hills == complete
    path.write_bytes(content)
    look(second)
    assert_sum(second, tmp_path)


class TestContinuation:
    def test_of_one(self, tmp_path):
        first, second = make(tmp_path, 0), make(tmp_path, 1)
        run(first, range(1, 101), 0.0)
        run(second, range(1, 101), 1.0)
        state = second.state_dict()
        run(first, range(101, 201), 0.0)
        second.close()
        again = make(tmp_path, 1)
        again.load_state_dict(state)
        run(again, range(101, 201), 1.0)
        look(again)
        assert_sum(again, tmp_path)

    @pytest.mark.parametrize("other", [0.0, 0.4])
    @pytest.mark.parametrize("steps", [0, 20, 60, 100, 200])
    def test_others_take_back_what_is_gone(self, tmp_path, other, steps):
        first, second = make(tmp_path, 0), make(tmp_path, 1)
        state = first.state_dict()
        for start in range(1, 100, 20):
            run(first, range(start, start + 20), 0.0)
            if start == 41:
                state = first.state_dict()
        run(second, range(1, 101), 1.0)
        assert second.n_hills == 20
        first.close()
        again = make(tmp_path, 0)
        again.load_state_dict(state)
        run(again, range(61, 61 + steps), other)
        look(second)
        assert_sum(second, tmp_path)
        saved = second.state_dict()
        run(again, range(61 + steps, 301), other)
        second.close()
        third = make(tmp_path, 1)
        third.load_state_dict(saved)
        look(third)
        assert_sum(third, tmp_path)

    def test_back_to_the_start(self, tmp_path):
        first, second = make(tmp_path, 0), make(tmp_path, 1)
        start = first.state_dict()
        run(first, range(1, 61), 0.0)
        look(second)
        assert second.n_hills == 6
        again = make(tmp_path, 0)
        again.load_state_dict(start)
        look(second)
        assert second.n_hills == 0
        assert np.abs(second.potential(POINTS)[0]).max() < 1e-12
        run(again, range(1, 31), 0.0)
        look(second)
        assert_sum(second, tmp_path)


class TestErrors:
    def test_same_name_twice(self, tmp_path):
        run(make(tmp_path, 0), range(1, 21), 0.0)
        with pytest.raises(FileExistsError, match=r"HILLS\.0"):
            make(tmp_path, 0).update([0.0], 1)

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"names": ["d"]}, "this bias has"),
            ({"bias_factor": 9.0}, "bias factor"),
            ({"bias_factor": None}, "bias factor"),
        ],
    )
    def test_other_walkers_of_another_kind(self, tmp_path, other, message):
        run(make(tmp_path, 0, **other), range(1, 21), 0.0)
        with pytest.raises(ValueError, match=message):
            look(make(tmp_path, 1))

    def test_a_broken_file(self, tmp_path):
        run(make(tmp_path, 0), range(1, 21), 0.0)
        with (tmp_path / "HILLS.0").open("a") as file:
            file.write("what is this\n")
        with pytest.raises(ValueError, match=r"HILLS\.0, line"):
            look(make(tmp_path, 1))

    def test_two_files(self, tmp_path):
        with pytest.raises(ValueError, match="second file"):
            make(tmp_path, 0, hills=tmp_path / "HILLS")

    @pytest.mark.parametrize("walker", ["", "a/b", ".hidden", "a b"])
    def test_names(self, tmp_path, walker):
        with pytest.raises(ValueError, match="walker must be"):
            SharedHills(tmp_path, walker=walker, pace=1)

    def test_pace(self, tmp_path):
        with pytest.raises(ValueError, match="pace of the walkers"):
            SharedHills(tmp_path, walker=0, pace=0)
