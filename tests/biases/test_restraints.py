import math

import numpy as np
import pytest

from ase_mlsample.biases import HarmonicRestraint, LinearBias, MovingRestraint
from ase_mlsample.testing import check_bias

POINTS = np.random.default_rng(2).uniform(-2, 2, (6, 2))
PERIOD = (-math.pi, math.pi)


@pytest.mark.parametrize(
    "bias",
    [
        HarmonicRestraint([0.5, -1.0], [2.0, 0.0]),
        HarmonicRestraint([0.5, 3.0], 2.0, domains=[None, PERIOD]),
        LinearBias([0.5, -1.0], [0.0, 1.0]),
        MovingRestraint([0, 50, 150], [[0.0, 1.0], [1.0, 2.0], [1.0, 0.0]], [1.0, 2.0, 3.0]),
        MovingRestraint([10, 40], [[3.0, 1.0], [3.5, 1.0]], 2.0, domains=[PERIOD, None]),
    ],
    ids=["harmonic", "periodic", "linear", "moving", "moving-periodic"],
)
def test_contract(bias):
    check_bias(bias, POINTS)


class TestHarmonic:
    def test_value(self):
        value, gradient = HarmonicRestraint([1.0, 2.0], [2.0, 4.0]).potential([1.5, 1.0])
        assert value == pytest.approx(0.25 + 2.0)
        assert gradient == pytest.approx([1.0, -4.0])

    def test_shortest_way_round(self):
        bias = HarmonicRestraint(3.0, 2.0, domains=[PERIOD])
        value, gradient = bias.potential([-3.0])
        assert value == pytest.approx((2 * math.pi - 6) ** 2)
        assert gradient == pytest.approx([2 * (2 * math.pi - 6)])
        assert bias.potential([-3.0 + 4 * math.pi])[0] == pytest.approx(value)

    def test_one_kappa_for_all(self):
        assert HarmonicRestraint([0.0, 1.0], 2.0).kappa.tolist() == [2.0, 2.0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((math.nan, 1.0), "center must hold finite"),
            ((0.0, -1.0), "not be negative"),
            ((0.0, [1.0, 2.0]), "kappa must hold 1 number"),
            (([[0.0]], 1.0), "must hold numbers, one for each"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            HarmonicRestraint(*arguments)

    @pytest.mark.parametrize("domains", [[(1.0, 1.0)], [(2.0, 1.0)], [None, None], [(0.0, math.inf)]])
    def test_bad_period(self, domains):
        with pytest.raises(ValueError, match="domains"):
            HarmonicRestraint(0.0, 1.0, domains=domains)


class TestMoving:
    def test_schedule(self):
        bias = MovingRestraint([10, 20], [0.0, 1.0], [1.0, 3.0])
        assert not bias.update([0.0], 0)
        assert [bias.update([0.0], step) for step in (9, 10, 11)] == [False, False, True]
        assert (bias.center, bias.kappa) == (pytest.approx([0.1]), pytest.approx([1.2]))
        assert bias.update([0.0], 20)
        assert not bias.update([0.0], 21)
        assert (bias.center, bias.kappa) == (pytest.approx([1.0]), pytest.approx([3.0]))

    def test_work_is_the_change_of_v_with_s_held(self):
        bias = MovingRestraint([0, 2], [0.0, 1.0], 2.0)
        bias.update([0.1], 1)
        bias.update([0.4], 2)
        expected = (0.4**2 - 0.1**2) + (0.6**2 - 0.1**2)
        assert bias.work == pytest.approx(expected)

    def test_jarzynski(self):
        """Independent samples from where the spring is: exp(-W) averages to the change of F, here none."""
        bias = MovingRestraint([0, 20], [0.0, 1.0], 4.0)
        rng = np.random.default_rng(0)
        s = rng.normal(0.0, 0.5, (200_000, 1))
        for step in range(1, 21):
            bias.update(s, step)
            s = bias.center + 0.5 * rng.normal(size=s.shape)
        assert bias.work.shape == (200_000,)
        assert np.exp(-bias.work).mean() == pytest.approx(1.0, abs=0.01)
        assert bias.work.mean() > 0.05

    def test_work_of_many_survives_a_state(self):
        bias = MovingRestraint([0, 10], [0.0, 1.0], 2.0)
        bias.update(np.array([[0.0], [0.5]]), 3)
        other = MovingRestraint([0, 10], [0.0, 1.0], 2.0)
        other.load_state_dict(bias.state_dict())
        assert np.array_equal(other.work, bias.work)
        assert np.array_equal(other.center, bias.center)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([0, 0], [0.0, 1.0], 1.0), "increase"),
            (([], [], 1.0), "increase"),
            (([0, 5], [0.0], 1.0), "each of the 2 steps"),
            (([0, 5], [0.0, math.nan], 1.0), "finite"),
            (([0, 5], [0.0, 1.0], [1.0, -1.0]), "negative"),
            (([0, 5], [0.0, 1.0], [1.0]), "kappas"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            MovingRestraint(*arguments)
