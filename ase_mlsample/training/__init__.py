"""Training of network ensembles on energies, forces and stress; torch loads only when training starts."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.training.continuation import continue_training
    from ase_mlsample.training.curves import LearningCurve, dataset_errors, learning_curve
    from ase_mlsample.training.dataset import Dataset
    from ase_mlsample.training.models import DeepPotentialSettings, model_settings
    from ase_mlsample.training.outliers import CutFrame
    from ase_mlsample.training.result import TrainingResult
    from ase_mlsample.training.settings import (
        AEVSettings,
        DataSettings,
        ModelSettings,
        OutlierSettings,
        PrefactorSettings,
        TrainingSettings,
    )
    from ase_mlsample.training.trainer import train_ensemble

__all__ = [
    "AEVSettings",
    "CutFrame",
    "DataSettings",
    "Dataset",
    "DeepPotentialSettings",
    "LearningCurve",
    "ModelSettings",
    "OutlierSettings",
    "PrefactorSettings",
    "TrainingResult",
    "TrainingSettings",
    "continue_training",
    "dataset_errors",
    "learning_curve",
    "model_settings",
    "train_ensemble",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AEVSettings": "settings",
        "CutFrame": "outliers",
        "DataSettings": "settings",
        "Dataset": "dataset",
        "DeepPotentialSettings": "models",
        "LearningCurve": "curves",
        "ModelSettings": "settings",
        "OutlierSettings": "settings",
        "PrefactorSettings": "settings",
        "TrainingResult": "result",
        "TrainingSettings": "settings",
        "continue_training": "continuation",
        "dataset_errors": "curves",
        "learning_curve": "curves",
        "model_settings": "models",
        "train_ensemble": "trainer",
    },
)
