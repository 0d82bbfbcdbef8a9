"""A data set turned into features and targets, the model as training starts, and the model as it ends."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.loading import Ensemble, Model, ensemble_of
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.training.calibration import Coverage, fit_calibration
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.dp_start import deep_potential_start
from ase_mlsample.training.evaluation import (
    Metrics,
    Networks,
    SquaredErrors,
    held_out_errors,
    mean_metrics,
    outputs,
)
from ase_mlsample.training.features import FrameSet
from ase_mlsample.training.folds import Split
from ase_mlsample.training.freezing import parameter_counts
from ase_mlsample.training.models import AnyModelSettings, DeepPotentialSettings
from ase_mlsample.training.optimisation import Optimisation, Problem
from ase_mlsample.training.outliers import CutFrame
from ase_mlsample.training.result import TrainingResult
from ase_mlsample.training.settings import TrainingSettings
from ase_mlsample.training.start import Start, ani_start
from ase_mlsample.training.targets import Targets, self_energies

__all__ = ["Setup"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a training works on.

    Attributes
    ----------
    start
        Model, networks and features as the training starts.
    self_energies
        eV, of each element, as the model will have them.
    targets
        What the networks are to learn, of all frames.
    split
        Which member learns from which frame.
    sets
        By name, (S,) bool: the frames of each data set, where there are several.
    """

    start: Start
    self_energies: Mapping[str, float]
    targets: Targets
    split: Split
    sets: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        model: AnyModelSettings | Model,
        settings: TrainingSettings,
        *,
        split: Split,
        rng: np.random.Generator,
    ) -> "Setup":
        """Compute features, and build the networks or take over those of an earlier model.

        Raises
        ------
        ValueError
            If elements have no parameters, atoms lie on top of each other, or `freeze` does not fit.
        """
        symbols = model.symbols or dataset.symbols
        composition = dataset.composition(symbols)
        if isinstance(model, DeepPotentialSettings | DeepPotentialModel):
            start = deep_potential_start(dataset, model, settings, symbols=symbols, rng=rng)
        else:
            start = ani_start(dataset, model, settings, symbols=symbols, rng=rng)
        energies = start.model.self_energies
        if isinstance(model, Model) and settings.self_energies == "refit":
            learned = np.flatnonzero(~split.held_out & (dataset.weights > 0))
            energies = _refitted(start, composition=composition, frames=learned)
        own = composition @ np.array([energies[symbol] for symbol in symbols])
        return cls(start, energies, start.targets.less(own), split, _sets(dataset))

    @property
    def model(self) -> Model:
        """As the training starts, its self energies apart."""
        return self.start.model

    @property
    def features(self) -> FrameSet:
        """Of all frames."""
        return self.start.features

    @property
    def networks(self) -> Networks:
        """As they are trained; frozen parameters have ``requires_grad`` off."""
        return self.start.networks

    @property
    def problem(self) -> Problem:
        """What the optimiser is given."""
        s = self.start
        return Problem(s.networks, s.features, self.targets, self.split, s.scale, self.sets)

    def finish(
        self,
        run: Optimisation,
        path: Path,
        settings: TrainingSettings,
        *,
        cut: tuple[CutFrame, ...],
    ) -> TrainingResult:
        """The model with each member's best weights, calibrated, saved; and its errors."""
        best = run.best_networks()
        self.start.features.follow(best)
        everything = np.ones(len(self.start.features), dtype=bool)
        validation = self._member_metrics(best, everything)
        held_out, calibration, covered = self._held_out(best)
        by_set = {name: mean_metrics(self._member_metrics(best, mask)) for name, mask in self.sets.items()}
        unseen_by_set = {
            name: metrics
            for name, mask in self.sets.items()
            if (metrics := self._ensemble_metrics(best, mask & self.split.held_out)) is not None
        }
        result = TrainingResult(
            calculator=self._calculator(best, calibration, settings),
            history=run.history,
            validation=validation,
            held_out=held_out,
            calibration=calibration,
            coverage=covered,
            epochs=run.epoch,
            seconds=run.seconds,
            cut=cut,
            validation_by_set=by_set,
            held_out_by_set=unseen_by_set,
        )
        result.calculator.model.metadata["training"] = self._summary(result, settings)
        result.calculator.save(path)
        return result

    def _calculator(
        self, networks: Networks, calibration: Calibration, settings: TrainingSettings
    ) -> Ensemble:
        changes = {"self_energies": dict(self.self_energies), "calibration": calibration, "metadata": {}}
        model: Model = replace(self.start.trained(networks), **changes)  # type: ignore[arg-type]
        return ensemble_of(model, dtype=settings.precision)

    def _summary(self, result: TrainingResult, settings: TrainingSettings) -> dict[str, Any]:
        """What the model file says of its training."""
        trained, parameters = parameter_counts(self.networks)
        held_out = result.held_out
        return {
            "frames": len(self.start.features),
            "epochs": result.epochs,
            "settings": settings.model_dump(mode="json"),
            "validation": [asdict(metrics) for metrics in result.validation],
            "held_out": None if held_out is None else asdict(held_out),
            "coverage": {name: asdict(value) for name, value in result.coverage.items()},
            "cut": len(result.cut),
            "parameters": {"trained": trained, "all": parameters},
            "held_out_by_set": {name: asdict(metrics) for name, metrics in result.held_out_by_set.items()},
        }

    def _member_metrics(self, networks: Networks, mask: NDArray[np.bool_]) -> tuple[Metrics, ...]:
        counted = self.split.validation & mask
        errors = SquaredErrors(self.targets, torch.from_numpy(counted))
        frames = np.flatnonzero(counted.any(axis=0))
        for batch, output in outputs(networks, self.start.features, frames, self.start.scale):
            errors.add(batch, output)
        return tuple(errors.metrics())

    def _ensemble_metrics(self, networks: Networks, mask: NDArray[np.bool_]) -> Metrics | None:
        """Errors of the ensemble's mean on the given frames, None where there are none."""
        frames = np.flatnonzero(mask)
        if len(frames) == 0:
            return None
        errors = held_out_errors(networks, self.start.features, self.targets, frames, self.start.scale)
        rms = [None if e is None else float(np.sqrt(np.mean(e.error**2))) for e in errors]
        return Metrics(rms[0] if rms[0] is not None else float("nan"), rms[1], rms[2])

    def _held_out(self, networks: Networks) -> tuple[Metrics | None, Calibration, dict[str, Coverage]]:
        counted = self.split.held_out & (self.targets.weights.numpy() > 0)
        metrics = self._ensemble_metrics(networks, counted)
        if metrics is None or networks.n_members < 2:
            return metrics, Calibration(), {}
        frames = np.flatnonzero(counted)
        errors = held_out_errors(networks, self.start.features, self.targets, frames, self.start.scale)
        calibration, covered = fit_calibration(*errors)
        return metrics, calibration, covered


def _sets(dataset: Dataset) -> dict[str, NDArray[np.bool_]]:
    names = np.array(dataset.dataset_names)
    different = sorted(set(names.tolist()))
    return {name or "unnamed": names == name for name in different} if len(different) > 1 else {}


def _refitted(
    start: Start, *, composition: NDArray[np.float64], frames: NDArray[np.int64]
) -> dict[str, float]:
    """Self energies moved to fit the given frames; elements that they lack keep theirs."""
    model, targets = start.model, start.targets
    found = outputs(start.networks, start.features, frames, start.scale)
    predicted = torch.cat([output.energies for _, output in found], dim=1).mean(dim=0).numpy()
    before = np.array([model.self_energies[symbol] for symbol in model.symbols])
    shift = targets.energies.numpy()[frames] - predicted - composition[frames] @ before
    present = np.flatnonzero(composition[frames].sum(axis=0) > 0)
    symbols = [model.symbols[k] for k in present]
    weights = targets.weights.numpy()[frames]
    moved = self_energies(shift, composition[frames][:, present], symbols, weights=weights)
    return {symbol: energy + moved.get(symbol, 0.0) for symbol, energy in model.self_energies.items()}
