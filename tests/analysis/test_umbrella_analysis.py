import numpy as np
import pytest

from ase_mlsample.analysis.multistate import States, disjoint_groups, overlap_matrix, solve_free_energies
from ase_mlsample.analysis.umbrella_analysis import Window, combine_windows

pytest.importorskip("pymbar")

LINE = np.linspace(-3.0, 3.0, 6001)
CENTERS = np.linspace(-1.4, 1.4, 11)
KAPPA = 25.0


def double_well(s):
    """Two minima 1.4 apart in depth, barrier 5 and more; kT is one."""
    return 5 * (s**2 - 1) ** 2 + 0.7 * s


def draw(rng, energy, number, line=LINE):
    """Draw from exp(-energy) on a fine line."""
    cumulated = np.cumsum(np.exp(-(energy - energy.min())))
    return np.interp(rng.random(number), cumulated / cumulated[-1], line)


def well_windows(rng, number, *, centers=CENTERS, kT=1.0):
    return [
        Window(c, KAPPA, draw(rng, (double_well(LINE) + 0.5 * KAPPA * (LINE - c) ** 2) / kT, number))
        for c in centers
    ]


def exact_difference(kT=1.0):
    p = np.exp(-double_well(LINE) / kT)
    return -kT * np.log(p[LINE > 0].sum() / p[LINE < 0].sum())


def correlated(rng, number, *, rho, mean, std):
    noise = rng.standard_normal(number) * np.sqrt(1 - rho**2)
    values = np.empty(number)
    values[0] = rng.standard_normal()
    for k in range(1, number):
        values[k] = rho * values[k - 1] + noise[k]
    return mean + std * values


class TestKnownAnswers:
    def test_a_parabola(self):
        rng, k0 = np.random.default_rng(0), 4.0
        std = np.sqrt(1 / (k0 + KAPPA))
        windows = [
            Window(c, KAPPA, KAPPA * c / (k0 + KAPPA) + std * rng.standard_normal(1000))
            for c in np.linspace(-2, 2, 13)
        ]
        axis = np.linspace(-1.5, 1.5, 31)
        combined = combine_windows(windows, kT=1.0)
        F = combined.free_energy(axis)
        assert F.rmse(k0 * axis**2 / 2) < 0.1
        # a spring in a parabola: stiffness 1/(1/k0 + 1/kappa) for its centre
        series = 1 / (1 / k0 + 1 / KAPPA)
        exact = 0.5 * series * (np.linspace(-2, 2, 13) ** 2 - 4.0)
        np.testing.assert_allclose(combined.free_energies, exact, atol=0.3)
        assert (np.abs(combined.free_energies - exact) <= 4.5 * combined.free_energy_errors + 1e-12).all()

    def test_a_double_well(self):
        F = combine_windows(well_windows(np.random.default_rng(1), 1500), kT=1.0).free_energy(
            np.linspace(-1.5, 1.5, 61)
        )
        axis = F.axes[0]
        assert F.rmse(double_well(axis), ceiling=6) < 0.15
        difference, error = F.basin_difference((-1.5, 0), (0, 1.5))
        assert 0.02 < error < 0.2
        assert abs(difference - exact_difference()) < 3.5 * error
        barrier = F.barrier((-1.5, -0.5), (0.5, 1.5))
        top, bottom = double_well(LINE[abs(LINE) < 0.5]).max(), double_well(LINE).min()
        assert abs(barrier.height - (top - bottom)) < 0.4
        assert abs(barrier.saddle[0]) < 0.2

    def test_a_circle(self):
        rng, circle = np.random.default_rng(2), np.linspace(-np.pi, np.pi, 4001)[:-1]
        windows = []
        for c in np.linspace(-np.pi, np.pi, 13)[:-1]:
            around = circle - c - 2 * np.pi * np.round((circle - c) / (2 * np.pi))
            samples = draw(rng, 3 * np.cos(circle) + 5 * around**2, 800, circle)
            windows.append(Window(c, 10.0, samples))
        combined = combine_windows(windows, kT=1.0, domains=[(-np.pi, np.pi)])
        axis = -np.pi + np.pi / 20 * (np.arange(40) + 0.5)
        F = combined.free_energy(axis)
        assert F.domains == ((-np.pi, np.pi),)
        assert F.rmse(3 * np.cos(axis)) < 0.1

    def test_two_variables_and_one_of_them(self):
        rng, k = np.random.default_rng(3), 6.0
        windows = []
        for cx in (-1.0, 0.0, 1.0):
            for cy in (-0.5, 0.5):
                mean = np.array([k * cx / (k + 4), k * cy / (k + 3)])
                std = np.array([1 / (k + 4), 1 / (k + 3)]) ** 0.5
                samples = mean + std * rng.standard_normal((600, 2))
                windows.append(Window(np.array([cx, cy]), np.array([k, k]), samples))
        combined = combine_windows(windows, kT=1.0)
        x, y = np.linspace(-0.6, 0.6, 7), np.linspace(-0.4, 0.4, 5)
        F = combined.free_energy([x, y])
        assert F.rmse(2 * x[:, None] ** 2 + 1.5 * y**2) < 0.2
        along = combined.free_energy([y], components=[1])
        assert along.rmse(1.5 * y**2) < 0.1
        assert combined.weights.sum() == pytest.approx(1.0)
        wide = combined.free_energy([np.linspace(-3, 3, 25), y])  # all samples that are in a bin of y
        assert (wide.blocks < 0).any()  # an influence may exceed what there is
        np.testing.assert_allclose(wide.marginal(1).values, along.values, atol=1e-12)
        np.testing.assert_allclose(wide.marginal(1).errors, along.errors, rtol=0.02)

    def test_several_temperatures(self):
        rng = np.random.default_rng(4)
        kTs = [1.0 if k % 2 else 1.6 for k in range(len(CENTERS))]
        windows = [well_windows(rng, 800, centers=[c], kT=kT)[0] for c, kT in zip(CENTERS, kTs, strict=True)]
        energies = [double_well(window.values[:, 0]) - 1000.0 for window in windows]
        for target in (1.0, 1.3):
            F = combine_windows(windows, kT=kTs, target_kT=target, energies=energies).free_energy(
                np.linspace(-1.4, 1.4, 57)
            )
            assert F.kT == target
            difference, error = F.basin_difference((-1.5, 0), (0, 1.5))
            assert abs(difference - exact_difference(target)) < 3.5 * error < 1.0

    def test_windows_of_a_run(self):
        """What umbrella_windows returns has the attributes that are needed."""
        pytest.importorskip("ase_mlsample.dynamics.umbrella")
        from ase_mlsample.dynamics.umbrella import UmbrellaWindow

        rng = np.random.default_rng(5)
        one = [
            UmbrellaWindow(w.center, w.kappa, w.values, log=None, trajectory=None)
            for w in well_windows(rng, 200)
        ]
        assert combine_windows(one, kT=1.0, n_blocks=5).free_energies.shape == (11,)


