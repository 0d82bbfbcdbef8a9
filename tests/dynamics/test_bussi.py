"""The thermostat's kinetic energies follow the canonical distribution, and its books balance."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.dynamics import BussiThermostat


def thermostat(seed=0, **change):
    settings = {"temperature_K": 500.0, "taut": 1.0, "degrees_of_freedom": 9} | change
    return BussiThermostat(rng=np.random.default_rng(seed), **settings)


@pytest.mark.parametrize("degrees", [1, 2, 9])
@pytest.mark.parametrize("time", [0.5, 5.0])
def test_canonical_kinetic_energies(degrees, time):
    """K is Gamma(N_f/2, k_BT), from any start: mean N_f/2 and variance N_f/2 in units of k_BT."""
    hot = thermostat(degrees_of_freedom=degrees)
    kinetic, kT, drawn = 1e-3, units.kB * 500, []
    for _ in range(40_000):
        kinetic *= hot.rescale(kinetic, time) ** 2
        drawn.append(kinetic / kT)
    values = np.array(drawn[100:])
    correlation = np.exp(-time)  # of the energy, from one draw to the next
    independent = len(values) * (1 - correlation) / (1 + correlation)
    half = degrees / 2
    # five standard errors; those of the variance follow from the fourth moment 3 + 12 / N_f of a Gamma
    assert values.mean() == pytest.approx(half, abs=5 * np.sqrt(half / independent))
    error = half * np.sqrt((2 + 12 / degrees) / independent)
    assert values.var() == pytest.approx(half, abs=5 * error)


def test_short_times_relax_exponentially():
    cold = thermostat(degrees_of_freedom=300)
    average = 0.5 * 300 * units.kB * 500
    kinetic = [10 * average * cold.rescale(10 * average, 0.1) ** 2 for _ in range(500)]
    assert np.mean(kinetic) == pytest.approx(average + 9 * average * np.exp(-0.1), rel=0.02)


def test_momenta_turn_round_as_detailed_balance_asks():
    """With one degree of freedom and much time the old direction is forgotten."""
    factors = [thermostat(seed, degrees_of_freedom=1).rescale(0.05, 50.0) for seed in range(400)]
    assert np.mean(np.sign(factors)) == pytest.approx(0.0, abs=0.2)
    assert all(thermostat(seed).rescale(0.05, 1e-3) > 0 for seed in range(100))


def test_energy_is_accounted_for():
    hot, kinetic = thermostat(), 0.3
    start = kinetic
    for _ in range(50):
        kinetic *= hot.rescale(kinetic, 0.2) ** 2
    assert kinetic + hot.exchanged == pytest.approx(start)
    hot.temperature_K = 900.0
    assert hot.temperature_K == 900.0


def test_apply_rescales_the_momenta_of_atoms():
    atoms, rng = bulk("Si", cubic=True), np.random.default_rng(1)
    thermalize_momenta(atoms, 300, rng=rng)
    before, kinetic = atoms.get_momenta(), atoms.get_kinetic_energy()
    hot = thermostat(degrees_of_freedom=21)
    hot.apply(atoms, 0.5)
    ratio = atoms.get_momenta() / before
    np.testing.assert_allclose(ratio, ratio[0, 0])
    assert ratio[0, 0] != 1
    assert atoms.get_kinetic_energy() + hot.exchanged == pytest.approx(kinetic)


@pytest.mark.parametrize(
    "change", [{"temperature_K": 0.0}, {"taut": -1.0}, {"taut": np.inf}, {"degrees_of_freedom": 0}]
)
def test_bad_settings(change):
    with pytest.raises(ValueError, match=r"temperature_K|taut|degree"):
        thermostat(**change)


def test_bad_use():
    with pytest.raises(TypeError, match="default_rng"):
        BussiThermostat(temperature_K=1, taut=1, degrees_of_freedom=3, rng=np.random)
    with pytest.raises(ValueError, match="set velocities first"):
        thermostat().rescale(0.0, 1.0)
    for kinetic in (np.nan, np.inf):
        with pytest.raises(FloatingPointError, match="not finite"):
            thermostat().rescale(kinetic, 1.0)
