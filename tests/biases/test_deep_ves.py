"""Deep-VES: the contract, the schedule of the paper, and free energies that are known."""

import math

import numpy as np
import pytest

from ase_mlsample.biases import DeepVESBias, Uniform
from ase_mlsample.biases.convergence import ConvergenceRecord
from ase_mlsample.biases.rate_schedule import RateSchedule
from ase_mlsample.calculators import CoupledTorsions, DoubleWell
from ase_mlsample.dynamics import WalkerDynamics, WalkerHistogram
from ase_mlsample.testing import check_bias

PERIOD = (-math.pi, math.pi)


def make(**settings):
    how = {"kT": 1.0, "bounds": [(-3, 3)], "bias_factor": 10.0, "pace": 10, "tau": 100, "decay": 50}
    if "target" in settings:
        how.pop("bias_factor")
    return DeepVESBias(**how | settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": "tanh", "hidden": (5,), "target": Uniform(), "energy_unit": 0.01},
        {"bounds": [None], "domains": [PERIOD], "weight_decay": 0.1},
        {"bounds": [(-3, 3), None], "domains": [None, PERIOD], "bins": (12, 10)},
        {"bounds": [(-3, 3), None, (-4, 3)], "domains": [None, PERIOD, None], "bins": 6},
        {"bounds": [(-3, 3)], "target_points": 300},
        {
            "bounds": [(-3, 3), None, (-3, 4), None],
            "domains": [None, PERIOD, None, PERIOD],
            "target_points": 300,
        },
    ],
    ids=["line", "tanh", "torsion", "two", "three", "sampled", "many"],
)
def test_contract(settings):
    d = len(settings.get("bounds", [0]))
    check_bias(make(**settings), np.random.default_rng(1).uniform(-2.4, 2.4, (6, d)), steps=60)


