"""Dynamics: molecular dynamics that explores, and gates that say when to stop."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.dynamics.base import Explorer
    from ase_mlsample.dynamics.biased import BiasedDynamics
    from ase_mlsample.dynamics.bussi import BussiThermostat
    from ase_mlsample.dynamics.convergence_plot import plot_convergence
    from ase_mlsample.dynamics.deep_ves import DeepVES
    from ase_mlsample.dynamics.gate import GateReading, UncertaintyGate
    from ase_mlsample.dynamics.guards import Guards
    from ase_mlsample.dynamics.learning_exploration import DeepVESExplorer, LearnedRunSummary, VESExplorer
    from ase_mlsample.dynamics.melt_quench import MeltQuench
    from ase_mlsample.dynamics.metadynamics import Metadynamics
    from ase_mlsample.dynamics.opes import OPES
    from ase_mlsample.dynamics.plain import PlainDynamics
    from ase_mlsample.dynamics.ramped_run import RunSummary
    from ase_mlsample.dynamics.ramps import RampedMD
    from ase_mlsample.dynamics.rescaling import StochasticCellRescaling
    from ase_mlsample.dynamics.static_exploration import StaticBiasExplorer
    from ase_mlsample.dynamics.umbrella import UmbrellaSampling, UmbrellaWindow, umbrella_windows
    from ase_mlsample.dynamics.ves import VES
    from ase_mlsample.dynamics.visiting_exploration import (
        BiasedRunSummary,
        MetadynamicsExplorer,
        OPESExplorer,
    )
    from ase_mlsample.dynamics.walker_statistics import WalkerHistogram, WalkerSamples
    from ase_mlsample.dynamics.walkers import WalkerDynamics

__all__ = [
    "OPES",
    "VES",
    "BiasedDynamics",
    "BiasedRunSummary",
    "BussiThermostat",
    "DeepVES",
    "DeepVESExplorer",
    "Explorer",
    "GateReading",
    "Guards",
    "LearnedRunSummary",
    "MeltQuench",
    "Metadynamics",
    "MetadynamicsExplorer",
    "OPESExplorer",
    "PlainDynamics",
    "RampedMD",
    "RunSummary",
    "StaticBiasExplorer",
    "StochasticCellRescaling",
    "UmbrellaSampling",
    "UmbrellaWindow",
    "UncertaintyGate",
    "VESExplorer",
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
        "BiasedRunSummary": "visiting_exploration",
        "BussiThermostat": "bussi",
        "DeepVES": "deep_ves",
        "DeepVESExplorer": "learning_exploration",
        "Explorer": "base",
        "GateReading": "gate",
        "Guards": "guards",
        "MeltQuench": "melt_quench",
        "Metadynamics": "metadynamics",
        "LearnedRunSummary": "learning_exploration",
        "MetadynamicsExplorer": "visiting_exploration",
        "OPESExplorer": "visiting_exploration",
        "RampedMD": "ramps",
        "RunSummary": "ramped_run",
        "StaticBiasExplorer": "static_exploration",
        "StochasticCellRescaling": "rescaling",
        "UmbrellaSampling": "umbrella",
        "UmbrellaWindow": "umbrella",
        "UncertaintyGate": "gate",
        "VESExplorer": "learning_exploration",
        "WalkerDynamics": "walkers",
        "WalkerHistogram": "walker_statistics",
        "WalkerSamples": "walker_statistics",
        "plot_convergence": "convergence_plot",
        "umbrella_windows": "umbrella",
    },
)
