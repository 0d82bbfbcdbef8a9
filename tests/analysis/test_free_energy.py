import math

import numpy as np
import pytest

from ase_mlsample.analysis import FreeEnergy, free_energy
from ase_mlsample.analysis.density import bin_centres, histogram, kernel_density

AXIS = bin_centres(-3, 3, 60)
TURN = bin_centres(-math.pi, math.pi, 72)
CIRCLE = (-math.pi, math.pi)


def normal(number=400_000, seed=0):
    return np.random.default_rng(seed).standard_normal(number)


class TestFromBias:
    def test_scales_by_the_bias_factor(self):
        V = np.array([0.0, 3.0, 1.0])
        F = free_energy.from_bias([0.0, 1.0, 2.0], V, kT=1.0, bias_factor=4)
        np.testing.assert_allclose(F.values, [4.0, 0.0, 8 / 3])
        np.testing.assert_allclose(free_energy.from_bias([0.0, 1.0, 2.0], V, kT=1.0).values, [3, 0, 2])

    def test_bad_input(self):
        with pytest.raises(ValueError, match="bias_factor"):
            free_energy.from_bias(AXIS, np.zeros(60), kT=1.0, bias_factor=1.0)
        with pytest.raises(ValueError, match="shape"):
            free_energy.from_bias(AXIS, np.zeros(61), kT=1.0)
        with pytest.raises(ValueError, match="kT"):
            free_energy.from_bias(AXIS, np.zeros(60), kT=-1.0)
        with pytest.raises(ValueError, match="uniform"):
            free_energy.from_bias([0.0, 1.0, 3.0], np.zeros(3), kT=1.0)
        with pytest.raises(ValueError, match="finite"):
            free_energy.from_bias([0.0, 1.0], [0.0, np.nan], kT=1.0)


class TestFromSamples:
    def test_histogram_of_a_gaussian(self):
        F = free_energy.from_samples(normal(), AXIS, kT=0.5)
        assert F.rmse(0.25 * AXIS**2, ceiling=2.0) < 0.02
        assert F.values.min() == 0

    def test_kernels_of_a_gaussian(self):
        width = 0.3
        F = free_energy.from_samples(normal(), AXIS, kT=1.0, bandwidth=width)
        assert F.rmse(0.5 * AXIS**2 / (1 + width**2), ceiling=3.0) < 0.01

    def test_kernel_density_is_the_sum_of_kernels(self):
        samples, weights = normal(50), np.random.default_rng(1).uniform(size=50)
        density = kernel_density(samples, AXIS, bandwidth=0.2, weights=weights)[0]
        kernels = np.exp(-0.5 * ((AXIS[:, None] - samples) / 0.2) ** 2) / (0.2 * math.sqrt(2 * math.pi))
        np.testing.assert_allclose(density, 0.1 * kernels @ weights, atol=2e-3 * density.max())

    @pytest.mark.parametrize("bandwidth", [None, 0.1])
    def test_weights_undo_a_bias(self, bandwidth):
        samples = 2 * normal()
        weights = np.exp(-0.5 * samples**2 * (1 - 0.25))
        F = free_energy.from_samples(samples, AXIS, kT=1.0, weights=weights, bandwidth=bandwidth)
        assert F.rmse(0.5 * AXIS**2, ceiling=3.0) < 0.03

    @pytest.mark.parametrize("bandwidth", [None, 0.15])
    def test_periodic(self, bandwidth):
        samples = np.random.default_rng(0).vonmises(2.9, 1.5, 400_000) + 2 * math.pi  # any image will do
        F = free_energy.from_samples(samples, TURN, kT=1.0, domains=[CIRCLE], bandwidth=bandwidth)
        assert F.rmse(-1.5 * np.cos(TURN - 2.9), ceiling=2.0) < 0.03
        assert abs(F.values[0] - F.values[-1]) < 0.1

    @pytest.mark.parametrize("bandwidth", [None, (0.1, 0.1)])
    def test_two_variables(self, bandwidth):
        rng = np.random.default_rng(0)
        samples = np.stack([rng.standard_normal(10**6), rng.vonmises(0, 1, 10**6)], axis=1)
        axes = (bin_centres(-2, 2, 20), bin_centres(*CIRCLE, 24))
        F = free_energy.from_samples(
            samples, axes, kT=1.0, domains=[None, CIRCLE], bandwidth=bandwidth, n_blocks=4
        )
        exact = 0.5 * axes[0][:, None] ** 2 - np.cos(axes[1])
        assert F.rmse(exact, ceiling=3.0) < 0.04
        assert F.marginal(0).rmse(0.5 * axes[0] ** 2) < 0.03
        np.testing.assert_array_equal(F.marginal(1).axes[0], axes[1])

    def test_errors_are_those_of_repetition(self):
        runs = [free_energy.from_samples(normal(4000, seed), AXIS, kT=1.0) for seed in range(100)]
        low = slice(20, 40)
        scatter = np.std([-np.log(run.probabilities[low]) for run in runs], axis=0)
        stated = np.mean([run.errors[low] for run in runs], axis=0)
        np.testing.assert_allclose(stated, scatter, rtol=0.35)
        assert stated.mean() == pytest.approx(scatter.mean(), rel=0.1)

    def test_never_seen_is_infinite(self):
        F = free_energy.from_samples(normal(1000), bin_centres(-9, 9, 90), kT=1.0)
        assert np.isinf(F.values[0])
        assert np.isnan(F.errors[0])
        assert F.rmse(0.5 * F.axes[0] ** 2, ceiling=1.0) < 0.5
        assert F.rmse(0.5 * F.axes[0] ** 2) == math.inf

    def test_bad_input(self):
        with pytest.raises(ValueError, match="finite"):
            free_energy.from_samples([0.0, np.nan], AXIS, kT=1.0)
        with pytest.raises(ValueError, match="n_blocks"):
            free_energy.from_samples([0.0, 1.0], AXIS, kT=1.0)
        with pytest.raises(ValueError, match="empty"):
            free_energy.from_samples(normal(100) + 50, AXIS, kT=1.0)
        with pytest.raises(ValueError, match="as many weights"):
            free_energy.from_samples(normal(100), AXIS, kT=1.0, weights=np.ones(99))
        with pytest.raises(ValueError, match="bandwidth"):
            free_energy.from_samples(normal(100), AXIS, kT=1.0, bandwidth=0.0)
        with pytest.raises(ValueError, match="period"):
            free_energy.from_samples(normal(100), np.linspace(*CIRCLE, 50), kT=1.0, domains=[CIRCLE])

    def test_histogram_in_blocks(self):
        blocks = histogram([0.0, 0.0, 1.0, 1.0], [0.0, 1.0], weights=[1.0, 2.0, 3.0, 4.0], n_blocks=2)
        np.testing.assert_array_equal(blocks, [[3.0, 0.0], [0.0, 7.0]])


