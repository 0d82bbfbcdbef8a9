"""Where explorers with metadynamics left hills: the bias that one generation hands to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ase_mlsample.active.ledger import Ledger

__all__ = ["earlier_visits", "record_visits"]

Points = list[list[float]]


def record_visits(
    ledger: Ledger, generation: int, explorers: Sequence[int], runs: Sequence[Mapping[str, Any]]
) -> None:
    """Write down where the trajectories of a generation left hills, in the ledger.

    Recorded before the generation's proposals, and a function of the results: done twice, it is the same.

    Parameters
    ----------
    ledger : of the run.
    generation : that explored.
    explorers : of each trajectory, by its number in the configuration.
    runs : summaries of the trajectories, with ``visited`` where there are hills.
    """
    visits: dict[int, list[Points]] = {}
    for explorer, run in zip(explorers, runs, strict=True):
        if "visited" in run:
            visits.setdefault(explorer, []).append(np.asarray(run["visited"], dtype=float).tolist())
    if visits:
        from ase_mlsample.dynamics.biased_exploration import interleaved

        found = {str(explorer): interleaved(points) for explorer, points in visits.items()}
        ledger.set_meta(_key(generation), found)


def earlier_visits(ledger: Ledger, generation: int) -> dict[int, list[Points]]:
    """Points of the generations before one, oldest first, by the number of their explorer."""
    visits: dict[int, list[Points]] = {}
    for earlier in range(generation):
        try:
            found = ledger.meta(_key(earlier))
        except KeyError:
            continue  # it did not explore, or without hills
        for explorer, points in found.items():
            visits.setdefault(int(explorer), []).append(points)
    return visits


def _key(generation: int) -> str:
    return f"visited {generation:04d}"
