"""What a training returns."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.training.calibration import Coverage
from ase_mlsample.training.evaluation import Metrics
from ase_mlsample.training.outliers import CutFrame

if TYPE_CHECKING:
    from ase_mlsample.calculators.loading import Ensemble

__all__ = ["TrainingResult"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained ensemble and how good it is.

    Attributes
    ----------
    calculator
        The ensemble, each member with its best weights, calibrated.
    history
        One record a validation: epoch, learning rate, losses, errors, seconds.
    validation
        Errors of each member on its own validation frames, at its best weights.
    held_out
        Errors of the ensemble's mean on frames that no member trained on or was chosen by, those of weight 0
        apart; None without such.
    calibration
        Factors from disagreement to error, fitted on the held-out frames (ones for a single member).
    coverage
        For each calibrated quantity ("energy", "forces", "stress"), 1 σ coverage before and after.
    epochs
        Sweeps over the data that were made.
    seconds
        Wall time of the training, resumed parts included.
    cut
        The frames that `TrainingSettings.outliers` cut, and why.
    validation_by_set
        Where the frames come from several named sets: the errors on each one's validation
        frames, mean of the members.
    held_out_by_set
        Likewise, of the ensemble's mean on each one's held-out frames.
    """

    calculator: "Ensemble"
    history: list[dict[str, Any]]
    validation: tuple[Metrics, ...]
    held_out: Metrics | None
    calibration: Calibration
    coverage: dict[str, Coverage]
    epochs: int
    seconds: float
    cut: tuple[CutFrame, ...] = ()
    validation_by_set: dict[str, Metrics] = field(default_factory=dict)
    held_out_by_set: dict[str, Metrics] = field(default_factory=dict)
