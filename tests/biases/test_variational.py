"""VES with linear bases: the optimiser's steps, its limit, states, files and what it refuses."""

import copy
import math

import numpy as np
import pytest

from ase_mlsample.biases import (
    Chebyshev,
    CubicSplines,
    Fourier,
    Gaussians,
    GivenTarget,
    Legendre,
    Uniform,
    VariationalBias,
    WellTempered,
    read_coefficients,
)
from ase_mlsample.biases.expansion import LinearExpansion
from ase_mlsample.testing import check_bias

INTERVAL = (-2.0, 2.0)
BASES = {
    "Legendre": Legendre(9, INTERVAL),
    "Chebyshev": Chebyshev(8, INTERVAL),
    "Fourier": Fourier(4, INTERVAL),
    "Gaussians": Gaussians(10, INTERVAL),
    "CubicSplines": CubicSplines(8, INTERVAL),
    "periodic Gaussians": Gaussians(14, INTERVAL, periodic=True),
    "periodic CubicSplines": CubicSplines(8, INTERVAL, periodic=True),
    "two": [Legendre(5, INTERVAL), Fourier(3)],
    "three": [Legendre(3, INTERVAL), Fourier(2), CubicSplines(4, INTERVAL)],
}
TARGETS = {
    "tempered": {"bias_factor": 8},
    "uniform": {"target": Uniform()},
    "given": {"target": GivenTarget(lambda s: np.exp(-0.5 * np.sum(s * s, axis=1)))},
}


def make(bases=BASES["Legendre"], **settings):
    if "target" not in settings:
        settings = {"bias_factor": 8.0} | settings
    if not isinstance(bases, list):
        bases = [bases]
    cells = {1: 300, 2: 60, 3: 28}[len(bases)]
    return VariationalBias(**{"kT": 0.5, "bases": bases, "pace": 10, "grid_cells": cells} | settings)


def lead(bias, steps, *, walkers=4, seed=0, start=0):
    rng = np.random.default_rng(seed)
    for step in range(1, start + steps + 1):
        s = rng.normal(0.2, 0.9, (walkers, bias.n_cvs))
        if step > start:
            bias.update(s, step)
    return bias


class TestContract:
    @pytest.mark.parametrize("name", BASES)
    def test_check_bias(self, name):
        bias = make(BASES[name])
        points = np.random.default_rng(3).uniform(-1.7, 1.7, (5, bias.n_cvs))
        check_bias(bias, points, steps=40)

    @pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
    def test_targets(self, target):
        check_bias(make(**target), [[-0.4], [0.3], [1.1]], steps=40)

    def test_no_force_beyond_the_interval(self):
        bias = lead(make(), 50)
        ends, _ = bias.potential([[-2.0], [2.0]])
        V, slopes = bias.potential([[-2.5], [9.0]])
        np.testing.assert_array_equal(V, ends)
        assert not slopes.any()
        assert np.ptp(V) > 0


