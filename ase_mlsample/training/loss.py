"""The loss of every member on a batch, normalised by the data's own force scale and sizes."""

from dataclasses import dataclass

import torch

from ase_mlsample.training.features import Batch
from ase_mlsample.training.settings import TrainingSettings
from ase_mlsample.training.targets import Targets

__all__ = ["Loss", "Output"]


@dataclass(frozen=True, slots=True)
class Output:
    """What M members say about a batch of S frames with N atoms: the networks' part only, in eV and Å.

    Attributes
    ----------
    energies
        (M, S).
    gradient
        (M, N, 3) derivative of the energy by positions: minus the forces.
    virials
        (M, S, 3, 3) derivative by strain.
    """

    energies: torch.Tensor
    gradient: torch.Tensor
    virials: torch.Tensor


class Loss:
    """Weighted mean squared errors over a set, estimated from batches of it.

    With f the root mean square of the force components (eV/Å) and errors Δ, a member's loss is

    w_E ⟨(ΔE/N)²⟩/(f·1 Å)² + w_F ⟨ΔF²⟩/f² + w_S ⟨(Δ(dE/dε)/N)²⟩/(f·1 Å)²,

    energies and stress averaged over frames, forces over atoms, by the frames' weights. It is a sum over
    frames with fixed denominators, so that the mean over batches of an epoch is the loss on the whole set.

    Parameters
    ----------
    settings
        Weights and normalisation.
    targets
        Labels of the whole set.
    member_weights
        (M, S) weight of each frame for each member; the frames' own weights multiply it.

    Raises
    ------
    ValueError
        If a member has no frame of positive weight.
    """

    def __init__(self, settings: TrainingSettings, targets: Targets, member_weights: torch.Tensor) -> None:
        self.unit = targets.unit
        self._targets = targets
        self._settings = settings
        self._weights = member_weights * targets.weights
        if not bool((self._weights.sum(dim=1) > 0).all()):
            raise ValueError(
                "a member has no training or validation frame of positive weight; "
                "add frames or raise config_weight"
            )
        power = 1.0 if settings.energy_normalization == "atom" else 0.5
        self._energy_units = self.unit * targets.n_atoms**power
        self._virial_units = self.unit * targets.n_atoms
        self._atom_weights = _atom_weights(targets, settings.relative_forces)
        self._forces = targets.forces.nan_to_num()
        self._virials = targets.virials.nan_to_num()
        self._stress_mask = targets.has_stress.double()
        self.with_forces = settings.forces_weight > 0 and bool(targets.has_forces.any())
        self.with_stress = settings.stress_weight > 0 and bool(targets.has_stress.any())
        self._totals = self._denominators()

    def _denominators(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        frame_of_atom = torch.repeat_interleave(
            torch.arange(len(self._targets.n_atoms)), self._targets.n_atoms.long()
        )
        by_atom = self._weights[:, frame_of_atom] * self._targets.has_forces
        tiny = 1e-300  # members without such labels have a zero numerator
        return (
            self._weights.sum(dim=1).clamp_min(tiny),
            3.0 * by_atom.sum(dim=1).clamp_min(tiny),
            9.0 * (self._weights * self._stress_mask).sum(dim=1).clamp_min(tiny),
        )

    def __call__(self, batch: Batch, output: Output) -> torch.Tensor:
        """(M,) contribution of a batch; contributions of all batches of a set add up to its loss."""
        frames = torch.from_numpy(batch.frames)
        weights = self._weights[:, frames]
        s, totals = self._settings, self._totals
        error = (output.energies.double() - self._targets.energies[frames]) / self._energy_units[frames]
        loss = s.energy_weight * (weights * error.square()).sum(dim=1) / totals[0]
        if self.with_forces:
            error = (output.gradient + self._forces[batch.atoms]).square().sum(dim=2)
            by_atom = weights[:, batch.frame_of_atom] * (self._atom_weights[batch.atoms] / self.unit**2)
            loss = loss + s.forces_weight * (by_atom * error).sum(dim=1) / totals[1]
        if self.with_stress:
            error = (output.virials - self._virials[frames]).square().sum(dim=(2, 3))
            by_frame = weights * (self._stress_mask[frames] / self._virial_units[frames] ** 2)
            loss = loss + s.stress_weight * (by_frame * error).sum(dim=1) / totals[2]
        return loss


def _atom_weights(targets: Targets, level: float | None) -> torch.Tensor:
    """(N,) weight of an atom's force error: 0 without label, falling with the force where a level is set."""
    known = targets.has_forces.double()
    if level is None:
        return known
    squared = targets.forces.nan_to_num().square().sum(dim=1) / level**2
    weights = known / (1.0 + squared)
    of_frames = torch.repeat_interleave(targets.weights, targets.n_atoms.long())
    return weights * ((of_frames * known).sum() / (of_frames * weights).sum().clamp_min(1e-300))
