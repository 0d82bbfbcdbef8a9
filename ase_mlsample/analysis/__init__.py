"""From arrays to numbers a physicist quotes; nothing here evaluates a model."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.analysis.blocks import BlockAverage, block_error
    from ase_mlsample.analysis.clusters import Clusters, SizeDistribution, find_clusters, size_distribution
    from ase_mlsample.analysis.colvar import Colvar, read_colvar
    from ase_mlsample.analysis.crossings import count_crossings
    from ase_mlsample.analysis.diffusion import Diffusion, diffusion_coefficient, mean_squared_displacement
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
    from ase_mlsample.analysis.pair_structure import bond_angles, radial_distribution, structure_factor
    from ase_mlsample.analysis.perturbation import Perturbation, perturb_free_energy
    from ase_mlsample.analysis.umbrella_analysis import CombinedWindows, Window, combine_windows
    from ase_mlsample.analysis.uncertainty import ErrorBins, error_by_sigma

__all__ = [
    "BlockAverage",
    "Clusters",
    "Colvar",
    "CombinedWindows",
    "Diffusion",
    "EquationOfState",
    "ErrorBins",
    "ErrorSummary",
    "FreeEnergy",
    "Minimum",
    "Perturbation",
    "SizeDistribution",
    "Window",
    "block_error",
    "bond_angles",
    "combine_windows",
    "count_crossings",
    "coverage",
    "diffusion_coefficient",
    "error_by_sigma",
    "error_summary",
    "expected_coverage",
    "find_clusters",
    "find_minima",
    "fit_equation_of_state",
    "jackknife",
    "mean_squared_displacement",
    "perturb_free_energy",
    "radial_distribution",
    "read_colvar",
    "read_free_energy",
    "size_distribution",
    "spearman",
    "structure_factor",
    "write_free_energy",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BlockAverage": "blocks",
        "Clusters": "clusters",
        "Colvar": "colvar",
        "CombinedWindows": "umbrella_analysis",
        "Diffusion": "diffusion",
        "EquationOfState": "eos",
        "ErrorBins": "uncertainty",
        "ErrorSummary": "errors",
        "FreeEnergy": "free_energy",
        "Minimum": "minima",
        "Perturbation": "perturbation",
        "SizeDistribution": "clusters",
        "Window": "umbrella_analysis",
        "block_error": "blocks",
        "bond_angles": "pair_structure",
        "combine_windows": "umbrella_analysis",
        "count_crossings": "crossings",
        "coverage": "errors",
        "diffusion_coefficient": "diffusion",
        "error_by_sigma": "uncertainty",
        "error_summary": "errors",
        "expected_coverage": "errors",
        "find_clusters": "clusters",
        "find_minima": "minima",
        "fit_equation_of_state": "eos",
        "jackknife": "leaving_out",
        "mean_squared_displacement": "diffusion",
        "perturb_free_energy": "perturbation",
        "radial_distribution": "pair_structure",
        "read_colvar": "colvar",
        "read_free_energy": "fes_files",
        "size_distribution": "clusters",
        "spearman": "errors",
        "structure_factor": "pair_structure",
        "write_free_energy": "fes_files",
    },
)
