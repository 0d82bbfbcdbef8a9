"""The optimiser's loop over epochs: steps, averaged weights, validation, best weights, checkpoints."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.training.checkpoint import rng_from_state, rng_state, save_checkpoint
from ase_mlsample.training.evaluation import (
    Networks,
    SquaredErrors,
    mean_metrics,
    outputs,
    training_output,
)
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.features import FrameSet
from ase_mlsample.training.folds import Split
from ase_mlsample.training.loss import Loss
from ase_mlsample.training.schedule import Schedule
from ase_mlsample.training.settings import TrainingSettings
from ase_mlsample.training.targets import Targets

__all__ = ["Optimisation", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is trained on what.

    Attributes
    ----------
    networks
        Of the inputs that the features hold; their weights are changed.
    features, targets
        Of all frames.
    split
        Which member learns from which frame.
    scale
        eV per unit of the networks' output.
    sets
        By name, (S,) bool: the frames of each data set, where there are several.
    """

    networks: Networks
    features: FrameSet
    targets: Targets
    split: Split
    scale: float
    sets: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class Optimisation:
    """A training that can stop after any epoch and go on exactly.

    Parameters with ``requires_grad`` off are never touched: not by the optimiser, its weight decay or the
    average.

    Parameters
    ----------
    problem
        Networks and data.
    settings
        How to train.
    rng
        Orders the frames of each epoch.

    Raises
    ------
    ValueError
        If a member has no training or validation frame of positive weight.
    """

    def __init__(self, problem: Problem, settings: TrainingSettings, rng: np.random.Generator) -> None:
        self._problem, self._settings, self._rng = problem, settings, rng
        weights = problem.targets.weights.numpy()
        split = problem.split
        self._train_loss = Loss(settings, problem.targets, torch.from_numpy(split.train))
        self._validation_loss = Loss(settings, problem.targets, torch.from_numpy(split.validation).double())
        self._train_frames = np.flatnonzero((split.train > 0).any(axis=0) & (weights > 0))
        self._validation_frames = np.flatnonzero(split.validation.any(axis=0))
        self._parameters: list[torch.Tensor] = list(problem.networks.parameters())
        self._averaged = problem.networks.copy()
        self._averaged_parameters: list[torch.Tensor] = list(self._averaged.parameters())
        self._best = [p.detach().clone() for p in self._parameters]
        trained = [k for k, p in enumerate(self._parameters) if p.requires_grad]
        self._trained = [self._parameters[k] for k in trained]
        self._trained_averages = [self._averaged_parameters[k] for k in trained]
        members = problem.networks.n_members
        self._best_loss = torch.full((members,), math.inf, dtype=torch.float64)
        self._since_best = 0
        kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
        self._optimizer = kind(self._trained, lr=1.0, weight_decay=settings.weight_decay, fused=True)
        self._steps_per_epoch = -(-len(self._train_frames) // settings.batch_size)
        self._schedule = Schedule(settings, total_steps=settings.epochs * self._steps_per_epoch)
        self._step = 0
        self._leg_began = 0.0
        self.epoch = 0
        self.seconds = 0.0
        self.finished = False
        self.history: list[dict[str, Any]] = []

    def run(
        self,
        checkpoint: Path,
        history: Path,
        *,
        mark: str,
        report: Callable[[dict[str, Any] | None], None],
    ) -> None:
        """Train to the end, writing checkpoints and the history.

        Raises
        ------
        RuntimeError
            If the loss stops being finite.
        """
        s = self._settings
        began = time.monotonic() - self.seconds
        written = time.monotonic()
        _write_history(history, self.history)
        while self._goes_on():
            train_loss = self._epoch()
            self.epoch += 1
            self.seconds = time.monotonic() - began
            spent = s.max_minutes is not None and self.seconds - self._leg_began > 60.0 * s.max_minutes
            self.finished = self._step >= self._schedule.end or spent
            record = None
            if self.finished or self.epoch % s.validation_interval == 0:
                record = self._validate(train_loss)
                self.history.append(record)
                with history.open("a") as file:
                    file.write(json.dumps(record) + "\n")
            if self.finished or time.monotonic() - written >= s.checkpoint_seconds:
                save_checkpoint(checkpoint, self.state(), mark=mark)
                written = time.monotonic()
            report(record)

    def _goes_on(self) -> bool:
        """Whether there is another epoch to make; begins the next leg where one is over."""
        if not self.finished:
            return True
        legs = self._settings.more_epochs[self._schedule.n_legs - 1 :]
        if not legs:
            return False
        self._schedule.begin_leg(self._step, steps=legs[0] * self._steps_per_epoch)
        self._leg_began = self.seconds
        self._since_best = 0
        self.finished = False
        return True

    def _epoch(self) -> torch.Tensor:
        """One sweep over the training frames; the members' mean losses."""
        p = self._problem
        total = torch.zeros(p.networks.n_members, dtype=torch.float64)
        shortfall = torch.zeros(p.networks.n_members, 2, dtype=torch.float64)
        order = self._rng.permutation(self._train_frames)
        for batch in p.features.batches(order, size=self._settings.batch_size):
            output = training_output(p.networks, batch, p.scale, with_forces=self._with_gradient)
            decay = min(1.0, self._schedule.rate(self._step) / self._settings.learning_rate)
            losses = self._train_loss(batch, output, decay=decay)
            if not bool(losses.isfinite().all()):
                members = (~losses.isfinite()).nonzero().flatten().tolist()
                raise RuntimeError(
                    f"the loss of members {members} is not finite in epoch {self.epoch + 1}; lower "
                    "learning_rate or set gradient_clip (the last checkpoint is kept)"
                )
            self._update(losses.sum() * self._steps_per_epoch)
            total += losses.detach()
            shortfall += self._train_loss.energy_shortfall(batch, output)
        if isinstance(p.networks, ExpandedNetworks):
            self._raise_energies(shortfall[:, 0] / shortfall[:, 1])
        p.features.follow(p.networks)
        return total

    def _raise_energies(self, per_atom: torch.Tensor) -> None:
        """Take the epoch's mean error off the energies: their constant drifts while forces are learned."""
        for networks in (self._problem.networks, self._averaged):
            assert isinstance(networks, ExpandedNetworks)  # noqa: S101 - the callers' choice
            networks.raise_energies(per_atom)

    @property
    def _with_gradient(self) -> bool:
        return self._train_loss.with_forces or self._train_loss.with_stress

    def _update(self, loss: torch.Tensor) -> None:
        # a batch without atoms of an element does not depend on that element's networks
        gradients = torch.autograd.grad(loss, self._trained, allow_unused=True, materialize_grads=True)
        if self._settings.gradient_clip is not None:
            gradients = _clipped(gradients, self._settings.gradient_clip)
        for parameter, gradient in zip(self._trained, gradients, strict=True):
            # the fused optimiser reads memory as it lies, and some gradients come transposed
            parameter.grad = gradient.contiguous()
        self._optimizer.param_groups[0]["lr"] = self._schedule.rate(self._step)
        self._optimizer.step()
        self._step += 1
        # early on the average must not remember the random start
        keep = min(self._settings.average, self._step / (self._step + 9.0))
        with torch.no_grad():
            torch._foreach_lerp_(self._trained_averages, self._trained, 1.0 - keep)

    @torch.no_grad()
    def _validate(self, train_loss: torch.Tensor) -> dict[str, Any]:
        """Errors of the averaged weights on each member's validation frames; keeps the best weights."""
        p = self._problem
        losses = torch.zeros_like(train_loss)
        p.features.follow(self._averaged)
        errors = SquaredErrors(p.targets, torch.from_numpy(p.split.validation))
        of_sets = {
            n: SquaredErrors(p.targets, torch.from_numpy(p.split.validation & m)) for n, m in p.sets.items()
        }
        for batch, output in outputs(self._averaged, p.features, self._validation_frames, p.scale):
            losses += self._validation_loss(batch, output)
            for counted in (errors, *of_sets.values()):
                counted.add(batch, output)
        if not bool(losses.isfinite().all()):
            raise RuntimeError(
                f"the validation loss is not finite after epoch {self.epoch}; lower learning_rate "
                "(the last checkpoint is kept)"
            )
        better = losses < self._best_loss
        self._best_loss = torch.where(better, losses, self._best_loss)
        for best, current in zip(self._best, self._averaged_parameters, strict=True):
            best[better] = current[better]
        self._since_best = 0 if bool(better.any()) else self._since_best + 1
        patience = self._settings.patience
        exhausted = patience is not None and self._since_best >= patience
        if not self._schedule.validated(float(losses.mean())) or exhausted:
            self.finished = True
        record = {
            "epoch": self.epoch,
            "learning_rate": self._schedule.rate(max(0, self._step - 1)),
            "train_loss": train_loss.tolist(),
            "validation_loss": losses.tolist(),
            **asdict(mean_metrics(errors.metrics())),
            "seconds": round(self.seconds, 3),
        }
        if of_sets:
            means = {name: mean_metrics(e.metrics()) for name, e in of_sets.items()}
            record["sets"] = {name: asdict(m) for name, m in means.items() if not math.isnan(m.energy_rmse)}
        return record

    def best_networks(self) -> Networks:
        """Networks with each member's best weights."""
        networks = self._problem.networks.copy()
        with torch.no_grad():
            for parameter, best in zip(networks.parameters(), self._best, strict=True):
                parameter.copy_(best)
        return networks

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            "weights": [p.detach() for p in self._parameters],
            "buffers": list(self._problem.networks.buffers()),
            "averaged": [p.detach() for p in self._averaged_parameters],
            "best": self._best,
            "best_loss": self._best_loss,
            "since_best": self._since_best,
            "optimizer": self._optimizer.state_dict(),
            "schedule": dict(self._schedule.state()),
            "rng": rng_state(self._rng),
            "step": self._step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "leg_began": self._leg_began,
            "finished": self.finished,
            "history": self.history,
            "features": dict(self._problem.features.state()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of a checkpoint."""
        with torch.no_grad():
            for parameters, key in ((self._parameters, "weights"), (self._averaged_parameters, "averaged")):
                for parameter, value in zip(parameters, state[key], strict=True):
                    parameter.copy_(value)
            # what the weights are of: another machine would find the same but for its rounding
            for networks in (self._problem.networks, self._averaged):
                for buffer, value in zip(networks.buffers(), state.get("buffers", ()), strict=True):
                    buffer.copy_(value)
        self._problem.features.restore(state.get("features", {}))
        self._best, self._best_loss = list(state["best"]), state["best_loss"]
        self._since_best = state["since_best"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.restore(state["schedule"])
        self._rng = rng_from_state(state["rng"])
        self._step, self.epoch = state["step"], state["epoch"]
        self.seconds, self.finished = state["seconds"], state["finished"]
        self._leg_began = state.get("leg_began", 0.0)
        self.history = list(state["history"])


def _clipped(gradients: tuple[torch.Tensor, ...], limit: float) -> tuple[torch.Tensor, ...]:
    """Gradients with the norm of each member's part at most `limit`."""
    squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0)
    factors = (limit / squares.sqrt().clamp_min(1e-30)).clamp_max(1.0)
    return tuple(g * factors.reshape(-1, *[1] * (g.dim() - 1)) for g in gradients)


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in history))
