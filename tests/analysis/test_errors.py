import numpy as np
import pytest
from scipy import stats

from ase_mlsample.analysis.errors import (
    calibration_factor,
    coverage,
    energy_rmse,
    error_summary,
    expected_coverage,
    relative_error,
    rmse,
    spearman,
)


def test_rmse():
    assert rmse([[1.0, 2.0]], [[4.0, 6.0]]) == pytest.approx(np.sqrt(12.5))
    assert relative_error([3.0, 0.0], [3.0, 4.0]) == pytest.approx(np.sqrt(8) / np.sqrt(12.5))
    assert relative_error(np.zeros(5), np.arange(1, 6)) == 1.0
    assert relative_error([1.0], [0.0]) == np.inf


def test_energy_is_per_atom_and_unshifted():
    assert energy_rmse([-10.0, -40.0], [-10.2, -40.8], [2, 8]) == pytest.approx(0.1)


def test_calibration_is_not_ruled_by_small_sigmas(rng):
    sigma = rng.chisquare(3, 20000) + 1e-3
    errors = rng.normal(0, 2.5 * sigma)
    assert calibration_factor(errors, sigma) == pytest.approx(2.5, rel=0.05)
    for bad in ([1.0], [0.0]), ([0.0], [1.0]), ([np.inf], [1.0]):
        with pytest.raises(ValueError, match="no calibration factor"):
            calibration_factor(*bad)


@pytest.mark.parametrize(("members", "expected"), [(2, 0.5), (4, 0.609), (8, 0.6494)])
def test_expected_coverage_is_that_of_gaussian_members(members, expected, rng):
    assert expected_coverage(members) == pytest.approx(expected, abs=5e-4)
    draws = rng.normal(size=(200_000, members + 1))
    sigma = draws[:, :members].std(axis=1, ddof=1)
    assert coverage(draws[:, members], sigma) == pytest.approx(expected, abs=0.01)


def test_expected_coverage_needs_members():
    with pytest.raises(ValueError, match="two members"):
        expected_coverage(1)


def test_spearman_is_scipys(rng):
    a = rng.integers(0, 20, 300).astype(float)
    b = a + rng.normal(0, 5, 300).round()
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(np.ones(5), np.arange(5)) == 0.0


def test_summary(rng):
    reference = [rng.normal(size=(n, 3)) for n in (4, 6)]
    forces = [f + 0.1 for f in reference]
    summary = error_summary(
        energies=[1.4, 2.6],
        reference_energies=[1.0, 2.0],
        forces=forces,
        reference_forces=reference,
        forces_std=[np.full((4, 3), 0.2), np.full((6, 3), 0.05)],
    )
    assert summary.n_structures == 2
    assert summary.n_atoms == 10
    assert summary.force_rmse == pytest.approx(0.1)
    assert summary.force_error == pytest.approx(0.1 / np.sqrt(np.mean(np.concatenate(reference) ** 2)))
    assert summary.energy_rmse == pytest.approx(0.1)
    assert summary.coverage == pytest.approx(0.4)
    assert summary.to_dict()["spearman"] == summary.spearman
    bare = error_summary(energies=[1], reference_energies=[1], forces=forces[:1], reference_forces=forces[:1])
    assert bare.coverage is None


def test_errors():
    with pytest.raises(ValueError, match="shape"):
        rmse([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="empty"):
        rmse([], [])
    with pytest.raises(ValueError, match="no structures"):
        error_summary(energies=[], reference_energies=[], forces=[], reference_forces=[])
