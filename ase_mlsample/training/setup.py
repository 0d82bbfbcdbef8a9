"""A data set turned into features and targets, the model as training starts, and the model as it ends."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani import ANIEnsemble
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training.calibration import Coverage, fit_calibration
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.evaluation import (
    Metrics,
    SquaredErrors,
    held_out_errors,
    mean_metrics,
    outputs,
)
from ase_mlsample.training.features import FeatureSet
from ase_mlsample.training.folds import Split
from ase_mlsample.training.freezing import freeze, parameter_counts, parameter_names
from ase_mlsample.training.optimisation import Optimisation, Problem
from ase_mlsample.training.outliers import CutFrame
from ase_mlsample.training.result import TrainingResult
from ase_mlsample.training.settings import ModelSettings, TrainingSettings
from ase_mlsample.training.standardisation import Standardisation
from ase_mlsample.training.targets import Targets, reduced_labels, self_energies

__all__ = ["Setup"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a training works on.

    Attributes
    ----------
    model
        As the training starts, with the self energies that it will have.
    networks
        Of standardised AEVs; frozen parameters have ``requires_grad`` off.
    features, targets
        Of all frames.
    standardisation
        Of the AEVs.
    split
        Which member learns from which frame.
    sets
        By name, (S,) bool: the frames of each data set, where there are several.
    """

    model: ANIModel
    networks: MemberNetworks
    features: FeatureSet
    targets: Targets
    standardisation: Standardisation
    split: Split
    sets: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        model: ModelSettings | ANIModel,
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
        aev = model.aev if isinstance(model, ANIModel) else model.aev.parameters(symbols)
        repulsion = (
            model.repulsion if isinstance(model, ANIModel) else Repulsion() if model.repulsion else None
        )
        features = FeatureSet(
            list(dataset),
            aev,
            double=settings.precision == "float64",
            cutoff=0.0 if repulsion is None else repulsion.cutoff(symbols),
        )
        targets = reduced_labels(dataset, features.geometry, repulsion)
        if isinstance(model, ANIModel):
            networks, standardisation = _taken_over(model, features, settings)
            start = model
            if settings.self_energies == "refit":
                learned = np.flatnonzero(~split.held_out & (dataset.weights > 0))
                start = _refitted(model, networks, features, targets, composition=composition, frames=learned)
        else:
            standardisation = Standardisation.of(features.inputs, features.species, len(symbols))
            features.standardise(standardisation)
            networks = _new_networks(model, aev, symbols, settings, rng)
            start = ANIModel(
                aev=aev,
                networks=standardisation.folded(networks),
                self_energies=self_energies(
                    targets.energies.numpy(), composition, symbols, weights=dataset.weights
                ),
                scale=targets.unit,  # networks answer with numbers of order one
                repulsion=repulsion,
            )
        energies = composition @ np.array([start.self_energies[symbol] for symbol in symbols])
        return cls(start, networks, features, targets.less(energies), standardisation, split, _sets(dataset))

    @property
    def problem(self) -> Problem:
        """What the optimiser is given."""
        scale = self.model.scale
        return Problem(self.networks, self.features, self.targets, self.split, scale, self.sets)

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
        everything = np.ones(len(self.features), dtype=bool)
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
        self, networks: MemberNetworks, calibration: Calibration, settings: TrainingSettings
    ) -> ANIEnsemble:
        model = ANIModel(
            aev=self.model.aev,
            networks=self.standardisation.folded(networks),
            self_energies=self.model.self_energies,
            scale=self.model.scale,
            repulsion=self.model.repulsion,
            calibration=calibration,
        )
        return ANIEnsemble(model, dtype=settings.precision)

    def _summary(self, result: TrainingResult, settings: TrainingSettings) -> dict[str, Any]:
        """What the model file says of its training."""
        trained, parameters = parameter_counts(self.networks)
        held_out = result.held_out
        return {
            "frames": len(self.features),
            "epochs": result.epochs,
            "settings": settings.model_dump(mode="json"),
            "validation": [asdict(metrics) for metrics in result.validation],
            "held_out": None if held_out is None else asdict(held_out),
            "coverage": {name: asdict(value) for name, value in result.coverage.items()},
            "cut": len(result.cut),
            "parameters": {"trained": trained, "all": parameters},
            "held_out_by_set": {name: asdict(metrics) for name, metrics in result.held_out_by_set.items()},
        }

    def _member_metrics(self, networks: MemberNetworks, mask: NDArray[np.bool_]) -> tuple[Metrics, ...]:
        counted = self.split.validation & mask
        errors = SquaredErrors(self.targets, torch.from_numpy(counted))
        frames = np.flatnonzero(counted.any(axis=0))
        for batch, output in outputs(networks, self.features, frames, self.model.scale):
            errors.add(batch, output)
        return tuple(errors.metrics())

    def _ensemble_metrics(self, networks: MemberNetworks, mask: NDArray[np.bool_]) -> Metrics | None:
        """Errors of the ensemble's mean on the given frames, None where there are none."""
        frames = np.flatnonzero(mask)
        if len(frames) == 0:
            return None
        errors = held_out_errors(networks, self.features, self.targets, frames, self.model.scale)
        rms = [None if e is None else float(np.sqrt(np.mean(e.error**2))) for e in errors]
        return Metrics(rms[0] if rms[0] is not None else float("nan"), rms[1], rms[2])

    def _held_out(self, networks: MemberNetworks) -> tuple[Metrics | None, Calibration, dict[str, Coverage]]:
        counted = self.split.held_out & (self.targets.weights.numpy() > 0)
        metrics = self._ensemble_metrics(networks, counted)
        if metrics is None or networks.n_members < 2:
            return metrics, Calibration(), {}
        frames = np.flatnonzero(counted)
        errors = held_out_errors(networks, self.features, self.targets, frames, self.model.scale)
        calibration, covered = fit_calibration(*errors)
        return metrics, calibration, covered


