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
    from ase_mlsample.samplers.disorder import RandomDisorder
    from ase_mlsample.samplers.filters import Density, MinDistance
    from ase_mlsample.samplers.transforms import Rattle, Scale, Strain, Supercell

__all__ = [
    "AtomsFilter",
    "AtomsSampler",
    "AtomsTransform",
    "Density",
    "Filter",
    "MinDistance",
    "PerturbedCrystal",
    "Pipeline",
    "RandomDisorder",
    "Rattle",
    "Sampler",
    "Scale",
    "Strain",
    "Supercell",
    "Transform",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AtomsFilter": "base",
        "AtomsSampler": "base",
        "AtomsTransform": "base",
        "Density": "filters",
        "Filter": "base",
        "MinDistance": "filters",
        "PerturbedCrystal": "crystals",
        "Pipeline": "base",
        "RandomDisorder": "disorder",
        "Rattle": "transforms",
        "Sampler": "base",
        "Scale": "transforms",
        "Strain": "transforms",
        "Supercell": "transforms",
        "Transform": "base",
    },
)
