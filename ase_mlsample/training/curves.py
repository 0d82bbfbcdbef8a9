"""How errors fall with the number of frames: one training for each of several nested subsets."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ase_mlsample._files import write_atomic
from ase_mlsample.analysis.errors import energy_rmse, rmse
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.loading import Model
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.evaluation import Metrics
from ase_mlsample.training.folds import fold_numbers
from ase_mlsample.training.models import AnyModelSettings
from ase_mlsample.training.settings import ModelSettings, TrainingSettings
from ase_mlsample.training.trainer import train_ensemble

__all__ = ["LearningCurve", "LearningPoint", "PowerLaw", "dataset_errors", "learning_curve"]

_UNITS = {"energy_rmse": "eV/atom", "forces_rmse": "eV/Å", "stress_rmse": "eV/Å³"}
_FILE = "learning_curve.json"


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """One training.

    Attributes
    ----------
    fraction, n_frames
        Of the frames to learn from.
    repeat
        Which order of the frames.
    errors
        Of the ensemble's mean on the test frames.
    epochs, seconds
        Of the training.
    """

    fraction: float
    n_frames: int
    repeat: int
    errors: Metrics
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """error = prefactor · frames^(−exponent), fitted to logarithms."""

    prefactor: float
    exponent: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Errors against the number of frames.

    Attributes
    ----------
    points
        One a training.
    test_frames
        How many frames the errors are of.
    """

    points: tuple[LearningPoint, ...] = field(default=())
    test_frames: int = 0

    @property
    def n_frames(self) -> NDArray[np.int64]:
        """(P,) different numbers of frames, rising."""
        return np.unique([point.n_frames for point in self.points]).astype(np.int64)

    def mean(self, quantity: str = "forces_rmse") -> NDArray[np.float64]:
        """(P,) mean over repeats of "energy_rmse", "forces_rmse" or "stress_rmse"; NaN without labels."""
        return np.array([np.mean(values) for values in self._values(quantity)])

    def spread(self, quantity: str = "forces_rmse") -> NDArray[np.float64]:
        """(P,) standard deviation over repeats (ddof = 1); NaN for a single one."""
        return np.array(
            [np.std(v, ddof=1) if len(v) > 1 else np.nan for v in self._values(quantity)], dtype=np.float64
        )

    def _values(self, quantity: str) -> list[list[float]]:
        if quantity not in _UNITS:
            raise ValueError(f"unknown quantity {quantity!r}; known are {', '.join(_UNITS)}")
        errors = [(p.n_frames, getattr(p.errors, quantity)) for p in self.points]
        return [
            [np.nan if e is None else e for frames, e in errors if frames == n]
            for n in self.n_frames.tolist()
        ]

    def power_law(self, quantity: str = "forces_rmse") -> PowerLaw:
        """The straight line through the means in a double logarithmic plot.

        Raises
        ------
        ValueError
            If there are fewer than two numbers of frames with that error.
        """
        means = self.mean(quantity)
        known = np.isfinite(means) & (means > 0)
        if known.sum() < 2:
            raise ValueError(f"a power law needs {quantity} at two numbers of frames at least")
        slope, offset = np.polyfit(np.log(self.n_frames[known]), np.log(means[known]), 1)
        return PowerLaw(float(np.exp(offset)), float(-slope))

    def write(self, path: str | Path) -> None:
        """Write the curve as JSON, whole or not at all."""
        content = {"test_frames": self.test_frames, "points": [asdict(point) for point in self.points]}
        write_atomic(Path(path), json.dumps(content, indent=1).encode())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A curve that `write` wrote."""
        content: dict[str, Any] = json.loads(Path(path).read_text())
        points = [
            LearningPoint(**{**point, "errors": Metrics(**point["errors"])}) for point in content["points"]
        ]
        return cls(tuple(points), content["test_frames"])

    def plot(self, path: str | Path) -> None:
        """Draw energy and force errors with their spread and power law (PNG, SVG or PDF)."""
        from matplotlib.figure import Figure

        quantities = [q for q in ("energy_rmse", "forces_rmse") if np.isfinite(self.mean(q)).any()]
        figure = Figure(figsize=(4.5 * len(quantities), 3.6), layout="constrained")
        for axes, quantity in zip(
            np.atleast_1d(figure.subplots(1, len(quantities))), quantities, strict=True
        ):
            means, spread = self.mean(quantity), np.nan_to_num(self.spread(quantity))
            axes.errorbar(self.n_frames, means, yerr=spread, fmt="o", capsize=3, label="mean of repeats")
            if len(means) > 1:
                law = self.power_law(quantity)
                line = law.prefactor * self.n_frames ** (-law.exponent)
                axes.plot(
                    self.n_frames, line, "--", color="grey", label=f"∝ frames$^{{{-law.exponent:.2f}}}$"
                )
            axes.set(xscale="log", yscale="log", xlabel="frames to learn from")
            axes.set_xticks(self.n_frames, [str(n) for n in self.n_frames.tolist()])
            axes.minorticks_off()
            axes.set_ylabel(f"{quantity.removesuffix('_rmse')} RMSE, {_UNITS[quantity]}")
            axes.legend(frameon=False)
        figure.savefig(path, dpi=150)


def learning_curve(
    dataset: Dataset,
    *,
    testset: Dataset | None = None,
    fractions: Sequence[float] = (0.1, 0.2, 0.5, 1.0),
    repeats: int = 1,
    equal_steps: bool = False,
    model: AnyModelSettings | Model | None = None,
    settings: TrainingSettings | None = None,
    rng: np.random.Generator,
    directory: str | Path,
    progress: bool = True,
) -> LearningCurve:
    """Train on growing parts of a set and measure each model on the same test frames.

    In each repeat the frames are put in another order, and every fraction takes its first frames: smaller
    subsets are parts of larger ones. Interrupted and called again, finished trainings are not repeated and
    the one in progress goes on exactly.

    Parameters
    ----------
    dataset
        Labelled frames.
    testset
        Frames to measure on; where None, those of the held-out folds of `dataset`, which are then not learned
        from.
    fractions
        Of the frames to learn from, each above 0 and at most 1; two that are as many frames count once.
    repeats
        Orders of the frames, each with its own random start.
    equal_steps
        Give smaller subsets as many more epochs as they are smaller, so that every training has the same
        number of steps.
    model, settings
        As for `train_ensemble`.
    rng
        One number is drawn from it.
    directory
        Gets ``learning_curve.json`` after every point, and a folder for each training.
    progress
        Show each training.

    Raises
    ------
    ValueError
        If a fraction is out of range or leaves fewer frames than `settings.folds`, or `repeats` is below 1.
    """
    settings = settings or TrainingSettings()
    pool, test = _pool_and_test(dataset, testset, settings)
    sizes = _sizes(fractions, len(pool), repeats, settings)
    symbols = sorted({*pool.symbols, *test.symbols}, key=(*pool.symbols, *test.symbols).index)
    model = _with_symbols(model or ModelSettings(), tuple(symbols))
    seed = int(rng.integers(2**63))
    directory = Path(directory)
    curve = LearningCurve(test_frames=len(test))
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(len(pool))
        for size, fraction in sizes.items():
            epochs = round(settings.epochs * len(pool) / size) if equal_steps else settings.epochs
            result = train_ensemble(
                pool.subset(order[:size].tolist()),
                model=model,
                settings=settings.model_copy(update={"epochs": epochs}),
                rng=np.random.default_rng([seed, repeat, size]),
                directory=directory / f"{size:06d}-frames-{repeat}",
                progress=progress,
            )
            errors = dataset_errors(result.calculator, test)
            point = LearningPoint(fraction, size, repeat, errors, result.epochs, result.seconds)
            curve = LearningCurve((*curve.points, point), len(test))
            curve.write(directory / _FILE)
    return curve


def _pool_and_test(
    dataset: Dataset, testset: Dataset | None, settings: TrainingSettings
) -> tuple[Dataset, Dataset]:
    if testset is not None:
        return dataset, testset
    folds = fold_numbers(len(dataset), n_folds=settings.folds)
    is_test = folds >= settings.folds - settings.held_out_folds
    return (
        dataset.subset(np.flatnonzero(~is_test).tolist()),
        dataset.subset(np.flatnonzero(is_test).tolist()),
    )


def _sizes(
    fractions: Sequence[float], n_frames: int, repeats: int, settings: TrainingSettings
) -> dict[int, float]:
    """Numbers of frames, rising, and the fraction that each of them is."""
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; a learning curve needs at least one")
    wrong = [fraction for fraction in fractions if not 0 < fraction <= 1]
    if wrong or not fractions:
        raise ValueError(f"fractions must be above 0 and at most 1, not {list(fractions)}")
    sizes = {round(fraction * n_frames): float(fraction) for fraction in sorted(fractions)}
    smallest = min(sizes)
    if smallest < settings.folds:
        raise ValueError(
            f"a fraction of {sizes[smallest]:g} of {n_frames} frames is {smallest}, fewer than the "
            f"{settings.folds} folds; leave it out, add frames or lower `folds`"
        )
    return sizes


def _with_symbols(model: AnyModelSettings | Model, symbols: tuple[str, ...]) -> AnyModelSettings | Model:
    """Small subsets may lack an element that the test frames have."""
    if isinstance(model, Model) or model.symbols is not None:
        return model
    return model.model_copy(update={"symbols": symbols})


def dataset_errors(calculator: MLCalculator, dataset: Dataset) -> Metrics:
    """Errors of a calculator on labelled frames.

    Returns
    -------
    Metrics
        Energy in eV per atom; forces (eV/Å) and stress (eV/Å³) by component, None without labels.
    """
    predictions = calculator.evaluate_many(list(dataset))
    labels = dataset.labels
    forces = [(p.forces, n.forces) for p, n in zip(predictions, labels, strict=True) if n.forces is not None]
    stress = [
        (p.stress, n.stress)
        for p, n in zip(predictions, labels, strict=True)
        if n.stress is not None and p.stress is not None
    ]
    return Metrics(
        energy_rmse([p.energy for p in predictions], dataset.energies, dataset.n_atoms),
        rmse(*(np.concatenate(part) for part in zip(*forces, strict=True))) if forces else None,
        rmse(*(np.concatenate(part) for part in zip(*stress, strict=True))) if stress else None,
    )
