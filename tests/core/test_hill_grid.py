"""The compiled grid: what its nodes hold, what lies between them, and how it grows."""

import itertools
import math

import numpy as np
import pytest

from ase_mlsample import _core

CUTOFF = 6.25
SHAPE = {"cutoff": CUTOFF, "scale": 1.0, "shift": -math.exp(-CUTOFF)}


def make(*axes):
    """Axes as (kind, origin, spacing, size)."""
    kinds, origins, spacings, size = map(list, zip(*axes, strict=True))
    return _core.HillGrid(kinds=kinds, origins=origins, spacings=spacings, first=[0] * len(axes), size=size)


def nodes(grid):
    entries = zip(grid.origins, grid.spacings, grid.first, grid.size, strict=True)
    axes = [origin + spacing * (first + np.arange(size)) for origin, spacing, first, size in entries]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def gaussian(points, center, width, height):
    """Value and all mixed first derivatives, in the order of the columns."""
    x = points - center
    q = 0.5 * (x**2 / width**2).sum(axis=1)
    e, inside = height * np.exp(-q), q < CUTOFF
    columns = []
    for term in range(2 ** points.shape[1]):
        factors = [-x[:, a] / width[a] ** 2 for a in range(points.shape[1]) if term >> a & 1]
        columns.append(np.where(inside, e * np.prod(factors, axis=0), 0))
    columns[0] += np.where(inside, height * SHAPE["shift"], 0)
    return np.stack(columns, axis=1)


def cubic(rng, d):
    """A random polynomial of third degree in each variable, with its derivative by axis ``k``."""
    c = rng.normal(size=(4,) * d)

    def value(points, *orders):
        total = np.zeros(len(points))
        for powers in itertools.product(range(4), repeat=d):
            term = np.full(len(points), c[powers])
            for a, p in enumerate(powers):
                n = orders.count(a)
                term *= 0 if p < n else math.perm(p, n) * points[:, a] ** (p - n)
            total += term
        return total

    return value


@pytest.mark.parametrize("d", [1, 2, 3])
class TestNumberOfVariables:
    def test_nodes_hold_the_hill(self, d):
        rng = np.random.default_rng(d)
        grid = make(*[("growing", 0.0, 0.1 + 0.02 * a, 2) for a in range(d)])
        centers, widths = rng.uniform(-0.5, 0.5, (3, d)), rng.uniform(0.2, 0.4, (3, d))
        heights = np.array([1.0, 0.5, -0.7])
        grid.add(centers, widths, heights, **SHAPE)
        at = nodes(grid)
        expected = sum(gaussian(at, *hill) for hill in zip(centers, widths, heights, strict=True))
        assert np.abs(grid.data() - expected).max() < 1e-12

    def test_cubic_polynomials_are_exact(self, d):
        rng = np.random.default_rng(d)
        grid = make(*[("bounded", -0.5, 0.3 - 0.05 * a, 4 + a) for a in range(d)])
        f, at = cubic(rng, d), nodes(grid)
        terms = [[a for a in range(d) if term >> a & 1] for term in range(2**d)]
        grid.set_data(np.ascontiguousarray(np.stack([f(at, *orders) for orders in terms], axis=1)))
        points = rng.uniform(at.min(axis=0), at.max(axis=0), (50, d))
        values, gradients = grid.evaluate(points)
        assert np.abs(values - f(points)).max() < 1e-12
        for a in range(d):
            assert np.abs(gradients[:, a] - f(points, a)).max() < 1e-11

    def test_many_hills_are_the_sum(self, d):
        rng = np.random.default_rng(5)
        axes = [("growing", 0.0, 0.1, 2), ("periodic", -1.0, 0.1, 20), ("bounded", -0.6, 0.1, 13)][:d]
        together, apart = make(*axes), make(*axes)
        centers, widths = rng.uniform(-1, 1, (12, d)), np.full((12, d), 0.3)
        heights = rng.uniform(0.5, 1, 12)
        together.add(centers, widths, heights, **SHAPE)
        for k in range(12):
            apart.add(centers[k : k + 1], widths[:1], heights[k : k + 1], **SHAPE)
        points = rng.uniform(-1.2, 1.2, (40, d))
        assert np.abs(together.evaluate(points)[0] - apart.evaluate(points)[0]).max() < 1e-12

    def test_threads_change_nothing(self, d):
        rng = np.random.default_rng(0)
        grid = make(*[("growing", 0.0, 0.2, 2)] * d)
        grid.add(rng.uniform(-1, 1, (20, d)), np.full((20, d), 0.5), np.ones(20), **SHAPE)
        points = rng.uniform(-2, 2, (20_000, d))
        threads = _core.num_threads()
        try:
            results = []
            for n in (1, 4):
                _core.set_num_threads(n)
                results.append(grid.evaluate(points))
        finally:
            _core.set_num_threads(threads)
        assert np.array_equal(results[0][0], results[1][0])
        assert np.array_equal(results[0][1], results[1][1])
        one = grid.evaluate(points[7])
        assert one[0] == results[0][0][7]
        assert np.array_equal(one[1], results[0][1][7])


