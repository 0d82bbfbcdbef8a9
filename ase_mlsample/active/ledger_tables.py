"""Tables of the ledger beside those of ase.db, and what their rows say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

__all__ = ["FORMAT", "TABLES", "LabelRow", "Proposal", "label_calculator"]

FORMAT = 1

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE proposals (structure TEXT PRIMARY KEY, row INTEGER NOT NULL, generation INTEGER NOT NULL,
                        position INTEGER NOT NULL);
CREATE TABLE labels (structure TEXT NOT NULL, reference TEXT NOT NULL, status TEXT NOT NULL, row INTEGER,
                     max_force REAL, error TEXT, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
                     PRIMARY KEY (structure, reference));
CREATE TABLE tasks (key TEXT PRIMARY KEY, kind TEXT NOT NULL, generation INTEGER NOT NULL,
                    status TEXT NOT NULL, attempts INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT,
                    finished REAL NOT NULL);
CREATE TABLE stages (generation INTEGER NOT NULL, name TEXT NOT NULL, summary TEXT NOT NULL,
                     finished REAL NOT NULL, PRIMARY KEY (generation, name));
CREATE INDEX proposals_order ON proposals (generation, position);
CREATE INDEX tasks_kind ON tasks (kind, generation, status);
"""


@dataclass(frozen=True)
class Proposal:
    """A structure to be labelled.

    Attributes
    ----------
    structure : its hash.
    row : id of its ase.db row.
    generation : the one it belongs to.
    """

    structure: str
    row: int
    generation: int


@dataclass(frozen=True)
class LabelRow:
    """What came of a label: ``status`` is "labelled", "rejected" (forces over the limit) or "failed"."""

    structure: str
    status: str
    max_force: float | None
    error: str | None
    attempts: int
    seconds: float


def label_calculator(atoms: Atoms, result: Mapping[str, Any]) -> SinglePointCalculator:
    """What ase.db stores as the results of a structure: a label as `compute_label` returned it."""
    values = {"energy": result["energy"], "free_energy": result["energy"], "forces": result["forces"]}
    if result.get("stress") is not None:
        values["stress"] = result["stress"]
    return SinglePointCalculator(atoms, **values)
