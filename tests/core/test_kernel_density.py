"""Compiled sums of kernels: their values, merging, and the overlap that is kept up to date."""

import math

import numpy as np
import pytest

from ase_mlsample import _core

CUTOFF = 20.0


def make(d=1, *, period=None, threshold=1.0, cutoff=CUTOFF):
    low, periods = ([-2.0] * d, [period] * d) if period else ([0.0] * d, [0.0] * d)
    return _core.KernelDensity(low=low, periods=periods, cutoff=cutoff, threshold=threshold)


def kernels_at(points, kernels, *, period=None, cutoff=CUTOFF):
    """Each kernel at each point, (p, K), and its gradient, (p, K, d)."""
    centers, sigmas, heights = kernels
    distance = points[:, None, :] - centers
    if period:
        distance -= period * np.round(distance / period)
    u = distance / sigmas
    q = (u**2).sum(axis=-1)
    gaussians = np.where(q < cutoff, heights * np.exp(-q / 2), 0)
    values = np.where(q < cutoff, gaussians - heights * math.exp(-cutoff / 2), 0)
    return values, -gaussians[..., None] * u / sigmas


def random_kernels(rng, n, d, width=0.1):
    return rng.uniform(-2, 2, (n, d)), width * rng.uniform(0.5, 2, (n, d)), rng.uniform(0.1, 3, n)


@pytest.mark.parametrize(("d", "period"), [(1, None), (1, 4.0), (2, None), (3, 4.0)])
def test_sum_and_gradient(d, period):
    rng = np.random.default_rng(0)
    density, kernels = make(d, period=period, threshold=0.0), random_kernels(rng, 300, d, 0.3)
    density.add(*kernels)
    assert len(density) == 300
    points = rng.uniform(-2, 2, (50, d))
    values, gradients = kernels_at(points, kernels, period=period)
    total, slope = values.sum(axis=1), gradients.sum(axis=1)
    found, gradient = density.evaluate(points, scale=2.0, factor=0.5, floor=0.1)
    assert found == pytest.approx(2 * np.log(0.5 * total + 0.1), abs=1e-12)
    assert gradient == pytest.approx(slope / (0.5 * total + 0.1)[:, None], rel=1e-10, abs=1e-10)
    value, one = density.evaluate(points[7], scale=2.0, factor=0.5, floor=0.1)
    assert value == found[7]
    assert np.array_equal(one, gradient[7])
    if period:
        again, _ = density.evaluate(points + 3 * period, scale=2.0, factor=0.5, floor=0.1)
        assert again == pytest.approx(found, abs=1e-11)


def test_nothing_there():
    density = make()
    assert density.evaluate(np.zeros(1), scale=1.0, factor=1.0, floor=0.5)[0] == math.log(0.5)
    density.add(np.zeros((1, 1)), np.full((1, 1), 0.1), np.ones(1))
    far = np.array([[1e200], [-5.0], [0.44721], [0.44722]])  # kernels end at 0.1 √20
    values, gradients = density.evaluate(far, scale=1.0, factor=1.0, floor=0.0)
    assert (values == -np.inf).tolist() == [True, True, False, True]
    assert (gradients == 0).ravel().tolist() == [True, True, False, True]


def test_two_that_merge_keep_their_moments():
    for period, first, second in ((None, 0.3, 0.36), (4.0, 1.97, -1.99)):
        density = make(period=period)
        centers, sigmas, heights = (
            np.array([[first], [second]]),
            np.array([[0.1], [0.2]]),
            np.array([1.0, 3.0]),
        )
        density.add(centers, sigmas, heights)
        center, sigma, height = density.kernels()
        if period:
            centers[1] += period
        mean = np.average(centers, weights=heights, axis=0)
        square = np.average(sigmas**2 + centers**2, weights=heights, axis=0)
        assert height == pytest.approx([4.0])
        assert center[0] == pytest.approx(mean - (period or 0))
        assert sigma[0] == pytest.approx(np.sqrt(square - mean**2))


