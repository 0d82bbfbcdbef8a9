"""Tables of the ledger beside those of ase.db, what their rows say, and the format of earlier versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

__all__ = [
    "FORMAT",
    "READABLE",
    "TABLES",
    "FailureRow",
    "LabelRow",
    "Proposal",
    "label_calculator",
    "migrate",
    "show_as_new",
]

FORMAT = 2
READABLE = (1, 2)

# ase.db has no index on the row of its keys: without one, each label would walk through all of them
_INDICES = (
    "CREATE INDEX IF NOT EXISTS keys_row ON keys (id)",
    "CREATE INDEX IF NOT EXISTS text_row ON text_key_values (id)",
    "CREATE INDEX IF NOT EXISTS number_row ON number_key_values (id)",
    "CREATE INDEX IF NOT EXISTS species_row ON species (id)",
    "CREATE INDEX IF NOT EXISTS labels_counts ON labels (reference, source, generation, status, seconds)",
    "CREATE INDEX IF NOT EXISTS labels_failed ON labels (reference, kind, error) WHERE status = 'failed'",
    "CREATE INDEX IF NOT EXISTS tasks_seconds ON tasks (generation, kind, status, seconds)",
)
_PLACES = "CREATE TABLE places (structure TEXT PRIMARY KEY, place INTEGER NOT NULL)"
_DESCRIPTORS = "CREATE TABLE descriptors (row INTEGER PRIMARY KEY, kind TEXT NOT NULL, value BLOB NOT NULL)"

_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
_PROPOSALS = """
CREATE TABLE proposals (structure TEXT PRIMARY KEY, row INTEGER NOT NULL, generation INTEGER NOT NULL,
                        position INTEGER NOT NULL)
"""
_LABELS = """
CREATE TABLE labels (structure TEXT NOT NULL, reference TEXT NOT NULL, status TEXT NOT NULL, row INTEGER,
                     max_force REAL, error TEXT, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
                     generation INTEGER, kind TEXT, recipe INTEGER NOT NULL DEFAULT 0,
                     source TEXT NOT NULL DEFAULT 'computed', PRIMARY KEY (structure, reference))
"""
_TASKS = """
CREATE TABLE tasks (key TEXT PRIMARY KEY, kind TEXT NOT NULL, generation INTEGER NOT NULL,
                    status TEXT NOT NULL, attempts INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT,
                    finished REAL NOT NULL)
"""
_STAGES = """
CREATE TABLE stages (generation INTEGER NOT NULL, name TEXT NOT NULL, summary TEXT NOT NULL,
                     finished REAL NOT NULL, PRIMARY KEY (generation, name))
"""
_ORDER = "CREATE INDEX proposals_order ON proposals (generation, position)"

TABLES = (_META, _PROPOSALS, _LABELS, _TASKS, _STAGES, _PLACES, _DESCRIPTORS, _ORDER, *_INDICES)

_GENERATIONS = """
UPDATE labels SET generation = (SELECT p.generation FROM proposals p WHERE p.structure = labels.structure)
"""
_FROM_FORMAT_1 = (
    "ALTER TABLE labels ADD COLUMN generation INTEGER",
    "ALTER TABLE labels ADD COLUMN kind TEXT",
    "ALTER TABLE labels ADD COLUMN recipe INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE labels ADD COLUMN source TEXT NOT NULL DEFAULT 'computed'",
    "UPDATE labels SET kind = 'unknown' WHERE status = 'failed'",
    _GENERATIONS,
    _PLACES,
    "INSERT INTO places SELECT value, key FROM json_each((SELECT value FROM meta WHERE key = 'order'))",
    _DESCRIPTORS,
    "DROP INDEX IF EXISTS tasks_kind",
    *_INDICES,
    "UPDATE meta SET value = '\"places\"' WHERE key = 'order'",
    "UPDATE meta SET value = '2' WHERE key = 'format'",
)

# a reader must not change the file: it sees the old tables through views that look like the new ones
_LABELS_AS_NEW = """
CREATE TEMP VIEW labels AS SELECT l.*, p.generation AS generation,
    CASE WHEN l.status = 'failed' THEN 'unknown' END AS kind, 0 AS recipe, 'computed' AS source
    FROM main.labels l JOIN main.proposals p ON p.structure = l.structure
"""
_PLACES_AS_NEW = """
CREATE TEMP VIEW places AS SELECT j.value AS structure, j.key AS place
    FROM json_each((SELECT value FROM main.meta WHERE key = 'order')) j
"""
_NO_DESCRIPTORS = (
    "CREATE TEMP TABLE descriptors (row INTEGER PRIMARY KEY, kind TEXT NOT NULL, value BLOB NOT NULL)"
)
_VIEWS_OF_FORMAT_1 = (_LABELS_AS_NEW, _PLACES_AS_NEW, _NO_DESCRIPTORS)


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
    """What came of a label.

    Attributes
    ----------
    structure : its hash.
    status : "labelled", "rejected" (forces over the limit, or an outlier) or "failed".
    max_force : eV/Å, of a label that was had.
    error : what went wrong.
    attempts, seconds : that it took, all attempts together.
    kind : of the failure, see `ase_mlsample.references.classify`; "outlier" for a label rejected as one.
    recipe : 0 for the settings as given, n for the n-th gentler ones.
    source : "computed" or "imported".
    """

    structure: str
    status: str
    max_force: float | None
    error: str | None
    attempts: int
    seconds: float
    kind: str | None = None
    recipe: int = 0
    source: str = "computed"


@dataclass(frozen=True)
class FailureRow:
    """Failures of one kind with one message.

    Attributes
    ----------
    kind : see `ase_mlsample.references.classify`.
    error : the message.
    count : structures.
    """

    kind: str
    error: str
    count: int


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables of format 1 to this one; the caller commits, so that it is done wholly or not."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
    for statement in _FROM_FORMAT_1:
        connection.execute(statement)


def show_as_new(connection: sqlite3.Connection) -> None:
    """Let a reader of format 1 see its tables as those of this format."""
    for statement in _VIEWS_OF_FORMAT_1:
        connection.execute(statement)


def label_calculator(atoms: Atoms, result: Mapping[str, Any]) -> Any:
    """What ase.db stores as the results of a structure: a label as `compute_label` returned it."""
    from ase.calculators.singlepoint import SinglePointCalculator

    values = {"energy": result["energy"], "free_energy": result["energy"], "forces": result["forces"]}
    if result.get("stress") is not None:
        values["stress"] = result["stress"]
    return SinglePointCalculator(atoms, **values)
