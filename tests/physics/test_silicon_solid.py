"""The Stillinger-Weber crystal near melting has its published potential energy."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin

from ase_mlsample.calculators import StillingerWeber


@pytest.mark.slow
def test_potential_energy_at_1700_k():
    # 1,700 K and zero pressure: a = 5.461 Å and −4.0941 eV per atom (216 atoms). The standard error of 20 ps
    # is 0.001 eV; four of it are allowed.
    rng = np.random.default_rng(0)
    atoms = bulk("Si", a=5.461, cubic=True) * (3, 3, 3)
    atoms.calc = StillingerWeber()
    dynamics = Langevin(
        atoms, 2 * units.fs, temperature_K=1700, friction=1 / (500 * units.fs), rng=rng, fixcm=False
    )
    dynamics.run(2_000)
    energies = []
    for _ in range(500):
        dynamics.run(20)
        energies.append(atoms.get_potential_energy() / len(atoms))
    assert np.mean(energies) == pytest.approx(-4.0941, abs=0.004)
