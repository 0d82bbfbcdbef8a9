"""What can be done about failed labels, by kind, and when there are too many of them in a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["REMEDIES", "ReferenceStoppedError", "Streak"]

REMEDIES: Mapping[str, str] = {
    "geometry": "this structure cannot be computed: larger min_distance, tighter explore.limits, or nothing",
    "convergence": "gentler settings (reference.gentler: smearing, mixing, iterations), then --retry-failed",
    "resource": "more memory, disk or time (reference.timeout_s), fewer workers, then --retry-failed",
    "setup": "install the code, or mend its settings and files; then run again: these are tried again",
    "unknown": "read the message (the whole of it is in results/), mend the cause, then --retry-failed",
    "outlier": "look at it with `mlsample export`; reference.outliers has the limits",
}


class ReferenceStoppedError(RuntimeError):
    """So many labels failed one after the other that going on would only cost."""


class Streak:
    """Failures of one kind in a row, without a label between them.

    Parameters
    ----------
    stop_after : how many end the run.
    """

    def __init__(self, stop_after: int) -> None:
        self.stop_after = stop_after
        self.kind: str | None = None
        self.errors: Counter[str] = Counter()

    def add(self, result: Mapping[str, Any]) -> None:
        """Look at a finished label.

        Raises
        ------
        ReferenceStoppedError
            It is one failure too many.
        """
        if result["status"] != "failed":
            self.kind = None
            self.errors.clear()
            return
        error = result["error"]
        kind = error.get("kind", "unknown")
        if kind != self.kind:
            self.kind = kind
            self.errors.clear()
        self.errors[f"{error['type']}: {error['message']}"] += 1
        if self.errors.total() >= self.stop_after:
            ((most, _),) = self.errors.most_common(1)
            raise ReferenceStoppedError(
                f"the last {self.errors.total()} labels failed one after the other, all of kind {kind!r} "
                f"(most often with: {most}). What can be done: {REMEDIES.get(kind, REMEDIES['unknown'])}"
            )
