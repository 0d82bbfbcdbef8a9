"""Walkers in step: one bias from the samples of all, exactly, killed and continued ones included."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ase_mlsample.biases import (
    DeepVESBias,
    Legendre,
    LinearBias,
    OPESBias,
    SharedSamples,
    UpperWall,
    VariationalBias,
)
from ase_mlsample.biases.shared_samples import SharedBias
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import OPES, VES, DeepVES
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, crystal

N_WALKERS = 2
COMMON = {"temperature_K": KELVIN, "pace": 4, "progress": False, "log_interval": 1}
KINDS = {
    OPES: {"barrier": 0.3, "kernels": None, "adaptive_stride": 8},
    VES: {"bases": Legendre(5, (1.8, 3.0)), "bias_factor": 8, "coefficients": None},
    DeepVES: {"bounds": [(1.8, 3.0)], "bias_factor": 8, "hidden": (4, 4), "bins": 20, "energy_unit": 0.1},
}


def walker(kind, folder, number, **settings):
    how = COMMON | KINDS[kind] | settings
    if kind is DeepVES:
        how["rng"] = np.random.default_rng(3)
    samples = SharedSamples(folder / "walkers", walker=number, walkers=N_WALKERS, timeout_s=60)
    atoms = crystal(seed=number)
    how |= {"logfile": folder / f"log.{number}", "checkpoint": folder / f"checkpoint.{number}"}
    return kind(INTEGRATORS["Langevin"](atoms), Distance(0, 1), walkers=samples, **how)


def own_bias(dynamics):
    return dynamics.bias.terms()[0].bias


def in_step(*calls):
    """Each walker in a thread of its own, as processes would be."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(*call) for call in calls]]


def run(kind, folder, steps, **settings):
    def one(number):
        with walker(kind, folder, number, **settings) as dynamics:
            dynamics.run(steps)
        return dynamics

    return in_step(*[(one, number) for number in range(N_WALKERS)])


@pytest.mark.parametrize("kind", KINDS)
class TestWalkers:
    def test_have_the_bias_of_all_samples(self, kind, tmp_path):
        first, second = run(kind, tmp_path, 26)  # logs have six digits
        logs = [np.loadtxt(tmp_path / f"log.{number}", usecols=1) for number in range(N_WALKERS)]
        assert not np.allclose(*logs)
        settings = own_bias(first).settings()
        alone = {OPES: OPESBias, VES: VariationalBias, DeepVES: DeepVESBias}[kind](**settings)
        for step in range(1, 25):  # what came after the last whole pace waits for the next
            alone.update(np.array([[log[step]] for log in logs]), step)
        points = np.linspace(1.9, 2.9, 7)[:, None]
        shared, own = own_bias(first).potential(points)[0], own_bias(second).potential(points)[0]
        np.testing.assert_array_equal(shared, own)
        np.testing.assert_allclose(
            shared, alone.potential(points)[0], rtol=1e-5, atol=1e-9
        )  # logs are rounded
        assert np.ptp(shared) > 0

    def test_go_on_exactly_each_from_its_own_checkpoint(self, kind, tmp_path):
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        whole.mkdir()
        parts.mkdir()
        run(kind, whole, 40)
        run(kind, parts, 10)
        old = parts / "old"
        shutil.copy(parts / "checkpoint.1", old)

        def go_on(number, path, end):
            integrator = INTEGRATORS["Langevin"](crystal(seed=number))
            with kind.load(path, integrator, Distance(0, 1), progress=False) as dynamics:
                dynamics.run(end - dynamics.step)

        paths = [parts / f"checkpoint.{number}" for number in range(N_WALKERS)]
        in_step((go_on, 0, paths[0], 22), (go_on, 1, paths[1], 22))
        in_step((go_on, 0, paths[0], 40), (go_on, 1, old, 40))  # this one makes twelve steps again
        for number in range(N_WALKERS):
            name = f"log.{number}"
            assert (parts / name).read_bytes() == (whole / name).read_bytes()

    def test_one_alone_waits_and_says_for_whom(self, kind, tmp_path):
        dynamics = walker(kind, tmp_path, 0)
        dynamics.bias.terms()[0].samples.timeout_s = 0.01
        with dynamics, pytest.raises(TimeoutError, match="walker 1 has not come to step 4"):
            dynamics.run(10)
        assert not (tmp_path / "checkpoint.0").exists()


def test_one_that_was_killed_before_its_checkpoint_starts_again(tmp_path):
    run(VES, tmp_path, 12)
    for number in range(N_WALKERS):
        (tmp_path / f"checkpoint.{number}").unlink()
    again = run(VES, tmp_path, 20)
    assert own_bias(again[0]).iterations == 5


def test_another_run_in_the_same_directory_is_refused(tmp_path):
    run(VES, tmp_path, 8)
    for number in range(N_WALKERS):
        (tmp_path / f"checkpoint.{number}").unlink()
    with walker(VES, tmp_path, 0, temperature_K=KELVIN) as dynamics:
        dynamics.atoms.positions[0] += 0.01
        with pytest.raises(ValueError, match="other samples of these steps"):
            dynamics.run(8)


def test_walkers_with_other_settings_are_refused(tmp_path):
    run(VES, tmp_path, 8)
    (tmp_path / "checkpoint.0").unlink()
    with (
        walker(VES, tmp_path, 0, bias_factor=9) as dynamics,
        pytest.raises(ValueError, match="All walkers need the same settings"),
    ):
        dynamics.run(4)


def test_a_file_that_was_cut_is_refused(tmp_path):
    samples = SharedSamples(tmp_path, walker=0, walkers=1)
    samples.exchange(np.ones((4, 1)), 1, of="bias")
    (tmp_path / "SAMPLES.0").write_bytes((tmp_path / "SAMPLES.0").read_bytes()[:260])
    with pytest.raises(ValueError, match="ends before the samples"):
        samples.exchange(np.ones((4, 1)), 5, of="bias")


def test_walls_are_each_walkers_own(tmp_path):
    dynamics = run(VES, tmp_path, 8, extra_bias=UpperWall(2.0, 1.0))[0]
    assert len(dynamics.bias.terms()) == 2
    assert dynamics.ves_bias.iterations == 2


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"walker": 2, "walkers": 2}, "counted from 0 to 1"),
        ({"walker": -1, "walkers": 2}, "walker"),
        ({"walker": 0, "walkers": 0}, "walkers"),
        ({"walker": 0, "walkers": 1, "timeout_s": 0}, "timeout_s"),
    ],
)
def test_numbers_that_cannot_be(tmp_path, numbers, message):
    with pytest.raises(ValueError, match=message):
        SharedSamples(tmp_path, **numbers)


def test_a_bias_without_a_pace_is_refused(tmp_path):
    with pytest.raises(TypeError, match="LinearBias, which has no pace"):
        SharedBias(LinearBias([0.1]), SharedSamples(tmp_path, walker=0, walkers=1))
