"""What explorers with a bias hand from one generation to the next: where they were, or what they learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ase_mlsample.active.ledger import Ledger

__all__ = ["earlier_biases", "record_biases"]


def record_biases(
    ledger: Ledger, generation: int, explorers: Sequence[int], runs: Sequence[Mapping[str, Any]]
) -> None:
    """Write into the ledger what the trajectories of a generation say of their bias.

    Recorded before the generation's proposals, and a function of the results: done twice, it is the same.

    Parameters
    ----------
    ledger : of the run.
    generation : that explored.
    explorers : of each trajectory, by its number in the configuration.
    runs : summaries of the trajectories: with ``visited`` where points were left, of metadynamics or OPES;
        with ``learned`` where the bias learned from all steps, of VES or Deep-VES.
    """
    found: dict[int, dict[str, Any]] = {}
    for explorer in sorted(set(explorers)):
        own = [run for run, number in zip(runs, explorers, strict=True) if number == explorer]
        points = [np.asarray(run["visited"], dtype=float).tolist() for run in own if "visited" in run]
        states = [run["learned"] for run in own if "learned" in run]
        if points:
            from ase_mlsample.dynamics.visiting_exploration import interleaved

            found[explorer] = {"visited": interleaved(points)}
        elif states:
            from ase_mlsample.dynamics.learning_exploration import averaged

            found[explorer] = {"learned": averaged(states)}
    if found:
        ledger.set_meta(_key(generation), found)


def earlier_biases(ledger: Ledger, generation: int) -> dict[int, dict[str, Any]]:
    """Keyword arguments with which explorers start a generation, by their number in the configuration.

    ``visited``: points of each generation before, oldest first; or ``learned``: the newest there is.
    """
    biases: dict[int, dict[str, Any]] = {}
    for earlier in range(generation):
        for explorer, bias in _recorded(ledger, earlier).items():
            known = biases.setdefault(explorer, {})
            if "visited" in bias:
                known.setdefault("visited", []).append(bias["visited"])
            else:
                known.update(bias)
    return biases


def _recorded(ledger: Ledger, generation: int) -> dict[int, dict[str, Any]]:
    """What was recorded of a generation; nothing for one that did not explore, or without a bias."""
    for key, wrapped in ((_key(generation), False), (f"visited {generation:04d}", True)):
        try:
            found = ledger.meta(key)
        except KeyError:
            continue
        # older ledgers have points alone
        return {int(number): {"visited": bias} if wrapped else bias for number, bias in found.items()}
    return {}


def _key(generation: int) -> str:
    return f"bias {generation:04d}"
