"""Machine-learned potentials you can trust and rare events you could not wait for, as ASE objects."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample import (
        active,
        analysis,
        biases,
        calculators,
        cvs,
        dynamics,
        gui,
        references,
        report,
        samplers,
        testing,
        training,
        validation,
    )

__version__ = version("ase-mlsample")

__all__ = [
    "__version__",
    "active",
    "analysis",
    "biases",
    "calculators",
    "cvs",
    "dynamics",
    "gui",
    "references",
    "report",
    "samplers",
    "testing",
    "training",
    "validation",
]

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__[1:], ""))
