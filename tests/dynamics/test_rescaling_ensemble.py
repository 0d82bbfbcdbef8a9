"""Volumes, energies and temperatures at constant pressure have the distributions that they must have.

Tolerances are five standard errors, from the means of blocks much longer than the correlation times; seeds
are fixed. Quick versions take systems whose distributions are known exactly; the slow ones silicon.
"""

import numpy as np
import pytest
from ase import units

from benchmarks.cell_rescaling import log_ratio_slope, silicon_run
from tests.dynamics.rescaling_systems import ElasticGas, blocked, gas, volumes

KT = units.kB * 1000


def test_ideal_gas():
    """V is Gamma(N, k_BT/P₀): N − 1 free particles, mean N and variance N in units of k_BT/P₀."""
    n_atoms, pressure = 6, 1 * units.GPa
    unit = KT / pressure
    _, dynamics = gas(
        ElasticGas(),
        n_atoms,
        temperature_K=1000,
        pressure_au=pressure,
        volume=n_atoms * unit,
        compressibility_au=1 / pressure,
    )
    drawn = volumes(dynamics, 14_000)[500:] / unit
    mean, error = blocked(drawn)
    assert error < 0.03 * n_atoms
    assert mean == pytest.approx(n_atoms, abs=5 * error)
    variance, error = blocked((drawn - n_atoms) ** 2)
    assert error < 0.1 * n_atoms
    assert variance == pytest.approx(n_atoms, abs=5 * error)


def test_elastic_gas_at_two_temperatures_and_two_pressures():
    """Means and variances against quadrature; ln(p₂/p₁) of the volumes must have the slope −ΔP₀/k_BT."""
    n_atoms, volume = 6, 120.0
    calc = ElasticGas(30 * KT / volume, volume)  # fluctuates by a sixth
    drawn = {}
    for temperature, pressure in ((1000, 0.0), (1000, 10 * KT / volume), (600, 0.0)):
        _, dynamics = gas(
            calc,
            n_atoms,
            temperature_K=temperature,
            pressure_au=pressure,
            volume=volume,
            compressibility_au=1 / calc.modulus,
            seed=temperature,
        )
        values = drawn[temperature, pressure] = volumes(dynamics, 8_000)[300:]
        expected, variance = calc.distribution(n_atoms, units.kB * temperature, pressure)
        mean, error = blocked(values)
        assert error < 0.03 * expected
        assert mean == pytest.approx(expected, abs=5 * error)
        measured, error = blocked((values - expected) ** 2)
        assert error < 0.15 * variance
        assert measured == pytest.approx(variance, abs=5 * error)
    low, high = drawn[1000, 0.0], drawn[1000, 10 * KT / volume]
    slope, error = log_ratio_slope(low, high)
    assert slope == pytest.approx(-10 / volume, abs=5 * error)
    assert error < 0.2 * 10 / volume


@pytest.mark.slow
def test_silicon_at_two_temperatures_and_two_pressures():
    """ln(p₂/p₁) is linear in the volume with −ΔP₀/k_BT, and in the enthalpy with −Δ(1/k_BT)."""
    runs = {
        key: silicon_run(*key, steps=60_000, seed=index)
        for index, key in enumerate([(600, -1.0), (600, 1.0), (600, 0.0), (750, 0.0)])
    }
    kT = units.kB * 600
    slope, error = log_ratio_slope(runs[600, -1.0].volume, runs[600, 1.0].volume)
    assert slope == pytest.approx(-2 * units.GPa / kT, abs=4 * error)
    assert error < 0.15 * 2 * units.GPa / kT
    slope, error = log_ratio_slope(runs[600, 0.0].enthalpy, runs[750, 0.0].enthalpy)
    expected = 1 / kT - 1 / (units.kB * 750)
    assert slope == pytest.approx(expected, abs=4 * error)
    assert error < 0.15 * expected
    still = runs[600, 0.0].volume
    by_pressure = -np.log(runs[600, 1.0].volume.mean() / runs[600, -1.0].volume.mean()) / 2
    variance, error = blocked((still - still.mean()) ** 2)
    scale = kT * still.mean() / units.GPa
    assert variance / scale == pytest.approx(by_pressure, abs=4 * error / scale)
    for (temperature, _), run in runs.items():
        mean, error = blocked(run.kinetic)
        assert mean == pytest.approx(0.5 * 189 * units.kB * temperature, abs=4 * error)
