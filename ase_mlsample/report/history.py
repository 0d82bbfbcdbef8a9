"""What a run has done, read from its ledger and its log: the numbers behind the plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.run_directory import EventLog, is_running
from ase_mlsample.active.summary import summarise
from ase_mlsample.report.origins import Origins, read_origins

__all__ = ["ClassErrors", "Generation", "History", "read_history"]

_STAGES = ("select", "label", "train", "evaluate")


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Held-out errors of one class.

    Attributes
    ----------
    force_error
        Component RMSE of forces over their RMS.
    force_rmse
        eV/Å, of components.
    energy_rmse
        eV/atom.
    coverage
        Fraction of force components within one calibrated standard deviation, if there is a spread.
    spearman
        Rank correlation of ``force_sigma`` and the true error of atoms, likewise.
    """

    force_error: float
    energy_rmse: float
    force_rmse: float | None = None
    coverage: float | None = None
    spearman: float | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of a run.

    Attributes
    ----------
    number
        Counted from 0.
    n_labels
        Accepted labels that its model learned from; before that, those up to and including this generation.
    labels
        Structures of this generation by state: "labelled", "rejected", "failed", "waiting".
    errors
        Held-out errors by class, "all" last; empty without a held-out set.
    explored
        Frames "learned", "candidate" and "rejected"; empty for the first generation.
    window
        Trust window, eV/Å.
    ends
        Trajectories by why they ended.
    training
        Numbers of the training: ``force_rmse``, ``energy_rmse``, ``calibration``; empty before it.
    seconds
        By stage, wall time.
    work
        By kind of task, time of the workers in seconds.
    """

    number: int
    n_labels: int
    labels: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, ClassErrors] = field(default_factory=dict)
    explored: Mapping[str, int] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    ends: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    work: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """A run.

    Attributes
    ----------
    config
        Its configuration.
    summary
        The content of ``summary.json``.
    generations
        In order.
    origins
        Of the structures.
    created, changed
        When the ledger was made and when it last finished a stage, seconds since 1970.
    versions
        Of the software that ran it, by name; empty where they were not recorded.
    running
        Whether a process works in its folder.
    trouble
        The last thing that went wrong, if the run is neither finished nor running.
    timed_by
        "log" for stage times as measured, "ledger" for the time between ends of stages.
    """

    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    generations: tuple[Generation, ...]
    origins: Origins = field(default_factory=lambda: Origins({}, {}, {}))
    created: float = 0.0
    changed: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    running: bool = False
    trouble: str | None = None
    timed_by: str = "log"

    @property
    def last_model(self) -> int | None:
        """The newest generation that is trained."""
        trained = [g.number for g in self.generations if g.training]
        return trained[-1] if trained else None

    @property
    def judged_by(self) -> str:
        """The data that errors without a held-out set are of, in words."""
        fixed = (self.config.get("model") or {}).get("type") == "committee"
        return "the labels that calibrate it" if fixed else "validation data"

    @property
    def judged(self) -> list[Generation]:
        """Generations with errors on the held-out set."""
        return [g for g in self.generations if g.errors]


def read_history(directory: Path) -> History:
    """Read a run's directory; nothing is written, and the run may go on meanwhile.

    Parameters
    ----------
    directory
        Holds ``ledger.db``; without ``log.jsonl`` stage times are those between the ends of stages.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no ledger, or it is of another version.
    """
    ledger = Ledger.open(directory / "ledger.db")
    summary = summarise(ledger)
    events = EventLog(directory / "log.jsonl").events()
    ends = ledger.stage_ends()
    created = float(ledger.meta("created"))
    running = is_running(directory)
    return History(
        ledger.meta("config"),
        summary,
        _generations(ledger, summary, _stage_seconds(events) if events else _between(ends, created)),
        origins=read_origins(ledger),
        created=created,
        changed=max((time for stages in ends.values() for time in stages.values()), default=created),
        versions=_versions(ledger),
        running=running,
        trouble=None if running or summary["finished"] else _trouble(events),
        timed_by="log" if events else "ledger",
    )


def _generations(
    ledger: Ledger, summary: Mapping[str, Any], seconds: Mapping[int, Mapping[str, float]]
) -> tuple[Generation, ...]:
    work = ledger.task_seconds()
    generations: list[Generation] = []
    n_labels = 0
    for entry in summary["generations"]:
        number = entry["generation"]
        n_labels += entry["structures"].get("labelled", 0)
        select = entry.get("select", {})
        generations.append(
            Generation(
                number,
                entry.get("train", {}).get("n_frames", n_labels),
                labels=entry["structures"],
                errors=_errors(entry.get("evaluate", {}).get("classes", {})),
                explored={
                    name: select[name] for name in ("learned", "candidate", "rejected") if name in select
                },
                window=(select["lo"], select["hi"]) if "lo" in select else None,
                ends=select.get("ends", {}),
                training=entry.get("train", {}),
                seconds=seconds.get(number, {}),
                work=work.get(number, {}),
            )
        )
    return tuple(generations)


def _errors(classes: Mapping[str, Mapping[str, Any]]) -> dict[str, ClassErrors]:
    names = [name for name in classes if name != "all"] + (["all"] if "all" in classes else [])
    return {
        name: ClassErrors(
            classes[name]["force_error"],
            classes[name]["energy_rmse"],
            **{key: classes[name].get(key) for key in ("force_rmse", "coverage", "spearman")},
        )
        for name in names
    }


def _stage_seconds(events: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    seconds: dict[int, dict[str, float]] = {}
    for event in events:
        if event.get("event") == "stage":
            stages = seconds.setdefault(int(event["generation"]), {})
            stages[str(event["stage"])] = stages.get(str(event["stage"]), 0.0) + float(event["seconds"])
    return seconds


def _between(ends: Mapping[int, Mapping[str, float]], created: float) -> dict[int, dict[str, float]]:
    """Time since the end of the stage before; pauses between two processes count as work."""
    seconds: dict[int, dict[str, float]] = {}
    before = created
    for generation, stages in ends.items():
        for name in sorted(stages, key=lambda name: stages[name]):
            if name in _STAGES:
                seconds.setdefault(generation, {})[name] = max(0.0, stages[name] - before)
            before = max(before, stages[name])
    return seconds


def _versions(ledger: Ledger) -> dict[str, str]:
    try:
        found: dict[str, str] = ledger.meta("versions")
    except KeyError:
        return {}
    return found


def _trouble(events: list[dict[str, Any]]) -> str | None:
    for event in reversed(events):
        if event.get("event") in ("started", "resumed"):
            return "its process ended without a word"
        if event.get("event") == "failed":
            return f"it failed with {event.get('error')}"
        if event.get("event") == "interrupted":
            return "it was interrupted"
    return None
