"""How a training of Deep Potentials begins: moments, networks, and the way back to a model."""

import numpy as np
import torch

from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_networks import DeepPotentialNetworks
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.calculators.loading import Model
from ase_mlsample.calculators.repulsion import Repulsion
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.dp_initial import environment_statistics, initial_layers, largest_counts
from ase_mlsample.training.evaluation import Networks, outputs
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.freezing import freeze
from ase_mlsample.training.models import DeepPotentialSettings
from ase_mlsample.training.moments import MomentSet
from ase_mlsample.training.settings import TrainingSettings
from ase_mlsample.training.start import Start
from ase_mlsample.training.targets import Targets, reduced_labels, self_energies

__all__ = ["deep_potential_start", "new_parameters"]

#: "auto" `sel`: so many per cent more than the most neighbours in the data, rounded up to a multiple.
_SEL_PERCENT, _SEL_MULTIPLE = 10, 4
#: Frames by which the first offset of the energies is found.
_OFFSET_FRAMES = 128


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
        If atoms lie on top of each other, no two atoms are neighbours, `sel` or `freeze` do not fit.
    """
    frames = list(dataset)
    if isinstance(model, DeepPotentialModel):
        repulsion, cutoff = model.repulsion, model.parameters.cutoff
    else:
        repulsion, cutoff = Repulsion() if model.repulsion else None, model.cutoff
    close = None
    if repulsion is not None:
        close = Geometry.of_frames(frames, symbols, cutoff=repulsion.cutoff(symbols))
    geometry = Geometry.of_frames(frames, symbols, cutoff=cutoff)
    targets = reduced_labels(dataset, geometry if close is None else close, repulsion)
    if isinstance(model, DeepPotentialModel):
        start, parameters = model, model.parameters
    else:
        parameters = new_parameters(model, geometry, symbols)
        start = _new_model(
            parameters,
            n_members=model.members,
            geometry=geometry,
            energies=self_energies(
                targets.energies.numpy(), dataset.composition(symbols), symbols, weights=dataset.weights
            ),
            repulsion=repulsion,
            dtype=settings.precision,
            rng=rng,
        )
    features = MomentSet(geometry, parameters, double=settings.precision == "float64")
    networks = ExpandedNetworks(DeepPotentialNetworks(start, dtype=settings.precision), features.expansion)
    features.follow(networks)
    freeze(networks, settings.freeze)
    if not isinstance(model, DeepPotentialModel):
        _centre(networks, features, targets, dataset.composition(symbols), start)

    def trained(changed: Networks) -> Model:
        assert isinstance(changed, ExpandedNetworks)  # noqa: S101 - of the kind that was started with
        return changed.model(start)

    return Start(start, networks, features, targets, 1.0, trained)


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


def _new_model(
    parameters: DeepPotentialParameters,
    *,
    n_members: int,
    geometry: Geometry,
    energies: dict[str, float],
    repulsion: Repulsion | None,
    dtype: str,
    rng: np.random.Generator,
) -> DeepPotentialModel:
    statistics = environment_statistics(geometry, parameters)
    embeddings, fittings = initial_layers(parameters, n_members, rng=rng, dtype=dtype)
    mean, std_radial, std_angular = (np.tile(values, (n_members, 1)) for values in statistics)
    return DeepPotentialModel(
        parameters=parameters,
        embeddings=embeddings,
        fittings=fittings,
        mean=mean,
        std_radial=std_radial,
        std_angular=std_angular,
        self_energies=energies,
        repulsion=repulsion,
    )


@torch.no_grad()
def _centre(
    networks: ExpandedNetworks,
    features: MomentSet,
    targets: Targets,
    composition: np.ndarray,
    start: DeepPotentialModel,
) -> None:
    """Move the last biases so that energies are right on average: as drawn they are off by electronvolts."""
    chosen = np.flatnonzero(targets.weights.numpy() > 0)
    chosen = chosen[:: -(-len(chosen) // _OFFSET_FRAMES)]
    predicted = torch.cat([output.energies for _, output in outputs(networks, features, chosen, 1.0)], dim=1)
    own = composition[chosen] @ np.array(list(start.self_energies.values()))
    for member, energies in enumerate(predicted.numpy()):
        shift = self_energies(
            targets.energies.numpy()[chosen] - own - energies,
            composition[chosen],
            start.symbols,
            weights=targets.weights.numpy()[chosen],
        )
        for index, symbol in enumerate(start.symbols):
            networks.networks.fitting(index).biases[-1][member] += shift[symbol]
