"""How a training of ANI networks begins: AEVs, networks, and the way back to a model."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.loading import Model
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.evaluation import Networks
from ase_mlsample.training.features import FeatureSet, FrameSet
from ase_mlsample.training.freezing import freeze, parameter_names
from ase_mlsample.training.settings import ModelSettings, TrainingSettings
from ase_mlsample.training.standardisation import Standardisation
from ase_mlsample.training.targets import Targets, reduced_labels, self_energies

__all__ = ["Start", "ani_start"]


@dataclass(frozen=True, slots=True)
class Start:
    """What a training begins with, of either kind of model.

    Attributes
    ----------
    model
        As the training starts.
    networks
        Of the inputs that the features hold; frozen parameters have ``requires_grad`` off.
    features
        Of all frames.
    targets
        Labels, the repulsion taken off but not the self energies.
    scale
        eV per unit of the networks' output.
    trained
        From trained networks to the model that they make, of the self energies of `model`.
    """

    model: Model
    networks: Networks
    features: FrameSet
    targets: Targets
    scale: float
    trained: Callable[[Networks], Model]


def ani_start(
    dataset: Dataset,
    model: ModelSettings | ANIModel,
    settings: TrainingSettings,
    *,
    symbols: tuple[str, ...],
    rng: np.random.Generator,
) -> Start:
    """Compute AEVs, and build the networks or take over those of an earlier model.

    Raises
    ------
    ValueError
        If elements have no parameters, atoms lie on top of each other, or `freeze` does not fit.
    """
    aev = model.aev if isinstance(model, ANIModel) else model.aev.parameters(symbols)
    repulsion = model.repulsion if isinstance(model, ANIModel) else Repulsion() if model.repulsion else None
    features = FeatureSet(
        list(dataset),
        aev,
        double=settings.precision == "float64",
        cutoff=0.0 if repulsion is None else repulsion.cutoff(symbols),
    )
    targets = reduced_labels(dataset, features.geometry, repulsion)
    if isinstance(model, ANIModel):
        networks, standardisation = _taken_over(model, features, settings)
        start = model
    else:
        standardisation = Standardisation.of(features.inputs, features.species, len(symbols))
        features.standardise(standardisation)
        networks = _new_networks(model, aev, symbols, settings, rng)
        composition = dataset.composition(symbols)
        start = ANIModel(
            aev=aev,
            networks=standardisation.folded(networks),
            self_energies=self_energies(
                targets.energies.numpy(), composition, symbols, weights=dataset.weights
            ),
            scale=targets.unit,  # networks answer with numbers of order one
            repulsion=repulsion,
        )

    def trained(changed: Networks) -> Model:
        assert isinstance(changed, MemberNetworks)  # noqa: S101 - of the kind that was started with
        return replace(start, networks=standardisation.folded(changed))

    return Start(start, networks, features, targets, start.scale, trained)


def _taken_over(
    model: ANIModel, features: FeatureSet, settings: TrainingSettings
) -> tuple[MemberNetworks, Standardisation]:
    """An earlier model's networks, of standardised AEVs and partly frozen; standardises the features."""
    networks = model.networks.copy(dtype=settings.precision)
    freeze(networks, settings.freeze)
    standardisation = Standardisation.of(
        features.inputs, features.species, len(model.symbols), untouched=_frozen_inputs(networks)
    )
    networks = standardisation.unfolded(networks)
    freeze(networks, settings.freeze)
    features.standardise(standardisation)
    return networks, standardisation


def _new_networks(
    model: ModelSettings,
    aev: AEVParameters,
    symbols: tuple[str, ...],
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> MemberNetworks:
    return MemberNetworks(
        model.members,
        aev.length,
        hidden=model.hidden,
        activation=model.activation,
        symbols=symbols,
        rng=rng,
        dtype=settings.precision,
    )


def _frozen_inputs(networks: MemberNetworks) -> set[int]:
    """Elements with a frozen parameter in the first layer: standardised inputs must not be folded into it."""
    return {
        networks.symbols.index(name.split(".")[0])
        for name, parameter in zip(parameter_names(networks), networks.parameters(), strict=True)
        if ".layers.0." in name and not parameter.requires_grad
    }
