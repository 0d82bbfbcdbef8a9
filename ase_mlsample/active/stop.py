"""When the loop ends: few uncertain frames for some rounds and no progress left, or enough generations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase_mlsample.active.config import StopSettings

__all__ = ["generation_error", "stop_reason"]

Stages = Mapping[int, Mapping[str, Mapping[str, Any]]]


def generation_error(stages: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Error of a generation: the worst class of the held-out set, or eV/Å on validation data without one."""
    if "evaluate" in stages:
        classes = stages["evaluate"]["classes"]
        return max(float(errors["force_error"]) for name, errors in classes.items() if name != "all")
    error = stages.get("train", {}).get("force_rmse")
    return None if error is None else float(error)


def stop_reason(stages: Stages, settings: StopSettings) -> str | None:
    """Why the loop should end after the last generation of the ledger, or None.

    Parameters
    ----------
    stages : summaries of `Ledger.stages`.
    settings : the rule.
    """
    if not stages:
        return None
    last = max(stages)
    if _converged(stages, last, settings):
        return (
            f"fewer than {settings.uncertain_fraction:.1%} uncertain frames in {settings.rounds} generations "
            "in a row, and the error is flat or under its target"
        )
    if last + 1 >= settings.max_generations:
        return f"{last + 1} generations are trained"
    return None


def _converged(stages: Stages, last: int, settings: StopSettings) -> bool:
    rounds = range(last - settings.rounds + 1, last + 1)
    for generation in rounds:
        fraction = stages.get(generation, {}).get("select", {}).get("uncertain_fraction")
        if fraction is None or fraction >= settings.uncertain_fraction:
            return False
    now, before = generation_error(stages[last]), generation_error(stages[last - 1])
    if now is None or before is None:
        return False
    if settings.force_error is not None and now <= settings.force_error:
        return True
    return now >= before * (1 - settings.flat)
