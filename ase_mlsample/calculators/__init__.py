"""Calculators: learned ensembles, committees and reference potentials, all of them ASE calculators."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.calculators.ani import ANIEnsemble
    from ase_mlsample.calculators.base import MLCalculator
    from ase_mlsample.calculators.committee import Committee
    from ase_mlsample.calculators.prediction import Calibration, Prediction, Spread
    from ase_mlsample.calculators.stillinger_weber import StillingerWeber
    from ase_mlsample.calculators.uncertainty_bias import UncertaintyBias

__all__ = [
    "ANIEnsemble",
    "Calibration",
    "Committee",
    "MLCalculator",
    "Prediction",
    "Spread",
    "StillingerWeber",
    "UncertaintyBias",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ANIEnsemble": "ani",
        "Calibration": "prediction",
        "Committee": "committee",
        "MLCalculator": "base",
        "Prediction": "prediction",
        "Spread": "prediction",
        "StillingerWeber": "stillinger_weber",
        "UncertaintyBias": "uncertainty_bias",
    },
)
