"""What a potential is held to: structures it has never seen and properties it was not fitted to."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.validation.bulk import BulkProperties, bulk_properties
    from ase_mlsample.validation.conservation import energy_conservation
    from ase_mlsample.validation.crystals import crystal_of, prototype_energies
    from ase_mlsample.validation.defects import point_defects
    from ase_mlsample.validation.elastic import elastic_constants
    from ase_mlsample.validation.equation_of_state import equations_of_state
    from ase_mlsample.validation.evaluation import Source
    from ase_mlsample.validation.held_out import HeldOutSettings, held_out_frames, held_out_set
    from ase_mlsample.validation.journal import Journal
    from ase_mlsample.validation.liquid_state import liquid_properties
    from ase_mlsample.validation.melting import melting_point
    from ase_mlsample.validation.members import members_of
    from ase_mlsample.validation.paths import bain_path, tin_path, trigonal_path
    from ase_mlsample.validation.phonons import phonon_bands
    from ase_mlsample.validation.properties import PropertyResult, Quantity
    from ase_mlsample.validation.quasi_harmonic import quasi_harmonic_expansion
    from ase_mlsample.validation.relaxation import relaxed_crystal
    from ase_mlsample.validation.stacking_faults import stacking_fault_energies
    from ase_mlsample.validation.suite import Validation, run_suite
    from ase_mlsample.validation.surfaces import surface_energies
    from ase_mlsample.validation.thermal_expansion import expansion_by_dynamics

__all__ = [
    "BulkProperties",
    "HeldOutSettings",
    "Journal",
    "PropertyResult",
    "Quantity",
    "Source",
    "Validation",
    "bain_path",
    "bulk_properties",
    "crystal_of",
    "elastic_constants",
    "energy_conservation",
    "equations_of_state",
    "expansion_by_dynamics",
    "held_out_frames",
    "held_out_set",
    "liquid_properties",
    "melting_point",
    "members_of",
    "phonon_bands",
    "point_defects",
    "prototype_energies",
    "quasi_harmonic_expansion",
    "relaxed_crystal",
    "run_suite",
    "stacking_fault_energies",
    "surface_energies",
    "tin_path",
    "trigonal_path",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BulkProperties": "bulk",
        "HeldOutSettings": "held_out",
        "Journal": "journal",
        "PropertyResult": "properties",
        "Quantity": "properties",
        "Source": "evaluation",
        "Validation": "suite",
        "bain_path": "paths",
        "bulk_properties": "bulk",
        "crystal_of": "crystals",
        "elastic_constants": "elastic",
        "energy_conservation": "conservation",
        "equations_of_state": "equation_of_state",
        "expansion_by_dynamics": "thermal_expansion",
        "held_out_frames": "held_out",
        "held_out_set": "held_out",
        "liquid_properties": "liquid_state",
        "melting_point": "melting",
        "members_of": "members",
        "phonon_bands": "phonons",
        "point_defects": "defects",
        "prototype_energies": "crystals",
        "quasi_harmonic_expansion": "quasi_harmonic",
        "relaxed_crystal": "relaxation",
        "run_suite": "suite",
        "stacking_fault_energies": "stacking_faults",
        "surface_energies": "surfaces",
        "tin_path": "paths",
        "trigonal_path": "paths",
    },
)
