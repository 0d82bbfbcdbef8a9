"""Collective variables: smooth functions of the atoms, with their gradient and virial."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.cvs.arithmetic import cos, sin, stack
    from ase_mlsample.cvs.base import CollectiveVariable, CVValue
    from ase_mlsample.cvs.cell import Density, PotentialEnergy, Volume
    from ase_mlsample.cvs.coordination import Coordination
    from ase_mlsample.cvs.discriminants import LinearCombination, harmonic_lda, lda
    from ase_mlsample.cvs.environment import EnvironmentSimilarity
    from ase_mlsample.cvs.expressions import make_cv
    from ase_mlsample.cvs.geometry import Angle, Dihedral, Distance
    from ase_mlsample.cvs.pair_entropy import LocalPairEntropy, PairEntropy
    from ase_mlsample.cvs.pooling import PerAtomVariable
    from ase_mlsample.cvs.shapes import RMSD, RadiusOfGyration
    from ase_mlsample.cvs.steinhardt import AveragedSteinhardt, LocalBondOrder, Steinhardt
    from ase_mlsample.cvs.structure_factor import StructureFactor, StructureFactorPeak, StructureFactors
    from ase_mlsample.cvs.templates import Template, find_templates
    from ase_mlsample.cvs.torch_cv import TorchCV, load_cv

__all__ = [
    "RMSD",
    "Angle",
    "AveragedSteinhardt",
    "CVValue",
    "CollectiveVariable",
    "Coordination",
    "Density",
    "Dihedral",
    "Distance",
    "EnvironmentSimilarity",
    "LinearCombination",
    "LocalBondOrder",
    "LocalPairEntropy",
    "PairEntropy",
    "PerAtomVariable",
    "PotentialEnergy",
    "RadiusOfGyration",
    "Steinhardt",
    "StructureFactor",
    "StructureFactorPeak",
    "StructureFactors",
    "Template",
    "TorchCV",
    "Volume",
    "cos",
    "find_templates",
    "harmonic_lda",
    "lda",
    "load_cv",
    "make_cv",
    "sin",
    "stack",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "RMSD": "shapes",
        "Angle": "geometry",
        "AveragedSteinhardt": "steinhardt",
        "CVValue": "base",
        "CollectiveVariable": "base",
        "Coordination": "coordination",
        "Density": "cell",
        "Dihedral": "geometry",
        "Distance": "geometry",
        "EnvironmentSimilarity": "environment",
        "LinearCombination": "discriminants",
        "LocalBondOrder": "steinhardt",
        "LocalPairEntropy": "pair_entropy",
        "PairEntropy": "pair_entropy",
        "PerAtomVariable": "pooling",
        "PotentialEnergy": "cell",
        "RadiusOfGyration": "shapes",
        "Steinhardt": "steinhardt",
        "StructureFactor": "structure_factor",
        "StructureFactorPeak": "structure_factor",
        "StructureFactors": "structure_factor",
        "Template": "templates",
        "TorchCV": "torch_cv",
        "Volume": "cell",
        "cos": "arithmetic",
        "find_templates": "templates",
        "harmonic_lda": "discriminants",
        "lda": "discriminants",
        "load_cv": "torch_cv",
        "make_cv": "expressions",
        "sin": "arithmetic",
        "stack": "arithmetic",
    },
)
