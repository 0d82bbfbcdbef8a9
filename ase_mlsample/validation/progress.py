"""How far a validation is: what is under way, and about how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from ase_mlsample.validation.evaluation import Task
from ase_mlsample.validation.journal import Journal

__all__ = ["COSTS", "Progress"]

#: Seconds that properties take with a small network on one core: weights before any of a kind is done.
COSTS = {
    "prototype_energies": 2.0,
    "equations_of_state": 1.0,
    "elastic_constants": 0.5,
    "phonon_bands": 3.0,
    "quasi_harmonic_expansion": 10.0,
    "point_defects": 3.0,
    "surface_energies": 2.0,
    "stacking_fault_energies": 10.0,
    "energy_conservation": 5.0,
    "liquid_properties": 25.0,
    "expansion_by_dynamics": 60.0,
    "melting_point": 150.0,
}


@dataclass(slots=True)
class Progress:
    """Tasks of a validation: waiting, under way, done.

    Attributes
    ----------
    tasks
        All of them.
    folder, reference_folder
        Of the answers and of those of the reference, where journals tell what long checks are at.
    workers
        That share the tasks.
    clock
        Seconds that go by.
    """

    tasks: Sequence[Task]
    folder: Path
    reference_folder: Path
    workers: int = 1
    clock: Callable[[], float] = time.monotonic
    _begun: dict[str, float] = field(default_factory=dict)
    _took: dict[str, float] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many tasks are."""
        return len(self._took)

    @property
    def running(self) -> tuple[Task, ...]:
        """Those under way."""
        return tuple(task for task in self.tasks if task.name in self._begun)

    def folder_of(self, task: Task) -> Path:
        """Where a task has its answer."""
        return self.reference_folder if task.who == "reference" else self.folder

    def begin(self, task: Task) -> None:
        """Note that a task is under way."""
        self._begun[task.name] = self.clock()

    def end(self, task: Task, seconds: float) -> None:
        """Note that a task is done, and how long it took when it was computed."""
        self._begun.pop(task.name, None)
        self._took[task.name] = seconds

    def words(self) -> str:
        """What is under way, with the share of long runs that is done."""
        return "; ".join(self._words(task) for task in self.running)

    def seconds_left(self) -> float | None:
        """About how long the rest takes; None while nothing tells.

        A task takes as long as others of its check, members apart from the whole; that of a check that
        has not been done as long as :data:`COSTS` says, in the measure of what was done.
        """
        ended = [task for task in self.tasks if task.name in self._took]
        cost = sum(_cost(task) for task in ended)
        if not cost:
            return None
        pace = sum(self._took.values()) / cost
        now = self.clock()
        left = 0.0
        for task in self.tasks:
            if task.name not in self._took:
                alike = [self._took[other.name] for other in ended if _alike(task, other)]
                expected = fmean(alike) if alike else pace * _cost(task)
                left += max(0.0, expected - (now - self._begun.get(task.name, now)))
        return left / self.workers

    def _words(self, task: Task) -> str:
        now = Journal.now(self.folder_of(task) / task.journal_name) if task.check.journal else ""
        return f"{task.name} ({now})" if now else task.name


def _cost(task: Task) -> float:
    return COSTS.get(task.check.function.partition(":")[2], 1.0)


def _alike(one: Task, other: Task) -> bool:
    """Whether two tasks take about as long."""
    return one.check.name == other.check.name and (one.member is None) == (other.member is None)
