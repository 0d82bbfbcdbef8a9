"""Samplers: structures drawn at random, crystals perturbed, transforms and filters to compose them with."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.samplers.base import (
        AtomsFilter,
        AtomsSampler,
        AtomsTransform,
        Filter,
        Pipeline,
        Sampler,
        Transform,
    )
    from ase_mlsample.samplers.crystals import PerturbedCrystal
    from ase_mlsample.samplers.defects import Antisites, Interstitials, Substitute, Vacancies
    from ase_mlsample.samplers.disorder import RandomDisorder
    from ase_mlsample.samplers.filters import Density, MinDistance
    from ase_mlsample.samplers.space_groups import RandomSpaceGroup
    from ase_mlsample.samplers.surfaces import GrainBoundary, Slab
    from ase_mlsample.samplers.transforms import Rattle, Scale, Strain, Supercell
    from ase_mlsample.samplers.two_phase import TwoPhase
    from ase_mlsample.samplers.wyckoff import symmetry_deviation

__all__ = [
    "Antisites",
    "AtomsFilter",
    "AtomsSampler",
    "AtomsTransform",
    "Density",
    "Filter",
    "GrainBoundary",
    "Interstitials",
    "MinDistance",
    "PerturbedCrystal",
    "Pipeline",
    "RandomDisorder",
    "RandomSpaceGroup",
    "Rattle",
    "Sampler",
    "Scale",
    "Slab",
    "Strain",
    "Substitute",
    "Supercell",
    "Transform",
    "TwoPhase",
    "Vacancies",
    "symmetry_deviation",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Antisites": "defects",
        "AtomsFilter": "base",
        "AtomsSampler": "base",
        "AtomsTransform": "base",
        "Density": "filters",
        "Filter": "base",
        "GrainBoundary": "surfaces",
        "Interstitials": "defects",
        "MinDistance": "filters",
        "PerturbedCrystal": "crystals",
        "Pipeline": "base",
        "RandomDisorder": "disorder",
        "RandomSpaceGroup": "space_groups",
        "Rattle": "transforms",
        "Sampler": "base",
        "Scale": "transforms",
        "Slab": "surfaces",
        "Strain": "transforms",
        "Substitute": "defects",
        "Supercell": "transforms",
        "Transform": "base",
        "TwoPhase": "two_phase",
        "Vacancies": "defects",
        "symmetry_deviation": "wyckoff",
    },
)
