"""Structure of an ideal gas, whose g(r) and S(q) are flat and whose every frame is independent."""

import numpy as np
import pytest
from ase import Atoms

from ase_mlsample.validation.checks import SUITES, suite
from ase_mlsample.validation.liquid_structure import liquid_structure
from ase_mlsample.validation.properties import PropertyResult
from ase_mlsample.validation.verdicts import UNDECIDED, rows

EDGE, REACH, N, FRAMES = 9.0, 3.0, 30, 20
SETTINGS = {"r_max": 4.0, "q_max": 4.0}


def gas(seed, frames=FRAMES):
    positions = np.random.default_rng(seed).uniform(0.0, EDGE, (frames, N, 3))
    return [Atoms(f"Si{N}", one, cell=[EDGE] * 3, pbc=True) for one in positions]


def structure(seed, **changed):
    return liquid_structure(
        gas(seed), rng=np.random.default_rng(0), **(SETTINGS | {"reach": REACH} | changed)
    )


@pytest.fixture(scope="module")
def many():
    return [{quantity.key: quantity for quantity in structure(seed)[0]} for seed in range(24)]


def test_neighbours_of_a_gas_within_the_reach_that_is_given(many):
    expected = (N - 1) * 4 / 3 * np.pi * REACH**3 / EDGE**3
    # N(N − 1)/2 independent pairs a frame: each is within reach with probability p, and counts twice over N
    p = expected / (N - 1)
    exact = 2 / N * np.sqrt(N * (N - 1) / 2 * p * (1 - p) / FRAMES)
    values = np.array([one["coordination"].value for one in many])
    assert values.mean() == pytest.approx(expected, abs=4 * exact / np.sqrt(len(many)))
    # the root mean square of 24 errors from ten parts each: known to 1/√(2·9·24) = 5 %
    errors = np.array([one["coordination"].error for one in many])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("key", ["peak_height", "main_peak", "mean_angle"])
def test_errors_are_as_large_as_the_scatter_of_runs(many, key):
    values = np.array([one[key].value for one in many])
    errors = np.array([one[key].error for one in many])
    # a scatter of 24 values is known to 15 %, and a maximum is no smooth function
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.6)


def test_a_peak_that_could_be_anywhere_is_told_from_one_that_is_not(many):
    found = [PropertyResult("liquid", tuple(one.values())) for one in many]
    judged = [
        next(row for row in rows("liquid", one, reference=other, published={}) if row.key == "main_peak")
        for one, other in zip(found[:12], found[12:], strict=True)
    ]
    far = [row for row in judged if abs(row.deviation) > row.allowed]
    assert len(far) >= 6  # S(q) = 1: its largest value is anywhere
    assert sum(row.verdict == UNDECIDED for row in far) >= 0.75 * len(far)


def test_the_reach_of_neighbours_is_that_of_the_element_in_every_suite():
    for name in SUITES:
        check = next(one for one in suite(name, [])[2] if one.name == "liquid")
        assert check.arguments()["reach"] == check.arguments(quick=True)["reach"] > 2.5


def test_the_first_minimum_is_the_reach_where_none_is_given():
    # neighbours at one distance, and others far away: the minimum lies between
    rng = np.random.default_rng(1)
    frames = [Atoms("Si8", cell=[10.0] * 3, pbc=True) for _ in range(10)]
    for frame in frames:
        grid = np.stack(np.meshgrid(*[[0.0, 2.5]] * 3), -1).reshape(-1, 3)
        frame.positions = grid + rng.normal(0.0, 0.03, grid.shape)
    settings = {"r_max": 4.5, "q_max": 4.0, "rng": rng}
    quantities = {quantity.key: quantity for quantity in liquid_structure(frames, **settings)[0]}
    assert quantities["coordination"].value == pytest.approx(3.0)
    assert quantities["mean_angle"].value == pytest.approx(90, abs=1.5)
    assert quantities["first_peak"].value == pytest.approx(2.5, abs=0.06)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="9 frames are too few for errors from 10 parts; run longer"):
        liquid_structure(gas(0, 9), rng=np.random.default_rng(0), reach=REACH, **SETTINGS)
