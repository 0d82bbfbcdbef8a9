"""Biases: potentials of collective variables alone, fixed or built up while a run goes on."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.biases.base import Bias, BiasSum
    from ase_mlsample.biases.bases import Chebyshev, CubicSplines, Fourier, Gaussians, Legendre
    from ase_mlsample.biases.basis import Basis
    from ase_mlsample.biases.coefficients_file import Coefficients, read_coefficients
    from ase_mlsample.biases.deep_ves import DeepVESBias
    from ase_mlsample.biases.hills import MetadynamicsBias
    from ase_mlsample.biases.hills_file import read_hills
    from ase_mlsample.biases.hills_table import Hills
    from ase_mlsample.biases.opes import OPESBias
    from ase_mlsample.biases.restraints import HarmonicRestraint, LinearBias, MovingRestraint
    from ase_mlsample.biases.shared_hills import SharedHills
    from ase_mlsample.biases.shared_samples import SharedSamples
    from ase_mlsample.biases.static import StaticBias
    from ase_mlsample.biases.targets import GivenTarget, Target, Uniform, WellTempered
    from ase_mlsample.biases.variational import VariationalBias
    from ase_mlsample.biases.walls import LowerWall, UpperWall

__all__ = [
    "Basis",
    "Bias",
    "BiasSum",
    "Chebyshev",
    "Coefficients",
    "CubicSplines",
    "DeepVESBias",
    "Fourier",
    "Gaussians",
    "GivenTarget",
    "HarmonicRestraint",
    "Hills",
    "Legendre",
    "LinearBias",
    "LowerWall",
    "MetadynamicsBias",
    "MovingRestraint",
    "OPESBias",
    "SharedHills",
    "SharedSamples",
    "StaticBias",
    "Target",
    "Uniform",
    "UpperWall",
    "VariationalBias",
    "WellTempered",
    "read_coefficients",
    "read_hills",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Basis": "basis",
        "Bias": "base",
        "BiasSum": "base",
        "Chebyshev": "bases",
        "Coefficients": "coefficients_file",
        "CubicSplines": "bases",
        "DeepVESBias": "deep_ves",
        "Fourier": "bases",
        "Gaussians": "bases",
        "GivenTarget": "targets",
        "HarmonicRestraint": "restraints",
        "Hills": "hills_table",
        "Legendre": "bases",
        "LinearBias": "restraints",
        "LowerWall": "walls",
        "MetadynamicsBias": "hills",
        "MovingRestraint": "restraints",
        "OPESBias": "opes",
        "SharedHills": "shared_hills",
        "SharedSamples": "shared_samples",
        "StaticBias": "static",
        "Target": "targets",
        "Uniform": "targets",
        "UpperWall": "walls",
        "VariationalBias": "variational",
        "WellTempered": "targets",
        "read_coefficients": "coefficients_file",
        "read_hills": "hills_file",
    },
)
