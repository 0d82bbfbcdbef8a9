import math

import numpy as np
import pytest

from ase_mlsample.analysis.blocks import block_error
from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.biases import HarmonicRestraint
from ase_mlsample.biases.base import Bias
from ase_mlsample.calculators import CoupledTorsions, DoubleWell, MullerBrown, WolfeQuapp
from ase_mlsample.calculators.model_potentials import ModelPotential
from ase_mlsample.dynamics import WalkerDynamics, WalkerHistogram, WalkerSamples

AXIS = bin_centres(-2.5, 2.5, 50)


class Harmonic(ModelPotential):
    """½ Σ k x², so that all averages are known."""

    names = ("a", "b")
    domains = (None, None)
    limits = ((-9.0, 9.0), (-9.0, 9.0))
    start = np.zeros(2)
    stiffness = np.array([4.0, 1.0])

    def _energy(self, x):
        return 0.5 * (self.stiffness * x * x).sum(axis=-1)

    def _gradient(self, x, out):
        out[:] = self.stiffness * x

    def settings(self):
        return {"scale": self.scale}


class Growing(Bias):
    """Adds a parabola at the walkers' mean every third step."""

    def __init__(self, n_cvs=1):
        self.n_cvs, self.centers, self.heard = n_cvs, [], []

    def potential(self, s):
        distance = np.asarray(s)[..., None, :] - np.array(self.centers).reshape(-1, self.n_cvs)
        return 0.05 * (distance**2).sum(axis=(-1, -2)), 0.1 * distance.sum(axis=-2)

    def update(self, s, step):
        self.heard.append(step)
        if step % 3:
            return False
        self.centers.append(s.mean(axis=0))
        return True

    def settings(self):
        return {"n_cvs": self.n_cvs}

    def _state(self):
        return {"centers": np.array(self.centers).reshape(-1, self.n_cvs)}

    def _load_state(self, state):
        self.centers = list(state["centers"])


def walkers(potential=None, bias=None, *, seed=0, **more):
    settings = {"kT": 1.0, "timestep": 0.05, "friction": 1.0, "n_walkers": 64} | more
    return WalkerDynamics(potential or DoubleWell(), bias=bias, rng=np.random.default_rng(seed), **settings)


def plain_loop(potential, bias, steps, *, kT, timestep, friction, n_walkers, mass, seed):
    """BAOAB as a textbook has it, a walker and a variable at a time."""
    rng, n = np.random.default_rng(seed), potential.n_variables
    x = np.tile(potential.start[:, None], (1, n_walkers))
    v = np.sqrt(kT / np.array(mass))[:, None] * rng.standard_normal((n, n_walkers))
    keep, kick = math.exp(-friction * timestep), 0.5 * timestep / np.array(mass)
    spread = np.sqrt(kT / np.array(mass)) * math.sqrt(-math.expm1(-2 * friction * timestep))

    def forces():
        gradient = np.array([potential.gradient(point) for point in x.T]).T
        if bias is not None:
            pulls = [bias.potential(point[:1])[1][0] for point in x.T]
            gradient[0] += pulls
        return gradient

    gradient = forces()
    for step in range(1, steps + 1):
        noise = rng.standard_normal((n, n_walkers))
        for k in range(n):
            for w in range(n_walkers):
                v[k, w] += gradient[k, w] * -kick[k]
                x[k, w] += 0.5 * timestep * v[k, w]
                v[k, w] *= keep
                v[k, w] += noise[k, w] * spread[k]
                x[k, w] += v[k, w] * (0.5 * timestep)
        gradient = forces()
        for k in range(n):
            for w in range(n_walkers):
                v[k, w] += gradient[k, w] * -kick[k]
        if bias is not None and bias.update(x[:1].T, step):
            gradient = forces()
    return x.T, v.T


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("n_walkers", [3, 2100])
def test_equals_a_plain_loop_bit_for_bit(biased, n_walkers):
    potential = DoubleWell(3, tilt=0.3)
    settings = {"kT": 0.7, "timestep": 0.04, "friction": 1.3, "n_walkers": n_walkers, "mass": [1.0, 2.0, 0.7]}
    steps = 30 if n_walkers < 10 else 2
    run = walkers(potential, Growing() if biased else None, variables=[0], seed=5, **settings)
    run.run(steps)
    x, v = plain_loop(potential, Growing() if biased else None, steps, seed=5, **settings)
    np.testing.assert_array_equal(run.positions, x)
    np.testing.assert_array_equal(run.velocities, v)
    assert run.step == steps