def two_wells(tilt=1.0, kT=0.5):
    F = 3 * (AXIS**2 - 1) ** 2 + tilt * AXIS
    return FreeEnergy((AXIS,), F - F.min(), kT, (None,))


class TestReadings:
    def test_rmse_is_mean_aligned_and_under_the_ceiling(self):
        F = two_wells()
        shifted = F.values + 7.0
        shifted[F.values > 4] += 100.0
        assert F.rmse(shifted, ceiling=4.0) == pytest.approx(0, abs=1e-12)
        assert F.rmse(F) == 0
        with pytest.raises(ValueError, match="ceiling"):
            F.rmse(F, ceiling=-1.0)
        with pytest.raises(ValueError, match="grid"):
            F.rmse(FreeEnergy((AXIS + 1,), F.values, 0.5, (None,)))

    def test_basin_difference(self):
        F = two_wells()
        p = np.exp(-F.values / 0.5)
        difference, error = F.basin_difference((-3, 0), (0, 3))
        assert difference == pytest.approx(-0.5 * math.log(p[AXIS > 0].sum() / p[AXIS < 0].sum()))
        assert math.isnan(error)
        assert F.basin_difference(AXIS < 0, AXIS > 0)[0] == difference
        with pytest.raises(ValueError, match="no point"):
            F.basin_difference((-3, 0), (5, 6))

    def test_basin_difference_has_the_error_of_repetition(self):
        found = [
            free_energy.from_samples(normal(4000, seed) - 0.5, AXIS, kT=2.0).basin_difference((-3, 0), (0, 3))
            for seed in range(100)
        ]
        values, errors = np.array(found).T
        exact = -2 * math.log(0.30854 / 0.69146)
        assert abs(values.mean() - exact) < 4 * values.std() / 10 + 0.01
        assert errors.mean() == pytest.approx(values.std(), rel=0.2)

    def test_barrier(self):
        F = two_wells()
        barrier = F.barrier((-3, -0.5), (0.5, 3))
        top = F.values[(AXIS > -0.5) & (AXIS < 0.5)].max()
        assert barrier.height == pytest.approx(top)
        assert barrier.saddle[0] == pytest.approx(0.083, abs=0.1)
        assert barrier.bottom[0] == pytest.approx(-1.04, abs=0.1)
        assert F.barrier((0.5, 3), (-3, -0.5)).height < top
        assert math.isnan(barrier.error)

    def test_barrier_goes_around_what_is_high(self):
        x, y = bin_centres(-2, 2, 41), bin_centres(-2, 2, 41)
        X, Y = np.meshgrid(x, y, indexing="ij")
        F = 5 * (X**2 + Y**2 - 1) ** 2 + 2 * Y + X**2 * 0.0
        barrier = FreeEnergy((x, y), F - F.min(), 1.0, (None, None)).barrier(
            [(0.8, 1.2), (-0.2, 0.2)], [(-1.2, -0.8), (-0.2, 0.2)]
        )
        # along the lower half of the ring, downhill: no more than from the bottoms themselves
        assert barrier.height < 1.0
        assert barrier.saddle[1] > -0.5

    def test_barrier_through_the_period(self):
        F = FreeEnergy((TURN,), 5 - 5 * np.cos(TURN) + 0 * TURN, 1.0, (CIRCLE,))
        wall = F.values + np.where(abs(TURN) < 0.3, 20.0, 0.0)
        around = FreeEnergy((TURN,), wall, 1.0, (CIRCLE,)).barrier((0.4, 0.5), (-0.5, -0.4))
        assert abs(around.saddle[0]) > 3
        line = FreeEnergy((TURN,), wall, 1.0, (None,)).barrier((0.4, 0.5), (-0.5, -0.4))
        assert abs(line.saddle[0]) < 0.4

    def test_basin_through_the_period(self):
        F = FreeEnergy((TURN,), np.zeros(72), 1.0, (CIRCLE,))
        difference, _ = F.basin_difference((3.0, -3.0), (-1.0, 1.0))
        inside = [np.count_nonzero(abs(TURN) > 3), np.count_nonzero(abs(TURN) < 1)]
        assert difference == pytest.approx(-math.log(inside[1] / inside[0]))

    def test_barrier_never_seen(self):
        F = two_wells()
        cut = np.where(abs(AXIS) < 0.2, np.inf, F.values)
        with pytest.raises(ValueError, match="infinite in between"):
            FreeEnergy((AXIS,), cut, 0.5, (None,)).barrier((-3, -0.5), (0.5, 3))

    def test_rmse_in_time(self):
        F = two_wells()
        worse = FreeEnergy((AXIS,), F.values * 1.1, 0.5, (None,))
        distances = free_energy.rmse_in_time([worse, F], ceiling=3.0)
        assert distances[0] > 0
        assert distances[1] == 0
        with pytest.raises(ValueError, match="series"):
            free_energy.rmse_in_time([])