class TestIteration:
    def test_comes_at_its_pace_and_not_at_0(self):
        bias = make()
        changed = [step for step in range(35) if bias.update([0.3], step)]
        assert changed == [10, 20, 30]
        assert bias.iterations == 3
        assert bias.record["step"].tolist() == changed

    def test_gradient_is_that_of_omega(self):
        """Ω changes by −⟨δV⟩ over the samples + ⟨δV⟩ over the target, V linear between the nodes."""
        bias = make(bins=30, activation="tanh")
        samples = np.random.default_rng(0).normal(size=(40, 1))
        learning, network = bias._learning, bias.network
        gradient = learning.gradient(samples).copy()
        axis, p = bias.nodes()[0][0], learning.target.probabilities

        def loss():
            V = network.forward(network.inputs(axis[:, None]))[0]
            return p @ V - np.interp(samples[:, 0], axis, V).mean()

        for k in range(0, len(network.parameters), 131):
            kept = network.parameters[k]
            ends = []
            for shift in (-1e-5, 1e-5):
                network.parameters[k] = kept + shift
                ends.append(loss())
            network.parameters[k] = kept
            assert gradient[k] == pytest.approx((ends[1] - ends[0]) / 2e-5, abs=1e-8)

    def test_gradient_from_a_sample_of_the_target(self):
        bias = make(target_points=50, activation="tanh")
        samples = np.random.default_rng(0).normal(size=(7, 1))
        learning, network = bias._learning, bias.network
        gradient = learning.gradient(samples).copy()
        _, points = learning._batch
        assert len(points) == 50
        _, layers = network.forward(network.inputs(points))
        expected = network.parameter_gradient(layers, np.full(50, 1 / 50)).copy()
        _, layers = network.forward(network.inputs(samples))
        expected -= network.parameter_gradient(layers, np.full(7, 1 / 7))
        np.testing.assert_allclose(gradient, expected, atol=1e-15)

    def test_free_energy_and_target_follow_the_step(self):
        """F = −V and p ∝ e^{V/γk_BT} after the first iteration, V the bias after its step."""
        bias = make(learning_rate=0.1)
        for step in range(1, 11):
            bias.update([0.5], step)
        (axis,), V = bias.nodes()
        np.testing.assert_allclose(V, bias.network.evaluate(axis[:, None])[0])
        np.testing.assert_allclose(bias.free_energy()[1], V.max() - V, atol=1e-14)
        p = bias._learning.table.volumes * np.exp(V / 10)
        np.testing.assert_allclose(bias._learning.target.probabilities, p / p.sum())

    def test_weights_decay(self):
        """Samples that are the target leave nothing else to learn."""
        bias = make(bins=4, target=Uniform(), weight_decay=1.0, pace=1)
        before = bias.network.parameters.copy()
        bias.update(np.array([-3, -1.5, -1.5, 0, 0, 1.5, 1.5, 3])[:, None], 1)
        np.testing.assert_allclose(bias.network.parameters - before, -1e-3 * np.sign(before), rtol=0.01)

    def test_first_step_of_adam(self):
        bias = make(learning_rate=0.01)
        before = bias.network.parameters.copy()
        for step in range(1, 11):
            bias.update([0.3], step)
        moved = np.abs(bias.network.parameters - before)
        assert moved.max() == pytest.approx(0.01, rel=1e-3)

    @pytest.mark.parametrize("target_points", [None, 200_000])
    def test_omega(self, target_points):
        """Ω = ⟨V⟩_p − k_BT ln⟨e^{V/k_BT}⟩_V, all over the same samples and a uniform target."""
        how = {"kT": 0.5, "energy_unit": 20.0, "target": Uniform(), "target_points": target_points}
        bias = make(tau=1, pace=1, **how)
        x = np.linspace(-3, 3, 2001)[:, None]
        V, _ = bias.potential(x)
        bias.update(x, 1)
        expected = V.mean() - 0.5 * np.log(np.exp(V / 0.5).mean())
        assert expected < -0.1
        assert bias.record["omega"] == pytest.approx(expected, abs=0.01)

    def test_a_rate_that_is_too_large(self):
        bias = make(learning_rate=1e300, pace=1)
        bias.network.parameters[:] = 1e308
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="rate=1e\\+300 is too large"):
            bias.update([0.3], 1)

    def test_histogram_follows(self):
        bias = make(tau=4, bins=6, target=Uniform())
        for step in range(1, 11):
            bias.update([0.0], step)
        expected = np.full(7, 0.75e-6)
        expected[3] += 0.25
        np.testing.assert_allclose(bias._learning.histogram, expected)
        p = np.array([1, 2, 2, 2, 2, 2, 1]) / 12
        seen = expected / expected.sum()
        assert bias.divergence == pytest.approx(seen @ np.log(seen / p))

    def test_v_is_raised_where_the_run_is(self):
        bias = make()
        for step in range(1, 2001):
            bias.update([1.0], step)
        V, _ = bias.potential([[1.0], [-1.0]])
        assert V[0] > V[1] + 1

    def test_table_is_the_network(self):
        bias = make(activation="tanh", energy_unit=0.5, bins=100)
        for step in range(1, 101):
            bias.update([1.0], step)
        points = np.linspace(-2.9, 2.9, 77)[:, None]
        outputs, slopes = bias.network.evaluate(points)
        V, pull = bias.potential(points)
        np.testing.assert_allclose(V, 0.5 * outputs, atol=1e-5)
        np.testing.assert_allclose(pull, 0.5 * slopes, atol=1e-3)

    def test_many_walkers_count_like_many_steps(self):
        one, many = make(), make(pace=2)
        samples = np.random.default_rng(2).normal(size=(30, 1))
        for k, s in enumerate(samples):
            one.update(s, k + 1)
        for k in range(6):
            many.update(samples[5 * k : 5 * k + 5], k + 1)
        np.testing.assert_array_equal(one.nodes()[1], many.nodes()[1])


