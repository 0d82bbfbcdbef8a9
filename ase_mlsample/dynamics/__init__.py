"""Dynamics: molecular dynamics that explores, and gates that say when to stop."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.dynamics.base import Explorer
    from ase_mlsample.dynamics.biased import BiasedDynamics
    from ase_mlsample.dynamics.biased_exploration import BiasedRunSummary, MetadynamicsExplorer
    from ase_mlsample.dynamics.bussi import BussiThermostat
    from ase_mlsample.dynamics.convergence_plot import plot_convergence
    from ase_mlsample.dynamics.deep_ves import DeepVES
    from ase_mlsample.dynamics.gate import GateReading, UncertaintyGate
    from ase_mlsample.dynamics.guards import Guards
    from ase_mlsample.dynamics.melt_quench import MeltQuench
    from ase_mlsample.dynamics.metadynamics import Metadynamics
    from ase_mlsample.dynamics.opes import OPES
    from ase_mlsample.dynamics.plain import PlainDynamics
    from ase_mlsample.dynamics.ramped_run import RunSummary
    from ase_mlsample.dynamics.ramps import RampedMD
    from ase_mlsample.dynamics.rescaling import StochasticCellRescaling
    from ase_mlsample.dynamics.umbrella import UmbrellaSampling, UmbrellaWindow, umbrella_windows
    from ase_mlsample.dynamics.ves import VES
    from ase_mlsample.dynamics.walker_statistics import WalkerHistogram, WalkerSamples
    from ase_mlsample.dynamics.walkers import WalkerDynamics

__all__ = [
    "OPES",
    "VES",
    "BiasedDynamics",
    "BiasedRunSummary",
    "BussiThermostat",
    "DeepVES",
    "Explorer",
    "GateReading",
    "Guards",
    "MeltQuench",
    "Metadynamics",
    "MetadynamicsExplorer",
    "PlainDynamics",
    "RampedMD",
    "RunSummary",
    "StochasticCellRescaling",
    "UmbrellaSampling",
    "UmbrellaWindow",
    "UncertaintyGate",
    "WalkerDynamics",
    "WalkerHistogram",
    "WalkerSamples",
    "plot_convergence",
    "umbrella_windows",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "OPES": "opes",
        "PlainDynamics": "plain",
        "VES": "ves",
        "BiasedDynamics": "biased",
        "BiasedRunSummary": "biased_exploration",
        "BussiThermostat": "bussi",
        "DeepVES": "deep_ves",
        "Explorer": "base",
        "GateReading": "gate",
        "Guards": "guards",
        "MeltQuench": "melt_quench",
        "Metadynamics": "metadynamics",
        "MetadynamicsExplorer": "biased_exploration",
        "RampedMD": "ramps",
        "RunSummary": "ramped_run",
        "StochasticCellRescaling": "rescaling",
        "UmbrellaSampling": "umbrella",
        "UmbrellaWindow": "umbrella",
        "UncertaintyGate": "gate",
        "WalkerDynamics": "walkers",
        "WalkerHistogram": "walker_statistics",
        "WalkerSamples": "walker_statistics",
        "plot_convergence": "convergence_plot",
        "umbrella_windows": "umbrella",
    },
)
