"""From arrays to numbers a physicist quotes; nothing here evaluates a model."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.analysis.eos import EquationOfState, fit_equation_of_state
    from ase_mlsample.analysis.errors import (
        ErrorSummary,
        coverage,
        error_summary,
        expected_coverage,
        spearman,
    )
    from ase_mlsample.analysis.uncertainty import ErrorBins, error_by_sigma

__all__ = [
    "EquationOfState",
    "ErrorBins",
    "ErrorSummary",
    "coverage",
    "error_by_sigma",
    "error_summary",
    "expected_coverage",
    "fit_equation_of_state",
    "spearman",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EquationOfState": "eos",
        "ErrorBins": "uncertainty",
        "ErrorSummary": "errors",
        "coverage": "errors",
        "error_by_sigma": "uncertainty",
        "error_summary": "errors",
        "expected_coverage": "errors",
        "fit_equation_of_state": "eos",
        "spearman": "errors",
    },
)
