"""The free energy of a second potential from samples of a first one, where the answer is known."""

import numpy as np
import pytest

from ase_mlsample.analysis import perturb_free_energy

AXIS = np.linspace(-1.5, 1.5, 13)


def field(strength, slope=2.0, size=60_000, seed=0):
    """U₁ = s²/2 + y²/2 and a field: U₂ − U₁ = strength·y + slope·s, so F₂ − F₁ = slope·s − strength²/2."""
    s, y = np.random.default_rng(seed).standard_normal((2, size))
    return s, strength * y + slope * s


def quadrature(first, difference, axis):
    """F₂ − F₁ in bins of s by quadrature over s and y."""
    width = axis[1] - axis[0]
    offset = (np.arange(41) - 20) / 41 * width
    s, y = (axis[:, None] + offset)[..., None], np.linspace(-9, 9, 2001)
    weight = np.exp(-first(s, y))
    return -np.log((weight * np.exp(-difference(s, y))).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)))


def test_gaussian_differences():
    found = perturb_free_energy(*field(0.8, slope=0.5), AXIS, kT=1.0)
    exact = 0.5 * AXIS - 0.32
    for value, error in (
        (found.exponential, found.exponential_error),
        (found.cumulant, found.cumulant_error),
    ):
        assert np.abs(value - exact).max() < 0.06
        assert (np.abs(value - exact) < 4 * error + 0.005).all()
        assert (error > 0).all()
    assert found.mean == pytest.approx(0.5 * AXIS, abs=0.05)
    assert found.spread == pytest.approx(0.8, abs=0.05)
    assert found.samples.sum() == pytest.approx(60_000 * 0.896, rel=0.02)
    assert found.effective == pytest.approx(found.samples * np.exp(-0.64), rel=0.15)


def test_silicon_potentials_against_quadrature():
    def first(s, y):
        return 0.25 * s**4 + 0.5 * y**2

    def difference(s, y):
        return 0.4 * s + 0.3 * s**2 * y**2 + 0.05 * y**4

    rng = np.random.default_rng(1)
    s = rng.uniform(-2, 2, 400_000)
    s = s[rng.random(len(s)) < np.exp(-0.25 * s**4)]
    y = rng.standard_normal(len(s))
    found = perturb_free_energy(s, difference(s, y), AXIS, kT=1.0)
    exact = quadrature(first, difference, AXIS)
    assert (np.abs(found.exponential - exact) < 4 * found.exponential_error).all()
    assert np.abs(found.exponential - exact).max() < 0.03
    assert np.abs(found.cumulant - exact).max() > 0.1  # the differences are not Gaussian


def test_weights_undo_a_bias_within_bins():
    """Samples that a bias V = −U₁ has made uniform, in two bins that are too wide to leave V out."""
    kT, axis = 0.3, np.array([-1.0, 1.0])
    s = np.random.default_rng(2).uniform(-2, 2, 200_000)
    weights = np.exp(-(0.5 * s**2) / kT)
    found = perturb_free_energy(s, 0.6 * s, axis, kT=kT, weights=weights)
    plain = perturb_free_energy(s, 0.6 * s, axis, kT=kT)
    exact = kT * quadrature(lambda s, y: (s**2 + y**2) / 2 / kT, lambda s, y: 0.6 / kT * (s + 0 * y), axis)
    assert found.exponential == pytest.approx(exact, abs=0.005)
    assert np.abs(plain.exponential - exact).max() > 0.1
    assert (found.samples < 0.8 * plain.samples).all()


def test_without_overlap_only_the_cumulants_are_given():
    found = perturb_free_energy(*field(4.0, slope=0.0), AXIS, kT=1.0)
    assert np.isnan(found.exponential).all()
    assert np.isnan(found.exponential_error).all()
    assert (found.effective < 0.01).all()
    assert (np.abs(found.cumulant + 8.0) < 4 * found.cumulant_error).all()
    assert found.cumulant_error.max() < 1.0


