"""Dynamics: molecular dynamics that explores, and gates that say when to stop."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.dynamics.base import Explorer
    from ase_mlsample.dynamics.gate import GateReading, UncertaintyGate
    from ase_mlsample.dynamics.guards import Guards
    from ase_mlsample.dynamics.ramped_run import RunSummary
    from ase_mlsample.dynamics.ramps import RampedMD

__all__ = ["Explorer", "GateReading", "Guards", "RampedMD", "RunSummary", "UncertaintyGate"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Explorer": "base",
        "GateReading": "gate",
        "Guards": "guards",
        "RampedMD": "ramps",
        "RunSummary": "ramped_run",
        "UncertaintyGate": "gate",
    },
)
