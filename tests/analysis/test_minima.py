import numpy as np
import pytest

from ase_mlsample.analysis.free_energy import FreeEnergy
from ase_mlsample.analysis.minima import find_minima

S = np.linspace(-1.5, 1.5, 61)


def test_two_wells_and_the_basins_between_them():
    F = FreeEnergy((S,), 8 * (S**2 - 1) ** 2 + S, 1.0, (None,))
    left, right = find_minima(F)
    assert left.place == pytest.approx((-1.0,), abs=0.051)
    assert right.place == pytest.approx((1.0,), abs=0.051)
    assert right.value - left.value == pytest.approx(2.0, abs=0.1)
    assert np.isnan(left.error)
    np.testing.assert_array_equal(left.basin ^ right.basin, True)
    border = S[right.basin].min()
    assert abs(border) < 0.06
    assert F.barrier(left.basin, right.basin).height > 8


def test_ripples_are_no_minima():
    rng = np.random.default_rng(0)
    values = 8 * (S**2 - 1) ** 2 + S + 0.2 * rng.standard_normal(61)
    F = FreeEnergy((S,), values, 1.0, (None,))
    assert len(find_minima(F)) == 2
    assert len(find_minima(F, depth=0.0)) > 2
    assert len(find_minima(F, depth=20.0)) == 1


def test_through_the_end_of_a_period():
    axis = np.linspace(-np.pi, np.pi, 41)[:-1]
    values = np.cos(axis)  # its one minimum lies at the ends
    periodic = FreeEnergy((axis,), values - values.min(), 0.5, ((-np.pi, np.pi),))
    assert len(find_minima(periodic)) == 1
    assert len(find_minima(FreeEnergy((axis,), values - values.min(), 0.5, (None,)))) == 2


def test_a_map_with_places_never_seen():
    y = np.linspace(-1, 1, 31)
    values = 8 * (S[:, None] ** 2 - 1) ** 2 + 3 * y**2
    values[:, :4] = np.inf
    errors = np.full(values.shape, 0.1)
    minima = find_minima(FreeEnergy((S, y), values, 1.0, (None, None), errors=errors))
    assert [round(abs(m.place[0]), 1) for m in minima] == [1.0, 1.0]
    assert all(abs(m.place[1]) < 0.07 for m in minima)
    assert minima[0].error == 0.1
    assert not (minima[0].basin | minima[1].basin)[:, :4].any()


def test_a_negative_depth():
    with pytest.raises(ValueError, match="depth"):
        find_minima(FreeEnergy((S,), S**2, 1.0, (None,)), depth=-1.0)
