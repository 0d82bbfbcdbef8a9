import numpy as np
import pytest

from ase_mlsample.analysis import free_energy, reweighting
from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.biases import MetadynamicsBias, read_hills
from ase_mlsample.calculators import CoupledTorsions, DoubleWell
from ase_mlsample.dynamics import WalkerDynamics, WalkerHistogram, WalkerSamples

POTENTIAL = DoubleWell(2, barrier=8.0, tilt=1.0)
AXIS = bin_centres(-1.6, 1.6, 64)
GAMMA = 8.0


def run_of(hills, *, seed=0, n_walkers=100, height=0.02, pace=20):
    bias = MetadynamicsBias(kT=1.0, sigma=0.1, height=height, bias_factor=GAMMA, pace=pace, hills=hills)
    return WalkerDynamics(
        POTENTIAL,
        kT=1.0,
        timestep=0.05,
        friction=1.0,
        n_walkers=n_walkers,
        rng=np.random.default_rng(seed),
        bias=bias,
        variables=[0],
    )


def test_free_energy_from_bias_and_by_both_reweightings():
    exact = POTENTIAL.free_energy(0, 1.0, AXIS)
    run = run_of(None)
    run.run(6000)
    growing = WalkerHistogram(AXIS, weighting="tiwary", bias_factor=GAMMA, groups=20)
    run.attach(growing, 5)
    run.run(6000)
    run.detach(growing)
    V, _ = run.bias.potential(AXIS[:, None])
    run.frozen = True
    static = WalkerHistogram(AXIS, weighting="static", groups=20)
    run.attach(static, 5)
    run.run(6000)
    assert free_energy.from_bias(AXIS, V, kT=1.0, bias_factor=GAMMA).rmse(exact, ceiling=8) < 0.15
    assert growing.free_energy(1.0).rmse(exact, ceiling=8) < 0.15
    found = static.free_energy(1.0)
    assert found.rmse(exact, ceiling=8) < 0.12
    difference, error = found.basin_difference((-1.6, 0.0), (0.0, 1.6))
    p = np.exp(-exact)
    assert error < 0.15
    assert abs(difference + np.log(p[AXIS > 0].sum() / p[AXIS < 0].sum())) < 4 * error


def test_history_of_hills_gives_the_same_as_the_running_bias(tmp_path):
    run = run_of(tmp_path / "HILLS", n_walkers=20, height=0.2)
    counts = WalkerHistogram(AXIS, weighting="tiwary", bias_factor=GAMMA)
    samples = WalkerSamples()
    run.attach(counts, 7)
    run.attach(samples, 7)
    run.run(700)
    run.bias.flush()
    hills = read_hills(tmp_path / "HILLS")
    assert len(hills) == 20 * 35
    V, _ = run.bias.potential(AXIS[:, None])
    np.testing.assert_allclose(reweighting.hill_potential(hills, AXIS), V, atol=1e-3)  # a grid of σ/5
    offsets = reweighting.tiwary_offsets(hills, AXIS, kT=1.0)
    assert offsets[-1] == pytest.approx(reweighting.tiwary_offset(V, kT=1.0, bias_factor=GAMMA), abs=1e-3)
    weights = reweighting.tiwary_weights(
        samples.bias.ravel(), np.repeat(samples.steps, 20), hills, offsets, kT=1.0
    )
    found = free_energy.from_samples(samples.variables.reshape(-1, 1), AXIS, kT=1.0, weights=weights)
    seen = np.isfinite(found.values)
    np.testing.assert_allclose(found.values[seen], counts.free_energy(1.0).values[seen], atol=5e-3)


def test_continuation_with_hills_is_exact(tmp_path):
    whole = run_of(tmp_path / "whole")
    whole.run(90)
    whole.bias.flush()
    begun = run_of(tmp_path / "HILLS")
    begun.run(50)
    begun.save(tmp_path / "ckpt")
    begun.run(30)  # hills of a run that was killed after its checkpoint
    begun.bias.close()
    other = run_of(tmp_path / "HILLS", seed=1).load(tmp_path / "ckpt")
    other.run(40)
    other.bias.flush()
    np.testing.assert_array_equal(other.positions, whole.positions)
    np.testing.assert_array_equal(other.bias_energy, whole.bias_energy)
    assert (tmp_path / "HILLS").read_bytes() == (tmp_path / "whole").read_bytes()


def test_two_torsions():
    potential = CoupledTorsions(2, barriers=(6.0, 3.0))
    bias = MetadynamicsBias(
        kT=1.0, sigma=(0.35, 0.35), height=0.05, bias_factor=6.0, pace=20, domains=potential.domains[:2]
    )
    run = WalkerDynamics(
        potential,
        kT=1.0,
        timestep=0.1,
        friction=1.0,
        n_walkers=100,
        rng=np.random.default_rng(0),
        bias=bias,
        variables=[0, 1],
    )
    run.run(3000)
    turn = bin_centres(-np.pi, np.pi, 24)
    points = np.stack(np.meshgrid(turn, turn, indexing="ij"), axis=-1).reshape(-1, 2)
    V = bias.potential(points)[0].reshape(24, 24)
    exact = potential.free_energy((0, 1), 1.0, (turn, turn))
    found = free_energy.from_bias((turn, turn), V, kT=1.0, bias_factor=6.0, domains=potential.domains[:2])
    assert found.rmse(exact, ceiling=6.0) < 0.5
