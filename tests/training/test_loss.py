from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.training import Dataset, TrainingSettings
from ase_mlsample.training.features import FeatureSet
from ase_mlsample.training.loss import Loss, Output
from ase_mlsample.training.targets import Targets, reduced_labels

Frames = Callable[..., list[Atoms]]


def parts(frames: list[Atoms]) -> tuple[FeatureSet, Targets]:
    features = FeatureSet(
        frames, AEVParameters.metal("Si", n_radial=4, n_angular=2, n_sections=4), double=True
    )
    return features, reduced_labels(Dataset(frames), features.geometry, None)


def off_by(
    targets: Targets, features: FeatureSet, frames: np.ndarray, energy: float, force: float, virial: float
) -> tuple[object, Output]:
    """Predictions of two members, wrong by fixed amounts; the second by twice as much."""
    batch = features.batch(frames)
    factor = torch.tensor([1.0, 2.0], dtype=torch.float64)
    rows = torch.from_numpy(frames)
    return batch, Output(
        targets.energies[rows] + factor[:, None] * energy * targets.n_atoms[rows],
        -targets.forces[batch.atoms].nan_to_num() + factor[:, None, None] * force,
        targets.virials[rows].nan_to_num()
        + factor[:, None, None, None] * virial * targets.n_atoms[rows][:, None, None],
    )


def test_loss_is_the_weighted_normalised_mean_square(silicon: Frames) -> None:
    frames = silicon(6, seed=0)
    features, targets = parts(frames)
    settings = TrainingSettings(energy_weight=2.0, forces_weight=3.0, stress_weight=5.0)
    loss = Loss(settings, targets, torch.ones(2, 6))
    f = targets.unit
    assert f == pytest.approx(np.sqrt(np.mean(np.concatenate([a.arrays["REF_forces"] for a in frames]) ** 2)))
    expected = (2.0 * 0.1**2 + 3.0 * 0.2**2 + 5.0 * 0.3**2) / f**2
    whole = loss(*off_by(targets, features, np.arange(6), 0.1, 0.2, 0.3))
    assert whole.tolist() == pytest.approx([expected, 4 * expected], rel=1e-12)
    batches = [loss(*off_by(targets, features, np.array(k), 0.1, 0.2, 0.3)) for k in ([0, 3, 4], [1], [5, 2])]
    assert sum(batches).tolist() == pytest.approx(whole.tolist(), rel=1e-12)


def test_masked_frames_and_missing_labels_do_not_count(silicon: Frames) -> None:
    frames = silicon(4, seed=1)
    del frames[0].arrays["REF_forces"], frames[0].info["REF_stress"]
    frames[1].info["config_weight"] = 0.0
    features, targets = parts(frames)
    only_energy = Loss(TrainingSettings(), targets, torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 3]]))
    unit = targets.unit
    counted = [frames[k].arrays["REF_forces"] for k in (2, 3)]  # without label, without weight: not these
    assert unit == pytest.approx(np.sqrt(np.mean(np.concatenate(counted) ** 2)))
    batch, output = off_by(targets, features, np.arange(4), 0.1, 0.2, 0.0)
    losses = only_energy(batch, output)  # type: ignore[arg-type]
    weight = TrainingSettings().energy_weight
    assert float(losses[0]) == pytest.approx(weight * (0.1 / unit) ** 2)
    assert float(losses[1]) == pytest.approx(4 * (weight * 0.1**2 + 0.2**2) / unit**2)
    output.energies[1, 0] = output.gradient[1, :4] = 1e6
    assert float(only_energy(batch, output)[1]) == float(losses[1])  # type: ignore[arg-type]


def test_relative_forces_weigh_violent_atoms_less(silicon: Frames) -> None:
    frames = silicon(4, seed=2)
    frames[0].arrays["REF_forces"][0] = (30.0, 0.0, 0.0)
    features, targets = parts(frames)
    batch, output = off_by(targets, features, np.arange(4), 0.0, 0.0, 0.0)
    output.gradient[0, 0, 0] += 1.0
    plain, relative = (
        Loss(TrainingSettings(relative_forces=level), targets, torch.ones(2, 4)) for level in (None, 2.0)
    )
    assert float(relative(batch, output)[0]) < 0.05 * float(plain(batch, output)[0])  # type: ignore[arg-type]


def test_a_member_without_frames_is_an_error(silicon: Frames) -> None:
    _, targets = parts(silicon(2, seed=3))
    with pytest.raises(ValueError, match="no training or validation frame of positive weight"):
        Loss(TrainingSettings(), targets, torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