class TestSteps:
    """The iteration, written down once more for a single variable."""

    @pytest.mark.parametrize("window", [None, 3, 0.5])
    def test_by_hand(self, window):
        basis, kT, mu, rng = Legendre(6, INTERVAL), 0.5, 0.3, np.random.default_rng(5)
        bias = make(basis, step_size=mu, average_window=window, target=Uniform())
        a, mean = np.zeros(7), np.zeros(7)
        uniform = np.eye(7)[0]
        for n in range(1, 8):
            samples = rng.normal(0.3, 1.2, (10, 1))
            for k, s in enumerate(samples):
                assert bias.update(s, 10 * n - 9 + k) == (k == 9)
            inside = samples[np.abs(samples) <= 2]
            f = np.polynomial.legendre.legvander(inside / 2, 6)
            assert 0 < len(f) <= 10
            a = a - mu * (uniform - f.mean(axis=0) + f.var(axis=0) / kT * (a - mean))
            over = {None: n, 3: min(n, 3), 0.5: max(1, n / 2)}[window]
            mean = mean + (a - mean) / over
            np.testing.assert_allclose(bias.instantaneous_coefficients, a, atol=1e-6)
            np.testing.assert_allclose(bias.mean_coefficients, mean, atol=1e-6)
        V, slope = bias.potential([0.7])
        expected = np.polynomial.legendre.Legendre(mean, INTERVAL)
        assert pytest.approx(expected(0.7), abs=1e-6) == V
        assert slope[0] == pytest.approx(expected.deriv()(0.7), abs=1e-5)

    def test_recorded_coefficients_of_plumed(self):
        """Of PLUMED 2.11, in kJ/mol, after four iterations; it takes two paces for the first of them."""
        mean = [0, 0.065035681194, 0.131965485742, 0.012309727798, -0.095701343717]
        instantaneous = [0, 0.119055582463, -0.094809734767, 0.014331042397, -0.228008668829]
        how = {"kT": 0.0083144621 * 300, "bias_factor": 6, "step_size": 1.0, "average_window": 8}
        bias = make(Legendre(4, INTERVAL), pace=20, grid_cells=200, quadrature="trapezoid", **how)
        n = np.arange(101)
        for k, s in enumerate(np.round(2.1 * np.sin(0.3 * n) * np.cos(0.011 * n), 6), 1):
            bias.update([s], k if k > 20 else 1)
        assert bias.iterations == 4
        np.testing.assert_allclose(bias.mean_coefficients, mean, atol=2e-12)
        np.testing.assert_allclose(bias.instantaneous_coefficients, instantaneous, atol=2e-12)

    def test_well_tempered_target_follows(self):
        bias = make(quadrature="trapezoid")
        F = np.zeros(301)
        for n in range(1, 5):
            lead(bias, 10, start=10 * (n - 1))
            axes, _ = bias.target_density()
            V, _ = bias.potential(axes[0][:, None])
            F = -V + F / 8
            F -= F.min()
            p = bias.target_density()[1]
            expected = np.exp(-F / (8 * 0.5))
            np.testing.assert_allclose(p / p.max(), expected, rtol=1e-12)
            free = bias.free_energy()[1]
            expected = -V + F / 8
            np.testing.assert_allclose(free, expected - expected.min(), atol=1e-12)

    def test_target_follows_at_its_pace(self):
        slow, fast = make(target_pace=3), make()
        for bias in (slow, fast):
            lead(bias, 20)
        assert slow.target_density()[1] == pytest.approx(1)
        assert np.ptp(fast.target_density()[1]) > 0.01
        lead(slow, 10, start=20)
        assert np.ptp(slow.target_density()[1]) > 0.01

    def test_nothing_within_the_interval(self):
        bias = make()
        assert not any(bias.update([5.0], step) for step in range(1, 31))
        assert bias.iterations == 3
        assert not bias.mean_coefficients.any()
        assert bias.record["inside"].tolist() == [0, 0, 0]

    def test_how_samples_come_does_not_matter(self):
        # many at once, few at a time, and more than are kept waiting
        rng = np.random.default_rng(2)
        samples = rng.normal(0.2, 0.9, (9000, 1))
        at_once, in_turn = make(pace=1), make(pace=9000)
        at_once.update(samples, 1)
        for step, s in enumerate(samples, 1):
            in_turn.update(s, step)
        np.testing.assert_allclose(at_once.mean_coefficients, in_turn.mean_coefficients, atol=1e-12)

    def test_in_parts(self, monkeypatch):
        samples = np.random.default_rng(2).normal(0.2, 0.9, (1000, 2))
        whole, parts = make(BASES["two"], pace=1), make(BASES["two"], pace=1)
        whole.update(samples, 1)
        monkeypatch.setattr("ase_mlsample.biases.expansion._AT_ONCE", 1000)
        parts.update(samples, 1)
        np.testing.assert_allclose(parts.mean_coefficients, whole.mean_coefficients, atol=1e-13)

    def test_divergence(self):
        """KL of all samples so far from the target, in 50 bins."""
        bias, rng = make(target=Uniform(), pace=1), np.random.default_rng(2)
        samples = rng.normal(0, 0.5, (3, 5000))
        for step, s in enumerate(samples, 1):
            bias.update(s[:, None], step)
        counts, _ = np.histogram(samples, bins=50, range=INTERVAL)
        p = counts[counts > 0] / counts.sum()
        assert bias.divergence == pytest.approx(p @ np.log(50 * p), abs=0.02)
        assert bias.divergence > 0.5
        assert bias.record["divergence"][-1] == bias.divergence

    def test_several_variables(self):
        bases, rng = BASES["three"], np.random.default_rng(8)
        samples = rng.uniform(-1.9, 1.9, (500, 3))
        bias = make(bases, pace=1, target=Uniform(), step_size=0.1)
        bias.update(samples, 1)
        values = [basis.evaluate(s)[0] for basis, s in zip(bases, samples.T, strict=True)]
        means = np.einsum("na,nb,nc->abc", *values) / 500
        exact = [np.linspace(*basis.interval, 20_001) for basis in bases]
        lines = [np.trapezoid(basis.evaluate(x)[0], dx=1 / 20_000, axis=0) for basis, x in zip(bases, exact)]  # noqa: B905
        uniform = np.einsum("a,b,c->abc", *lines)
        np.testing.assert_allclose(bias.mean_coefficients, -0.1 * (uniform - means), atol=1e-5)


