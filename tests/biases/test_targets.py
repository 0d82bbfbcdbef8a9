import numpy as np
import pytest

from ase_mlsample.biases import DeepVESBias, GivenTarget, Uniform, WellTempered
from ase_mlsample.biases.targets import GridTarget, chosen_target

POINTS = np.linspace(-2, 2, 41)[:, None]
VOLUMES = np.full(41, 1 / 41)


class TestGridTarget:
    def test_uniform_stays(self):
        target = GridTarget(Uniform(), POINTS, VOLUMES, 0.5)
        V = -3 * POINTS[:, 0] ** 2
        target.update(V)
        np.testing.assert_allclose(target.probabilities, VOLUMES)
        np.testing.assert_allclose(target.free_energy, -V, atol=1e-13)

    def test_well_tempered_comes_to_its_fixed_point(self):
        """With V = −(1 − 1/γ) F the free energy becomes F, and p ∝ e^{−F/γ}."""
        F = 4 * (POINTS[:, 0] ** 2 - 1) ** 2
        target = GridTarget(WellTempered(5.0), POINTS, VOLUMES, 0.5)
        for _ in range(60):
            target.update(-0.8 * F)
        np.testing.assert_allclose(target.free_energy, F, atol=1e-10)
        p = np.exp(-F / 2.5)
        np.testing.assert_allclose(target.probabilities, p / p.sum(), rtol=1e-9)
        np.testing.assert_allclose(target.log_probabilities, np.log(p / p.sum()), rtol=1e-9)

    def test_far_below_what_a_double_holds(self):
        target = GridTarget(WellTempered(2.0), POINTS, VOLUMES, 1.0)
        for _ in range(60):
            target.update(-1e5 * POINTS[:, 0] ** 2)
        assert np.isfinite(target.log_probabilities).all()
        assert target.probabilities[20] == pytest.approx(1)

    def test_first_update(self):
        """F ← −V + F/γ."""
        target = GridTarget(WellTempered(4.0), POINTS, VOLUMES, 1.0)
        first, second = POINTS[:, 0] ** 2, np.cos(POINTS[:, 0])
        target.update(-first)
        np.testing.assert_allclose(target.free_energy, first)
        target.update(-second)
        expected = second + first / 4
        np.testing.assert_allclose(target.free_energy, expected - expected.min(), atol=1e-13)


class TestGiven:
    def test_function_becomes_values(self):
        bias = DeepVESBias(
            kT=1.0, bounds=[(-2, 2)], bins=40, target=GivenTarget(lambda s: np.exp(-(s[:, 0] ** 2)))
        )
        again = DeepVESBias(**bias.settings())
        np.testing.assert_array_equal(
            again._learning.target.probabilities, bias._learning.target.probabilities
        )
        shares = bias._learning.target.probabilities
        assert shares[20] / shares[10] == pytest.approx(np.e)

    def test_function_has_no_settings(self):
        with pytest.raises(ValueError, match="no settings before"):
            GivenTarget(lambda s: s[:, 0]).settings()

    @pytest.mark.parametrize("density", [[1.0, 0.0], [1.0, np.nan], lambda s: -s[:, 0]])
    def test_must_be_positive(self, density):
        with pytest.raises(ValueError, match="must be positive and finite"):
            GivenTarget(density).on(POINTS)

    def test_must_fit_the_grid(self):
        with pytest.raises(ValueError, match="5 values, but the grid 41 nodes"):
            GivenTarget(np.ones(5)).on(POINTS)

    def test_needs_a_grid(self):
        with pytest.raises(ValueError, match="needs a grid"):
            DeepVESBias(kT=1.0, bounds=[(0, 1)] * 4, target=GivenTarget(np.ones(4)))


class TestChoice:
    def test_bias_factor(self):
        assert isinstance(chosen_target(None, 10), WellTempered)
        assert chosen_target({"class": "WellTempered", "bias_factor": 3.0}, None).settings() == {
            "bias_factor": 3.0
        }

    @pytest.mark.parametrize("given", [(None, None), (Uniform(), 10.0)])
    def test_exactly_one(self, given):
        with pytest.raises(ValueError, match="either bias_factor"):
            chosen_target(*given)

    def test_unknown(self):
        with pytest.raises(ValueError, match="there is no target 'Flat'"):
            chosen_target({"class": "Flat"}, None)
        with pytest.raises(TypeError, match="must be a Target"):
            chosen_target("uniform", None)
        with pytest.raises(ValueError, match="above 1"):
            WellTempered(1.0)
