"""One trajectory of the exploration, and the initial proposals; each is a task of the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.config import SamplerSettings
from ase_mlsample.active.factories import as_arguments, build_sampler
from ase_mlsample.active.models import load_model
from ase_mlsample.calculators.base import MLCalculator

__all__ = ["explore", "pack", "propose", "stream", "unpack"]

_CERTAIN = ("running", "finished")  # RampedMD's marks of a frame that its gate let pass


def stream(*seed: int) -> np.random.Generator:
    """The random stream of a task, named by numbers, so that it does not depend on scheduling."""
    return np.random.default_rng(np.random.SeedSequence(seed))


def pack(atoms: Atoms, **arrays: np.ndarray) -> dict[str, Any]:
    """A structure as plain values that JSON keeps exactly."""
    return {
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        "info": {key: _plain(value) for key, value in atoms.info.items() if _is_plain(value)},
        "arrays": arrays,
    }


def unpack(packed: Mapping[str, Any]) -> Atoms:
    """Inverse of `pack`."""
    atoms = Atoms(packed["numbers"], positions=packed["positions"], cell=packed["cell"], pbc=packed["pbc"])
    atoms.info.update(packed["info"])
    for name, values in packed["arrays"].items():
        atoms.set_array(name, np.asarray(values, dtype=float))
    return atoms


def propose(*, sampler: SamplerSettings, n: int, seed: Sequence[int]) -> dict[str, Any]:
    """Draw n structures from a sampler."""
    frames = build_sampler(*_recipe(sampler)).sample(n, stream(*seed))
    return {"frames": [pack(atoms) for atoms in frames]}


def explore(
    *,
    model: str,
    start: SamplerSettings,
    dynamics: Mapping[str, Any],
    lo: float,
    hi: float,
    seed: Sequence[int],
) -> dict[str, Any]:
    """Run one trajectory until its end or until the gate stops it.

    Parameters
    ----------
    model : folder of the model that drives it.
    start : sampler of the first frame.
    dynamics : arguments of ``RampedMD``.
    lo, hi : trust window in eV/Å: the gate's threshold and its upper limit.
    seed : names the random stream.

    Returns
    -------
    dict
        ``frames``: the one that stopped it, if any, and one at random of those that it passed through, with
        ``force_sigma`` and ``energy_sigma`` (N,) and, in ``info``, ``force_sigma_max`` (eV/Å) and
        ``energy_std`` (eV); ``run``: what became of the trajectory.
    """
    from ase_mlsample.dynamics import RampedMD, UncertaintyGate

    calculator, rng = load_model(model), stream(*seed)
    atoms = next(iter(build_sampler(*_recipe(start)).sample(1, rng)))
    explorer = RampedMD(gate=UncertaintyGate(lo, upper=hi), keep_every=1, **as_arguments(dynamics))
    frames, summary = explorer.run(calculator, atoms, rng)
    kept = [frame for frame in frames if frame.info["stop_reason"] not in _CERTAIN]
    passed = [frame for frame in frames if frame.info["stop_reason"] in _CERTAIN]
    if passed:
        kept.append(passed[int(stream(*seed, 2).integers(len(passed)))])
    return {"frames": [_measured(calculator, frame) for frame in kept], "run": asdict(summary)}


def _recipe(settings: SamplerSettings) -> tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    transforms = [(item.transform, item.arguments) for item in settings.transforms]
    return settings.sampler, settings.arguments, transforms


def _measured(calculator: MLCalculator, frame: Atoms) -> dict[str, Any]:
    bare = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    spread = calculator.get_spread(bare).calibrated
    arrays = {"force_sigma": spread.force_sigma}
    if spread.energies_std is not None:
        arrays["energy_sigma"] = spread.energies_std
    packed = pack(frame, **arrays)
    measures = {"energy_std": float(spread.energy_std), "force_sigma_max": float(spread.force_sigma.max())}
    packed["info"] |= measures
    return packed


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | np.generic)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