def test_errors_are_the_scatter_of_repetitions():
    found = [perturb_free_energy(*field(1.0, size=4000, seed=k), AXIS[4:9], kT=1.0) for k in range(60)]
    for name in ("exponential", "cumulant"):
        scatter = np.std([getattr(one, name) for one in found], axis=0)
        errors = np.mean([getattr(one, f"{name}_error") for one in found], axis=0)
        assert errors == pytest.approx(scatter, rel=0.3)


def test_differences_and_weights_of_any_size():
    s, difference = field(0.5, slope=0.0)
    small = perturb_free_energy(s, difference, AXIS, kT=1.0)
    weights = np.exp(100 * (s - s.max()))
    large = perturb_free_energy(s, difference - 1e6 + 3000 * np.round(s / 0.25), AXIS, kT=1.0)
    steep = perturb_free_energy(s, difference, AXIS, kT=1.0, weights=weights, min_effective=1.5)
    assert large.exponential + 1e6 - 12000 * AXIS == pytest.approx(small.exponential, abs=1e-6)
    assert large.effective == pytest.approx(small.effective)
    assert np.isfinite(steep.mean).all()


def test_bins_without_enough_samples_are_not_a_number():
    s = np.concatenate([np.zeros(1000), np.full(40, 1.0), np.full(5, 2.0)])
    difference = np.random.default_rng(3).standard_normal(len(s)) * 0.1
    found = perturb_free_energy(s, difference, np.arange(4.0), kT=1.0)
    assert np.isfinite(found.exponential).tolist() == [True, True, False, False]
    assert np.isfinite(found.cumulant).tolist() == [True, True, False, False]
    # one block alone saw the second: there is a value, but no error of it
    assert np.isfinite(found.exponential_error).tolist() == [True, False, False, False]
    assert found.samples.tolist() == pytest.approx([1000, 40, 5, 0])
    assert np.isfinite(found.mean).tolist() == [True, True, True, False]


def test_two_variables_and_a_period():
    rng = np.random.default_rng(4)
    angle, x, y = rng.uniform(-np.pi, np.pi, 40_000), *rng.standard_normal((2, 40_000))
    axes = [-np.pi + 2 * np.pi / 8 * np.arange(8), np.linspace(-1, 1, 3)]
    found = perturb_free_energy(
        np.stack([angle, x], axis=1), 0.5 * y, axes, kT=1.0, domains=[(-np.pi, np.pi), None]
    )
    assert found.exponential.shape == found.effective.shape == (8, 3)
    assert found.exponential == pytest.approx(np.full((8, 3), -0.125), abs=0.1)
    assert found.samples[0] == pytest.approx(found.samples[1], rel=0.2)  # the one that lies on the seam


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"differences": np.zeros(3)}, "as many differences"),
        ({"differences": np.full(100, np.nan)}, "must be finite"),
        ({"weights": np.full(100, -1.0)}, "not be negative"),
        ({"weights": np.zeros(100)}, "no sample with a weight"),
        ({"weights": np.ones(99)}, "as many differences and weights"),
        ({"samples": np.full(100, 9.0)}, "no sample with a weight is in a bin"),
        ({"samples": np.full(100, np.inf)}, "samples must be finite"),
        ({"kT": 0.0}, "kT must be positive"),
        ({"n_blocks": 1}, "n_blocks"),
        ({"n_blocks": 101}, "n_blocks"),
        ({"min_effective": 1.0}, "min_effective"),
        ({"axes": [0.0, 1.0, 3.0]}, "uniform"),
    ],
)
def test_bad_input_is_refused(change, message):
    good = {"samples": np.linspace(-1, 1, 100), "differences": np.zeros(100), "axes": AXIS, "kT": 1.0}
    with pytest.raises(ValueError, match=message):
        perturb_free_energy(**good | change)
