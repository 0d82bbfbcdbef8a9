"""The loss of every member on a batch, normalised by the data's own force scale and sizes."""

from dataclasses import dataclass

import numpy as np
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
    With `TrainingSettings.prefactors` it is the loss of deepmd-kit, as `PrefactorSettings` has it.

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
        if settings.prefactors is not None:
            self.unit = 1.0
            self._energy_units = self._virial_units = targets.n_atoms.sqrt()
            self._atom_weights = self._atom_weights / _of_atoms(targets.n_atoms, targets)
        self._forces = targets.forces.nan_to_num()
        self._virials = targets.virials.nan_to_num()
        self._stress_mask = targets.has_stress.double()
        _, forces, stress = np.maximum(self._factors(0.0), self._factors(1.0))
        self.with_forces = forces > 0 and bool(targets.has_forces.any())
        self.with_stress = stress > 0 and bool(targets.has_stress.any())
        self._totals = self._denominators()

    def _factors(self, decay: float) -> tuple[float, float, float]:
        """Of energies, forces and virials."""
        s = self._settings
        if s.prefactors is None:
            return s.energy_weight, s.forces_weight, s.stress_weight
        pairs = (s.prefactors.energy, s.prefactors.forces, s.prefactors.virial)
        energy, forces, virial = (end + (start - end) * decay for start, end in pairs)
        return energy, forces, virial

    def _denominators(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        by_atom = _of_atoms(self._weights, self._targets) * self._targets.has_forces
        if self._settings.prefactors is not None:  # every frame counts alike, of whatever size
            by_atom = by_atom / _of_atoms(self._targets.n_atoms, self._targets)
        tiny = 1e-300  # members without such labels have a zero numerator
        return (
            self._weights.sum(dim=1).clamp_min(tiny),
            3.0 * by_atom.sum(dim=1).clamp_min(tiny),
            9.0 * (self._weights * self._stress_mask).sum(dim=1).clamp_min(tiny),
        )

    def __call__(self, batch: Batch, output: Output, *, decay: float = 0.0) -> torch.Tensor:
        """(M,) contribution of a batch; contributions of all batches of a set add up to its loss.

        Parameters
        ----------
        batch, output
            Frames and what the members say of them.
        decay
            The learning rate in units of its start, for prefactors that follow it.
        """
        frames = torch.from_numpy(batch.frames)
        weights = self._weights[:, frames]
        factors, totals = self._factors(decay), self._totals
        error = (output.energies.double() - self._targets.energies[frames]) / self._energy_units[frames]
        loss = factors[0] * (weights * error.square()).sum(dim=1) / totals[0]
        if self.with_forces:
            error = (output.gradient + self._forces[batch.atoms]).square().sum(dim=2)
            by_atom = weights[:, batch.frame_of_atom] * (self._atom_weights[batch.atoms] / self.unit**2)
            loss = loss + factors[1] * (by_atom * error).sum(dim=1) / totals[1]
        if self.with_stress:
            error = (output.virials - self._virials[frames]).square().sum(dim=(2, 3))
            by_frame = weights * (self._stress_mask[frames] / self._virial_units[frames] ** 2)
            loss = loss + factors[2] * (by_frame * error).sum(dim=1) / totals[2]
        return loss

    def energy_shortfall(self, batch: Batch, output: Output) -> torch.Tensor:
        """(M, 2) eV by which energies fall short in a batch, and the atoms there; by the frames' weights."""
        frames = torch.from_numpy(batch.frames)
        error = self._targets.energies[frames] - output.energies.detach().double()
        sums = [self._weights[:, frames] * values for values in (error, self._targets.n_atoms[frames])]
        return torch.stack(sums).sum(dim=2).T


def _of_atoms(by_frame: torch.Tensor, targets: Targets) -> torch.Tensor:
    """(…, S) → (…, N), what an atom's frame has."""
    return torch.repeat_interleave(by_frame, targets.n_atoms.long(), dim=-1)


def _atom_weights(targets: Targets, level: float | None) -> torch.Tensor:
    """(N,) weight of an atom's force error: 0 without label, falling with the force where a level is set."""
    known = targets.has_forces.double()
    if level is None:
        return known
    squared = targets.forces.nan_to_num().square().sum(dim=1) / level**2
    weights = known / (1.0 + squared)
    of_frames = _of_atoms(targets.weights, targets)
    return weights * ((of_frames * known).sum() / (of_frames * weights).sum().clamp_min(1e-300))