class TestGrowing:
    def test_keeps_what_it_has(self):
        grid = make(("growing", 0.0, 0.1, 2), ("growing", 0.0, 0.1, 2))
        grid.add(np.zeros((1, 2)), np.full((1, 2), 0.3), np.ones(1), **SHAPE)
        first, size, data = grid.first, grid.size, grid.data().reshape(*grid.size, 4)
        grid.add(np.array([[-9.0, 12.0]]), np.full((1, 2), 0.3), np.ones(1), **SHAPE)
        assert grid.first[0] < first[0]
        assert grid.size[1] > size[1]
        shift = [f - g for f, g in zip(first, grid.first, strict=True)]
        grown = grid.data().reshape(*grid.size, 4)
        part = grown[shift[0] : shift[0] + size[0], shift[1] : shift[1] + size[1]]
        assert np.array_equal(part, data)

    def test_is_zero_beyond(self):
        grid = make(("growing", 0.0, 0.1, 2))
        assert grid.evaluate(np.array([3.0]))[0] == 0
        grid.add(np.array([[1.0]]), np.array([[0.2]]), np.ones(1), **SHAPE)
        for s in (-1e9, 1.0 - 0.2 * math.sqrt(12.5) - 0.1, 1.0 + 0.2 * math.sqrt(12.5) + 0.1, 1e300):
            value, gradient = grid.evaluate(np.array([s]))
            assert (value, gradient[0]) == (0, 0)

    def test_is_continuous_at_its_end(self):
        grid = make(("growing", 0.0, 0.1, 2))
        grid.add(np.array([[1.0]]), np.array([[0.2]]), np.ones(1), **SHAPE)
        line = np.linspace(-2, 5, 200_001)[:, None]
        values, gradients = grid.evaluate(line)
        assert np.abs(np.diff(values)).max() < 4 * 3.5e-5
        assert np.abs(np.diff(gradients[:, 0])).max() < 30 * 3.5e-5

    @pytest.mark.parametrize("d", [1, 2, 3])
    def test_how_it_grew_changes_no_bit(self, d):
        rng = np.random.default_rng(d)
        centers, widths = rng.normal(size=(25, d)), np.full((25, d), 0.4)
        axes = [("growing", 0.03, 0.17, 2)] * d
        step_by_step, at_once, reloaded = make(*axes), make(*axes), make(*axes)
        at_once.add(centers, widths, np.ones(25), **SHAPE)
        for k in range(25):
            step_by_step.add(centers[k : k + 1], widths[:1], np.ones(1), **SHAPE)
            entries = {name: getattr(reloaded, name) for name in ("origins", "spacings", "first", "size")}
            data = reloaded.data()
            reloaded = _core.HillGrid(kinds=["growing"] * d, **entries)
            reloaded.set_data(data)
            reloaded.add(centers[k : k + 1], widths[:1], np.ones(1), **SHAPE)
        points = rng.normal(size=(200, d))
        expected = step_by_step.evaluate(points)
        for other in (at_once, reloaded):
            assert (other.first, other.size) == (step_by_step.first, step_by_step.size)
            assert np.array_equal(other.data(), step_by_step.data())
            for mine, theirs in zip(other.evaluate(points), expected, strict=True):
                assert np.array_equal(mine, theirs)

    def test_holds_no_more_than_hills_reach(self):
        grid = make(("growing", 0.0, 0.1, 2), ("periodic", 0.0, 0.1, 40), ("growing", 0.0, 0.1, 2))
        grid.add(np.array([[2e4, 1.0, -3e4]]), np.full((1, 3), 0.3), np.ones(1), **SHAPE)
        assert max(grid.size) < 45  # nothing between the origin and the first hill
        assert np.abs(nodes(grid)[:, 0] - 2e4).max() < 1.2
        assert grid.evaluate(np.array([2e4, 1.0, -3e4]))[0] == pytest.approx(1 + SHAPE["shift"], rel=1e-3)

    def test_refuses_to_be_huge_and_stays(self):
        grid = make(("growing", 0.0, 0.1, 2), ("growing", 0.0, 0.1, 2))
        grid.add(np.zeros((1, 2)), np.full((1, 2), 0.3), np.ones(1), **SHAPE)
        before = grid.data()
        for center in ([1e4, 1e4], [1e300, 0.0]):
            with pytest.raises(ValueError, match="give bounds"):
                grid.add(np.array([center]), np.full((1, 2), 0.3), np.ones(1), **SHAPE)
        assert np.array_equal(grid.data(), before)


