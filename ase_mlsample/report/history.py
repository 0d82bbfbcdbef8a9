"""What a run has done, read from its ledger and its log: the numbers behind the plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.run_directory import EventLog
from ase_mlsample.active.summary import summarise

__all__ = ["ClassErrors", "Generation", "History", "read_history"]

_MOST_ORIGINS = 7


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Held-out errors of one class: component RMSE of forces over their RMS, and energy RMSE in eV/atom."""

    force_error: float
    energy_rmse: float


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of a run.

    Attributes
    ----------
    number
        Counted from 0.
    n_labels
        Accepted labels up to and including this generation.
    errors
        Held-out errors by class, "all" last; empty without a held-out set.
    explored
        Frames "learned", "candidate" and "rejected"; empty for the first generation.
    window
        Trust window, eV/Å.
    origins
        Structures proposed for labelling, by source.
    seconds
        By stage.
    """

    number: int
    n_labels: int
    errors: Mapping[str, ClassErrors] = field(default_factory=dict)
    explored: Mapping[str, int] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    origins: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """A run: its configuration, the content of ``summary.json``, and its generations."""

    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    generations: tuple[Generation, ...]


def read_history(directory: Path) -> History:
    """Read a run's directory; nothing is written, and the run may go on meanwhile.

    Parameters
    ----------
    directory
        Holds ``ledger.db`` and ``log.jsonl``.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no ledger, or it is of another version.
    """
    ledger = Ledger.open(directory / "ledger.db")
    summary = summarise(ledger)
    seconds = _stage_seconds(EventLog(directory / "log.jsonl").events())
    origins = _origins(ledger)
    generations: list[Generation] = []
    n_labels = 0
    for entry in summary["generations"]:
        number = entry["generation"]
        n_labels += entry["structures"].get("labelled", 0)
        select = entry.get("select", {})
        generations.append(
            Generation(
                number,
                n_labels,
                errors=_errors(entry.get("evaluate", {}).get("classes", {})),
                explored={
                    name: select[name] for name in ("learned", "candidate", "rejected") if name in select
                },
                window=(select["lo"], select["hi"]) if "lo" in select else None,
                origins=origins.get(number, {}),
                seconds=seconds.get(number, {}),
            )
        )
    return History(ledger.meta("config"), summary, tuple(generations))


def _errors(classes: Mapping[str, Mapping[str, float]]) -> dict[str, ClassErrors]:
    names = [name for name in classes if name != "all"] + (["all"] if "all" in classes else [])
    return {name: ClassErrors(classes[name]["force_error"], classes[name]["energy_rmse"]) for name in names}


def _stage_seconds(events: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    seconds: dict[int, dict[str, float]] = {}
    for event in events:
        if event.get("event") == "stage":
            stages = seconds.setdefault(int(event["generation"]), {})
            stages[str(event["stage"])] = stages.get(str(event["stage"]), 0.0) + float(event["seconds"])
    return seconds


def _origins(ledger: Ledger) -> dict[int, dict[str, int]]:
    counts: dict[int, Counter[str]] = {}
    proposals = ledger.proposals()
    for proposal, atoms in zip(proposals, ledger.atoms(proposals), strict=True):
        counts.setdefault(proposal.generation, Counter())[_origin(atoms.info)] += 1
    total = sum(counts.values(), Counter())
    kept = {name for name, _ in total.most_common(_MOST_ORIGINS)}
    origins: dict[int, dict[str, int]] = {}
    for generation, found in counts.items():
        merged: Counter[str] = Counter()
        for name, number in found.items():
            merged[name if name in kept else "other"] += number
        origins[generation] = dict(merged)
    return origins


def _origin(info: Mapping[str, Any]) -> str:
    source, kind = str(info.get("source", "")), str(info.get("config_type", ""))
    return f"{source}: {kind}" if source and kind and kind not in source else source or kind or "unnamed"
