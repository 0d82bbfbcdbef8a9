"""How a training of Deep Potentials begins: moments, networks, and the way back to a model."""

import numpy as np
import torch
from numpy.typing import NDArray

from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_networks import DeepPotentialNetworks
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.calculators.loading import Model
from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.dp_initial import (
    Layers,
    environment_statistics,
    initial_layers,
    largest_counts,
    spread_layers,
)
from ase_mlsample.training.evaluation import Networks, outputs
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.features import FrameSet, Geometry
from ase_mlsample.training.freezing import freeze, parameter_names
from ase_mlsample.training.models import DeepPotentialSettings, has_narrow_switch
from ase_mlsample.training.moments import MomentSet
from ase_mlsample.training.settings import TrainingSettings
from ase_mlsample.training.start import Start
from ase_mlsample.training.targets import Targets, reduced_labels, self_energies

__all__ = ["deep_potential_start", "new_parameters"]

#: "auto" `sel`: so many per cent more than the most neighbours in the data, rounded up to a multiple.
_SEL_PERCENT, _SEL_MULTIPLE = 10, 4
#: What a step may move the argument of a first layer's tanh by, at the first learning rate.
_FARTHEST = 0.3
#: Frames, of each element, by which features are mixed and the first offset of the energies is found.
_SAMPLE_FRAMES = 128


def deep_potential_start(
    dataset: Dataset,
    model: DeepPotentialSettings | DeepPotentialModel,
    settings: TrainingSettings,
    *,
    symbols: tuple[str, ...],
    rng: np.random.Generator,
) -> Start:
    """Compute moments, and build the networks or take over those of an earlier model, statistics included.

    Raises
    ------
    ValueError
        If atoms lie on top of each other, no two atoms are neighbours, `sel` or `freeze` do not fit, or an
        earlier model's switch is too narrow for the precision.
    """
    frames, double = list(dataset), settings.precision == "float64"
    if isinstance(model, DeepPotentialModel):
        repulsion, cutoff = model.repulsion, model.parameters.cutoff
        if not double and has_narrow_switch(model.parameters.switch_start, cutoff):
            raise ValueError(
                f"the model's switch, from {model.parameters.switch_start} to {cutoff} Å, is too narrow for "
                "single precision: set precision to float64"
            )
    else:
        repulsion, cutoff = Repulsion() if model.repulsion else None, model.cutoff
    geometry = Geometry.of_frames(frames, symbols, cutoff=cutoff)
    close = geometry
    if repulsion is not None:
        close = Geometry.of_frames(frames, symbols, cutoff=repulsion.cutoff(symbols))
    targets = reduced_labels(dataset, close, repulsion)
    if isinstance(model, DeepPotentialModel):
        features = MomentSet(geometry, model.parameters, double=double)
        return _begun(model, features, targets, settings, keep=True)
    features = MomentSet(geometry, new_parameters(model, geometry, symbols), double=double)
    composition = dataset.composition(symbols)
    energies = self_energies(targets.energies.numpy(), composition, symbols, weights=dataset.weights)
    embeddings, fittings = _drawn(model, features, settings.precision, rng)
    statistics = environment_statistics(geometry, features.parameters)
    mean, std_radial, std_angular = (np.tile(values, (model.members, 1)) for values in statistics)
    start = DeepPotentialModel(
        parameters=features.parameters,
        embeddings=embeddings,
        fittings=fittings,
        mean=mean,
        std_radial=std_radial,
        std_angular=std_angular,
        self_energies=energies,
        repulsion=repulsion,
    )
    begun = _begun(start, features, targets, settings, keep=model.initial == "deepmd")
    _offset(begun, composition)
    return begun


def _begun(
    model: DeepPotentialModel,
    features: MomentSet,
    targets: Targets,
    settings: TrainingSettings,
    *,
    keep: bool,
) -> Start:
    """A training of a model's networks; see `ExpandedNetworks.centre` for `keep`."""
    networks = ExpandedNetworks(DeepPotentialNetworks(model, dtype=settings.precision), features.expansion)
    features.follow(networks)
    freeze(networks, settings.freeze)
    atoms = features.atoms(_sample(features, targets))
    # a step of Adam moves each weight by the rate: together the inputs' must not move a layer too far
    spread = min(1.0, _FARTHEST / (model.parameters.length * settings.learning_rate))
    networks.centre(
        features.inputs[atoms],
        features.species[atoms],
        keep=keep,
        spread=spread,
        untouched=_frozen_inputs(networks),
    )

    def trained(changed: Networks) -> Model:
        assert isinstance(changed, ExpandedNetworks)  # noqa: S101 - of the kind that was started with
        return changed.model(model)

    return Start(model, networks, features, targets, 1.0, trained)


