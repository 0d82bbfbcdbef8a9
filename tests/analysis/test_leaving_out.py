import numpy as np
import pytest

from ase_mlsample.analysis.leaving_out import jackknife


def test_the_error_of_a_mean_is_the_usual_one():
    values = np.random.default_rng(0).standard_normal(50)
    blocks = np.stack([values, np.ones(50)], axis=1)
    mean, error = jackknife(blocks, lambda sums: sums[0] / sums[1])
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(50))


def test_it_is_the_scatter_of_repetitions():
    rng = np.random.default_rng(1)
    counts = rng.poisson([400, 60, 5], (300, 16, 3))
    found = [jackknife(blocks, lambda n: np.log(n[0] / n[1:])) for blocks in counts]
    scatter = np.std([value for value, _ in found], axis=0)
    mean_error = np.mean([error for _, error in found], axis=0)
    assert mean_error == pytest.approx(scatter, rel=0.1)


def test_weights_of_blocks_may_differ_by_any_factor():
    """Two basins, 60 kT apart: blocks see the one or the other, and a state between them."""
    rng = np.random.default_rng(2)
    weights = np.exp([0.0, -80.0, -60.0])
    visits = np.where(np.arange(20)[:, None] % 2 == 0, [500, 80, 0], [0, 80, 500])
    found = [jackknife(rng.poisson(visits) * weights, lambda p: -np.log(p[1] / p[0])) for _ in range(200)]
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(80 - np.log(80 * 20 / (500 * 10)), abs=0.02)
    # half the blocks miss the deep basin, which the error of so uneven blocks counts too
    assert 0.02 < errors.mean() < 0.4


def test_what_one_block_alone_saw_has_no_error():
    value, error = jackknife([[5.0, 1.0], [5.0, 0.0]], lambda n: np.log(n[0]) + 1 / n[1] if n[1] else np.inf)
    assert value == pytest.approx(np.log(10) + 1)
    assert not np.isfinite(error)


def test_one_block_is_too_few():
    with pytest.raises(ValueError, match="two blocks"):
        jackknife([[1.0, 2.0]], np.sum)
