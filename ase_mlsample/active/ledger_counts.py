"""Numbers of a ledger that the database counts itself: tasks, labels by state, failures, costs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ase_mlsample.active.ledger_file import LedgerFile
from ase_mlsample.active.ledger_tables import FailureRow

__all__ = ["LedgerCounts"]


class LedgerCounts(LedgerFile):
    """A ledger's tasks, and answers in numbers that stay quick however many structures it holds."""

    def add_tasks(self, kind: str, generation: int, results: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Record finished tasks: key, status, attempts, seconds, error."""
        rows = []
        for key, result in results:
            error = result.get("error")
            text = None if error is None else f"{error['type']}: {error['message']}"
            attempts, seconds = result.get("attempts", 1), result.get("seconds", 0.0)
            rows.append((key, kind, generation, result["status"], attempts, seconds, text, time.time()))
        with self._write() as connection:
            connection.executemany("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def task_counts(self, generation: int) -> dict[str, dict[str, int]]:
        """Numbers of finished tasks of a generation by kind and status."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT kind, status, COUNT(*) FROM tasks WHERE generation = ? GROUP BY kind, status",
                (generation,),
            ).fetchall()
        counts: dict[str, dict[str, int]] = {}
        for kind, status, number in rows:
            counts.setdefault(kind, {})[status] = number
        return counts

    def task_seconds(self) -> dict[int, dict[str, float]]:
        """Time that workers spent on finished tasks, in seconds, by generation and kind."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT generation, kind, SUM(seconds) FROM tasks "
                "GROUP BY generation, kind ORDER BY generation, MIN(rowid)"
            ).fetchall()
        found: dict[int, dict[str, float]] = {}
        for generation, kind, seconds in rows:
            found.setdefault(generation, {})[kind] = seconds
        return found

    def states(self, reference: str) -> dict[int, dict[str, int]]:
        """Structures by generation and state: "labelled", "rejected", "failed" or "waiting"."""
        with self._read() as connection:
            labelled = connection.execute(
                "SELECT generation, status, COUNT(*) FROM labels WHERE reference = ? "
                "GROUP BY generation, status",
                (reference,),
            ).fetchall()
            proposed = connection.execute(
                "SELECT generation, COUNT(*) FROM proposals GROUP BY generation"
            ).fetchall()
        found: dict[int, dict[str, int]] = {}
        for generation, status, number in labelled:
            found.setdefault(generation, {})[status] = number
        for generation, number in proposed:
            states = found.setdefault(generation, {})
            waiting = number - sum(states.values())
            if waiting:
                states["waiting"] = waiting
        return dict(sorted(found.items()))

    def failures(self, reference: str) -> list[FailureRow]:
        """What went wrong with labels, counted by kind and message, the most frequent first."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT COALESCE(kind, 'unknown'), COALESCE(error, ''), COUNT(*) AS number FROM labels "
                "WHERE reference = ? AND status = 'failed' GROUP BY kind, error ORDER BY number DESC, error",
                (reference,),
            ).fetchall()
        return [FailureRow(*row) for row in rows]

    def label_costs(self, reference: str) -> dict[int, dict[str, tuple[int, float]]]:
        """Number and seconds of workers of computed (not imported) labels by generation and status."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT generation, status, COUNT(*), SUM(seconds) FROM labels "
                "WHERE reference = ? AND source = 'computed' GROUP BY generation, status",
                (reference,),
            ).fetchall()
        found: dict[int, dict[str, tuple[int, float]]] = {}
        for generation, status, number, seconds in rows:
            found.setdefault(generation, {})[status] = (number, seconds)
        return found

    def recipes(self, reference: str) -> dict[int, int]:
        """Labels by the recipe that gave them; 0 are the settings as given."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT recipe, COUNT(*) FROM labels WHERE reference = ? AND status != 'failed' "
                "AND recipe > 0 GROUP BY recipe ORDER BY recipe",
                (reference,),
            ).fetchall()
        return dict(rows)