def new_parameters(
    model: DeepPotentialSettings, geometry: Geometry, symbols: tuple[str, ...]
) -> DeepPotentialParameters:
    """The parameters that settings and the data make.

    Raises
    ------
    ValueError
        If `sel` is not for these elements.
    """
    sel = model.sel
    if sel == "auto":
        counts = largest_counts(geometry, len(symbols))
        blocks = [-(-count * (100 + _SEL_PERCENT) // (100 * _SEL_MULTIPLE)) for count in counts]
        sel = {symbol: max(n, 1) * _SEL_MULTIPLE for symbol, n in zip(symbols, blocks, strict=True)}
    return DeepPotentialParameters(
        symbols=symbols,
        sel=sel if isinstance(sel, dict) else dict.fromkeys(symbols, sel),
        cutoff=model.cutoff,
        switch_start=model.cutoff / 2 if model.switch_start is None else model.switch_start,
        embedding=model.embedding,
        axis_neurons=model.axis_neurons,
        fitting=model.fitting,
        type_embedding=model.type_embedding,
    )


def _drawn(model: DeepPotentialSettings, features: MomentSet, dtype: str, rng: np.random.Generator) -> Layers:
    """Initial networks, as the settings ask for them."""
    p = features.parameters
    if model.initial == "deepmd":
        return initial_layers(p, model.members, rng=rng, dtype=dtype)
    mean, std, _ = environment_statistics(features.geometry, p)
    least, largest = -mean / std, (features.expansion.largest - mean) / std
    if p.type_embedding == "one-side":
        least[:], largest[:] = least.min(), largest.max()
    centres = [p.symbols.index(key[0]) for key in p.embedding_keys]
    ranges = [(float(least[k]), float(largest[k])) for k in centres]
    return spread_layers(p, model.members, ranges=ranges, rng=rng, dtype=dtype)


def _sample(features: FrameSet, targets: Targets) -> NDArray[np.int64]:
    """Some of the frames that count, of every element evenly spread over those that have it."""
    frame_of_atom = np.repeat(np.arange(len(features)), features.n_atoms)
    counts = targets.weights.numpy() > 0
    chosen = []
    for element in range(int(features.species.max()) + 1):
        having = np.unique(frame_of_atom[features.species.numpy() == element])
        having = having[counts[having]]
        chosen.append(having[:: max(1, -(-len(having) // _SAMPLE_FRAMES))])
    return np.unique(np.concatenate(chosen))


def _frozen_inputs(networks: ExpandedNetworks) -> set[int]:
    """Elements with a frozen parameter in the first layer of the fitting network, which is left as it is."""
    return {
        networks.networks.symbols.index(name.split(".")[1])
        for name, parameter in zip(parameter_names(networks), networks.parameters(), strict=True)
        if name.startswith("fitting.") and ".layers.0." in name and not parameter.requires_grad
    }


@torch.no_grad()
def _offset(start: Start, composition: NDArray[np.float64]) -> None:
    """Move the last biases so that energies are right on average: as drawn they may be off by much."""
    networks, model = start.networks, start.model
    assert isinstance(networks, ExpandedNetworks)  # noqa: S101 - nothing else is begun here
    frames = _sample(start.features, start.targets)
    found = outputs(networks, start.features, frames, start.scale)
    predicted = torch.cat([output.energies for _, output in found], dim=1).numpy()
    own = composition[frames] @ np.array([model.self_energies[symbol] for symbol in model.symbols])
    wanted, weights = start.targets.energies.numpy()[frames] - own, start.targets.weights.numpy()[frames]
    for member, energies in enumerate(predicted):
        shift = self_energies(wanted - energies, composition[frames], model.symbols, weights=weights)
        for index, symbol in enumerate(model.symbols):
            networks.networks.fitting(index).biases[-1][member] += shift[symbol]