class TestBounds:
    def test_no_force_beyond(self):
        bias = make()
        for step in range(1, 301):
            bias.update([2.9], step)
        V, slope = bias.potential([[3.0], [3.5], [-70.0]])
        assert V[0] == V[1]
        assert slope[1:].tolist() == [[0.0], [0.0]]

    @pytest.mark.parametrize("target_points", [None, 200])
    def test_samples_beyond_do_not_count(self, target_points):
        bias, twin = make(target_points=target_points), make(target_points=target_points)
        for step in range(1, 21):
            bias.update([[0.5], [3.2]], step)
            twin.update([[0.5]], step)
        points = np.linspace(-3, 3, 9)[:, None]
        np.testing.assert_allclose(bias.potential(points)[0], twin.potential(points)[0], atol=1e-12)
        assert bias.record["inside"].tolist() == [0.5, 0.5]
        assert bias.diagnostics()["inside"] == 0.5

    def test_both_bounds_are_inside(self):
        bias = make(bounds=[(0.1, 2.7)], bins=7, pace=1)
        assert bias.update([[0.1], [2.7]], 1)
        assert bias.inside == 1

    def test_nothing_happens_without_a_sample_inside(self):
        bias = make()
        assert bias.inside == 1
        assert not any(bias.update([3.2], step) for step in range(1, 31))
        assert (bias.iterations, bias.inside) == (0, 0)

    def test_a_periodic_variable_is_always_inside(self):
        bias = make(bounds=[(-3, 3), None], domains=[None, PERIOD], bins=8, pace=1)
        assert bias.update([[1.0, 9.0], [1.0, -4.0], [3.5, 0.0], [1.0, 3.0]], 1)
        assert bias.inside == 0.75


class TestSchedule:
    def test_decays_only_below_the_threshold(self):
        schedule = RateSchedule(decay=10, kl_threshold=0.5, constant_iterations=2, static_below=0.7)
        steps = [(1, 0.1), (2, 0.1), (3, 0.6), (4, 0.4), (5, 0.5), (6, 0.4), (7, 0.4), (8, 0.4)]
        scales, phases = [], []
        for iteration, divergence in steps:
            schedule.advance(iteration, divergence)
            scales.append(schedule.scale)
            phases.append(schedule.phase)
        assert scales == pytest.approx([1, 1, 1, 0.9, 0.9, 0.81, 0.729, 0.6561])
        assert phases == ["learning"] * 3 + ["decaying", "learning", "decaying", "decaying", "static"]

    def test_static_bias_stays(self):
        bias = make(decay=2, static_below=0.1)
        rng = np.random.default_rng(0)
        changed = [step for step in range(1, 200) if bias.update(rng.uniform(-3, 3, (50, 1)), step)]
        assert changed == [10, 20, 30, 40]
        assert (bias.phase, bias.static_since) == ("static", 40)
        assert bias.static_mask([1, 40, 41, 300]).tolist() == [False, False, True, True]
        assert bias.diagnostics() == {
            "kl": bias.divergence,
            "rate_scale": 0.0625,
            "phase": 2.0,
            "inside": 1.0,
        }
        points = rng.uniform(-3, 3, (20, 1))
        np.testing.assert_array_equal(bias.freeze().potential(points)[0], bias.potential(points)[0])

    def test_mask_before(self):
        assert not make().static_mask(np.arange(10)).any()


def test_record_thins_itself():
    record = ConvergenceRecord(("iteration", "value"))
    for k in range(1, 40_001):
        record.add(k, 0.5 * k)
    assert record.stride == 8
    np.testing.assert_array_equal(record["iteration"], np.arange(8, 40_001, 8))
    np.testing.assert_array_equal(record["value"], 0.5 * record["iteration"])
    twin = ConvergenceRecord(("iteration", "value"))
    twin.load_state(record.state())
    for each in (record, twin):
        each.add(40_008, 1.0)
    np.testing.assert_array_equal(record.table, twin.table)


