"""What the report needs beside the ledger: held-out set, models and candidates, or why they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.analysis.errors import coverage, expected_coverage, rmse
from ase_mlsample.analysis.uncertainty import error_by_sigma
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.report.history import History
from ase_mlsample.report.predictions import HeldOutPredictions, predict_held_out

__all__ = ["HeldOut", "read_candidates", "read_held_out", "read_model"]

# another processor rounds differently, another held-out set differs by more
_SAME = 0.02


@dataclass(frozen=True)
class HeldOut:
    """The held-out set and what the model of a generation says of it."""

    generation: int
    frames: Sequence[Atoms]
    predictions: HeldOutPredictions

    def numbers(self) -> dict[str, Any]:
        """Errors, reliability and coverage by class: the numbers behind the plots."""
        widths = np.linspace(0.1, 3.0, 30)
        members = self.predictions.members
        found: dict[str, Any] = {"generation": self.generation, "members": members, "widths": widths.tolist()}
        found["expected_coverage"] = [expected_coverage(members, width=width) for width in widths]
        for kind in self.predictions.kinds:
            chosen = self.predictions.of(kind)
            errors = chosen.forces - chosen.reference_forces
            binned = error_by_sigma(errors, chosen.forces_std, bins=12)
            found.setdefault("classes", {})[kind] = {
                "force_rmse": rmse(chosen.forces, chosen.reference_forces),
                "energy_rmse": rmse(chosen.energies, chosen.reference_energies),
                "coverage": [coverage(errors, chosen.forces_std, width=width) for width in widths],
                "sigma": binned.sigma.tolist(),
                "error": binned.error.tolist(),
            }
        return found


def read_held_out(
    directory: Path, history: History, *, evaluate: bool = True
) -> tuple[HeldOut | None, list[str]]:
    """Evaluate the last model on the held-out set.

    Returns
    -------
    HeldOut or None
        None if something for it is missing.
    list of str
        What is missing, in words.
    """
    found, problem = None, "the report was asked for without the model"
    if evaluate:
        found, problem = _evaluated(directory, history)
    if found is None:
        return None, [f"predicted against true error and the worst held-out structures: {problem}"]
    return found, _differences(found, history)


def _evaluated(directory: Path, history: History) -> tuple[HeldOut | None, str]:
    generation, testset = history.last_model, history.config.get("testset")
    if generation is None:
        return None, "no model is trained yet"
    if testset is None:
        return None, "the run has no held-out set"
    if not Path(testset).is_file():
        return None, f"the held-out set {testset} is missing"
    calculator, problem = read_model(directory, generation)
    return (None, problem) if calculator is None else _predicted(calculator, Path(testset), generation)


def _predicted(calculator: MLCalculator, testset: Path, generation: int) -> tuple[HeldOut | None, str]:
    from ase.io import read

    try:
        frames: list[Atoms] = read(testset, index=":")
        found = HeldOut(generation, frames, predict_held_out(calculator, frames))
    except Exception as error:  # readers and calculators raise whatever they stumble over
        return None, f"the held-out set cannot be evaluated ({type(error).__name__}: {error})"
    told = found.predictions
    if not all(np.isfinite(x).all() for x in (told.energies, told.forces, told.forces_std)):
        return None, f"the model of generation {generation} gives numbers that are not finite"
    if not all(np.isfinite(x).all() for x in (told.reference_energies, told.reference_forces)):
        return None, f"the held-out set {testset} has labels that are not finite"
    return found, ""


def read_model(directory: Path, generation: int) -> tuple[MLCalculator | None, str]:
    """Model of a generation, or None and what is wrong with it, in words."""
    from ase_mlsample.active.models import load_model

    try:
        calculator = load_model(directory / "models" / f"{generation:04d}")
    except FileNotFoundError:
        return None, f"the model of generation {generation} is missing in {directory / 'models'}"
    except Exception as error:  # a factory of the user's raises what it likes
        return None, f"the model of generation {generation} cannot be read ({type(error).__name__}: {error})"
    if not calculator.supports_spread:
        return None, f"the model of generation {generation} has one member and no spread"
    return calculator, ""


def read_candidates(directory: Path, generation: int) -> tuple[list[Atoms], list[str]]:
    """Frames that an exploration kept, and what is wrong with their file, in words."""
    from ase.io import read

    path = directory / "candidates" / f"{generation:04d}.extxyz"
    if not path.is_file():
        return [], []
    try:
        frames: list[Atoms] = read(path, index=":")
    except Exception as error:  # readers of a damaged file raise whatever they stumble over
        return [], [f"colours of the least certain structures: {path.name} cannot be read ({error})"]
    return frames, []


def _differences(found: HeldOut, history: History) -> list[str]:
    """Say so if the set or the model is not the one that the ledger's errors are of."""
    recorded = next((g.errors for g in history.judged if g.number == found.generation), None)
    if recorded is None:
        return []
    kinds, changed = found.predictions.kinds, []
    for kind in kinds:
        chosen = found.predictions.of(kind)
        before = recorded[kind].force_rmse if kind in recorded else None
        now = rmse(chosen.forces, chosen.reference_forces)
        if before is not None and abs(now - before) > _SAME * before + 1e-9:
            changed.append(f"force RMSE of {kind} {before:.3g} → {now:.3g} eV/Å")
    if set(kinds) != recorded.keys() - {"all"}:
        changed.append(f"classes are now {', '.join(kinds)}")
    if not changed:
        return []
    what = "plots of held-out predictions: the held-out set or the model was changed since its errors were"
    return [f"{what} recorded ({'; '.join(changed)})"]
