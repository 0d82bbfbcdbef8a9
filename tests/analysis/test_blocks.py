import numpy as np
import pytest
from scipy.signal import lfilter

from ase_mlsample.analysis import block_error
from ase_mlsample.analysis.blocks import average_blocks, block_scan


def autoregressive(rho, length, seed):
    """Unit variance, correlation ρ^t: 2τ = (1 + ρ)/(1 − ρ)."""
    noise = np.random.default_rng(seed).standard_normal(length + 200)
    return lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise)[200:]


class TestBlockError:
    @pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.97])
    def test_known_correlation(self, rho):
        length = 200_000
        exact = np.sqrt((1 + rho) / (1 - rho) / length)
        averages = [block_error(autoregressive(rho, length, seed)) for seed in range(8)]
        assert np.mean([a.error for a in averages]) == pytest.approx(exact, rel=0.08)
        assert all(a.converged for a in averages)
        times = [a.correlation_time for a in averages]
        assert np.mean(times) == pytest.approx(0.5 * (1 + rho) / (1 - rho), rel=0.15)
        assert all(a.block_length >= 10 * a.correlation_time for a in averages)

    def test_error_bars_cover(self):
        averages = [block_error(autoregressive(0.8, 4000, seed)) for seed in range(200)]
        covered = np.mean([abs(a.mean) < a.error for a in averages])
        assert 0.6 < covered < 0.75

    def test_mean_uses_all_samples(self):
        y = np.arange(1000.0) % 7
        assert block_error(y).mean == pytest.approx(y.mean())

    def test_equal_weights_change_nothing(self):
        y = autoregressive(0.5, 5000, 0)
        assert block_error(y, np.full(5000, 0.1)).error == pytest.approx(block_error(y).error)

    def test_weighted_mean_and_error(self):
        rng = np.random.default_rng(0)
        results = []
        for _ in range(200):
            y = rng.standard_normal(4000) + 1.0  # weights turn a mean of 1 into one of 0
            results.append(block_error(y, np.exp(-y)))
        means, errors = np.array([(r.mean, r.error) for r in results]).T
        assert means.mean() == pytest.approx(0, abs=0.01)
        assert errors.mean() == pytest.approx(means.std(), rel=0.15)

    def test_too_short_a_run_says_so(self):
        average = block_error(autoregressive(0.999, 3000, 0))
        assert not average.converged
        assert "at least" in str(average)

    def test_constant(self):
        average = block_error(np.ones(100))
        assert (average.mean, average.error, average.converged) == (1.0, 0.0, True)

    @pytest.mark.parametrize(
        ("values", "weights", "message"),
        [
            (np.ones(5), None, "no error"),
            ([1.0, np.nan] * 20, None, "finite"),
            (np.ones((20, 2)), None, "shapes"),
            (np.ones(20), np.ones(19), "shapes"),
            (np.ones(20), -np.ones(20), "negative"),
            (np.ones(20), np.zeros(20), "zero"),
            (np.ones(100), np.eye(100)[0], "no error"),
        ],
    )
    def test_bad_input(self, values, weights, message):
        with pytest.raises(ValueError, match=message):
            block_error(values, weights)


class TestScanAndAverage:
    def test_scan_doubles_and_ends(self):
        scan = block_scan(autoregressive(0.9, 1000, 0))
        np.testing.assert_array_equal(scan.lengths, [1, 2, 4, 8, 16, 32, 64])
        np.testing.assert_allclose(scan.effective, 1000 // scan.lengths)
        assert scan.errors[-1] > 2 * scan.errors[0]

    def test_average_by_hand(self):
        mean, error, effective = average_blocks([1.0, 2.0, 4.0], [1.0, 1.0, 2.0])
        assert mean == 2.75
        assert effective == pytest.approx(16 / 6)
        variance = (1.75**2 + 0.75**2 + 2 * 1.25**2) / 4
        assert error == pytest.approx(np.sqrt(variance / (16 / 6 - 1)))

    def test_one_block_gives_no_error(self):
        with pytest.raises(ValueError, match="effective"):
            average_blocks([1.0, 2.0], [1.0, 0.0])