def test_positions_in_a_harmonic_potential_are_exact_at_a_large_time_step():
    # with the frequency 2, a step of 0.8 is near the limit of stability; BAOAB still has the exact variance
    run = walkers(Harmonic(), timestep=0.8, n_walkers=2000, kT=1.5, friction=0.7)
    run.run(50)
    squares = []
    run.attach(lambda d: squares.append((d.positions**2).mean(axis=0)), 1)
    run.run(1500)
    for column, stiffness in zip(np.array(squares).T, Harmonic.stiffness, strict=True):
        average = block_error(column * stiffness)
        assert average.converged
        assert average.error < 0.005
        assert abs(average.mean - 1.5) < 4 * average.error


def test_configurational_temperature_of_a_harmonic_variable():
    run = walkers(DoubleWell(2, stiffness=8.0), timestep=0.1, n_walkers=1000)
    run.run(100)
    ratios = []
    run.attach(lambda d: ratios.append((8.0 * d.positions[:, 1] ** 2).mean()), 2)  # ⟨|∇U|²⟩/⟨∇²U⟩
    run.run(2000)
    average = block_error(ratios)
    assert abs(average.mean - 1.0) < 4 * average.error
    assert average.error < 0.01


@pytest.mark.parametrize(
    ("potential", "kT", "timestep"),
    [(DoubleWell(barrier=2.0), 1.0, 0.05), (MullerBrown(scale=0.1), 4.0, 0.02)],
    ids=["DoubleWell", "MullerBrown"],
)
def test_samples_the_boltzmann_distribution(potential, kT, timestep):
    axis = bin_centres(*((-1.6, 1.6) if potential.n_variables == 1 else (-1.2, 1.0)), 32)
    run = walkers(potential, n_walkers=500, kT=kT, timestep=timestep, variables=[0])
    run.run(1000)
    counts = WalkerHistogram(axis, block=50)
    run.attach(counts, 5)
    run.run(4000)
    F = counts.free_energy(kT)
    exact = potential.free_energy(0, kT, axis)
    low = exact < 3 * kT
    assert F.rmse(exact, ceiling=3 * kT) < 0.05 * kT
    assert (F.errors[low] < 0.15 * kT).all()


def test_periodic_variables_stay_within_their_period():
    potential = CoupledTorsions(1, barriers=(1.0, 1.0), asymmetries=(1.0, 0.5))
    run = walkers(potential, n_walkers=500, timestep=0.1)
    turn = bin_centres(-math.pi, math.pi, 18)
    counts = WalkerHistogram((turn, turn), domains=potential.domains)
    run.attach(counts, 5)
    run.run(2000)
    assert (abs(run.positions) <= math.pi).all()
    exact = potential.free_energy((0, 1), 1.0, (turn, turn))
    assert counts.free_energy(1.0).rmse(exact, ceiling=3.0) < 0.15


class TestBias:
    def test_restraint_moves_the_distribution(self):
        run = walkers(Harmonic(), HarmonicRestraint(2.0, 4.0), variables=[0], n_walkers=1000)
        run.run(200)
        means = []
        run.attach(lambda d: means.append(d.positions.mean(axis=0)), 1)
        run.run(500)
        np.testing.assert_allclose(np.mean(means, axis=0), [1.0, 0.0], atol=0.03)
        s = run.variables
        np.testing.assert_allclose(run.bias_energy, 2.0 * (s[:, 0] - 2) ** 2)

    def test_function_of_the_positions(self):
        def turned(x):
            slopes = np.broadcast_to(np.array([[[0.6, 0.8]]]), (len(x), 1, 2))
            return 0.6 * x[:, :1] + 0.8 * x[:, 1:], slopes

        class Even(Harmonic):
            stiffness = np.array([1.0, 1.0])

        run = walkers(Even(), HarmonicRestraint(2.0, 1.0), variables=turned, n_walkers=2000)
        run.run(300)
        means = []
        run.attach(lambda d: means.append(d.positions.mean(axis=0)), 1)
        run.run(300)
        np.testing.assert_allclose(np.mean(means, axis=0), [0.6, 0.8], atol=0.04)

    def test_update_is_called_once_a_step_from_one_on(self):
        bias = Growing()
        run = walkers(bias=bias)
        run.run(4)
        run.run(3)
        assert bias.heard == [1, 2, 3, 4, 5, 6, 7]
        assert run.bias_changes == len(bias.centers) == 2
        np.testing.assert_allclose(run.bias_energy, bias.potential(run.variables)[0])

    def test_frozen(self):
        bias = Growing()
        run = walkers(bias=bias)
        run.run(4)
        run.frozen = True
        run.run(10)
        assert run.bias_changes == len(bias.centers) == 1

    def test_static_reweighting(self):
        bias = HarmonicRestraint(0.0, 3.0)
        run = walkers(DoubleWell(barrier=2.0), bias, n_walkers=1000)
        run.run(200)
        axis = bin_centres(-1.2, 1.2, 24)
        biased, unbiased = WalkerHistogram(axis), WalkerHistogram(axis, weighting="static")
        run.attach(biased, 2)
        run.attach(unbiased, 2)
        run.run(2000)
        exact = DoubleWell(barrier=2.0).free_energy(0, 1.0, axis)
        assert unbiased.free_energy(1.0).rmse(exact, ceiling=3.0) < 0.06
        V, _ = bias.potential(axis[:, None])
        assert biased.free_energy(1.0).rmse(exact + V) < 0.06

    def test_too_large_a_bias_for_weights(self):
        run = walkers(bias=HarmonicRestraint(100.0, 1.0))
        run.attach(WalkerHistogram(AXIS, weighting="static"))
        with pytest.raises(FloatingPointError, match="WalkerSamples"):
            run.run(1)


