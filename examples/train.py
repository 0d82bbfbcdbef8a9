"""Train an ensemble on labelled frames, and use it: energies, forces, stress, and how sure it is."""

import os

import numpy as np
from ase.build import bulk
from ase.io import write

from ase_mlsample.calculators import ANIEnsemble, StillingerWeber
from ase_mlsample.samplers import PerturbedCrystal
from ase_mlsample.training import Dataset, ModelSettings, TrainingSettings, train_ensemble
from ase_mlsample.validation.held_out import labelled

SHORT = "MLSAMPLE_SHORT" in os.environ
rng = np.random.default_rng(1)

# any extxyz file with REF_energy and REF_forces will do; here it comes from an embedded reference
sampler = PerturbedCrystal(["diamond", "beta-tin"], symbol="Si", rattle=(0.0, 0.2), n_atoms=(2, 8))
frames = [labelled(atoms, StillingerWeber()) for atoms in sampler.sample(32 if SHORT else 200, rng)]
write("silicon.extxyz", frames)

result = train_ensemble(
    Dataset.read("silicon.extxyz"),
    model=ModelSettings(members=2 if SHORT else 4, hidden=(16, 16) if SHORT else (64, 64, 32)),
    settings=TrainingSettings(epochs=3 if SHORT else 150),
    rng=rng,
    directory="model",
    progress=False,
)
print("forces on frames that no member saw:", f"{result.held_out.forces_rmse:.3f} eV/Å")

atoms = bulk("Si", a=5.43, cubic=True)
atoms.rattle(0.1, rng=rng)
atoms.calc = ANIEnsemble.load("model/model.safetensors")
error = np.abs(atoms.get_forces() - StillingerWeber().evaluate(atoms).forces).max()
sigma = atoms.calc.get_spread().calibrated.force_sigma.max()
print(
    f"energy {atoms.get_potential_energy():.3f} eV, largest error {error:.3f}, largest sigma {sigma:.3f} eV/Å"
)
