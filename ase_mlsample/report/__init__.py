"""The report of a run: one page, its plots and numbers, rebuilt from its directory at any time."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.report.history import History, read_history
    from ase_mlsample.report.predictions import HeldOutPredictions, predict_held_out
    from ase_mlsample.report.validation_page import write_validation_page
    from ase_mlsample.report.write import write_report

__all__ = [
    "HeldOutPredictions",
    "History",
    "predict_held_out",
    "read_history",
    "write_report",
    "write_validation_page",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "HeldOutPredictions": "predictions",
        "History": "history",
        "predict_held_out": "predictions",
        "read_history": "history",
        "write_report": "write",
        "write_validation_page": "validation_page",
    },
)
