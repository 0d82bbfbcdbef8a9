from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from ase_mlsample.training import (
    Dataset,
    LearningCurve,
    ModelSettings,
    TrainingResult,
    TrainingSettings,
    curves,
    dataset_errors,
    learning_curve,
    train_ensemble,
)
from ase_mlsample.training.curves import LearningPoint
from ase_mlsample.training.evaluation import Metrics

Frames = Callable[..., list[Atoms]]


def made_curve() -> LearningCurve:
    points = [
        LearningPoint(n / 400, n, repeat, Metrics(2.0 / n * factor, 3.0 * n**-0.5 * factor, None), 10, 1.0)
        for n in (100, 400, 200)
        for repeat, factor in enumerate((0.9, 1.1))
    ]
    return LearningCurve(tuple(points), 50)


def test_means_spreads_and_power_laws_are_recovered(tmp_path: Path) -> None:
    curve = made_curve()
    assert curve.n_frames.tolist() == [100, 200, 400]
    assert curve.mean("energy_rmse") == pytest.approx([0.02, 0.01, 0.005])
    assert curve.spread("energy_rmse") == pytest.approx(np.array([0.02, 0.01, 0.005]) * 0.2 / np.sqrt(2))
    law = curve.power_law()
    assert (law.prefactor, law.exponent) == pytest.approx((3.0, 0.5))
    assert np.isnan(curve.mean("stress_rmse")).all()
    with pytest.raises(ValueError, match="at two numbers of frames"):
        curve.power_law("stress_rmse")
    with pytest.raises(ValueError, match="unknown quantity 'force'"):
        curve.mean("force")
    curve.write(tmp_path / "curve.json")
    assert LearningCurve.read(tmp_path / "curve.json") == curve
    curve.plot(tmp_path / "curve.svg")
    assert "frames to learn from" in (tmp_path / "curve.svg").read_text()


def test_errors_fall_with_frames_and_finished_points_are_not_repeated(
    silicon: Frames, small_model: ModelSettings, tmp_path: Path
) -> None:
    dataset = Dataset(silicon(96, seed=31, rattle=0.05))
    settings = TrainingSettings(
        epochs=8, batch_size=4, folds=6, validation_folds=1, warmup_steps=5, checkpoint_seconds=0
    )

    def run(fractions: tuple[float, ...]) -> LearningCurve:
        return learning_curve(
            dataset,
            fractions=fractions,
            equal_steps=True,
            model=small_model,
            settings=settings,
            rng=np.random.default_rng(4),
            directory=tmp_path,
            progress=False,
        )

    first = run((0.1, 1.0))
    assert first.test_frames == 16
    assert [(p.n_frames, p.epochs) for p in first.points] == [(8, 80), (80, 8)]
    assert np.all(np.diff(first.mean("forces_rmse")) < 0)
    assert np.all(np.diff(first.mean("energy_rmse")) < 0)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoint.pt")}
    assert len(stamps) == 2
    again = run((0.1, 0.2, 1.0))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert [p.n_frames for p in again.points] == [8, 16, 80]
    assert [p.errors for p in again.points if p.n_frames != 16] == [p.errors for p in first.points]
    assert LearningCurve.read(tmp_path / "learning_curve.json") == again


def test_the_subsets_are_nested_and_other_frames_may_be_the_test(
    silicon: Frames,
    small_model: ModelSettings,
    short: TrainingSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, test = Dataset(silicon(40, seed=32)), Dataset(silicon(6, seed=33))
    learned: list[set[float]] = []

    def recorded(subset: Dataset, **options: Any) -> TrainingResult:
        learned.append(set(subset.energies.tolist()))
        return train_ensemble(subset, **options)

    monkeypatch.setattr(curves, "train_ensemble", recorded)
    curve = learning_curve(
        dataset,
        testset=test,
        fractions=(0.5, 0.505, 1.0),  # the second is as many frames as the first
        repeats=2,
        model=small_model,
        settings=short.model_copy(update={"epochs": 1}),
        rng=np.random.default_rng(4),
        directory=tmp_path,
        progress=False,
    )
    assert curve.test_frames == 6
    assert [(p.n_frames, p.repeat) for p in curve.points] == [(20, 0), (40, 0), (20, 1), (40, 1)]
    assert np.isfinite(curve.spread()).all()
    assert len({p.errors for p in curve.points}) == 4
    assert [len(energies) for energies in learned] == [20, 40, 20, 40]
    assert learned[0] < learned[1] == learned[3] > learned[2] != learned[0]


def test_errors_of_a_calculator_on_a_set(silicon: Frames) -> None:
    from ase_mlsample.calculators import StillingerWeber

    dataset = Dataset(silicon(4, seed=1))
    exact = dataset_errors(StillingerWeber(), dataset)
    assert exact.energy_rmse == pytest.approx(0, abs=1e-12)
    assert exact.forces_rmse == pytest.approx(0, abs=1e-12)
    assert exact.stress_rmse == pytest.approx(0, abs=1e-12)


def test_impossible_fractions_are_refused_before_any_training(silicon_set: Dataset, tmp_path: Path) -> None:
    def run(**options: object) -> None:
        learning_curve(silicon_set, rng=np.random.default_rng(0), directory=tmp_path / "never", **options)

    with pytest.raises(ValueError, match=r"fraction of 0\.1 of 30 frames is 3, fewer than the 16 folds"):
        run(fractions=(0.1, 1.0))
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        run(fractions=(0.0, 1.0))
    with pytest.raises(ValueError, match="repeats is 0"):
        run(repeats=0)
    assert not (tmp_path / "never").exists()
