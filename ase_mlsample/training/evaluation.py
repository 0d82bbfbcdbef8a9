"""Networks on batches of frames: their energies, forces and virials, and how wrong they are."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.training.calibration import MemberErrors
from ase_mlsample.training.compiled import energies_and_gradient as of_ani
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.features import Batch, FrameSet, structure_gradient
from ase_mlsample.training.loss import Output
from ase_mlsample.training.targets import Targets

__all__ = [
    "Metrics",
    "Networks",
    "SquaredErrors",
    "held_out_errors",
    "mean_metrics",
    "outputs",
    "predict",
    "training_output",
]

#: Of either kind, all members together.
Networks = MemberNetworks | ExpandedNetworks

_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, slots=True)
class Metrics:
    """Root mean square errors; None where no frame has the label.

    Attributes
    ----------
    energy_rmse
        eV per atom, frames counting alike (NaN without frames).
    forces_rmse
        eV/Å, components of all atoms.
    stress_rmse
        eV/Å³, components of all frames.
    """

    energy_rmse: float
    forces_rmse: float | None
    stress_rmse: float | None


def mean_metrics(members: Sequence[Metrics]) -> Metrics:
    """Each error's mean over the members that have it."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None and not math.isnan(value)]
        return float(np.mean(known)) if known else None

    energy = mean(m.energy_rmse for m in members)
    return Metrics(
        float("nan") if energy is None else energy,
        mean(m.forces_rmse for m in members),
        mean(m.stress_rmse for m in members),
    )


def training_output(networks: Networks, batch: Batch, scale: float, *, with_forces: bool) -> Output:
    """Energies and, where asked, forces and virials, differentiable by the weights."""
    atomic, g = _energies_and_gradient(networks, batch)
    energies = scale * _frame_sums(atomic, batch).double()
    if not with_forces:
        nothing = torch.zeros(0, dtype=torch.float64)
        return Output(energies, nothing, nothing)
    gradient, virials = structure_gradient(g * batch.slopes, batch.derivatives)
    return Output(energies, scale * gradient, scale * virials)


def _energies_and_gradient(networks: Networks, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(networks, ExpandedNetworks):
        return networks.energies_and_gradient(batch.inputs, batch.species)
    return of_ani(networks, batch.inputs, batch.species)


@torch.no_grad()
def predict(networks: Networks, batch: Batch, scale: float) -> Output:
    """Energies, forces and virials without a graph."""
    atomic, g = _energies_and_gradient(networks, batch)
    gradient, virials = batch.derivatives.gradient((g * batch.slopes).contiguous().numpy())
    energies = scale * _frame_sums(atomic, batch).double()
    return Output(energies, scale * torch.from_numpy(gradient), scale * torch.from_numpy(virials))


def outputs(
    networks: Networks, features: FrameSet, frames: NDArray[np.int64], scale: float
) -> Iterator[tuple[Batch, Output]]:
    """Predictions for the given frames, in batches."""
    for batch in features.batches(frames, size=features.evaluated_together):
        yield batch, predict(networks, batch, scale)


def _frame_sums(atomic: torch.Tensor, batch: Batch) -> torch.Tensor:
    sums = atomic.new_zeros(atomic.shape[0], len(batch.frames))
    return sums.index_add(1, batch.frame_of_atom, atomic)


class SquaredErrors:
    """Sums of squared errors of each member over the frames that count for it."""

    def __init__(self, targets: Targets, mask: torch.Tensor) -> None:
        self._targets = targets
        self._mask = mask.double()
        self._sums = torch.zeros(3, len(mask), dtype=torch.float64)
        self._counts = torch.zeros(3, len(mask), dtype=torch.float64)

    def add(self, batch: Batch, output: Output) -> None:
        """Take in a batch."""
        t, frames = self._targets, torch.from_numpy(batch.frames)
        mask = self._mask[:, frames]
        energy = (output.energies - t.energies[frames]) / t.n_atoms[frames]
        self._count(0, mask, energy.square(), 1)
        known = t.has_forces[batch.atoms]
        forces = (output.gradient + t.forces[batch.atoms].nan_to_num()).square().sum(dim=2)
        self._count(1, mask[:, batch.frame_of_atom] * known, forces, 3)
        stress = (output.virials - t.virials[frames].nan_to_num()) / t.volumes[frames].nan_to_num(1.0)[
            :, None, None
        ]
        squares = torch.stack([stress[:, :, a, b] for a, b in _VOIGT]).square().sum(dim=0)
        self._count(2, mask * t.has_stress[frames], squares, 6)

    def _count(self, row: int, mask: torch.Tensor, squares: torch.Tensor, components: int) -> None:
        self._sums[row] += (mask * squares).sum(dim=1)
        self._counts[row] += components * mask.sum(dim=1)

    def metrics(self) -> list[Metrics]:
        """One for each member."""
        mean = (self._sums / self._counts).sqrt()  # NaN where there is no label
        found = [[float(x) if x == x else None for x in row] for row in mean]  # noqa: PLR0124
        return [
            Metrics(float("nan") if energy is None else energy, forces, stress)
            for energy, forces, stress in zip(*found, strict=True)
        ]


def held_out_errors(
    networks: Networks, features: FrameSet, targets: Targets, frames: NDArray[np.int64], scale: float
) -> tuple[MemberErrors, MemberErrors | None, MemberErrors | None]:
    """Errors of energies per atom, force components and stress components of each member on given frames."""
    energies, forces, stress = [], [], []
    for batch, output in outputs(networks, features, frames, scale):
        rows = torch.from_numpy(batch.frames)
        energies.append((output.energies - targets.energies[rows]) / targets.n_atoms[rows])
        known = targets.has_forces[batch.atoms]
        forces.append((output.gradient[:, known] + targets.forces[batch.atoms][known]).flatten(1))
        has = targets.has_stress[rows]
        error = (output.virials[:, has] - targets.virials[rows][has]) / targets.volumes[rows][has][
            :, None, None
        ]
        stress.append(torch.stack([error[:, :, a, b] for a, b in _VOIGT], dim=2).flatten(1))

    def joined(parts: list[torch.Tensor]) -> MemberErrors | None:
        values = torch.cat(parts, dim=1).numpy()
        return MemberErrors(values) if values.size else None

    energy_errors = joined(energies)
    if energy_errors is None:
        raise ValueError("there are no held-out frames; raise held_out_folds")
    return energy_errors, joined(forces), joined(stress)
