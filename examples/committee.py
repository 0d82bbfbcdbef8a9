"""How sure is a committee? Three Stillinger–Weber silicons that differ in the strength of the angles."""

import os

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin

from ase_mlsample.calculators import Committee, StillingerWeber

SHORT = "MLSAMPLE_SHORT" in os.environ

atoms = bulk("Si", cubic=True) * (2, 2, 2)
atoms.calc = Committee([StillingerWeber(lambda_=strength) for strength in (20.0, 21.0, 22.0)])

rng = np.random.default_rng(1)
dynamics = Langevin(atoms, 2 * units.fs, temperature_K=2500, friction=0.01 / units.fs, fixcm=False, rng=rng)
for _ in range(2 if SHORT else 10):
    dynamics.run(20 if SHORT else 200)
    spread = atoms.calc.get_spread()  # of the structure as it is now; raw, before any calibration
    print(
        f"{dynamics.get_time() / units.fs:6.0f} fs  {atoms.get_temperature():5.0f} K  "
        f"energy ± {1000 * spread.energy_std / len(atoms):.1f} meV/atom  "
        f"largest force_sigma {spread.force_sigma.max():.2f} eV/Å"
    )

atoms.calc.annotate(atoms)  # force_sigma and energy_sigma become arrays, which the ASE GUI colours by
atoms.write("committee.extxyz")
print("mlsample view committee.extxyz")
