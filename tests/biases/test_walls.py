import math

import numpy as np
import pytest

from ase_mlsample.biases import LowerWall, UpperWall
from ase_mlsample.testing import check_bias

POINTS = np.random.default_rng(2).uniform(-2, 2, (8, 2))


@pytest.mark.parametrize("wall", [UpperWall, LowerWall])
@pytest.mark.parametrize("exponent", [2, 3.5, [2, 4]])
def test_contract(wall, exponent):
    check_bias(wall([0.3, -0.2], [2.0, 3.0], exponent=exponent, offset=[0.0, 0.3]), POINTS)


def test_values():
    upper = UpperWall(1.0, 3.0, exponent=4, offset=0.5)
    assert [upper.potential([s])[0] for s in (0.4, 0.5, 1.0)] == pytest.approx([0, 0, 3 * 0.5**4])
    assert upper.potential([1.0])[1] == pytest.approx([12 * 0.5**3])
    lower = LowerWall(1.0, 3.0, exponent=4, offset=0.5)
    assert [lower.potential([s])[0] for s in (1.6, 1.5, 1.0)] == pytest.approx([0, 0, 3 * 0.5**4])
    assert lower.potential([1.0])[1] == pytest.approx([-12 * 0.5**3])


def test_a_variable_without_wall():
    value, gradient = UpperWall([1.0, math.inf], 2.0).potential([2.0, 1e6])
    assert (value, gradient.tolist()) == (2.0, [4.0, 0.0])
    value, gradient = LowerWall([1.0, -math.inf], 2.0).potential([0.0, -1e6])
    assert (value, gradient.tolist()) == (2.0, [-4.0, 0.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at": -math.inf}, "everything behind"),
        ({"at": math.nan}, "finite"),
        ({"kappa": -1.0}, "attracts"),
        ({"exponent": 1}, "force would jump"),
        ({"offset": [0.0, 1.0]}, "offset must hold 1 number"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        UpperWall(**{"at": 1.0, "kappa": 1.0} | settings)
