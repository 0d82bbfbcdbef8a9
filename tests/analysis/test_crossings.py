import numpy as np
import pytest

from ase_mlsample.analysis.crossings import count_crossings
from ase_mlsample.analysis.free_energy import FreeEnergy

LINE = np.linspace(-1.5, 1.5, 61)
WELLS = FreeEnergy((LINE,), 8 * (LINE**2 - 1) ** 2, 1.0, (None,))
LEFT, RIGHT = (-1.5, 0.0), (0.0, 1.5)


def test_trembling_on_the_top_is_no_crossing():
    on_the_top = 0.1 * (-1.0) ** np.arange(100)
    assert count_crossings(WELLS, LEFT, RIGHT, [on_the_top]) == (0, 0)
    assert count_crossings(WELLS, LEFT, RIGHT, [[-1, *on_the_top, -0.9]]) == (0, 0)
    assert count_crossings(WELLS, LEFT, RIGHT, [[-1, *on_the_top, 1, 1.1]]) == (1, 0)
    assert count_crossings(WELLS, RIGHT, LEFT, [[-1, *on_the_top, 1, 1.1]]) == (0, 1)


def test_runs_do_not_run_into_each_other():
    assert count_crossings(WELLS, LEFT, RIGHT, [[-1, -1], [1, 1]]) == (0, 0)
    assert count_crossings(WELLS, LEFT, RIGHT, [[-1, 1, -1], [1, -1, 1]]) == (2, 2)


def test_what_is_beyond_the_grid_is_passed_over():
    assert count_crossings(WELLS, LEFT, RIGHT, [[-1, 7, -7, 1]]) == (1, 0)


def test_lower_halves_are_of_each_basin():
    # from a shelf at 6 it is 2 up to the top at 8: the shelf counts below 7, the deep basin below 4
    F = FreeEnergy((np.arange(5.0),), np.array([0.0, 5.0, 8.0, 7.5, 6.0]), 1.0, (None,))
    shelf, deep = (3.0, 4.0), (0.0, 1.0)
    assert count_crossings(F, deep, shelf, [[0, 3, 0, 3, 1]]) == (0, 0)
    assert count_crossings(F, deep, shelf, [[0, 4, 1, 3, 4, 0]]) == (1, 1)


def test_two_variables_one_around():
    angle, y = np.linspace(-np.pi, np.pi, 41)[:-1], np.linspace(-1, 1, 11)
    F = FreeEnergy((angle, y), 4 * np.cos(2 * angle)[:, None] + 2 * y**2 + 4, 1.0, ((-np.pi, np.pi), None))
    up, down = [(0.5, 2.6), (-1, 1)], [(-2.6, -0.5), (-1, 1)]
    around = np.column_stack([np.linspace(np.pi / 2, np.pi / 2 + 4 * np.pi, 400), np.zeros(400)])
    assert count_crossings(F, up, down, [around]) == (2, 2)


def test_a_way_that_nobody_saw():
    F = FreeEnergy((LINE,), np.where(np.abs(LINE) < 0.3, np.inf, 0.0), 1.0, (None,))
    assert count_crossings(F, LEFT, RIGHT, [[-1, -0.4, 0.4, -0.4]]) == (1, 1)


def test_a_basin_beyond_the_grid():
    with pytest.raises(ValueError, match="no point of the grid"):
        count_crossings(WELLS, LEFT, (3.0, 4.0), [[-1, 1]])
