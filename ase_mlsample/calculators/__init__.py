"""Calculators: learned ensembles, committees and reference potentials, all of them ASE calculators."""

from typing import TYPE_CHECKING

from ase_mlsample._lazy import lazy_names

if TYPE_CHECKING:
    from ase_mlsample.calculators.ani import ANIEnsemble
    from ase_mlsample.calculators.base import MLCalculator
    from ase_mlsample.calculators.biased import BiasedCalculator
    from ase_mlsample.calculators.committee import Committee
    from ase_mlsample.calculators.coupled_torsions import CoupledTorsions
    from ase_mlsample.calculators.deep_potential import DeepPotentialEnsemble
    from ase_mlsample.calculators.deepmd_models import DeepmdEnsemble
    from ase_mlsample.calculators.loading import load_ensemble, load_model
    from ase_mlsample.calculators.model_calculator import ModelCalculator
    from ase_mlsample.calculators.model_potentials import DoubleWell, ModelPotential, MullerBrown, WolfeQuapp
    from ase_mlsample.calculators.prediction import Calibration, Prediction, Spread
    from ase_mlsample.calculators.stillinger_weber import StillingerWeber
    from ase_mlsample.calculators.uncertainty_bias import UncertaintyBias

__all__ = [
    "ANIEnsemble",
    "BiasedCalculator",
    "Calibration",
    "Committee",
    "CoupledTorsions",
    "DeepPotentialEnsemble",
    "DeepmdEnsemble",
    "DoubleWell",
    "MLCalculator",
    "ModelCalculator",
    "ModelPotential",
    "MullerBrown",
    "Prediction",
    "Spread",
    "StillingerWeber",
    "UncertaintyBias",
    "WolfeQuapp",
    "load_ensemble",
    "load_model",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ANIEnsemble": "ani",
        "BiasedCalculator": "biased",
        "Calibration": "prediction",
        "Committee": "committee",
        "CoupledTorsions": "coupled_torsions",
        "DeepPotentialEnsemble": "deep_potential",
        "DeepmdEnsemble": "deepmd_models",
        "DoubleWell": "model_potentials",
        "MLCalculator": "base",
        "ModelCalculator": "model_calculator",
        "ModelPotential": "model_potentials",
        "MullerBrown": "model_potentials",
        "Prediction": "prediction",
        "Spread": "prediction",
        "StillingerWeber": "stillinger_weber",
        "UncertaintyBias": "uncertainty_bias",
        "WolfeQuapp": "model_potentials",
        "load_ensemble": "loading",
        "load_model": "loading",
    },
)
