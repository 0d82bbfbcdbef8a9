"""One trajectory of the exploration, and the initial proposals; each is a task of the loop."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from ase import Atoms

from ase_mlsample.active.config import ExplorerSettings, SamplerSettings, UncertaintyBiasSettings
from ase_mlsample.active.factories import build_explorer, build_sampler
from ase_mlsample.active.models import load_model
from ase_mlsample.calculators.base import MLCalculator

if TYPE_CHECKING:
    from ase_mlsample.dynamics import Explorer, RunSummary, UncertaintyGate

__all__ = ["MEASURES", "explore", "pack", "propose", "stream", "trust_gate", "unpack"]

# where frames keep what the trust window judges, in eV/Å
MEASURES = {"force": "force_sigma_max", "relative": "force_sigma_relative"}

_CERTAIN = ("running", "finished")  # an explorer's marks of a frame that its gate let pass


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
    frames = _sampler(sampler).sample(n, stream(*seed))
    return {"frames": [pack(atoms) for atoms in frames]}


def trust_gate(lo: float, hi: float, level: float | None = None) -> UncertaintyGate:
    """The gate of a trust window.

    Parameters
    ----------
    lo, hi : eV/Å.
    level : eV/Å; of the relative measure, or None for σ itself.
    """
    from ase_mlsample.dynamics import UncertaintyGate

    if level is None:
        return UncertaintyGate(lo, upper=hi)
    return UncertaintyGate(lo / level, upper=hi / level, relative=level)


def explore(
    *,
    model: str,
    start: SamplerSettings,
    dynamics: ExplorerSettings,
    lo: float,
    hi: float,
    seed: Sequence[int],
    level: float | None = None,
    limits: Mapping[str, Any] | None = None,
    live: tuple[str, str] | None = None,
    carried: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Run one trajectory until its end or until the gate stops it.

    Parameters
    ----------
    model : folder of the model that drives it.
    start : sampler of the first frame.
    dynamics : the explorer.
    lo, hi : trust window in eV/Å: the gate's threshold and its upper limit.
    seed : names the random stream.
    level : eV/Å, of the relative measure.
    limits : keywords of ``Guards``.
    live : folder and name of the file that shows the newest frame; it changes nothing else.
    carried : arguments of the explorer from earlier generations, for one with a bias.

    Returns
    -------
    dict
        ``frames``: the one that stopped it, if any, and one at random of those that it passed through, with
        ``force_sigma`` and ``energy_sigma`` (N,) and, in ``info``, ``force_sigma_max`` (eV/Å),
        ``energy_std`` (eV) and, with a level, ``force_sigma_relative`` (eV/Å); ``run``: what became of the
        trajectory.
    """
    calculator, rng = load_model(model), stream(*seed)
    atoms = next(iter(_sampler(start).sample(1, rng)))
    explorer = build_explorer(
        dynamics.explorer, dynamics.arguments, gate=trust_gate(lo, hi, level), limits=limits, carried=carried
    )
    surface = _surface(calculator, dynamics.uncertainty_bias)
    # of the relative measure, they are no limits of the σ that is shown
    limits_shown = {"trust_lo": lo, "trust_hi": hi} if level is None else {}
    frames, run = _followed(explorer, surface, atoms, rng=rng, live=live, notes=limits_shown)
    kept = [frame for frame in frames if frame.info.get("stop_reason", "running") not in _CERTAIN]
    passed = [frame for frame in frames if frame.info.get("stop_reason", "running") in _CERTAIN]
    if passed:
        kept.append(passed[int(stream(*seed, 2).integers(len(passed)))])
    for frame in kept:
        frame.info |= _provenance(dynamics)
    return {"frames": [_measured(calculator, frame, level) for frame in kept], "run": run}


def _sampler(settings: SamplerSettings) -> Any:
    return build_sampler(settings.sampler, settings.arguments, settings.stages)


def _surface(calculator: MLCalculator, bias: UncertaintyBiasSettings | None) -> MLCalculator:
    """The model itself, or the model with a bias."""
    if bias is None:
        return calculator
    from ase_mlsample.calculators.uncertainty_bias import UncertaintyBias

    return UncertaintyBias(calculator, **bias.model_dump())


def _provenance(dynamics: ExplorerSettings) -> dict[str, Any]:
    bias = dynamics.uncertainty_bias
    return {} if bias is None else {"bias_height_eV": bias.height_eV, "bias_width": bias.width}


def _followed(
    explorer: Explorer,
    calculator: MLCalculator,
    atoms: Atoms,
    *,
    rng: np.random.Generator,
    live: tuple[str, str] | None,
    notes: Mapping[str, float],
) -> tuple[list[Atoms], dict[str, Any]]:
    """All frames of a trajectory, shown as they come, and what became of it."""
    frames: list[Atoms] = []
    with ExitStack() as stack:
        shown = None
        if live is not None:
            from ase_mlsample.active.live import LiveFrames

            shown = stack.enter_context(LiveFrames(Path(live[0]), live[1], notes=notes))
        generator = cast(
            "Generator[Atoms, None, RunSummary | None]", explorer.explore(calculator, atoms, rng)
        )
        while True:
            try:
                frame = next(generator)
            except StopIteration as end:
                return frames, _run_summary(end.value, frames)
            frames.append(frame)
            if shown is not None:
                shown.publish(frame)


def _run_summary(summary: RunSummary | None, frames: Sequence[Atoms]) -> dict[str, Any]:
    """What an explorer returns; one that returns nothing is judged by its frames."""
    if summary is not None:
        return asdict(summary)
    reason = frames[-1].info.get("stop_reason", "finished") if frames else "finished"
    return {"stop_reason": "finished" if reason == "running" else reason, "checks": len(frames)}


def _measured(calculator: MLCalculator, frame: Atoms, level: float | None) -> dict[str, Any]:
    bare = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    spread = calculator.get_spread(bare).calibrated
    sigma = spread.force_sigma
    arrays = {"force_sigma": sigma}
    if spread.energies_std is not None:
        arrays["energy_sigma"] = spread.energies_std
    packed = pack(frame, **arrays)
    measures = {"energy_std": float(spread.energy_std), MEASURES["force"]: float(sigma.max())}
    if level is not None:
        from ase_mlsample.dynamics.gate import relative_deviation

        deviation = relative_deviation(sigma, calculator.get_forces(bare), level=level)
        measures[MEASURES["relative"]] = level * float(deviation.max())
    packed["info"] |= measures
    return packed


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | int | float | np.generic)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
