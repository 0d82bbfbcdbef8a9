"""Frames whose labels, or a first model's errors on them, stand out from the rest of a set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.analysis.errors import rmse
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.settings import OutlierSettings

__all__ = ["CutFrame", "label_outliers", "model_outliers", "write_cut"]

_GAUSSIAN = 1.4826  # standard deviations in a median absolute deviation
# eV/atom or eV/Å: structures that are nearly all alike must not make the others outliers
_LEAST_SCALE = 1e-3


@dataclass(frozen=True, slots=True)
class CutFrame:
    """A frame that was cut, and why.

    Attributes
    ----------
    index
        In the data set.
    kinds
        Limits that it broke: "energy", "force", "model energy", "model forces".
    reason
        The same with numbers.
    """

    index: int
    kinds: tuple[str, ...]
    reason: str


def label_outliers(dataset: Dataset, settings: OutlierSettings) -> tuple[CutFrame, ...]:
    """Frames with an energy far from the composition's, or with a violent force; by labels alone."""
    found: dict[int, list[tuple[str, str]]] = {}
    if settings.energy_deviation is not None:
        residual = _composition_residual(dataset)
        scale = max(_GAUSSIAN * float(np.median(np.abs(residual))), _LEAST_SCALE)
        limit = settings.energy_deviation * scale
        for k in np.flatnonzero(np.abs(residual) > limit).tolist():
            text = f"energy {residual[k]:+.3f} eV/atom from the composition's, limit {limit:.3f}"
            found.setdefault(k, []).append(("energy", text))
    if settings.max_force is not None:
        for k, labels in enumerate(dataset.labels):
            largest = 0.0 if labels.forces is None else float(np.linalg.norm(labels.forces, axis=1).max())
            if largest > settings.max_force:
                text = f"force of {largest:.2f} eV/Å, limit {settings.max_force:g}"
                found.setdefault(k, []).append(("force", text))
    return _cut_frames(found)


def model_outliers(
    dataset: Dataset, calculator: MLCalculator, *, factor: float, frames: NDArray[np.int64]
) -> tuple[CutFrame, ...]:
    """Of the given frames, those on which an ensemble's error is more than `factor` times the usual one.

    The usual error is robust: 1.4826 times the median of |ΔE|/N, and the median, over frames with forces
    other than zero, of the root mean square error of a frame's forces.
    """
    predictions = calculator.evaluate_many([dataset[int(k)] for k in frames])
    pairs = [(p, dataset.labels[int(k)]) for k, p in zip(frames, predictions, strict=True)]
    energy = np.array([abs(p.energy - n.energy) / len(p.forces) for p, n in pairs])
    force = np.array([np.nan if n.forces is None else rmse(p.forces, n.forces) for p, n in pairs])
    # where symmetry leaves no forces any model is right
    tells = np.array([n.forces is not None and np.abs(n.forces).max() > _LEAST_SCALE for _, n in pairs], bool)
    found: dict[int, list[tuple[str, str]]] = {}
    for kind, errors, usual, unit in (
        ("model energy", energy, _GAUSSIAN * energy, "eV/atom"),
        ("model forces", force, force[tells], "eV/Å"),
    ):
        if len(usual) == 0:
            continue
        limit = factor * max(float(np.median(usual)), _LEAST_SCALE)
        for k in np.flatnonzero(errors > limit):
            text = f"a first model's error of {errors[k]:.3f} {unit}, limit {limit:.3f}"
            found.setdefault(int(frames[k]), []).append((kind, text))
    return _cut_frames(found)


def _cut_frames(found: Mapping[int, list[tuple[str, str]]]) -> tuple[CutFrame, ...]:
    return tuple(
        CutFrame(index, tuple(kind for kind, _ in causes), "; ".join(text for _, text in causes))
        for index, causes in sorted(found.items())
    )


def _composition_residual(dataset: Dataset) -> NDArray[np.float64]:
    """(S,) energies per atom less a robust fit to the composition, eV/atom.

    Least absolute deviations, by iteratively reweighted least squares: a few wild labels do not move it.
    """
    composition = dataset.composition(dataset.symbols)
    fractions = composition / composition.sum(axis=1, keepdims=True)
    per_atom = dataset.energies / composition.sum(axis=1)
    centred = per_atom - np.median(per_atom)
    weights = np.ones(len(centred))
    residual = centred
    for _ in range(50):
        solution = np.linalg.lstsq(fractions * weights[:, None], centred * weights, rcond=1e-10)[0]
        residual = centred - fractions @ solution
        weights = 1.0 / np.sqrt(np.maximum(np.abs(residual), 1e-6))
    return np.asarray(residual)


def write_cut(path: Path, dataset: Dataset, cut: tuple[CutFrame, ...]) -> None:
    """Write the frames that were cut, with ``info["outlier"]`` the reason and ``info["outlier_index"]``.

    Without any, a file of an earlier training is removed.
    """
    if not cut:
        path.unlink(missing_ok=True)
        return
    frames = []
    for item in cut:
        atoms = dataset[item.index].copy()
        atoms.info["outlier"], atoms.info["outlier_index"] = item.reason, item.index
        frames.append(atoms)
    Dataset(frames).write(path)