def test_error_of_a_difference_under_a_bias_of_thirty_kT() -> None:
    """Runs that hop between two basins, of which the bias makes one weigh e^30 times the other."""
    rng = np.random.default_rng(5)
    found, errors = [], []
    for _ in range(300):
        hops = np.cumsum(rng.random(20_000) < 0.01) % 2  # as long in each on average: no difference under V
        blocks = np.stack([np.bincount(part, minlength=2) for part in hops.reshape(20, -1)])
        curve = free_energy.from_histogram([0.0, 1.0], blocks * np.exp([0.0, 30.0]), kT=1.0)
        difference, error = curve.basin_difference((0, 0), (1, 1))
        found.append(difference)
        errors.append(error)
    assert np.mean(found) == pytest.approx(-30, abs=0.05)
    assert np.median(errors) == pytest.approx(np.std(found), rel=0.2)  # 100 hops: about 0.2 k_BT
    assert 0.1 < np.std(found) < 0.3


def test_no_error_where_one_block_alone_saw_a_point() -> None:
    curve = free_energy.from_histogram([0.0, 1.0, 2.0], [[5, 1, 0], [4, 0, 0], [6, 0, 0]], kT=1.0)
    assert curve.errors is not None
    assert np.isnan(curve.errors[1:]).all()
    assert np.isfinite(curve.errors[0])
    assert np.isnan(curve.basin_difference((0, 0), (1, 1))[1])
