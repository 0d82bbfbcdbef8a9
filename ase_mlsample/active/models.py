"""Training, loading and judging the model of a generation; each is a task of the loop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample._files import write_atomic
from ase_mlsample.active.config import CommitteeSettings
from ase_mlsample.active.factories import build
from ase_mlsample.analysis.errors import energy_rmse, error_summary, rmse
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Calibration, Prediction
from ase_mlsample.training.calibration import MemberErrors, fit_calibration
from ase_mlsample.training.models import AnyModelSettings
from ase_mlsample.training.settings import TrainingSettings

__all__ = ["evaluate", "has_model", "load_model", "model_file", "train"]

_NETWORKS, _COMMITTEE = "model.safetensors", "committee.json"


def model_file(directory: Path | str) -> Path:
    """File of the model in a folder.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    for name in (_NETWORKS, _COMMITTEE):
        path = Path(directory) / name
        if path.exists():
            return path
    raise FileNotFoundError(f"there is no model in {directory}")


def has_model(directory: Path | str) -> bool:
    """Whether a folder holds a model."""
    return any((Path(directory) / name).exists() for name in (_NETWORKS, _COMMITTEE))


def load_model(directory: Path | str) -> MLCalculator:
    """The calculator of a generation, in the precision that it was trained in; a worker loads it once."""
    path = model_file(directory)
    return _load(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(path: str, _written: int) -> MLCalculator:
    if path.endswith(_NETWORKS):
        from ase_mlsample.calculators.loading import ensemble_of
        from ase_mlsample.calculators.loading import load_model as read_model

        model = read_model(path)
        return ensemble_of(model, dtype=model.dtype.name)
    from ase_mlsample.calculators.committee import Committee

    described = json.loads(Path(path).read_text())
    members = [build(described["factory"], arguments) for arguments in described["members"]]
    return Committee(members, calibration=Calibration(**described["calibration"]))


def train(
    *,
    frames: Sequence[Atoms],
    model: AnyModelSettings | CommitteeSettings,
    settings: TrainingSettings,
    directory: str,
    start: str | None,
    seed: Sequence[int],
    elements: tuple[str, ...],
    progress: bool,
) -> dict[str, Any]:
    """Train the model of a generation; goes on from its own checkpoint.

    Parameters
    ----------
    frames : the labelled structures.
    model, settings : of the configuration.
    directory : folder of the model.
    start : folder of the model to start from, or None for a new one.
    seed : numbers that name the random stream.
    elements : of the run.
    progress : whether to draw a bar.

    Returns
    -------
    dict
        ``n_frames``, ``force_rmse`` (eV/Å, component) and ``energy_rmse`` (eV/atom) on validation data, and
        the ``calibration`` factors.
    """
    Path(directory).mkdir(parents=True, exist_ok=True)
    if isinstance(model, CommitteeSettings):
        return _calibrate(frames, model, Path(directory))
    from ase_mlsample.training import Dataset, train_ensemble

    first: Any = model if model.symbols is not None else model.model_copy(update={"symbols": elements})
    if start is not None:
        from ase_mlsample.calculators.loading import load_model as read_model

        first = read_model(model_file(start))
    result = train_ensemble(
        Dataset(frames),
        model=first,
        settings=settings,
        rng=np.random.default_rng(np.random.SeedSequence(tuple(seed))),
        directory=Path(directory),
        progress=progress,
    )
    tested = [result.held_out] if result.held_out is not None else list(result.validation)
    return {
        "n_frames": len(frames),
        "force_rmse": _mean([metrics.forces_rmse for metrics in tested]),
        "energy_rmse": _mean([metrics.energy_rmse for metrics in tested]),
        "calibration": _factors(result.calibration),
        "epochs": result.epochs,
    }


def _calibrate(frames: Sequence[Atoms], model: CommitteeSettings, directory: Path) -> dict[str, Any]:
    from ase_mlsample.calculators.committee import Committee

    committee = Committee([build(model.factory, arguments) for arguments in model.members])
    predictions = committee.evaluate_many(list(frames), members=True)
    n_atoms = np.array([len(atoms) for atoms in frames])
    energies = np.array([atoms.info["REF_energy"] for atoms in frames])
    forces = [atoms.arrays["REF_forces"] for atoms in frames]
    energies_per_atom = [np.asarray(p.member_energies) / n for p, n in zip(predictions, n_atoms, strict=True)]
    calibration, _ = fit_calibration(
        _member_errors(energies_per_atom, energies / n_atoms),
        _member_errors([p.member_forces for p in predictions], forces),
        _member_errors([p.member_stress for p in predictions], [a.info.get("REF_stress") for a in frames]),
    )
    described = {
        "factory": model.factory,
        "members": list(model.members),
        "calibration": _factors(calibration),
    }
    write_atomic(directory / _COMMITTEE, json.dumps(described, indent=1).encode())
    return {
        "n_frames": len(frames),
        "force_rmse": rmse(np.concatenate([p.forces for p in predictions]), np.concatenate(forces)),
        "energy_rmse": energy_rmse([p.energy for p in predictions], energies, n_atoms),
        "calibration": _factors(calibration),
    }


def _member_errors(values: Sequence[Any], references: Iterable[Any]) -> MemberErrors | None:
    """Errors of each member where both prediction and label are there."""
    pairs = [(v, r) for v, r in zip(values, references, strict=True) if v is not None and r is not None]
    errors = [np.reshape(v - r, (len(v), -1)) for v, r in pairs]
    return MemberErrors(np.concatenate(errors, axis=1)) if errors else None


def evaluate(*, model: str, testset: str) -> dict[str, Any]:
    """Errors of a generation's model on the held-out set, for each ``config_type`` and for all.

    Parameters
    ----------
    model : folder of the model.
    testset : extxyz file.

    Returns
    -------
    dict
        ``classes``: for each class, and "all", the numbers of `ase_mlsample.analysis.errors.ErrorSummary`;
        ``members``: how many the ensemble has.
    """
    from ase.io import read

    frames = read(testset, index=":")
    predictions = load_model(model).evaluate_many(frames, members=True)
    kinds = [str(atoms.info.get("config_type", "unnamed")) for atoms in frames]
    groups = {kind: [n for n, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)}
    groups["all"] = list(range(len(frames)))
    return {
        "classes": {kind: _errors(frames, predictions, chosen) for kind, chosen in groups.items()},
        "members": len(predictions[0].member_energies if predictions[0].member_energies is not None else ()),
    }


def _errors(
    frames: Sequence[Atoms], predictions: Sequence[Prediction], chosen: Sequence[int]
) -> dict[str, Any]:
    spreads = _spreads([predictions[n] for n in chosen])
    return error_summary(
        energies=[predictions[n].energy for n in chosen],
        reference_energies=[frames[n].info["REF_energy"] for n in chosen],
        forces=[predictions[n].forces for n in chosen],
        reference_forces=[frames[n].arrays["REF_forces"] for n in chosen],
        forces_std=[spread.calibrated.forces_std for spread in spreads],
    ).to_dict()


def _spreads(predictions: Sequence[Prediction]) -> list[Any]:
    return [prediction.spread for prediction in predictions if prediction.spread is not None]


def _factors(calibration: Calibration) -> dict[str, float]:
    return {name: getattr(calibration, name) for name in ("energy", "forces", "stress")}


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else float("nan")