class TestExpansion:
    @pytest.mark.parametrize("name", BASES)
    def test_the_grid_holds_the_expansion(self, name):
        bases = BASES[name] if isinstance(BASES[name], list) else [BASES[name]]
        rng = np.random.default_rng(0)
        expansion = LinearExpansion(bases, None, "gregory")
        coefficients = rng.normal(size=expansion.shape)
        nodes = expansion.set_coefficients(coefficients)
        V, slopes = expansion.evaluate(coefficients, expansion.points)
        np.testing.assert_allclose(nodes, V, atol=1e-10)
        for found, expected in zip(expansion.grid.evaluate(expansion.points), (V, slopes), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-9)
        points = rng.uniform(-1.99, 1.99, (300, len(bases)))
        V, slopes = expansion.evaluate(coefficients, points)
        found, found_slopes = expansion.grid.evaluate(points)
        np.testing.assert_allclose(found, V, atol=2e-4)
        np.testing.assert_allclose(found_slopes, slopes, atol=2e-3 * np.abs(slopes).max())

    def test_integrals(self):
        for name, exact in {"Legendre": np.eye(10)[0], "Fourier": np.eye(9)[0]}.items():
            expansion = LinearExpansion([BASES[name]], None, "gregory")
            np.testing.assert_allclose(expansion.means(expansion.volumes), exact, atol=1e-8)
        coarse = expansion.coarse(expansion.volumes)
        assert coarse == pytest.approx(1 / 50, rel=0.03)


def test_finds_the_free_energy():
    """Samples that are exact for F + V, F = 2 (s² − 1)² + s/2: what dynamics would give in the end."""
    kT, rng = 1.0, np.random.default_rng(1)
    x = np.linspace(*INTERVAL, 2001)
    F = 2 * (x * x - 1) ** 2 + 0.5 * x
    for target in TARGETS.values():
        bias = VariationalBias(
            kT=kT, bases=Legendre(12, INTERVAL), pace=1, average_window=20, step_size=1.0, **target
        )
        for step in range(1, 401):
            weights = np.exp(-(F + bias.potential(x[:, None])[0]) / kT)
            bias.update(rng.choice(x, (500, 1), p=weights / weights.sum()), step)
        axes, found = bias.free_energy()
        exact = np.interp(axes[0], x, F)
        assert np.std((found - exact)[exact < 8]) < 0.12
        assert bias.divergence < 0.05
        assert bias.gradient < 0.1