def test_merging_goes_on_while_two_are_close():
    density = make()
    density.add(np.array([[0.0], [0.35], [0.2]]), np.full((3, 1), 0.3), np.ones(3))
    assert len(density) == 1
    assert density.kernels()[0][0, 0] == pytest.approx(0.55 / 3)
    density.add(np.array([[1.0]]), np.array([[5.0]]), np.ones(1))  # near in its own width only
    assert len(density) == 2


def test_kernels_far_from_zero_merge_exactly():
    density = make()
    density.add(np.array([[4e7], [4e7 + 0.5]]), np.ones((2, 1)), np.ones(2))
    assert density.kernels()[1][0, 0] == pytest.approx(math.sqrt(1 + 0.0625), rel=1e-14)


@pytest.mark.parametrize(("d", "period", "at_once"), [(1, None, 1), (2, 4.0, 1), (2, None, 7), (3, 4.0, 40)])
def test_overlap_is_that_of_all(d, period, at_once):
    rng = np.random.default_rng(1)
    density = make(d, period=period)
    for _ in range(600 // at_once):
        density.add(*random_kernels(rng, at_once, d, 0.2))
    assert d > 1 or len(density) < 50
    kernels = density.kernels()
    values, _ = kernels_at(kernels[0], kernels, period=period)
    assert density.overlap == pytest.approx(values.sum(), rel=1e-12)


def test_state_goes_on_the_same():
    rng = np.random.default_rng(2)
    one, two = make(2), make(2)
    one.add(*random_kernels(rng, 100, 2))
    two.set_kernels(*one.kernels(), overlap=one.overlap)
    more = random_kernels(rng, 100, 2)
    for density in (one, two):
        density.add(*more)
    assert all(np.array_equal(a, b) for a, b in zip(one.kernels(), two.kernels(), strict=True))
    assert one.overlap == two.overlap


def test_threads_change_nothing():
    rng = np.random.default_rng(3)
    density, points = make(2), rng.uniform(-2, 2, (20_000, 2))
    density.add(*random_kernels(rng, 200, 2))
    threads, results = _core.num_threads(), []
    try:
        for n in (1, 3):
            _core.set_num_threads(n)
            results.append(density.evaluate(points, scale=1.0, factor=1.0, floor=0.1))
    finally:
        _core.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": [], "periods": []}, "one number for each"),
        ({"low": [0.0], "periods": [1.0, 2.0]}, "one number for each"),
        ({"periods": [-1.0]}, "periods must be positive"),
        ({"low": [math.nan]}, "periods must be positive"),
        ({"cutoff": 0.0}, "cutoff must be positive"),
        ({"cutoff": math.inf}, "cutoff must be positive"),
        ({"threshold": -1.0}, "threshold must not"),
        ({"threshold": 30.0}, "threshold must not"),
    ],
)
def test_bad_settings(settings, message):
    good = {"low": [0.0], "periods": [0.0], "cutoff": CUTOFF, "threshold": 1.0}
    with pytest.raises(ValueError, match=message):
        _core.KernelDensity(**good | settings)


def test_bad_arrays():
    density, form = make(2), {"scale": 1.0, "factor": 1.0, "floor": 1.0}
    centers, ones = np.zeros((3, 2)), np.ones((3, 2))
    for wrong in (np.zeros(3), np.zeros((3, 1)), np.zeros((1, 3, 2)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match=r"points must|not finite"):
            density.evaluate(wrong, **form)
    for arrays in (
        (centers, ones, np.ones(2)),
        (centers[:, :1], ones, np.ones(3)),
        (centers, ones[:1], np.ones(3)),
    ):
        with pytest.raises(ValueError, match="must have shape"):
            density.add(*arrays)
    for arrays in ((centers, -ones, np.ones(3)), (centers, ones, np.zeros(3))):
        with pytest.raises(ValueError, match="must be positive"):
            density.add(*arrays)
    for broken in ((centers * np.nan, ones, np.ones(3)), (centers, ones * np.inf, np.ones(3))):
        with pytest.raises(ValueError, match="not finite"):
            density.set_kernels(*broken, overlap=1.0)
    with pytest.raises(ValueError, match="overlap"):
        density.set_kernels(centers, ones, np.ones(3), overlap=-1.0)
    assert len(density) == 0
