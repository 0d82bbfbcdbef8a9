import numpy as np
import pytest

from ase_mlsample.analysis import error_by_sigma


def test_bins_recover_a_known_calibration():
    rng = np.random.default_rng(1)
    sigmas = rng.uniform(0.1, 2.0, 50_000)
    bins = error_by_sigma(3 * sigmas * rng.standard_normal(50_000), sigmas, bins=10)
    assert bins.sigma.shape == (10,)
    assert np.all(np.diff(bins.sigma) > 0)
    assert bins.error == pytest.approx(3 * bins.sigma, rel=0.05)


def test_bins_keep_the_mean_square():
    rng = np.random.default_rng(2)
    errors, sigmas = rng.standard_normal((60, 3)), rng.random((60, 3))
    bins = error_by_sigma(errors, sigmas, bins=9)  # 180 values: 20 in each
    assert np.mean(bins.error**2) == pytest.approx(np.mean(errors**2))
    assert np.mean(bins.sigma**2) == pytest.approx(np.mean(sigmas**2))


def test_fewer_values_than_bins():
    assert error_by_sigma([1.0, 2.0], [0.1, 0.2]).error.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("errors", "sigmas", "message"),
    [
        ([1, 2], [1], "one shape"),
        ([], [], "no errors"),
        ([np.nan], [1], "finite"),
        ([1], [-1], "not negative"),
    ],
)
def test_bad_input(errors, sigmas, message):
    with pytest.raises(ValueError, match=message):
        error_by_sigma(errors, sigmas)
