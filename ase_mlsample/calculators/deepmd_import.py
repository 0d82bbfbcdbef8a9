"""Deep Potentials out of deepmd-kit's models; NumPy only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.calculators.deepmd_files import read_deepmd_file
from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters

__all__ = ["model_from_deepmd", "require_same_skips"]

Array = NDArray[Any]
Path = str | os.PathLike[str]

_REMEDY = "evaluate it with deepmd-kit itself: DeepPotentialEnsemble.from_deepmd"


def model_from_deepmd(paths: Path | Iterable[Path]) -> DeepPotentialModel:
    """Take over se_e2_a models of deepmd-kit 3, one member a file; weights stay bit for bit as they are.

    Results agree with deepmd-kit's as long as its ``sel`` suffices: beyond it deepmd-kit drops neighbours,
    and this package does not.

    Parameters
    ----------
    paths : path, or iterable of paths
        ``.dp`` and ``.yaml`` files are read without deepmd-kit, frozen models and checkpoints with it.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ImportError
        If deepmd-kit is needed and not installed.
    ValueError
        If a model has parts without a counterpart here, naming them, or members differ in their definition.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise ValueError("no model files are given; name one for each member")
    members = []
    for path in listed:
        try:
            members.append(_member(read_deepmd_file(path)["model"]))
        except KeyError as error:
            raise ValueError(
                f"{os.fspath(path)} is no valid model of deepmd-kit: it lacks {error}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error
    return _stack(members, [os.fspath(path) for path in listed])


def require_same_skips(sizes: Sequence[int]) -> None:
    """Refuse fitting networks in which deepmd-kit may add the features, or inputs twice over, to outputs.

    Parameters
    ----------
    sizes : sequence of int
        Features and hidden widths of a fitting network, where only hidden layers of equal width add theirs.

    Raises
    ------
    ValueError
        Naming the layer.
    """
    for layer, (wide_in, wide_out) in enumerate(pairwise(sizes)):
        if wide_out == 2 * wide_in or (layer == 0 and wide_out == wide_in):
            raise ValueError(
                f"hidden layer {layer + 1} of the fitting networks goes from {wide_in} to {wide_out}, where "
                "backends of deepmd-kit differ in whether the input is added to the output: "
                "choose other widths of the fitting network"
            )


def _member(data: Mapping[str, Any]) -> DeepPotentialModel:
    descriptor, fitting = _supported(data)
    symbols = tuple(data["type_map"])
    parameters = DeepPotentialParameters(
        symbols=symbols,
        sel={symbol: int(n) for symbol, n in zip(symbols, descriptor["sel"], strict=True)},
        cutoff=descriptor["rcut"],
        switch_start=descriptor["rcut_smth"],
        embedding=tuple(int(n) for n in descriptor["neuron"]),
        axis_neurons=int(descriptor["axis_neuron"]),
        fitting=tuple(int(n) for n in fitting["neuron"]),
        type_embedding="one-side" if descriptor["type_one_side"] else "pair",
    )
    require_same_skips((parameters.length, *parameters.fitting))
    mean, std_radial, std_angular = _statistics(descriptor["@variables"], len(symbols))
    embeddings = _in_our_order(descriptor["embeddings"], len(symbols))
    biases = _biases(data, fitting, len(symbols))
    return DeepPotentialModel(
        parameters=parameters,
        embeddings=tuple(_layers(net, "embedding") for net in embeddings),
        fittings=tuple(_layers(net, "fitting") for net in fitting["nets"]["networks"]),
        mean=mean[np.newaxis],
        std_radial=std_radial[np.newaxis],
        std_angular=std_angular[np.newaxis],
        self_energies={symbol: float(bias) for symbol, bias in zip(symbols, biases, strict=True)},
        metadata={"origin": "deepmd-kit"},
    )


def _supported(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Descriptor and fitting of a model that has nothing that the definition here lacks."""
    if data.get("type", "standard") != "standard":
        raise ValueError(
            f"a model of type {data['type']!r} has no counterpart here, only one of a descriptor and a "
            f"fitting network has; {_REMEDY}"
        )
    if not data.get("type_map"):
        raise ValueError("the model has no type_map, so its elements are unknown: train it with one")
    descriptor, fitting = data["descriptor"], data["fitting"]
    if descriptor["type"] not in ("se_e2_a", "se_a"):
        raise ValueError(
            f"the descriptor {descriptor['type']!r} has no counterpart here, only 'se_e2_a' has; {_REMEDY}"
        )
    if fitting["type"] != "ener":
        raise ValueError(f"the model predicts {fitting['type']!r}, not an energy ('ener')")
    foreign = {
        "excluded pairs of types": descriptor.get("exclude_types") or data.get("pair_exclude_types"),
        "excluded types": fitting.get("exclude_types") or data.get("atom_exclude_types"),
        "spin": descriptor.get("spin") or fitting.get("spin"),
        "a protection of short distances (env_protection)": descriptor.get("env_protection"),
        "an exponential switch": descriptor.get("env_mat", {}).get("use_exp_switch"),
        "frame parameters (numb_fparam)": fitting.get("numb_fparam"),
        "atomic parameters (numb_aparam)": fitting.get("numb_aparam"),
        "an embedding of the data set (dim_case_embd)": fitting.get("dim_case_embd"),
        "a fitting network for all types": fitting.get("mixed_types"),
        "energies of atoms in vacuum (atom_ener)": [
            e for e in fitting.get("atom_ener") or [] if e is not None
        ],
        "timesteps in the embedding (resnet_dt)": descriptor.get("resnet_dt"),
    }
    found = [name for name, value in foreign.items() if value]
    if found:
        raise ValueError(f"the model has {', '.join(found)}, which has no counterpart here; {_REMEDY}")
    return descriptor, fitting


def _statistics(variables: Mapping[str, Any], n_types: int) -> tuple[Array, Array, Array]:
    """m, d and t of each type, which deepmd-kit keeps for every slot and component."""
    mean, std = (
        np.asarray(variables[name], dtype=float).reshape(n_types, -1, 4) for name in ("davg", "dstd")
    )
    same = (mean == mean[:, :1]).all() and (std == std[:, :1]).all()
    if not same or mean[..., 1:].any() or (std[..., 1:] != std[..., 1:2]).any():
        raise ValueError(
            "its statistics davg and dstd differ between the neighbours of an atom or the directions, "
            f"which the definition here does not know; {_REMEDY}"
        )
    return mean[:, 0, 0], std[:, 0, 0], std[:, 0, 1]


def _in_our_order(collection: Mapping[str, Any], n_types: int) -> list[Mapping[str, Any]]:
    """Embedding networks with the centre's type slowest; deepmd-kit has it fastest."""
    networks = list(collection["networks"])
    if collection["ndim"] == 1:
        return networks
    return [networks[centre + n_types * other] for centre in range(n_types) for other in range(n_types)]


def _layers(network: Mapping[str, Any] | None, kind: str) -> DenseLayers:
    if network is None:
        raise ValueError(f"an {kind} network is missing: the model was compressed; give the one before that")
    layers = network["layers"]
    last = len(layers) - 1 if kind == "fitting" else len(layers)
    for k, layer in enumerate(layers):
        activation = str(layer["activation_function"]).lower()
        if activation not in (("none", "linear") if k == last else ("tanh",)):
            raise ValueError(
                f"the {kind} networks have the activation {activation!r}, only 'tanh' has a counterpart "
                f"here; {_REMEDY}"
            )
        if k != last and not layer["resnet"]:
            raise ValueError(f"the {kind} networks have layers without skip connections (resnet); {_REMEDY}")
    weights = [np.asarray(layer["@variables"]["w"]).T for layer in layers]
    return DenseLayers(
        tuple(np.ascontiguousarray(weight)[np.newaxis] for weight in weights),
        tuple(
            _or(layer["@variables"].get("b"), np.zeros(len(w), w.dtype))
            for layer, w in zip(layers, weights, strict=True)
        ),
        tuple(
            _or(layer["@variables"].get("idt"), np.ones(len(w), w.dtype))
            if kind == "fitting" and 0 < k < last and w.shape[0] == w.shape[1]
            else None
            for k, (layer, w) in enumerate(zip(layers, weights, strict=True))
        ),
    )


def _or(value: Any, default: Array) -> Array:
    """(1, n) array."""
    return default[np.newaxis] if value is None else np.asarray(value).reshape(1, -1)


def _biases(data: Mapping[str, Any], fitting: Mapping[str, Any], n_types: int) -> Array:
    """Atomic energies: deepmd-kit keeps a part with the fitting and a part with the model."""
    found = np.zeros(n_types)
    for part, name in ((fitting, "bias_atom_e"), (data, "out_bias")):
        value = part.get("@variables", {}).get(name)
        if value is not None:
            found = found + np.asarray(value, dtype=float).reshape(-1)[:n_types]
    return found


def _stack(members: Sequence[DeepPotentialModel], names: Sequence[str]) -> DeepPotentialModel:
    first = members[0]
    for member, name in zip(members, names, strict=True):
        if set(member.symbols) != set(first.symbols):
            raise ValueError(
                f"{name} is for {', '.join(member.symbols)}, {names[0]} for {', '.join(first.symbols)}: "
                "members of an ensemble must be for the same elements"
            )
        if member.parameters != first.parameters or member.dtype != first.dtype:
            raise ValueError(
                f"{name} and {names[0]} differ in sizes, cutoffs, order of elements or precision: members of "
                "an ensemble share one definition; make them members of a Committee instead"
            )
    fittings = [_with_bias_of(member, first) for member in members]
    return DeepPotentialModel(
        parameters=first.parameters,
        embeddings=tuple(_joined(nets) for nets in zip(*(m.embeddings for m in members), strict=True)),
        fittings=tuple(_joined(nets) for nets in zip(*fittings, strict=True)),
        mean=np.concatenate([m.mean for m in members]),
        std_radial=np.concatenate([m.std_radial for m in members]),
        std_angular=np.concatenate([m.std_angular for m in members]),
        self_energies=first.self_energies,
        metadata=first.metadata,
    )


def _with_bias_of(member: DeepPotentialModel, first: DeepPotentialModel) -> list[DenseLayers]:
    """Fitting networks whose last biases hold what the atomic energies differ by from the first member's."""
    found = []
    for symbol, net in zip(member.symbols, member.fittings, strict=True):
        shift = member.self_energies[symbol] - first.self_energies[symbol]
        last = (net.biases[-1] + shift).astype(net.dtype) if shift else net.biases[-1]
        found.append(DenseLayers(net.weights, (*net.biases[:-1], last), net.timesteps))
    return found


def _joined(networks: Sequence[DenseLayers]) -> DenseLayers:
    return DenseLayers(
        tuple(np.concatenate(parts) for parts in zip(*(net.weights for net in networks), strict=True)),
        tuple(np.concatenate(parts) for parts in zip(*(net.biases for net in networks), strict=True)),
        tuple(
            None if parts[0] is None else np.concatenate(parts)
            for parts in zip(*(net.timesteps for net in networks), strict=True)
        ),
    )