class TestContinuation:
    def run_with(self, seed=0, **more):
        run = walkers(DoubleWell(2), Growing(2), seed=seed, **more)
        counts, samples = WalkerHistogram((AXIS, AXIS), weighting="tiwary", block=3), WalkerSamples()
        run.attach(counts, 2)
        run.attach(samples, 5)
        return run, counts, samples

    def test_exact(self, tmp_path):
        whole, counts, samples = self.run_with()
        whole.run(40)
        begun, _, _ = self.run_with()
        begun.run(17)
        begun.save(tmp_path / "walkers.ckpt")
        begun.run(5)
        other, other_counts, other_samples = self.run_with(seed=99)
        assert other.load(tmp_path / "walkers.ckpt") is other
        assert other.step == 17
        other.run(23)
        for mine, theirs in [
            (other.positions, whole.positions),
            (other.velocities, whole.velocities),
            (other.bias_energy, whole.bias_energy),
            (other_counts.blocks, counts.blocks),
            (other_samples.variables, samples.variables),
            (other_samples.bias, samples.bias),
            (other_samples.steps, samples.steps),
        ]:
            np.testing.assert_array_equal(mine, theirs)
        assert other.bias_changes == whole.bias_changes
        assert other_counts.observations == 20

    def test_frozen_is_kept(self, tmp_path):
        run, _, _ = self.run_with()
        run.frozen = True
        run.save(tmp_path / "walkers.ckpt")
        assert self.run_with()[0].load(tmp_path / "walkers.ckpt").frozen

    def test_mismatches_are_refused(self, tmp_path):
        path = tmp_path / "walkers.ckpt"
        run, _, _ = self.run_with()
        run.save(path)
        with pytest.raises(ValueError, match=r"kT 1\.0 \(here 2\.0\)"):
            self.run_with(kT=2.0)[0].load(path)
        with pytest.raises(ValueError, match="observers"):
            walkers(DoubleWell(2), Growing(2)).load(path)
        walkers(DoubleWell(2)).save(path)
        with pytest.raises(ValueError, match="without a bias"):
            walkers(DoubleWell(2), Growing(2)).load(path)
        state = run.state_dict()
        run.rng = np.random.Generator(np.random.MT19937(0))
        with pytest.raises(ValueError, match="MT19937"):
            run.load_state_dict(state)

    def test_damaged_files(self, tmp_path):
        run, path = self.run_with()[0], tmp_path / "walkers.ckpt"
        with pytest.raises(FileNotFoundError):
            run.load(path)
        run.save(path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ValueError, match="damaged"):
            run.load(path)
        np.savez(tmp_path / "other.npz", a=np.zeros(3))
        with pytest.raises(ValueError, match="no checkpoint"):
            run.load(tmp_path / "other.npz")