def _taken_over(
    model: ANIModel, features: FeatureSet, settings: TrainingSettings
) -> tuple[MemberNetworks, Standardisation]:
    """An earlier model's networks, of standardised AEVs and partly frozen; standardises the features."""
    networks = model.networks.copy(dtype=settings.precision)
    freeze(networks, settings.freeze)
    standardisation = Standardisation.of(
        features.inputs, features.species, len(model.symbols), untouched=_frozen_inputs(networks)
    )
    networks = standardisation.unfolded(networks)
    freeze(networks, settings.freeze)
    features.standardise(standardisation)
    return networks, standardisation


def _new_networks(
    model: ModelSettings,
    aev: AEVParameters,
    symbols: tuple[str, ...],
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> MemberNetworks:
    return MemberNetworks(
        model.members,
        aev.length,
        hidden=model.hidden,
        activation=model.activation,
        symbols=symbols,
        rng=rng,
        dtype=settings.precision,
    )


def _frozen_inputs(networks: MemberNetworks) -> set[int]:
    """Elements with a frozen parameter in the first layer: standardised inputs must not be folded into it."""
    return {
        networks.symbols.index(name.split(".")[0])
        for name, parameter in zip(parameter_names(networks), networks.parameters(), strict=True)
        if ".layers.0." in name and not parameter.requires_grad
    }


def _sets(dataset: Dataset) -> dict[str, NDArray[np.bool_]]:
    names = np.array(dataset.dataset_names)
    different = sorted(set(names.tolist()))
    return {name or "unnamed": names == name for name in different} if len(different) > 1 else {}


def _refitted(
    model: ANIModel,
    networks: MemberNetworks,
    features: FeatureSet,
    targets: Targets,
    *,
    composition: NDArray[np.float64],
    frames: NDArray[np.int64],
) -> ANIModel:
    """The model with self energies moved to fit the given frames; elements that they lack keep theirs."""
    parts = [output.energies for _, output in outputs(networks, features, frames, model.scale)]
    predicted = torch.cat(parts, dim=1).mean(dim=0).numpy()
    before = np.array([model.self_energies[symbol] for symbol in model.symbols])
    shift = targets.energies.numpy()[frames] - predicted - composition[frames] @ before
    present = np.flatnonzero(composition[frames].sum(axis=0) > 0)
    symbols = [model.symbols[k] for k in present]
    weights = targets.weights.numpy()[frames]
    moved = self_energies(shift, composition[frames][:, present], symbols, weights=weights)
    return ANIModel(
        aev=model.aev,
        networks=model.networks,
        self_energies={s: e + moved.get(s, 0.0) for s, e in model.self_energies.items()},
        scale=model.scale,
        repulsion=model.repulsion,
    )