class TestErrors:
    def test_they_are_those_of_repeated_runs(self):
        found, errors = [], []
        centers = np.linspace(-1.2, 1.2, 7)
        for seed in range(40):
            windows = well_windows(np.random.default_rng(100 + seed), 150, centers=centers)
            F = combine_windows(windows, kT=1.0, n_blocks=10).free_energy(np.linspace(-1.4, 1.4, 29))
            difference, error = F.basin_difference((-1.5, -0.05), (0.05, 1.5))
            found.append(difference)
            errors.append(error)
        assert 0.65 < np.std(found) / np.sqrt(np.mean(np.square(errors))) < 1.5

    def test_they_are_those_of_the_theory_for_independent_samples(self):
        import pymbar

        windows = well_windows(np.random.default_rng(6), 500)
        combined = combine_windows(windows, kT=1.0, n_blocks=100)
        reduced = 0.5 * KAPPA * (combined.samples[:, 0] - CENTERS[:, None]) ** 2
        counts = np.bincount(combined.window)
        solver = ({"method": "adaptive", "options": {}},)
        mbar = pymbar.MBAR(reduced, counts, solver_protocol=solver)
        np.testing.assert_allclose(combined.free_energies, mbar.f_k, atol=1e-5)
        theory = mbar.compute_free_energy_differences()["dDelta_f"][0]
        np.testing.assert_allclose(combined.free_energy_errors[1:], theory[1:], rtol=0.35)

    def test_correlation_is_seen(self):
        rng = np.random.default_rng(7)
        windows = [
            Window(c, 25.0, correlated(rng, 20_000, rho=0.9, mean=c, std=0.2)) for c in (0.0, 0.2, 0.4)
        ]
        combined = combine_windows(windows, kT=1.0, n_blocks=10)
        np.testing.assert_allclose(combined.inefficiencies, 19.0, rtol=0.4)
        assert 3 * 20_000 / 8 < len(combined.samples) < 3 * 20_000 / 3
        alone = combine_windows(windows, kT=1.0, n_blocks=1)
        assert alone.free_energy(np.linspace(-0.3, 0.6, 10)).errors is None
        assert np.isnan(alone.free_energy_errors).all()
        # flat: 0.2 is the width of a spring of 25 alone
        expected = np.abs(combined.free_energies) < 4 * combined.free_energy_errors + 1e-12
        assert expected.all()
        assert combined.free_energy_errors[2] > 2 * 0.0075  # what 60,000 independent samples would give

    def test_the_free_energies_add_up_with_their_blocks(self):
        combined = combine_windows(well_windows(np.random.default_rng(8), 300), kT=1.0)
        F = combined.free_energy(np.linspace(-1.5, 1.5, 31))
        np.testing.assert_allclose(F.blocks.sum(), 1.0)
        np.testing.assert_allclose(F.blocks.sum(axis=1), 1 / 20, atol=1e-12)
        np.testing.assert_allclose(F.blocks.sum(axis=0), F.probabilities, atol=1e-12)


