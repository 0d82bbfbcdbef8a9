import math

import numpy as np
import pytest

from ase_mlsample.biases.tabulated import TabulatedPotential

PERIOD = (-math.pi, math.pi)
RANGES, DOMAINS = [(-1.0, 2.0), PERIOD], [None, PERIOD]


def test_interpolates():
    table = TabulatedPotential(RANGES, DOMAINS, (40, 60))
    assert table.shape == (41, 60)
    x, phi = table.points.T
    table.set_values(np.exp(x) * np.sin(phi) + x**2)
    points = np.random.default_rng(0).uniform([-1, -9], [2, 9], (200, 2))
    values, slopes = table.potential(points)
    x, phi = points.T
    np.testing.assert_allclose(values, np.exp(x) * np.sin(phi) + x**2, atol=1e-4)
    np.testing.assert_allclose(slopes[:, 0], np.exp(x) * np.sin(phi) + 2 * x, atol=2e-3)
    np.testing.assert_allclose(slopes[:, 1], np.exp(x) * np.cos(phi), atol=2e-3)


def test_is_flat_beyond_the_bounds():
    table = TabulatedPotential(RANGES, DOMAINS, (10, 10))
    table.set_values(table.points[:, 0] ** 3)
    values, slopes = table.potential(np.array([[2.0, 0.3], [9.0, 0.3]]))
    assert values.tolist() == pytest.approx([8, 8])
    assert slopes[1].tolist() == pytest.approx([0, 0], abs=1e-13)


@pytest.mark.parametrize("domains", [[None], [(-1.0, 3.0)]])
def test_volumes_integrate(domains):
    table = TabulatedPotential([(-1.0, 3.0)], domains, (50,))
    x = table.points[:, 0]
    assert table.volumes.sum() == pytest.approx(1)
    assert table.volumes @ np.cos(math.pi * x) == pytest.approx(0, abs=1e-12)
    if domains == [None]:
        assert table.volumes @ x == pytest.approx(1)


class TestShares:
    def test_keep_the_mean(self):
        table = TabulatedPotential(RANGES, DOMAINS, (30, 40))
        samples = np.random.default_rng(1).uniform([-1, -1], [2, 2], (500, 2))
        shares = table.shares(samples)
        assert shares.sum() == pytest.approx(1)
        np.testing.assert_allclose(shares @ table.points, samples.mean(axis=0), atol=1e-12)

    def test_of_a_node_and_the_ends(self):
        table = TabulatedPotential([(0.0, 1.0)], [None], (4,))
        shares = table.shares(np.array([[0.0], [1.0], [0.5], [0.375]]))
        np.testing.assert_allclose(shares, np.array([1, 0.5, 1.5, 0, 1]) / 4)

    def test_go_round(self):
        table = TabulatedPotential([PERIOD], [PERIOD], (4,))
        shares = table.shares(np.array([[0.75 * math.pi], [-math.pi - 0.25 * math.pi], [7 * math.pi]]))
        np.testing.assert_allclose(shares * 3, [2, 0, 0, 1], atol=1e-12)

    def test_of_an_upper_end_that_rounding_moves(self):
        for bins in range(4, 60):
            shares = TabulatedPotential([(0.1, 2.7)], [None], (bins,)).shares(np.array([[0.1], [2.7]]))
            np.testing.assert_allclose(shares[[0, -1]], 0.5, atol=1e-12)