class TestObservers:
    def test_interval_counts_steps_of_the_run(self):
        run, seen = walkers(), []
        run.attach(lambda d: seen.append(d.step), 4)
        run.run(5)
        run.run(5)
        assert seen == [4, 8]
        with pytest.raises(ValueError, match="interval"):
            run.attach(lambda d: None, 0)

    def test_detach(self):
        run, counts = walkers(), WalkerHistogram(AXIS)
        run.attach(counts)
        run.run(2)
        run.detach(counts)
        run.run(2)
        assert counts.observations == 2
        with pytest.raises(ValueError, match="not attached"):
            run.detach(counts)

    def test_histogram_counts_in_blocks(self):
        run = walkers()
        counts = WalkerHistogram(bin_centres(-5, 5, 40), block=4)
        run.attach(counts)
        run.run(10)
        np.testing.assert_array_equal(counts.blocks.sum(axis=1), [256, 256, 128])
        assert counts.observations == 10
        assert counts.free_energy(1.0, skip=1).blocks.sum() == 384
        with pytest.raises(ValueError, match="skip"):
            counts.free_energy(1.0, skip=3)

    def test_histogram_in_groups_of_walkers(self):
        run = walkers()
        axis = bin_centres(-5, 5, 40)
        counts, whole = WalkerHistogram(axis, groups=4), WalkerHistogram(axis)
        run.attach(counts)
        run.attach(whole)
        run.run(10)
        assert counts.blocks.shape == (4, 40)
        np.testing.assert_array_equal(counts.blocks.sum(axis=1), [160, 160, 160, 160])
        np.testing.assert_array_equal(counts.blocks.sum(axis=0), whole.blocks.sum(axis=0))
        again = WalkerHistogram(axis, groups=4)
        again.load_state_dict(counts.state_dict())
        np.testing.assert_array_equal(again.blocks, counts.blocks)
        with pytest.raises(ValueError, match="groups of walkers"):
            counts.free_energy(1.0, skip=1)

    def test_histogram_of_some_variables(self):
        run = walkers(DoubleWell(2))
        counts = WalkerHistogram(bin_centres(-5, 5, 40), variables=[1])
        run.attach(counts)
        run.run(1)
        expected, _ = np.histogram(run.positions[:, 1], bins=np.linspace(-5, 5, 41))
        np.testing.assert_array_equal(counts.blocks[0], expected)

    def test_histogram_refuses_what_does_not_fit(self):
        with pytest.raises(ValueError, match="weighting"):
            WalkerHistogram(AXIS, weighting="bias")
        with pytest.raises(ValueError, match="leave variables out"):
            WalkerHistogram(AXIS, weighting="tiwary", variables=[0])
        with pytest.raises(ValueError, match="block"):
            WalkerHistogram(AXIS, block=0)
        counts = WalkerHistogram(AXIS)
        with pytest.raises(ValueError, match="other bins"):
            counts.load_state_dict(WalkerHistogram(AXIS[1:]).state_dict())

    def test_samples_to_a_file(self, tmp_path):
        run, samples = walkers(bias=HarmonicRestraint(0.0, 1.0)), WalkerSamples()
        run.attach(samples, 10)
        run.run(30)
        samples.write(tmp_path / "samples.npz")
        with np.load(tmp_path / "samples.npz") as file:
            assert file["variables"].shape == (3, 64, 1)
            np.testing.assert_array_equal(file["steps"], [10, 20, 30])
            np.testing.assert_allclose(file["bias"], 0.5 * file["variables"][..., 0] ** 2)


class TestBadInput:
    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"kT": 0.0}, "kT"),
            ({"timestep": math.nan}, "timestep"),
            ({"friction": -1.0}, "friction"),
            ({"n_walkers": 0}, "n_walkers"),
            ({"mass": [1.0, 1.0]}, "mass"),
            ({"mass": 0.0}, "mass"),
            ({"start": [0.0, 0.0]}, "start"),
            ({"start": [np.nan]}, "start"),
            ({"variables": [1]}, "variables"),
            ({"bias": HarmonicRestraint([0.0, 0.0], 1.0)}, "variables"),
        ],
    )
    def test_settings(self, bad, message):
        with pytest.raises(ValueError, match=message):
            walkers(**bad)

    def test_types(self):
        with pytest.raises(TypeError, match="ModelPotential"):
            walkers("WolfeQuapp")
        with pytest.raises(TypeError, match="Bias"):
            walkers(bias=lambda s: s)
        with pytest.raises(TypeError, match="Generator"):
            WalkerDynamics(
                DoubleWell(), kT=1.0, timestep=0.1, friction=1.0, n_walkers=1, rng=np.random.RandomState(0)
            )

    def test_too_large_a_time_step(self):
        with pytest.raises(FloatingPointError, match="time step smaller than 2"):
            walkers(WolfeQuapp(), timestep=2.0).run(1000)

    def test_negative_steps(self):
        with pytest.raises(ValueError, match="steps"):
            walkers().run(-1)


def test_progress_is_shown_on_request(capsys):
    run = walkers(name="toy")
    run.run(100, progress=True)
    run.run(100)
    assert "Traceback" not in capsys.readouterr().err


def test_a_bias_of_other_periods_is_refused():
    def make(bias):
        rng = np.random.default_rng(0)
        torsions = CoupledTorsions(1)
        settings = {"kT": 1.0, "timestep": 0.01, "friction": 1.0, "n_walkers": 3, "rng": rng}
        return WalkerDynamics(torsions, bias=bias, variables=[1], **settings)

    period = (-math.pi, math.pi)
    make(HarmonicRestraint(1.0, 1.0, domains=[period])).run(2)
    with pytest.raises(ValueError, match=r"variables \[1\] to have the periods .*give the bias domains="):
        make(HarmonicRestraint(1.0, 1.0))
