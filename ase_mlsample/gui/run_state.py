"""What a run is doing, from its log and its lock, cheap enough to be asked several times a second."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ase_mlsample.active.run_directory import is_running

__all__ = ["RunState"]

# what follows a stage that is done
_NEXT = {"select": "labelling", "label": "training", "train": "evaluating", "evaluate": "summing up"}
# the lock is asked for this seldom, since a run that starts at that very moment has to wait for it
_LOCK_EVERY_S = 5.0


class RunState:
    """Follows ``log.jsonl``, reading only what was appended.

    Parameters
    ----------
    run : folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.generation, self.activity = 0, "starting"
        self.ended: str | None = None
        self._read = 0
        self._asked = -_LOCK_EVERY_S
        self._alive = False

    def look(self, *, moved: bool = False, now: float | None = None) -> str:
        """Say in one line what the run does.

        Parameters
        ----------
        moved : a worker has shown a new frame, so that the run is surely alive.
        now : seconds of any clock; the present by default.
        """
        now = time.monotonic() if now is None else now
        for event in self._appended():
            self._take(event)
        if moved:
            self._alive, self._asked = True, now
        elif now - self._asked >= _LOCK_EVERY_S:
            self._alive, self._asked = self._is_at_work(), now
        if not (self.run / "log.jsonl").exists():
            return "waiting for the run to start"
        if self.ended is not None and not moved:
            return self.ended
        if not self._alive:
            return "the run is not at work; run it again to go on"
        return f"generation {self.generation}: {self.activity}"

    def _is_at_work(self) -> bool:
        try:
            return is_running(self.run)
        except OSError:  # the lock of somebody else, or removed just now
            return False

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "stage":
            self.generation = int(event["generation"])
            self.activity = _NEXT.get(str(event["stage"]), "at work")
        elif kind == "generation":
            self.generation, self.activity = int(event["generation"]) + 1, "exploring"
        if kind in ("started", "resumed"):
            self.ended = None
        elif kind == "finished":
            self.ended = f"the run is finished: {event.get('reason', '')}"
        elif kind == "interrupted":
            self.ended = "the run was interrupted; run it again to go on"
        elif kind == "failed":
            self.ended = f"the run failed: {event.get('error', '')}"

    def _appended(self) -> list[dict[str, Any]]:
        try:
            with (self.run / "log.jsonl").open("rb") as file:
                if file.seek(0, 2) < self._read:
                    self._read = 0  # another run began in its place
                file.seek(self._read)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]  # the last line may be half written
        self._read += len(whole)
        events = []
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(event)
        return events
