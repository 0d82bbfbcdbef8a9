"""Small labelled sets of silicon for the training tests."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.training import AEVSettings, Dataset, ModelSettings, TrainingSettings


def labelled_silicon(n_frames: int, seed: int, *, rattle: float = 0.1) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    reference = StillingerWeber()
    frames = []
    for k in range(n_frames):
        atoms = bulk("Si", "diamond" if k % 2 else "fcc", a=5.43 if k % 2 else 4.15, cubic=True)
        strain = rng.uniform(-0.03, 0.03, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.rattle(rattle, rng=rng)
        prediction = reference.evaluate(atoms)
        atoms.info["REF_energy"] = prediction.energy
        atoms.arrays["REF_forces"] = prediction.forces
        atoms.info["REF_stress"] = prediction.stress
        atoms.info["config_type"] = "diamond" if k % 2 else "fcc"
        frames.append(atoms)
    return frames


@pytest.fixture
def silicon() -> Callable[..., list[Atoms]]:
    return labelled_silicon


@pytest.fixture(scope="session")
def silicon_set() -> Dataset:
    return Dataset(labelled_silicon(32, seed=3))


@pytest.fixture
def small_aev() -> AEVSettings:
    return AEVSettings(radial_cutoff=4.6, angular_cutoff=3.6, n_radial=8, n_angular=4, n_sections=4)


@pytest.fixture
def small_model(small_aev: AEVSettings) -> ModelSettings:
    return ModelSettings(members=2, aev=small_aev, hidden=(12,))


@pytest.fixture
def short() -> TrainingSettings:
    return TrainingSettings(
        epochs=6, batch_size=8, validation_interval=2, warmup_steps=2, checkpoint_seconds=0
    )
