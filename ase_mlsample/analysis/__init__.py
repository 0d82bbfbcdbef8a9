"""From arrays to numbers a physicist quotes; nothing here evaluates a model."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.analysis.blocks import BlockAverage, block_error
    from ase_mlsample.analysis.clusters import Clusters, SizeDistribution, find_clusters, size_distribution
    from ase_mlsample.analysis.colvar import Colvar, read_colvar
    from ase_mlsample.analysis.crossings import count_crossings
    from ase_mlsample.analysis.eos import EquationOfState, fit_equation_of_state
    from ase_mlsample.analysis.errors import (
        ErrorSummary,
        coverage,
        error_summary,
        expected_coverage,
        spearman,
    )
    from ase_mlsample.analysis.fes_files import read_free_energy, write_free_energy
    from ase_mlsample.analysis.free_energy import FreeEnergy
    from ase_mlsample.analysis.leaving_out import jackknife
    from ase_mlsample.analysis.minima import Minimum, find_minima
    from ase_mlsample.analysis.perturbation import Perturbation, perturb_free_energy
    from ase_mlsample.analysis.umbrella_analysis import CombinedWindows, Window, combine_windows
    from ase_mlsample.analysis.uncertainty import ErrorBins, error_by_sigma

__all__ = [
    "BlockAverage",
    "Clusters",
    "Colvar",
    "CombinedWindows",
    "EquationOfState",
    "ErrorBins",
    "ErrorSummary",
    "FreeEnergy",
    "Minimum",
    "Perturbation",
    "SizeDistribution",
    "Window",
    "block_error",
    "combine_windows",
    "count_crossings",
    "coverage",
    "error_by_sigma",
    "error_summary",
    "expected_coverage",
    "find_clusters",
    "find_minima",
    "fit_equation_of_state",
    "jackknife",
    "perturb_free_energy",
    "read_colvar",
    "read_free_energy",
    "size_distribution",
    "spearman",
    "write_free_energy",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BlockAverage": "blocks",
        "Clusters": "clusters",
        "Colvar": "colvar",
        "CombinedWindows": "umbrella_analysis",
        "EquationOfState": "eos",
        "ErrorBins": "uncertainty",
        "ErrorSummary": "errors",
        "FreeEnergy": "free_energy",
        "Minimum": "minima",
        "Perturbation": "perturbation",
        "SizeDistribution": "clusters",
        "Window": "umbrella_analysis",
        "block_error": "blocks",
        "combine_windows": "umbrella_analysis",
        "count_crossings": "crossings",
        "coverage": "errors",
        "error_by_sigma": "uncertainty",
        "error_summary": "errors",
        "expected_coverage": "errors",
        "find_clusters": "clusters",
        "find_minima": "minima",
        "fit_equation_of_state": "eos",
        "jackknife": "leaving_out",
        "perturb_free_energy": "perturbation",
        "read_colvar": "colvar",
        "read_free_energy": "fes_files",
        "size_distribution": "clusters",
        "spearman": "errors",
        "write_free_energy": "fes_files",
    },
)