class TestOverlap:
    def test_rows_sum_to_one(self):
        combined = combine_windows(well_windows(np.random.default_rng(9), 200), kT=1.0, n_blocks=5)
        np.testing.assert_allclose(combined.overlap.sum(axis=1), 1.0)
        assert 0.1 < combined.weakest_overlap < 0.5

    def test_a_gap_is_named(self):
        windows = well_windows(np.random.default_rng(10), 300, centers=[-1.3, -1.1, 0.9, 1.1])
        with pytest.raises(ValueError, match=r"2 groups.*\[-1.1\] and \[0.9\]: add windows in between"):
            combine_windows(windows, kT=1.0)

    def test_a_thin_bridge_is_warned_of(self):
        rng = np.random.default_rng(11)
        windows = [Window(c, 25.0, c + 0.2 * rng.standard_normal(2000)) for c in (0.0, 1.0, 1.2)]
        with pytest.warns(UserWarning, match=r"windows at \[0.0\] and \[1.0\] overlap by"):
            combine_windows(windows, kT=1.0)

    def test_groups(self):
        near, far = np.array([0.0, 0.1, 0.2]), np.array([5.0, 5.1])
        samples = np.concatenate([near, near + 0.05, far])
        reduced = np.array([(samples - c) ** 2 for c in (0.1, 0.15, 5.0)])
        groups = disjoint_groups(States(reduced, np.array([3, 3, 2])))
        assert groups[0] == groups[1] != groups[2]

    def test_a_single_window(self):
        combined = combine_windows([Window(0.0, 4.0, np.random.default_rng(12).normal(0, 0.5, 5000))], kT=1.0)
        F = combined.free_energy(np.linspace(-0.5, 0.5, 6))
        assert np.ptp(F.values) < 0.3  # a spring of 4 and nothing else
        assert combined.weakest_overlap == 1.0


def test_the_solution_solves_the_equations():
    rng = np.random.default_rng(13)
    samples = np.concatenate([rng.normal(c, 0.4, 50) for c in (0.0, 0.5)])
    states = States(np.array([3 * (samples - c) ** 2 for c in (0.0, 0.5)]), np.array([50, 50]))
    f = solve_free_energies(states)
    np.testing.assert_allclose(states.shares(f).sum(axis=1), 1.0, atol=1e-6)
    matrix = overlap_matrix(states, f)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-6)


def test_numpys_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    combine_windows(well_windows(np.random.default_rng(14), 100), kT=1.0, n_blocks=5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kT": 0.0}, "kT must be positive"),
        ({"kT": [1.0, 2.0]}, "energies of their samples"),
        ({"target_kT": 2.0}, "energies of the samples"),
        ({"target_kT": -2.0}, "target_kT must be positive"),
        ({"n_blocks": 0}, "n_blocks"),
        ({"n_blocks": 80}, "too few for 80 blocks"),
        ({"energies": [np.zeros(100), np.zeros(99)]}, "as many energies"),
        ({"energies": [np.zeros(100), np.full(100, np.nan)]}, "must be finite"),
        ({"windows": []}, "no umbrella window"),
        ({"windows": [Window(0.0, -1.0, np.zeros(100))]}, "kappa must not be negative"),
        ({"windows": [Window(0.0, 1.0, np.full(100, np.nan))]}, "not finite"),
        ({"windows": [Window(np.inf, 1.0, np.zeros(100))]}, "must be finite"),
        ({"windows": [Window(0.0, 1.0, np.zeros((100, 2)))]}, r"values \(T, 1\)"),
        ({"windows": [Window([0.0, 1.0], 1.0, np.zeros((100, 2)))]}, "2 centers and spring constants"),
    ],
)
def test_bad_input(change, message):
    rng = np.random.default_rng(15)
    good = {"windows": [Window(c, 25.0, rng.normal(c, 0.2, 100)) for c in (0.0, 0.2)], "kT": 1.0}
    with pytest.raises(ValueError, match=message):
        combine_windows(**(good | change))


def test_bad_grids():
    combined = combine_windows([Window(0.0, 4.0, np.random.default_rng(16).normal(0, 0.5, 500))], kT=1.0)
    with pytest.raises(ValueError, match="no sample is in the grid"):
        combined.free_energy(np.linspace(5, 6, 5))