class TestFreeEnergy:
    def test_double_well(self):
        """The network finds F(x) of a barrier of 8 k_BT, and the static phase refines it."""
        potential, axis = DoubleWell(), np.linspace(-1.6, 1.6, 65)
        exact = potential.free_energy(0, 1.0, axis)
        bias = make(bounds=[(-2, 2)], pace=5, tau=500, decay=100)
        walkers = WalkerDynamics(
            potential,
            kT=1.0,
            timestep=0.03,
            friction=2.0,
            n_walkers=200,
            rng=np.random.default_rng(5),
            bias=bias,
        )
        while bias.phase != "static":
            walkers.run(500)
            assert walkers.step < 30_000
        counts = WalkerHistogram(axis, weighting="static")
        walkers.attach(counts, 2)
        walkers.run(3000)
        (nodes,), F = bias.free_energy()
        inside = exact < 8
        difference = (np.interp(axis, nodes, F) - exact)[inside]
        assert np.std(difference) < 0.6
        assert counts.free_energy(1.0).rmse(exact, ceiling=8) < 0.15

    def test_goes_on_exactly(self, tmp_path):
        def walkers():
            return WalkerDynamics(
                CoupledTorsions(2),
                kT=1.0,
                timestep=0.05,
                friction=2.0,
                n_walkers=8,
                rng=np.random.default_rng(5),
                bias=make(bounds=[None] * 4, domains=[PERIOD] * 4, target_points=200, decay=20),
            )

        whole, part = walkers(), walkers()
        whole.run(437)
        part.run(203)
        part.save(tmp_path / "state")
        again = walkers().load(tmp_path / "state")
        again.run(234)
        np.testing.assert_array_equal(again.positions, whole.positions)
        np.testing.assert_array_equal(again.bias.record.table, whole.bias.record.table)

    def test_many_variables(self):
        """Two residues: after a short training the target's divergence has fallen to a fraction."""
        bias = make(bounds=[None] * 4, domains=[PERIOD] * 4, target_points=1000, tau=50, decay=1000)
        walkers = WalkerDynamics(
            CoupledTorsions(2),
            kT=1.0,
            timestep=0.05,
            friction=2.0,
            n_walkers=200,
            rng=np.random.default_rng(5),
            bias=bias,
        )
        walkers.run(4000)
        record = bias.record["divergence"]
        assert record[:50].max() > 2
        assert record[-1] < 0.5
        with pytest.raises(ValueError, match="has no grid"):
            bias.free_energy()


class TestTargetSample:
    """Metropolis chains in the variables of a network that stays as it is."""

    @pytest.mark.parametrize("tempered", [False, True])
    def test_distribution(self, tempered):
        how = {"bias_factor": 1.5} if tempered else {"target": Uniform()}
        bias = make(bounds=[(-3, 3), None], domains=[None, PERIOD], target_points=4000, seed=3, **how)
        learning = bias._learning
        bias.network.parameters *= 2
        points = np.concatenate([learning._draw() for _ in range(60)][20:])
        x, phi = points.T
        assert (np.abs(x) <= 3).all()
        assert (np.abs(phi) <= math.pi).all()
        axes = [np.linspace(-3, 3, 241)[1::2], np.linspace(*PERIOD, 241)[1::2]]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        p = np.exp(bias.potential(nodes)[0] / 0.5) if tempered else np.ones(len(nodes))
        p = (p / p.sum()).reshape(3, 40, 3, 40).sum(axis=(1, 3))
        seen = np.histogram2d(x, phi, bins=3, range=[(-3, 3), PERIOD])[0] / len(points)
        assert p.max() / p.min() > 3 or not tempered
        np.testing.assert_allclose(seen, p, atol=0.015)


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"bounds": [None]}, "is not periodic and needs bounds"),
            ({"bounds": []}, "at least one variable"),
            ({"bounds": [(0, 1)], "domains": [PERIOD]}, "cannot have bounds"),
            ({"bounds": [(1, 0)]}, "low < high"),
            ({"bias_factor": 1.0}, "above 1"),
            ({"bias_factor": None}, "either bias_factor"),
            ({"hidden": ()}, "at least one layer"),
            ({"hidden": (4, 0)}, "at least 1"),
            ({"activation": "elu"}, "activation must be one of relu, tanh, got 'elu'"),
            ({"bins": 3}, "at least 4"),
            ({"bins": (20, 20)}, "one for each variable"),
            ({"bins": 20, "target_points": 100}, "exclude each other"),
            ({"bounds": [(0, 1)] * 4, "bins": 10}, "at most three variables"),
            ({"static_below": 2.0}, "below 1"),
            ({"constant_iterations": -1}, "constant_iterations must be a whole number, at least 0"),
            ({"seed": 1.5}, "seed must be a whole number"),
            ({"bins": 20.5}, "bins must be a whole number"),
            ({"decay": 0}, "decay"),
            ({"pace": 0}, "pace"),
            ({"learning_rate": 0.0}, "learning_rate"),
            ({"weight_decay": -1.0}, "weight_decay"),
            ({"energy_unit": 0.0}, "energy_unit"),
        ],
    )
    def test_settings_out_of_range(self, wrong, text):
        with pytest.raises(ValueError, match=text):
            make(**wrong)

    def test_state_of_other_settings(self):
        with pytest.raises(ValueError, match="tau 100"):
            make(tau=200).load_state_dict(make().state_dict())
