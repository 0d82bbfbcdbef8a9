"""Training of network ensembles on energies, forces and stress; torch loads only when training starts."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.training.continuation import continue_training
    from ase_mlsample.training.curves import LearningCurve, dataset_errors, learning_curve
    from ase_mlsample.training.dataset import Dataset
    from ase_mlsample.training.outliers import CutFrame
    from ase_mlsample.training.result import TrainingResult
    from ase_mlsample.training.settings import (
        AEVSettings,
        DataSettings,
        ModelSettings,
        OutlierSettings,
        TrainingSettings,
    )
    from ase_mlsample.training.trainer import train_ensemble

__all__ = [
    "AEVSettings",
    "CutFrame",
    "DataSettings",
    "Dataset",
    "LearningCurve",
    "ModelSettings",
    "OutlierSettings",
    "TrainingResult",
    "TrainingSettings",
    "continue_training",
    "dataset_errors",
    "learning_curve",
    "train_ensemble",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AEVSettings": "settings",
        "CutFrame": "outliers",
        "DataSettings": "settings",
        "Dataset": "dataset",
        "LearningCurve": "curves",
        "ModelSettings": "settings",
        "OutlierSettings": "settings",
        "TrainingResult": "result",
        "TrainingSettings": "settings",
        "continue_training": "continuation",
        "dataset_errors": "curves",
        "learning_curve": "curves",
        "train_ensemble": "trainer",
    },
)
