"""Training of all members of an ensemble at once, from a data set to a calibrated calculator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ase_mlsample.calculators.ani import ANIEnsemble
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training.calibration import Coverage, fit_calibration
from ase_mlsample.training.checkpoint import fingerprint, load_checkpoint
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.evaluation import Metrics, SquaredErrors, held_out_errors, outputs
from ase_mlsample.training.features import FeatureSet
from ase_mlsample.training.folds import Split, bagged_split, strided_split
from ase_mlsample.training.optimisation import Optimisation, Problem
from ase_mlsample.training.progress import TrainingProgress
from ase_mlsample.training.result import TrainingResult
from ase_mlsample.training.settings import ModelSettings, TrainingSettings
from ase_mlsample.training.standardisation import Standardisation
from ase_mlsample.training.targets import Targets, reduced_labels, self_energies

__all__ = ["train_ensemble"]

_CHECKPOINT = "checkpoint.pt"
_MODEL = "model.safetensors"
_HISTORY = "history.jsonl"


def train_ensemble(
    dataset: Dataset,
    *,
    model: ModelSettings | ANIModel | None = None,
    settings: TrainingSettings | None = None,
    rng: np.random.Generator,
    directory: str | Path,
    progress: bool = True,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingResult:
    """Train an ensemble of ANI networks on energies, forces and stress.

    A folder that holds a checkpoint of the same training (same data, model, settings and seed) is resumed,
    and ends with the weights of the undisturbed run, bit for bit. A finished one is
    returned after its final evaluation.

    Parameters
    ----------
    dataset
        Labelled frames.
    model
        What to build, or an earlier model to go on from (a warm start): its descriptor, self energies, scale
        and weights are kept.
    settings
        How to train.
    rng
        One number is drawn from it, which seeds everything.
    directory
        Gets ``checkpoint.pt``, ``history.jsonl`` and ``model.safetensors``.
    progress
        Show epochs and validation errors.
    on_epoch
        Called with the number of finished epochs after each of them.

    Raises
    ------
    TypeError
        If the data or the model are of another kind.
    ValueError
        If there are too few frames, elements without parameters, atoms on top of each other, or the folder's
        checkpoint belongs to another training.
    RuntimeError
        If the loss stops being finite; the last checkpoint stays.
    """
    settings = settings or TrainingSettings()
    model = model or ModelSettings()
    _check_types(dataset, model)
    seed = int(rng.integers(2**63))
    directory = Path(directory)
    mark = _mark(dataset, model, settings, seed)
    split = _split(len(dataset), model, settings, np.random.default_rng([seed, 1]))
    state = load_checkpoint(directory / _CHECKPOINT, mark=mark)
    with _torch_threads(settings.torch_threads):
        setup = _Setup.of(dataset, model, settings, np.random.default_rng([seed, 2]))
        problem = Problem(setup.networks, setup.features, setup.targets, split, setup.model.scale)
        run = Optimisation(problem, settings, np.random.default_rng([seed, 3]))
        if state is not None:
            run.restore(state)
        directory.mkdir(parents=True, exist_ok=True)
        _optimise(run, directory, mark=mark, epochs=settings.epochs, progress=progress, on_epoch=on_epoch)
        return setup.finish(run, split, directory / _MODEL, settings)


def _check_types(dataset: object, model: object) -> None:
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"the data must be a Dataset, not {type(dataset).__name__}; Dataset(frames) makes one"
        )
    if not isinstance(model, ModelSettings | ANIModel):
        raise TypeError(
            f"model must be ModelSettings or an ANIModel to go on from, not {type(model).__name__}"
        )


def _optimise(
    run: Optimisation,
    directory: Path,
    *,
    mark: str,
    epochs: int,
    progress: bool,
    on_epoch: Callable[[int], None] | None,
) -> None:
    with TrainingProgress(epochs, done=run.epoch, enabled=progress) as bar:

        def report(record: dict[str, Any] | None) -> None:
            bar.epoch(run.epoch, record)
            if on_epoch is not None:
                on_epoch(run.epoch)

        run.run(directory / _CHECKPOINT, directory / _HISTORY, mark=mark, report=report)


@contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _split(
    n_frames: int, model: ModelSettings | ANIModel, settings: TrainingSettings, rng: np.random.Generator
) -> Split:
    members = model.n_members if isinstance(model, ANIModel) else model.members
    folds = {"n_folds": settings.folds, "held_out_folds": settings.held_out_folds}
    if settings.validation == "bagging":
        return bagged_split(n_frames, members=members, rng=rng, **folds)
    return strided_split(n_frames, members=members, validation_folds=settings.validation_folds, **folds)


def _mark(dataset: Dataset, model: ModelSettings | ANIModel, settings: TrainingSettings, seed: int) -> str:
    """What a checkpoint must have in common with this training."""
    free = {"max_minutes", "checkpoint_seconds"}  # these do not change what is learned
    start = model.describe() if isinstance(model, ANIModel) else model.model_dump(mode="json")
    weights: list[torch.Tensor] = list(model.networks.parameters()) if isinstance(model, ANIModel) else []
    description = {"model": start, "settings": settings.model_dump(mode="json", exclude=free)}
    return fingerprint(dataset, description, weights, seed)


@dataclass(frozen=True, slots=True)
class _Setup:
    """A data set turned into features and targets, and the model as it starts."""

    model: ANIModel
    networks: MemberNetworks  # of standardised AEVs
    features: FeatureSet
    targets: Targets
    standardisation: Standardisation

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        model: ModelSettings | ANIModel,
        settings: TrainingSettings,
        rng: np.random.Generator,
    ) -> "_Setup":
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
        standardisation = Standardisation.of(features.aev, features.species, len(symbols))
        features.standardise(standardisation)
        if isinstance(model, ANIModel):
            start = model
            networks = standardisation.unfolded(model.networks.copy(dtype=settings.precision))
        else:
            networks = MemberNetworks(
                model.members,
                aev.length,
                hidden=model.hidden,
                activation=model.activation,
                symbols=symbols,
                rng=rng,
                dtype=settings.precision,
            )
            start = ANIModel(
                aev=aev,
                networks=standardisation.folded(networks),
                self_energies=self_energies(targets.energies.numpy(), composition, symbols),
                scale=_scale(targets),
                repulsion=repulsion,
            )
        energies = composition @ np.array([start.self_energies[symbol] for symbol in symbols])
        return cls(start, networks, features, targets.less(energies), standardisation)

    def finish(
        self, run: Optimisation, split: Split, path: Path, settings: TrainingSettings
    ) -> TrainingResult:
        """The model with each member's best weights, calibrated, saved; and its errors."""
        best = run.best_networks()
        validation = _member_metrics(self, best, split)
        held_out, calibration, covered = _held_out(self, best, split)
        metadata = {
            "training": {
                "frames": len(self.features),
                "epochs": run.epoch,
                "settings": settings.model_dump(mode="json"),
                "validation": [asdict(metrics) for metrics in validation],
                "held_out": None if held_out is None else asdict(held_out),
                "coverage": {name: asdict(value) for name, value in covered.items()},
            }
        }
        model = ANIModel(
            aev=self.model.aev,
            networks=self.standardisation.folded(best),
            self_energies=self.model.self_energies,
            scale=self.model.scale,
            repulsion=self.model.repulsion,
            calibration=calibration,
            metadata=metadata,
        )
        calculator = ANIEnsemble(model, dtype=settings.precision)
        calculator.save(path)
        return TrainingResult(
            calculator=calculator,
            history=run.history,
            validation=validation,
            held_out=held_out,
            calibration=calibration,
            coverage=covered,
            epochs=run.epoch,
            seconds=run.seconds,
        )


