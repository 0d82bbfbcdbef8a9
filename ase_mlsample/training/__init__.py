"""Training of network ensembles on energies, forces and stress; torch loads only when training starts."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.training.dataset import Dataset
    from ase_mlsample.training.result import TrainingResult
    from ase_mlsample.training.settings import AEVSettings, ModelSettings, TrainingSettings
    from ase_mlsample.training.trainer import train_ensemble

__all__ = [
    "AEVSettings",
    "Dataset",
    "ModelSettings",
    "TrainingResult",
    "TrainingSettings",
    "train_ensemble",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AEVSettings": "settings",
        "Dataset": "dataset",
        "ModelSettings": "settings",
        "TrainingResult": "result",
        "TrainingSettings": "settings",
        "train_ensemble": "trainer",
    },
)
