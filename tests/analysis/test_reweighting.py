import math

import numpy as np
import pytest

from ase_mlsample.analysis import free_energy, reweighting
from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.analysis.reweighting import hill_potential
from ase_mlsample.biases import Hills

AXIS = bin_centres(-4, 4, 161)
A = 1 / (1 - math.exp(-6.25))


def bump(x, center, sigma, height):
    """A hill as PLUMED has it, by a plain formula."""
    d2 = (x - center) ** 2 / (2 * sigma**2)
    return height * (A * math.exp(-d2) + 1 - A) if d2 < 6.25 else 0.0


def hills_at(centers, sigmas, heights, *, times=None, domain=None, bias_factor=None, stretched=True):
    centers = np.reshape(centers, (len(heights), -1))
    d = centers.shape[1]
    return Hills(
        names=tuple(f"s{k}" for k in range(d)),
        domains=(domain,) * d,
        times=np.arange(1.0, len(heights) + 1) if times is None else np.array(times),
        centers=centers,
        sigmas=np.broadcast_to(np.reshape(sigmas, (-1, d)), centers.shape),
        heights=np.array(heights, dtype=float),
        bias_factor=bias_factor,
        stretched=stretched,
    )


def some_hills(number=40, bias_factor=6.0):
    rng = np.random.default_rng(0)
    heights = 0.3 * np.exp(-np.arange(number) / 20)
    return hills_at(rng.uniform(-2, 2, number), 0.3, heights, bias_factor=bias_factor)


class TestHills:
    def test_potential_is_the_sum_of_hills(self):
        hills = some_hills()
        expected = [
            sum(bump(x, c, 0.3, h) for c, h in zip(hills.centers[:, 0], hills.heights, strict=True))
            for x in AXIS
        ]
        np.testing.assert_allclose(hill_potential(hills, AXIS), expected, atol=1e-13)
        assert not hill_potential(hills, AXIS, count=0).any()

    def test_periodic(self):
        turn = bin_centres(-math.pi, math.pi, 80)
        V, moved = [
            hill_potential(hills_at([c], 0.4, [1.0], domain=(-math.pi, math.pi)), turn)
            for c in (3.1, 3.1 - 2 * math.pi)
        ]
        np.testing.assert_allclose(V, moved, atol=1e-12)
        assert V[0] > 0.9

    def test_two_variables(self):
        hills = hills_at([[0.0, 0.5]], [[0.3, 0.6]], [2.0])
        x, y = np.linspace(-1, 1, 21), np.linspace(-1, 1, 11)
        V = hill_potential(hills, (x, y))
        assert V.shape == (21, 11)
        d2 = 0.2**2 / (2 * 0.3**2) + 0.1**2 / (2 * 0.6**2)
        assert V[12, 8] == pytest.approx(2 * (A * math.exp(-d2) + 1 - A))
        with pytest.raises(ValueError, match="as many axes"):
            hill_potential(hills, x)

    def test_series_is_the_run_as_it_was(self):
        hills = some_hills(bias_factor=5)
        series = reweighting.hills_series(hills, AXIS, kT=1.0, counts=[10, 40])
        for count, F in zip([10, 40], series, strict=True):
            V = hill_potential(hills, AXIS, count=count)
            np.testing.assert_allclose(F.values, 1.25 * (V.max() - V), atol=1e-12)
        with pytest.raises(ValueError, match="ascend"):
            reweighting.hills_series(hills, AXIS, kT=1.0, counts=[10, 41])

    def test_hills_that_are_not_stretched(self):
        hills = hills_at([0.0], 0.5, [2.0], stretched=False)
        V = hill_potential(hills, AXIS)
        inside = AXIS**2 / 0.5 < 6.25
        np.testing.assert_allclose(V[inside], 2 * np.exp(-(AXIS[inside] ** 2) / 0.5))
        assert not V[~inside].any()

    def test_equals_the_slow_sum(self):
        hills = some_hills()
        np.testing.assert_allclose(hill_potential(hills, AXIS), hills.potential(AXIS[:, None]), atol=1e-13)


