"""Dynamics: molecular dynamics that explores, and gates that say when to stop."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.dynamics.base import Explorer
    from ase_mlsample.dynamics.bussi import BussiThermostat
    from ase_mlsample.dynamics.gate import GateReading, UncertaintyGate
    from ase_mlsample.dynamics.guards import Guards
    from ase_mlsample.dynamics.melt_quench import MeltQuench
    from ase_mlsample.dynamics.ramped_run import RunSummary
    from ase_mlsample.dynamics.ramps import RampedMD
    from ase_mlsample.dynamics.rescaling import StochasticCellRescaling

__all__ = [
    "BussiThermostat",
    "Explorer",
    "GateReading",
    "Guards",
    "MeltQuench",
    "RampedMD",
    "RunSummary",
    "StochasticCellRescaling",
    "UncertaintyGate",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BussiThermostat": "bussi",
        "Explorer": "base",
        "GateReading": "gate",
        "Guards": "guards",
        "MeltQuench": "melt_quench",
        "RampedMD": "ramps",
        "RunSummary": "ramped_run",
        "StochasticCellRescaling": "rescaling",
        "UncertaintyGate": "gate",
    },
)
