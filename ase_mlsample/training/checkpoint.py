"""Checkpoints that are whole or absent, and belong to one data set, one model and one seed."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ase_mlsample.training.dataset import Dataset

__all__ = ["fingerprint", "load_checkpoint", "rng_from_state", "rng_state", "save_checkpoint"]

#: 2 has the networks' buffers; Deep Potentials of 1 were ones of other features.
_VERSION = 2


def save_checkpoint(path: Path, state: dict[str, Any], *, mark: str) -> None:
    """Write a checkpoint under a temporary name, flush it and move it into place."""
    partial = path.with_name(f".{path.name}.partial")  # one name: a kill leaves one at most
    with partial.open("wb") as file:
        torch.save({"version": _VERSION, "fingerprint": mark, "state": state}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, *, marks: Sequence[str]) -> dict[str, Any] | None:
    """The state in a checkpoint of a training with one of the given marks, None if there is no file.

    Raises
    ------
    ValueError
        If the file is corrupt, of another version, of a Deep Potential before version 2, or of another
        training.
    """
    if not path.exists():
        return None
    remedy = "delete it to train anew, or use another directory"
    try:
        content = torch.load(path, weights_only=True)
        version, found, state = content["version"], content["fingerprint"], content["state"]
    except Exception as error:  # fmt: skip
        raise ValueError(f"the checkpoint {path} cannot be read ({error}); {remedy}") from error
    # only Deep Potentials have a state of the features, and only they have changed
    if version != _VERSION and not (version == 1 and not state.get("features")):
        raise ValueError(
            f"the checkpoint {path} is of version {version}, not {_VERSION}; {remedy}, or start from its "
            "model where the training is finished"
        )
    if found not in marks:
        raise ValueError(
            f"the checkpoint {path} belongs to another data set, model, seed or other settings; {remedy}"
        )
    result: dict[str, Any] = state
    return result


def fingerprint(dataset: Dataset, description: dict[str, Any], tensors: list[torch.Tensor], seed: int) -> str:
    """What identifies a training: every label and position, every setting, the starting weights, the seed."""
    digest = hashlib.sha256(json.dumps([description, seed], sort_keys=True).encode())
    for atoms, labels in zip(dataset, dataset.labels, strict=True):
        for array in (
            atoms.numbers,
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            labels.forces,
            labels.stress,
        ):
            digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(np.array([labels.energy, labels.weight]).tobytes())
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def rng_state(rng: np.random.Generator) -> str:
    """State of a generator as text (its integers exceed 64 bits)."""
    return json.dumps(rng.bit_generator.state)


def rng_from_state(text: str) -> np.random.Generator:
    """A PCG64 generator in the given state."""
    bit_generator = np.random.PCG64()
    bit_generator.state = json.loads(text)
    return np.random.Generator(bit_generator)