def _scale(targets: Targets) -> float:
    """Root mean square force (as eV), the unit in which networks of order one answer."""
    if targets.force_rms > 0:
        return targets.force_rms
    spread = float((targets.energies / targets.n_atoms).std(correction=0))
    return spread if spread > 0 else 1.0


def _member_metrics(setup: _Setup, networks: MemberNetworks, split: Split) -> tuple[Metrics, ...]:
    errors = SquaredErrors(setup.targets, torch.from_numpy(split.validation))
    frames = np.flatnonzero(split.validation.any(axis=0))
    for batch, output in outputs(networks, setup.features, frames, setup.model.scale):
        errors.add(batch, output)
    return tuple(errors.metrics())


def _held_out(
    setup: _Setup, networks: MemberNetworks, split: Split
) -> tuple[Metrics | None, Calibration, dict[str, Coverage]]:
    frames = np.flatnonzero(split.held_out)
    if len(frames) == 0:
        return None, Calibration(), {}
    errors = held_out_errors(networks, setup.features, setup.targets, frames, setup.model.scale)
    rms = [None if e is None else float(np.sqrt(np.mean(e.error**2))) for e in errors]
    metrics = Metrics(rms[0] if rms[0] is not None else float("nan"), rms[1], rms[2])
    if networks.n_members < 2:
        return metrics, Calibration(), {}
    calibration, covered = fit_calibration(*errors)
    return metrics, calibration, covered
