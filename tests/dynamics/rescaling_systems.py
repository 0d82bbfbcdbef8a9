"""Systems whose volumes at constant pressure are known."""

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.calculators import MLCalculator, Prediction, StillingerWeber
from ase_mlsample.dynamics import StochasticCellRescaling


class ElasticGas(MLCalculator):
    """No forces; the energy ½ B (V − V₀)² / V₀ depends on the volume alone. B = 0 is the ideal gas."""

    def __init__(self, modulus=0.0, volume=1.0):
        super().__init__()
        self.modulus, self.volume, self.count = modulus, volume, 0

    def evaluate(self, atoms, members=False):
        self.count += 1
        excess = atoms.get_volume() - self.volume
        stress = np.zeros(6)
        stress[:3] = self.modulus * excess / self.volume
        energy = 0.5 * self.modulus * excess**2 / self.volume
        return Prediction(energy=energy, forces=np.zeros((len(atoms), 3)), stress=stress)

    def distribution(self, n_atoms, kT, pressure):
        """Mean and variance of V^(N−1) exp(−(U + P₀V)/k_BT) by quadrature."""
        volumes = np.linspace(1e-3, 3, 200_000) * self.volume
        energy = 0.5 * self.modulus * (volumes - self.volume) ** 2 / self.volume + pressure * volumes
        logarithm = (n_atoms - 1) * np.log(volumes) - energy / kT
        weights = np.exp(logarithm - logarithm.max())
        mean = np.average(volumes, weights=weights)
        return mean, np.average((volumes - mean) ** 2, weights=weights)


def gas(calc, n_atoms, *, temperature_K, pressure_au, volume, seed=0, **settings):
    """Atoms anywhere in a cubic cell, and their dynamics."""
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * volume ** (1 / 3)
    atoms = Atoms(f"Ar{n_atoms}", positions=rng.random((n_atoms, 3)) @ cell, cell=cell, pbc=True)
    atoms.calc = calc
    thermalize_momenta(atoms, temperature_K, rng=rng)
    settings = {"timestep": 10 * units.fs, "taut": 40 * units.fs, "taup": 150 * units.fs} | settings
    dynamics = StochasticCellRescaling(
        atoms, temperature_K=temperature_K, pressure_au=pressure_au, rng=rng, **settings
    )
    return atoms, dynamics


def silicon(*, repeat=2, temperature_K=600.0, seed=0, calc=None, **settings):
    """Hot diamond-cubic silicon and its dynamics."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", a=5.44, cubic=True).repeat(repeat)
    atoms.calc = calc or StillingerWeber()
    thermalize_momenta(atoms, temperature_K, rng=rng)
    settings = {"timestep": 2 * units.fs, "compressibility_au": 1.6} | settings
    dynamics = StochasticCellRescaling(atoms, temperature_K=temperature_K, rng=rng, **settings)
    return atoms, dynamics


def volumes(dynamics, steps):
    """Volume after each step."""
    return np.array([(dynamics.step(), dynamics.volume)[1] for _ in range(steps)])


def blocked(values, blocks=40):
    """Mean and its standard error from the means of blocks."""
    values = np.asarray(values)
    means = values[: len(values) // blocks * blocks].reshape(blocks, -1).mean(axis=1)
    return values.mean(), means.std(ddof=1) / np.sqrt(blocks)
