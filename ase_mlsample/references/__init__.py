"""Reference calculators for labels: density-functional codes and LAMMPS, each made by one function.

`gpaw`, `espresso`, `abinit`, `cp2k`, `vasp` and `lammps` take plain values and return ASE calculators, which
raise a `ReferenceFailure` of the kind that tells what can be done.
"""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.references.abinit_code import abinit
    from ase_mlsample.references.cp2k_code import cp2k
    from ase_mlsample.references.espresso_code import espresso
    from ase_mlsample.references.failures import (
        GeometryFailure,
        NotConverged,
        OutOfResources,
        ReferenceFailure,
        SetupFailure,
        classify,
    )
    from ase_mlsample.references.gpaw_code import gpaw
    from ase_mlsample.references.lammps_code import lammps
    from ase_mlsample.references.vasp_code import vasp

__all__ = [
    "GeometryFailure",
    "NotConverged",
    "OutOfResources",
    "ReferenceFailure",
    "SetupFailure",
    "abinit",
    "classify",
    "cp2k",
    "espresso",
    "gpaw",
    "lammps",
    "vasp",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "GeometryFailure": "failures",
        "NotConverged": "failures",
        "OutOfResources": "failures",
        "ReferenceFailure": "failures",
        "SetupFailure": "failures",
        "abinit": "abinit_code",
        "classify": "failures",
        "cp2k": "cp2k_code",
        "espresso": "espresso_code",
        "gpaw": "gpaw_code",
        "lammps": "lammps_code",
        "vasp": "vasp_code",
    },
)
