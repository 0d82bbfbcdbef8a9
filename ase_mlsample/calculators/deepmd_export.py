"""Deep Potentials as deepmd-kit's models; NumPy only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ase_mlsample.calculators.deepmd_files import write_deepmd_file
from ase_mlsample.calculators.deepmd_import import require_same_skips
from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel

__all__ = ["model_to_deepmd"]

Path = str | os.PathLike[str]


def model_to_deepmd(model: DeepPotentialModel, paths: Path | Sequence[Path]) -> None:
    """Write the members as models of deepmd-kit, one a file.

    Parameters
    ----------
    model : DeepPotentialModel
    paths : path, or sequence of paths
        One for each member: ``.dp``, or with deepmd-kit installed ``.pth`` or ``.pb`` (``dp convert-backend``
        makes these of a ``.dp`` elsewhere). The calibration is not written. Statistics are rounded to the
        precision of the weights, as deepmd-kit has them.

    Raises
    ------
    ImportError
        If deepmd-kit is needed and not installed.
    ValueError
        If the numbers of paths and members differ, or the model has a repulsion or widths for which
        deepmd-kit would add inputs to outputs where this package does not.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if len(listed) != model.n_members:
        raise ValueError(f"{len(listed)} paths are given for {model.n_members} members; name one for each")
    if model.repulsion is not None:
        raise ValueError(
            "the model has a switched ZBL repulsion, which deepmd-kit does not know: convert "
            "dataclasses.replace(model, repulsion=None) and add the repulsion there yourself"
        )
    require_same_skips((model.parameters.length, *model.parameters.fitting))
    for member, path in enumerate(listed):
        write_deepmd_file(path, _content(model, member))


def _content(model: DeepPotentialModel, member: int) -> dict[str, Any]:
    """What deepmd-kit 3 would serialise of one member."""
    p, precision = model.parameters, model.dtype.name
    one_side = p.type_embedding == "one-side"
    descriptor = {
        "type": "se_e2_a",
        "sel": list(p.slots),
        "rcut": p.cutoff,
        "rcut_smth": p.switch_start,
        "neuron": list(p.embedding),
        "axis_neuron": p.axis_neurons,
        "resnet_dt": False,
        "type_one_side": one_side,
        "activation_function": "tanh",
        "precision": precision,
    }
    fitting = {
        "type": "ener",
        "neuron": list(p.fitting),
        "resnet_dt": True,
        "activation_function": "tanh",
        "precision": precision,
    }
    n_types = len(p.symbols)
    order = (
        range(n_types) if one_side else [k // n_types + n_types * (k % n_types) for k in range(n_types**2)]
    )
    embeddings = [_network(model.embeddings[k], member, "embedding") for k in order]
    fittings = [_network(net, member, "fitting") for net in model.fittings]
    return {
        "backend": "ase-mlsample",
        "model_def_script": {
            "type_map": list(p.symbols),
            "descriptor": {"seed": 1, **descriptor},
            "fitting_net": {"seed": 1, **fitting},
        },
        "@variables": {},
        "model": {
            "@class": "Model",
            "@version": 2,
            "type": "standard",
            "type_map": list(p.symbols),
            "atom_exclude_types": [],
            "pair_exclude_types": [],
            "rcond": None,
            "preset_out_bias": None,
            "@variables": {"out_bias": np.zeros((1, n_types, 1)), "out_std": np.ones((1, n_types, 1))},
            "descriptor": descriptor | _descriptor_rest(model, member, embeddings, 1 if one_side else 2),
            "fitting": fitting | _fitting_rest(model, fittings),
        },
    }


def _descriptor_rest(
    model: DeepPotentialModel, member: int, networks: list[dict[str, Any]], ndim: int
) -> dict[str, Any]:
    p = model.parameters
    shape = (len(p.symbols), p.n_slots, 4)
    mean, std = np.zeros(shape), np.empty(shape)
    mean[..., 0] = model.mean[member][:, np.newaxis]
    std[..., 0] = model.std_radial[member][:, np.newaxis]
    std[..., 1:] = model.std_angular[member][:, np.newaxis, np.newaxis]
    return {
        "@class": "Descriptor",
        "@version": 2,
        "trainable": True,
        "exclude_types": [],
        "env_protection": 0.0,
        "set_davg_zero": False,
        "spin": None,
        "env_mat": {"rcut": p.cutoff, "rcut_smth": p.switch_start},
        "embeddings": _collection(networks, ndim, len(p.symbols), "embedding_network"),
        "@variables": {"davg": mean.astype(model.dtype), "dstd": std.astype(model.dtype)},
        "type_map": list(p.symbols),
    }


def _fitting_rest(model: DeepPotentialModel, networks: list[dict[str, Any]]) -> dict[str, Any]:
    p = model.parameters
    biases = np.array([[model.self_energies[symbol]] for symbol in p.symbols])
    empty = ("case_embd", "fparam_avg", "fparam_inv_std", "aparam_avg", "aparam_inv_std")
    return {
        "@class": "Fitting",
        "@version": 4,
        "var_name": "energy",
        "ntypes": len(p.symbols),
        "dim_descrpt": p.length,
        "dim_out": 1,
        "numb_fparam": 0,
        "numb_aparam": 0,
        "dim_case_embd": 0,
        "default_fparam": None,
        "rcond": None,
        "mixed_types": False,
        "exclude_types": [],
        "nets": _collection(networks, 1, len(p.symbols), "fitting_network"),
        "@variables": {"bias_atom_e": biases, **dict.fromkeys(empty)},
        "type_map": list(p.symbols),
        "tot_ener_zero": False,
        "trainable": [True] * (len(p.fitting) + 1),
        "layer_name": None,
        "use_aparam_as_mask": False,
        "spin": None,
        "atom_ener": [],
    }


def _collection(networks: list[dict[str, Any]], ndim: int, n_types: int, kind: str) -> dict[str, Any]:
    return {
        "@class": "NetworkCollection",
        "@version": 1,
        "ndim": ndim,
        "ntypes": n_types,
        "network_type": kind,
        "networks": networks,
    }


def _network(net: DenseLayers, member: int, kind: str) -> dict[str, Any]:
    fitting, precision = kind == "fitting", net.dtype.name
    hidden = len(net.weights) - fitting
    layers = [
        {
            "@class": "Layer",
            "@version": 2,
            "bias": True,
            "use_timestep": timestep is not None,
            "activation_function": "tanh" if k < hidden else "none",
            "resnet": k < hidden,
            "precision": precision,
            "trainable": True,
            "@variables": {
                "w": np.ascontiguousarray(weight[member].T),
                "b": bias[member],
                "idt": None if timestep is None else timestep[member],
            },
        }
        for k, (weight, bias, timestep) in enumerate(zip(net.weights, net.biases, net.timesteps, strict=True))
    ]
    common = {
        "@class": f"{kind.capitalize()}Network",
        "in_dim": net.n_inputs,
        "neuron": list(net.widths[:hidden]),
        "activation_function": "tanh",
        "resnet_dt": fitting,
        "precision": precision,
        "layers": layers,
    }
    if fitting:
        return {**common, "@version": 1, "out_dim": 1, "bias_out": True}
    return {**common, "@version": 2, "bias": True}