class TestOtherAxes:
    def test_periodic_is_the_same_a_period_on(self):
        grid = make(("periodic", -1.0, 0.05, 40))
        grid.add(np.array([[0.95]]), np.array([[0.2]]), np.ones(1), **SHAPE)
        points = np.linspace(-1, 1, 33)[:, None]
        for turns in (-3, 1, 7):
            for one, other in zip(grid.evaluate(points), grid.evaluate(points + 2 * turns), strict=True):
                assert np.abs(one - other).max() < 1e-12
        assert grid.evaluate(np.array([-0.95]))[0] == pytest.approx(math.exp(-0.125), abs=3e-3)

    def test_wider_than_the_period_counts_once(self):
        grid = make(("periodic", -1.0, 0.05, 40))
        grid.add(np.array([[0.3]]), np.array([[1.0]]), np.ones(1), **SHAPE)
        at = nodes(grid)[:, 0]
        distance = (at - 0.3 + 1) % 2 - 1
        assert grid.data()[:, 0] == pytest.approx(np.exp(-0.5 * distance**2) + SHAPE["shift"], abs=1e-12)

    def test_bounded_goes_on_flat(self):
        grid = make(("bounded", 0.0, 0.1, 11))
        grid.add(np.array([[0.9]]), np.array([[0.3]]), np.ones(1), **SHAPE)
        value, gradient = grid.evaluate(np.array([1.7]))
        assert value == grid.evaluate(np.array([1.0]))[0] > 0.5
        assert gradient[0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.evaluate(np.array([math.nan])), "variable 0 is nan"),
        (lambda g: g.evaluate(np.array([[0.0], [math.inf]])), "infinite in row 1"),
        (lambda g: g.evaluate(np.zeros(2)), "shape"),
        (lambda g: g.evaluate(np.zeros((2, 1, 1))), "shape"),
        (lambda g: g.add(np.zeros((1, 1)), np.zeros((1, 1)), np.ones(1), **SHAPE), "positive"),
        (lambda g: g.add(np.zeros((2, 1)), np.ones((2, 1)), np.ones(1), **SHAPE), "hills"),
        (
            lambda g: g.add(np.zeros((1, 1)), np.ones((1, 1)), np.full(1, math.nan), **SHAPE),
            "height 0 is nan",
        ),
        (lambda g: g.set_data(np.zeros((3, 2))), "shape"),
        (lambda _: _core.HillGrid(kinds=[], origins=[], spacings=[], first=[], size=[]), "1 to 3"),
        (
            lambda _: _core.HillGrid(kinds=["growing"], origins=[], spacings=[], first=[], size=[]),
            "one length",
        ),
        (lambda _: make(*[("growing", 0.0, 0.1, 2)] * 4), "1 to 3"),
        (lambda _: make(("growing", 0.0, 0.0, 2)), "spacing"),
        (lambda _: make(("bounded", 0.0, 0.1, 1)), "two nodes"),
        (lambda _: make(("round", 0.0, 0.1, 2)), "growing, bounded or periodic"),
        (lambda _: make(*[("bounded", 0.0, 0.1, 100_000)] * 3), "2 GiB"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(make(("growing", 0.0, 0.1, 2)))