class TestTiwary:
    @pytest.mark.parametrize("bias_factor", [3.0, 10.0, None])
    def test_offset_is_the_ratio_of_integrals(self, bias_factor):
        V, kT = 2 * np.exp(-(AXIS**2)), 0.7
        share = 0.0 if bias_factor is None else 1 / (bias_factor - 1)
        expected = kT * math.log(np.exp((1 + share) * V / kT).sum() / np.exp(share * V / kT).sum())
        c = reweighting.tiwary_offset(V, kT=kT, bias_factor=bias_factor)
        assert c == pytest.approx(expected, rel=1e-12)

    def test_offsets_do_not_depend_on_how_many_hills_are_summed_at_a_time(self, monkeypatch):
        hills = some_hills()
        at_once = reweighting.tiwary_offsets(hills, AXIS, kT=1.0)
        monkeypatch.setattr(reweighting, "_CHUNK", 3 * len(AXIS))
        np.testing.assert_allclose(reweighting.tiwary_offsets(hills, AXIS, kT=1.0), at_once, rtol=1e-12)

    def test_offset_of_a_constant_and_of_a_large_bias(self):
        assert reweighting.tiwary_offset(np.full(10, 3.0), kT=1.0, bias_factor=5) == pytest.approx(3.0)
        assert math.isfinite(reweighting.tiwary_offset(AXIS * 1e5, kT=1.0, bias_factor=5))

    def test_offset_of_a_converged_bias_is_its_free_energy(self):
        # with V = −(1 − 1/γ)F, ∫e^{−F} and ∫e^{−(F+V)}: c = −kT ln of their ratio up to the sign
        F, gamma = 2 * AXIS**2, 4.0
        V = -(1 - 1 / gamma) * F
        unbiased, biased = np.exp(-F).sum(), np.exp(-(F + V)).sum()
        c = reweighting.tiwary_offset(V, kT=1.0, bias_factor=gamma)
        assert c == pytest.approx(math.log(unbiased / biased), rel=1e-10)

    def test_offsets_after_each_hill(self):
        hills = some_hills()
        offsets = reweighting.tiwary_offsets(hills, AXIS, kT=1.0)
        for count in (1, 17, 40):
            V = hill_potential(hills, AXIS, count=count)
            expected = reweighting.tiwary_offset(V, kT=1.0, bias_factor=6)
            assert offsets[count - 1] == pytest.approx(expected, abs=1e-12)
        assert (np.diff(offsets) > 0).all()

    def test_weights_take_the_latest_hill(self):
        hills = hills_at([0.0, 0.0], 0.3, [1.0, 1.0], times=[10.0, 20.0])
        weights = reweighting.tiwary_weights([0, 0, 1, 1], [5, 10, 19, 20], hills, [0.5, 0.8], kT=1.0)
        logs = np.array([0.0, -0.5, 0.5, 0.2])
        np.testing.assert_allclose(weights, np.exp(logs - 0.5))
        with pytest.raises(ValueError, match="shapes"):
            reweighting.tiwary_weights([0, 0], [5], hills, [0.5, 0.8], kT=1.0)

    def test_recovers_a_gaussian_sampled_under_growing_hills(self):
        # samples drawn exactly from e^{−(F+V(t))} after each hill: a run that is always in equilibrium
        rng, hills = np.random.default_rng(3), some_hills(60)
        F = 0.5 * AXIS**2
        samples, bias, times = [], [], []
        for count in range(len(hills) + 1):
            V = hill_potential(hills, AXIS, count=count)
            p = np.exp(-(F + V))
            places = rng.choice(len(AXIS), size=4000, p=p / p.sum())
            samples.append(AXIS[places])
            bias.append(V[places])
            times.append(np.full(4000, count))
        # the exact c, since these hills did not come from the dynamics that Tiwary's formula is for
        exact = [-math.log(np.exp(-(F + hill_potential(hills, AXIS, count=k))).sum()) for k in range(1, 61)]
        offsets = np.array(exact) + math.log(np.exp(-F).sum())
        weights = reweighting.tiwary_weights(
            np.concatenate(bias), np.concatenate(times), hills, offsets, kT=1.0
        )
        found = free_energy.from_samples(np.concatenate(samples), AXIS, kT=1.0, weights=weights)
        assert found.rmse(F, ceiling=3.0) < 0.06


class TestWeights:
    def test_static_bias(self):
        weights = reweighting.bias_weights([0.0, 2.0, 1.0], kT=2.0)
        np.testing.assert_allclose(weights, np.exp([-1.0, 0.0, -0.5]))
        with pytest.raises(ValueError, match="finite"):
            reweighting.bias_weights([np.inf], kT=1.0)
        with pytest.raises(ValueError, match="kT"):
            reweighting.bias_weights([0.0], kT=0.0)

    def test_effective_sample_size(self):
        assert reweighting.effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
        assert reweighting.effective_sample_size([1.0, 0.0, 0.0]) == 1
        with pytest.raises(ValueError, match="zero"):
            reweighting.effective_sample_size([0.0])