class TestState:
    @pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
    def test_goes_on_exactly(self, target):
        settings = target | {"pace": 10}
        whole = lead(make(**settings), 60)
        first = lead(make(**settings), 37)
        again = make(**first.settings())
        again.load_state_dict(copy.deepcopy(first.state_dict()))
        lead(again, 23, start=37)
        x = np.linspace(-2.2, 2.2, 50)[:, None]
        for one, other in zip(whole.potential(x), again.potential(x), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(whole.record.table, again.record.table)
        np.testing.assert_array_equal(whole.free_energy()[1], again.free_energy()[1])

    def test_of_other_bases(self):
        with pytest.raises(ValueError, match="other settings: bases"):
            make(Legendre(8, INTERVAL)).load_state_dict(make().state_dict())
        with pytest.raises(ValueError, match="other settings: target"):
            make(target=WellTempered(5)).load_state_dict(make().state_dict())

    def test_frozen(self):
        bias = lead(make(BASES["two"]), 30)
        points = np.random.default_rng(0).uniform(-1, 1, (20, 2))
        for one, other in zip(bias.potential(points), bias.freeze().potential(points), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_diagnostics(self):
        bias = make()
        assert list(bias.diagnostics()) == ["kl", "gradient", "inside"]
        assert bias.inside == 1
        lead(bias, 20)
        assert bias.diagnostics() == {
            "kl": bias.record["divergence"][-1],
            "gradient": bias.record["gradient"][-1],
            "inside": bias.record["inside"][-1],
        }
        assert 0.9 < bias.inside < 1
        assert all(math.isfinite(number) for number in bias.record.table.ravel())


class TestFile:
    def test_holds_the_coefficients(self, tmp_path):
        settings = {"coefficients_interval": 2, "names": ["d", "phi"], "timestep": 0.002}
        bias = make(BASES["two"], coefficients=tmp_path / "COEFFS", **settings)
        kept = [(bias.mean_coefficients, bias.instantaneous_coefficients)]
        for n in range(1, 6):
            lead(bias, 10, start=10 * (n - 1))
            if n % 2 == 0:
                kept.append((bias.mean_coefficients, bias.instantaneous_coefficients))
        bias.close()
        read = read_coefficients(tmp_path / "COEFFS")
        assert read.names == ("d", "phi")
        assert read.iterations.tolist() == [0, 2, 4]
        np.testing.assert_allclose(read.times, [0, 0.04, 0.08])
        np.testing.assert_array_equal(read.mean, [mean for mean, _ in kept])
        np.testing.assert_array_equal(read.instantaneous, [a for _, a in kept])
        assert bias.coefficients == tmp_path / "COEFFS"

    def test_is_cut_back(self, tmp_path):
        bias = make(coefficients=tmp_path / "COEFFS", coefficients_interval=1)
        state = lead(bias, 30).state_dict()
        early = (tmp_path / "COEFFS").read_bytes()
        lead(bias, 30, start=30)
        again = make(coefficients=tmp_path / "COEFFS", coefficients_interval=1)
        again.load_state_dict(state)
        assert (tmp_path / "COEFFS").read_bytes() == early
        lead(again, 30, start=30)
        again.close()
        assert len(read_coefficients(tmp_path / "COEFFS").mean) == 7

    def test_of_another_run(self, tmp_path):
        (tmp_path / "COEFFS").write_text("anything")
        with pytest.raises(FileExistsError, match="COEFFS exists"):
            make(coefficients=tmp_path / "COEFFS").update([0.0], 1)
        with pytest.raises(ValueError, match="no whole block"):
            read_coefficients(tmp_path / "COEFFS")
        with pytest.raises(ValueError, match="wrote no coefficients"):
            make(coefficients=tmp_path / "OTHER").load_state_dict(lead(make(), 20).state_dict())

    def test_damaged(self, tmp_path):
        bias = lead(make(coefficients=tmp_path / "COEFFS"), 100)
        bias.close()
        text = (tmp_path / "COEFFS").read_text()
        (tmp_path / "COEFFS").write_text(text[:-40])  # a block that is not whole
        assert len(read_coefficients(tmp_path / "COEFFS").mean) == 1
        (tmp_path / "COEFFS").write_text(text.replace("SET shape_s1", "SET shape"))
        with pytest.raises(ValueError, match="no file of coefficients"):
            read_coefficients(tmp_path / "COEFFS")
        (tmp_path / "COEFFS").write_text(text.replace("_s1", "_x", 1))
        with pytest.raises(ValueError, match="coefficients"):
            read_coefficients(tmp_path / "COEFFS")


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"kT": 0.0}, "kT must be a positive"),
            ({"bias_factor": 1.0}, "bias_factor must be above 1"),
            ({"bias_factor": 5, "target": Uniform()}, "either bias_factor"),
            ({"bias_factor": None}, "either bias_factor"),
            ({"pace": 0}, "pace must be a whole number"),
            ({"target_pace": 1.5}, "target_pace must be a whole number"),
            ({"step_size": -1.0}, "step_size must be a positive"),
            ({"average_window": 0}, "average_window .* must be a whole number"),
            ({"average_window": 1.5}, "average_window .* must be a whole number"),
            ({"average_window": -0.5}, "average_window .* must be a whole number"),
            ({"grid_cells": [100, 100]}, "grid_cells must be 1 number"),
            ({"grid_cells": 5}, "at least 8"),
            ({"grid_cells": 12}, "too few for 10 functions of Legendre"),
            ({"quadrature": "simpson"}, "quadrature must be one of"),
            ({"coefficients_interval": 0}, "coefficients_interval"),
            ({"names": ["a", "b"]}, "names must be 1 different words"),
            ({"target": GivenTarget([1.0, 2.0])}, "2 values"),
        ],
    )
    def test_settings(self, wrong, text):
        with pytest.raises(ValueError, match=text):
            make(**wrong)

    def test_a_step_size_that_is_too_large(self):
        bias = make(step_size=1e12)
        with (
            np.errstate(all="ignore"),
            pytest.raises(FloatingPointError, match="step_size=1e\\+12 is too large"),
        ):
            lead(bias, 1000)
