"""Conversion of ANI ensembles from and to TorchANI's models; importing this loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.ani_torch import import_torchani, torchani_aev_computer
from ase_mlsample.calculators.networks import MemberNetworks

__all__ = ["model_from_torchani", "model_to_torchani"]


def model_from_torchani(torchani_model: Any) -> ANIModel:
    """Take over an assembled TorchANI model; weights stay bit for bit as they are, energies become eV.

    Parameters
    ----------
    torchani_model : torchani.arch.ANI
        A `torchani.arch.ANI`.

    Returns
    -------
    ANIModel
        Of the active members, with the scale of one Hartree in eV (27.211386024367243, TorchANI's value).

    Raises
    ------
    TypeError
        If it is no `ANI` of element networks (`ANINetworks`, or an `Ensemble` of them).
    ValueError
        If it has parts without a counterpart here: dispersion, repulsion, other AEV terms or activations.
    """
    import_torchani()
    from torchani.arch import ANI
    from torchani.units import HARTREE_TO_EV

    if not isinstance(torchani_model, ANI):
        raise TypeError(f"an assembled torchani.arch.ANI is needed, not {type(torchani_model).__name__}")
    enabled = [name for name, potential in torchani_model.potentials.items() if potential._enabled]
    if enabled != ["nnp"]:
        raise ValueError(
            f"the TorchANI model has the potentials {enabled}, of which only 'nnp' has a counterpart here: "
            "switch the others off with model.set_enabled(name, False)"
        )
    symbols = tuple(torchani_model.symbols)
    shifter = torchani_model.energy_shifter
    hartrees = (
        shifter.self_energies.detach().double().cpu().tolist() if shifter._enabled else [0.0] * len(symbols)
    )
    return ANIModel(
        aev=_aev_parameters(torchani_model.aev_computer, symbols),
        networks=_networks(torchani_model.neural_networks, symbols),
        self_energies={s: energy * HARTREE_TO_EV for s, energy in zip(symbols, hartrees, strict=True)},
        scale=HARTREE_TO_EV,
        metadata={"origin": "TorchANI"},
    )


def model_to_torchani(model: ANIModel, *, dtype: str) -> Any:
    """Return a `torchani.arch.ANI` with the same energies in Hartree.

    Weights are kept bit for bit where the scale is one Hartree, as after `model_from_torchani`; otherwise the
    last layers are multiplied by scale / Hartree.

    Parameters
    ----------
    model : ANIModel
        The ensemble.
    dtype : str
        "float32" or "float64".

    Raises
    ------
    ValueError
        If the model has a repulsion: TorchANI has none of its kind.
    """
    import_torchani()
    from torchani.arch import ANI
    from torchani.nn import Ensemble
    from torchani.sae import SelfEnergy
    from torchani.units import HARTREE_TO_EV

    if model.repulsion is not None:
        raise ValueError(
            "the model has a switched ZBL repulsion, which TorchANI does not know: convert "
            "dataclasses.replace(model, repulsion=None) and add the repulsion there yourself"
        )
    networks = model.networks.copy(dtype="float64")
    factor = model.scale / HARTREE_TO_EV
    members = [_container(networks, member, factor) for member in range(model.n_members)]
    hartrees = [model.self_energies[symbol] / HARTREE_TO_EV for symbol in model.symbols]
    assembled = ANI(
        symbols=model.symbols,
        aev_computer=torchani_aev_computer(model.aev),
        neural_networks=members[0] if len(members) == 1 else Ensemble(members),
        energy_shifter=SelfEnergy(model.symbols, hartrees),
    ).to(networks.dtype)
    # TorchANI makes this buffer in single precision, whatever the model will be.
    assembled.energy_shifter.self_energies = torch.tensor(hartrees, dtype=torch.float64)
    return assembled.to(getattr(torch, dtype)).requires_grad_(False)


def _aev_parameters(computer: Any, symbols: Sequence[str]) -> AEVParameters:
    from torchani.aev import AEVComputer, ANIAngular, ANIRadial

    radial, angular = computer.radial, computer.angular
    if type(computer) is not AEVComputer or type(radial) is not ANIRadial or type(angular) is not ANIAngular:
        raise ValueError(
            f"only AEVs of ANIRadial and ANIAngular terms are known, not {type(computer).__name__} with "
            f"{type(radial).__name__} and {type(angular).__name__}"
        )
    parameters = AEVParameters(
        symbols=tuple(symbols),
        radial_cutoff=float(radial.cutoff),
        radial_eta=float(radial.eta),
        radial_shifts=tuple(radial.shifts.tolist()),
        angular_cutoff=float(angular.cutoff),
        angular_eta=float(angular.eta),
        zeta=float(angular.zeta),
        angular_shifts=tuple(angular.shifts.tolist()),
        sections=tuple(angular.sections.tolist()),
        cutoff_function=_cutoff_function(radial.cutoff_fn),
    )
    if not np.array_equal(parameters.radial_shifts, radial.shifts.double().cpu().numpy()):
        raise ValueError("the TorchANI model has shifts in double precision; they are single precision here")
    return parameters


def _cutoff_function(module: Any) -> str:
    from torchani.cutoffs import CutoffCosine, CutoffSmooth

    known = {"cosine": CutoffCosine(), "smooth": CutoffSmooth()}
    for name, cutoff in known.items():
        if cutoff.is_same(module) and getattr(module, "order", 2) == 2:
            return name
    raise ValueError(
        f"the cutoff function {module} of the TorchANI model is not known; known are {list(known)}"
    )


def _networks(container: Any, symbols: Sequence[str]) -> MemberNetworks:
    from torchani.nn import ANINetworks, Ensemble

    if isinstance(container, Ensemble):
        members = [container.members[index] for index in container.active_members_idxs]
    else:
        members = [container]
    if any(type(member) is not ANINetworks for member in members):
        kinds = sorted({type(member).__name__ for member in members})
        raise TypeError(f"the networks must be torchani.nn.ANINetworks, not {', '.join(kinds)}")
    layers = {}
    activations = set()
    for index, symbol in enumerate(symbols):
        networks = [list(member.atomics.values())[index] for member in members]
        activations |= {_activation(network.activation) for network in networks}
        stacks = [[*network.layers, network.final_layer] for network in networks]
        layers[symbol] = _stack(stacks, symbol)
    if len(activations) != 1:
        raise ValueError(f"the TorchANI networks differ in their activations: {sorted(activations)}")
    return MemberNetworks.from_layers(layers, activation=activations.pop())


def _stack(members: Sequence[Sequence[Any]], symbol: str) -> tuple[list[Tensor], list[Tensor]]:
    try:
        weights = [
            torch.stack([layer.weight.detach() for layer in layers]) for layers in zip(*members, strict=True)
        ]
        if members[0][0].bias is None:
            return weights, []
        biases = [
            torch.stack([layer.bias.detach() for layer in layers]).unsqueeze(1)
            for layers in zip(*members, strict=True)
        ]
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the members' networks for {symbol} differ in shape ({error})") from error
    return weights, biases


def _activation(module: Any) -> str:
    from torchani.nn import TightCELU

    if isinstance(module, TightCELU) or (isinstance(module, torch.nn.CELU) and module.alpha == 0.1):
        return "celu"
    if isinstance(module, torch.nn.GELU) and module.approximate == "none":
        return "gelu"
    if isinstance(module, torch.nn.Tanh):
        return "tanh"
    if isinstance(module, torch.nn.Softplus) and module.beta == 1.0:
        return "softplus"
    raise ValueError(f"the activation {module} of the TorchANI model is not known here")


def _container(networks: MemberNetworks, member: int, factor: float) -> Any:
    from torchani.nn import ANINetworks, AtomicNetwork

    activation = {"celu": "celu", "gelu": "gelu", "tanh": torch.nn.Tanh(), "softplus": torch.nn.Softplus()}
    modules = {}
    for symbol, (weights, biases) in networks.layers().items():
        widths = [networks.n_inputs, *(int(weight.shape[1]) for weight in weights)]
        network = AtomicNetwork(
            widths, activation=activation[networks.activation], bias=bool(biases)
        ).double()
        linears = [*network.layers, network.final_layer]
        for index, linear in enumerate(linears):
            share = factor if linear is network.final_layer else 1.0
            linear.weight.data = weights[index][member] * share
            if biases:
                linear.bias.data = biases[index][member, 0] * share
        modules[symbol] = network
    return ANINetworks(modules)
