"""What the networks are to learn: labels less self energies and repulsion, in units of the model's scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.labels import Labels

__all__ = ["Targets", "reduced_labels", "self_energies"]

_FULL = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # Voigt component of each element of the full tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels of S frames with N atoms in all; NaN where a frame lacks a label.

    Attributes
    ----------
    energies
        (S,) eV.
    forces
        (N, 3) eV/Å.
    virials
        (S, 3, 3) dE/dε in eV.
    n_atoms
        (S,).
    volumes
        (S,) Å³, NaN without stress label.
    weights
        (S,) of the frames in the loss.
    """

    energies: torch.Tensor
    forces: torch.Tensor
    virials: torch.Tensor
    n_atoms: torch.Tensor
    volumes: torch.Tensor
    weights: torch.Tensor

    @property
    def has_forces(self) -> torch.Tensor:
        """(N,) bool by atom."""
        return self.forces[:, 0].isfinite()

    @property
    def has_stress(self) -> torch.Tensor:
        """(S,) bool."""
        return self.virials[:, 0, 0].isfinite()

    @property
    def unit(self) -> float:
        """The data's own scale: their root mean square force component, eV/Å.

        Without forces it is the standard deviation of the energies per atom (eV), and 1 where that is 0.
        Frames count by their weights.
        """
        of_atoms = torch.repeat_interleave(self.weights, self.n_atoms.long())[self.has_forces]
        force = _mean(self.forces[self.has_forces].square().mean(dim=1), of_atoms) ** 0.5
        per_atom = self.energies / self.n_atoms
        spread = _mean((per_atom - _mean(per_atom, self.weights)).square(), self.weights) ** 0.5
        return next((value for value in (force, spread) if value > 0), 1.0)

    def less(self, energies: NDArray[np.float64]) -> "Targets":
        """The same with `energies` (S,) taken off the energies."""
        return Targets(
            self.energies - torch.from_numpy(energies),
            self.forces,
            self.virials,
            self.n_atoms,
            self.volumes,
            self.weights,
        )


def _mean(values: torch.Tensor, weights: torch.Tensor) -> float:
    """Weighted mean, 0 without any weight."""
    return float((weights * values).sum() / weights.sum()) if bool((weights > 0).any()) else 0.0


def reduced_labels(dataset: Dataset, geometry: Geometry, repulsion: Repulsion | None) -> Targets:
    """Labels of a set as tensors, the pair repulsion taken off.

    Parameters
    ----------
    dataset
        Labelled frames.
    geometry
        Their pairs, reaching at least as far as the repulsion.
    repulsion
        What the model adds to its networks, or None.
    """
    energies = dataset.energies
    forces = np.concatenate([_or_nan(labels.forces, (n, 3)) for n, labels in _sized(dataset)])
    stress = np.stack([_or_nan(labels.stress, (6,)) for labels in dataset.labels])
    volumes = np.array([abs(atoms.cell.volume) for atoms in dataset])
    virials = stress[:, _FULL] * volumes[:, None, None]
    if repulsion is not None:
        numbers = np.concatenate([atoms.numbers for atoms in dataset])
        atomic, gradient, virial = repulsion.evaluate(
            numbers, geometry.first, geometry.second, geometry.vectors, geometry.frame_first
        )
        energies = energies - np.add.reduceat(atomic, geometry.frame_first[:-1])
        forces = forces + gradient
        virials = virials - virial
    return Targets(
        energies=torch.from_numpy(energies),
        forces=torch.from_numpy(forces),
        virials=torch.from_numpy(virials),
        n_atoms=torch.from_numpy(dataset.n_atoms).double(),
        volumes=torch.from_numpy(np.where(np.isfinite(stress[:, 0]), volumes, np.nan)),
        weights=torch.from_numpy(dataset.weights),
    )


def _sized(dataset: Dataset) -> Iterator[tuple[int, Labels]]:
    return zip(dataset.n_atoms.tolist(), dataset.labels, strict=True)


def _or_nan(values: NDArray[np.float64] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.full(shape, np.nan) if values is None else values


def self_energies(
    energies: NDArray[np.float64],
    composition: NDArray[np.float64],
    symbols: Sequence[str],
    *,
    weights: NDArray[np.float64],
) -> dict[str, float]:
    """Least-squares atomic energies from total energies, errors per atom counting by the frames' weights.

    With one element this is the mean energy per atom. Where compositions do not determine the energies the
    solution nearest to the mean energy per atom is taken; an element without atoms gets that mean.

    Parameters
    ----------
    energies
        (S,) eV.
    composition
        (S, len(symbols)) atoms of each element.
    symbols
        The elements.
    weights
        (S,) of the frames, not all 0.
    """
    sizes = composition.sum(axis=1)
    per_atom = energies / sizes
    mean = np.average(per_atom, weights=weights)
    root = np.sqrt(weights)
    solution = np.linalg.lstsq((root / sizes)[:, None] * composition, root * (per_atom - mean), rcond=1e-10)[
        0
    ]
    return {symbol: float(mean + value) for symbol, value in zip(symbols, solution, strict=True)}
