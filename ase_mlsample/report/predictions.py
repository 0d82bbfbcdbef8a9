"""The last model on the held-out set: what the parity and uncertainty plots are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.calculators.base import MLCalculator

__all__ = ["HeldOutPredictions", "predict_held_out"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutPredictions:
    """Predictions and labels of S structures with A atoms in all.

    Attributes
    ----------
    class_of_frame : (S,) array of str
        ``config_type``.
    energies, reference_energies : (S,) arrays, eV/atom
    frame_of_atom : (A,) array of int
    forces, reference_forces : (A, 3) arrays, eV/Å
    forces_std : (A, 3) array, eV/Å
        Calibrated standard deviations of the components.
    members
        Of the ensemble.
    """

    class_of_frame: NDArray[np.str_]
    energies: Array
    reference_energies: Array
    frame_of_atom: NDArray[np.int64]
    forces: Array
    reference_forces: Array
    forces_std: Array
    members: int

    @property
    def force_sigma(self) -> Array:
        """(A,) array, eV/Å: predicted error of each atom's force, the norm over its components."""
        return np.asarray(np.linalg.norm(self.forces_std, axis=1))

    @property
    def atom_errors(self) -> Array:
        """(A,) array, eV/Å: norm of the true error of each atom's force."""
        return np.asarray(np.linalg.norm(self.forces - self.reference_forces, axis=1))

    @property
    def kinds(self) -> list[str]:
        """Classes in the order of the file."""
        return list(dict.fromkeys(str(kind) for kind in self.class_of_frame))

    def of(self, kind: str) -> HeldOutPredictions:
        """The part that belongs to one class."""
        frames = self.class_of_frame == kind
        atoms = frames[self.frame_of_atom]
        return HeldOutPredictions(
            class_of_frame=self.class_of_frame[frames],
            energies=self.energies[frames],
            reference_energies=self.reference_energies[frames],
            frame_of_atom=(np.cumsum(frames) - 1)[self.frame_of_atom[atoms]],
            forces=self.forces[atoms],
            reference_forces=self.reference_forces[atoms],
            forces_std=self.forces_std[atoms],
            members=self.members,
        )


def predict_held_out(calculator: MLCalculator, frames: Sequence[Atoms] | Path) -> HeldOutPredictions:
    """Evaluate a calculator with a spread on labelled frames.

    Parameters
    ----------
    calculator
        With at least two members.
    frames
        With ``REF_energy`` and ``REF_forces``, or the file that holds them.

    Raises
    ------
    ValueError
        If there are no frames, one has no labels, or the calculator has no spread.
    """
    from ase.io import read

    if not calculator.supports_spread:
        raise ValueError(f"{type(calculator).__name__} has no spread; give an ensemble or a committee")
    held_out: list[Atoms] = read(frames, index=":") if isinstance(frames, Path) else list(frames)
    if not held_out:
        raise ValueError("the held-out set is empty")
    for number, atoms in enumerate(held_out):
        if "REF_energy" not in atoms.info or "REF_forces" not in atoms.arrays:
            raise ValueError(f"frame {number} of the held-out set lacks REF_energy or REF_forces")
    predictions = calculator.evaluate_many(held_out, members=True)
    spreads = [prediction.spread for prediction in predictions if prediction.spread is not None]
    sizes = np.array([len(atoms) for atoms in held_out])
    first = predictions[0].member_forces
    return HeldOutPredictions(
        class_of_frame=np.array([str(atoms.info.get("config_type", "unnamed")) for atoms in held_out]),
        energies=np.array([prediction.energy for prediction in predictions]) / sizes,
        reference_energies=np.array([float(atoms.info["REF_energy"]) for atoms in held_out]) / sizes,
        frame_of_atom=np.repeat(np.arange(len(held_out)), sizes),
        forces=np.concatenate([prediction.forces for prediction in predictions]),
        reference_forces=np.concatenate([atoms.arrays["REF_forces"] for atoms in held_out]),
        forces_std=np.concatenate([spread.calibrated.forces_std for spread in spreads]),
        members=0 if first is None else len(first),
    )
