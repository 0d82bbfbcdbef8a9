"""The ledger: one SQLite file with every structure, label, task and stage of a run.

Structures are rows of an ``ase.db`` (``ase gui ledger.db`` opens it), written at proposal and again with
their label; states live in plain tables in the same file. What is recorded is durable: it survives the death
of the process at any moment.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.db.core import check as check_key_values
from ase.db.row import AtomsRow
from ase.db.sqlite import SQLite3Database

from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.ledger_tables import FORMAT, TABLES, LabelRow, Proposal, label_calculator

__all__ = ["FORMAT", "LabelRow", "Ledger", "Proposal"]


class Ledger:
    """Everything a run knows; made by `create`, opened again by `open`.

    One process writes (the run that holds the directory's lock); others read at any time.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        # no lock file of ase.db's: it would outlive a killed process and block the next one for ever
        self._db = SQLite3Database(str(self.path), create_indices=True, use_lock_file=False, serial=True)

    @classmethod
    def create(cls, path: Path | str, *, reference: str, config: Mapping[str, Any]) -> Ledger:
        """Make a new ledger.

        Parameters
        ----------
        path : of the file; it appears only when it is complete.
        reference : fingerprint of the labels' reference.
        config : the run's configuration, plain values.

        Raises
        ------
        FileExistsError
            There is a file already.
        """
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} exists already; open it with Ledger.open")
        temporary = path.with_name(f".new-{path.name}")
        temporary.unlink(missing_ok=True)
        ledger = cls(temporary)
        with ledger._write() as connection:
            ledger._db._initialize(connection)
            connection.executescript(TABLES)
            meta = {"format": FORMAT, "reference": reference, "config": config, "created": time.time()}
            rows = [(key, json.dumps(value)) for key, value in meta.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        temporary.rename(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path | str) -> Ledger:
        """Open a ledger and check that this version can read it.

        Raises
        ------
        FileNotFoundError
            No such file.
        ValueError
            It is not a ledger, or one of another format version.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no ledger at {path}; `mlsample run` makes one")
        ledger = cls(path)
        try:
            found = ledger.meta("format")
        except (sqlite3.DatabaseError, KeyError):
            raise ValueError(
                f"{path} is not a ledger of a run (it lacks a ledger's tables); give another directory"
            ) from None
        if found != FORMAT:
            raise ValueError(
                f"{path} has ledger format {found}; this version of ase-mlsample reads format {FORMAT}. "
                "Go on with the version that wrote it, or start in another directory"
            )
        return ledger

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction over ase.db's tables and ours."""
        with self._db as database:
            yield database.connection

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)
        try:
            yield connection
        finally:
            connection.close()

    def meta(self, key: str) -> Any:
        """A fact about the whole run: "format", "reference", "config", "created" and what was set."""
        with self._read() as connection:
            found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(f"the ledger {self.path} holds no {key!r}")
        return json.loads(found[0])

    def set_meta(self, key: str, value: Any) -> None:
        """Replace a fact about the whole run."""
        with self._write() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # -- stages: what a generation has behind it

    def finish_stage(self, generation: int, name: str, summary: Mapping[str, Any]) -> None:
        """Record that a stage of a generation is complete, with its numbers."""
        with self._write() as connection:
            self._finish_stage(connection, generation, name, summary)

    @staticmethod
    def _finish_stage(
        connection: sqlite3.Connection, generation: int, name: str, summary: Mapping[str, Any]
    ) -> None:
        row = (generation, name, json.dumps(summary), time.time())
        connection.execute("INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?)", row)

    def stages(self) -> dict[int, dict[str, dict[str, Any]]]:
        """Summaries of all complete stages, by generation and name."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT generation, name, summary FROM stages ORDER BY generation, finished"
            ).fetchall()
        found: dict[int, dict[str, dict[str, Any]]] = {}
        for generation, name, summary in rows:
            found.setdefault(generation, {})[name] = json.loads(summary)
        return found

    # -- structures

    def propose(
        self, generation: int, frames: Sequence[Atoms], *, stage: str, summary: Mapping[str, Any]
    ) -> int:
        """Record structures to be labelled and finish the stage that chose them, in one transaction.

        Parameters
        ----------
        generation : they belong to.
        frames : the structures in order; those in the ledger already are left out.
        stage : name of the stage.
        summary : its numbers; ``proposed`` is added.

        Returns
        -------
        int
            How many were new.
        """
        with self._write() as connection:
            known = {row[0] for row in connection.execute("SELECT structure FROM proposals")}
            new = 0
            for position, atoms in enumerate(frames):
                structure = structure_hash(atoms)
                if structure in known:
                    continue
                known.add(structure)
                row = self._write_row(atoms, structure, generation, "proposed")
                connection.execute(
                    "INSERT INTO proposals VALUES (?, ?, ?, ?)", (structure, row, generation, position)
                )
                new += 1
            self._finish_stage(connection, generation, stage, {**summary, "proposed": new})
        return new

    def _write_row(
        self, atoms: Atoms, structure: str, generation: int, status: str, row: int | None = None
    ) -> int:
        info = {
            key: value for key, value in atoms.info.items() if isinstance(value, str | int | float | bool)
        }
        pairs: dict[str, Any] = {"structure": structure, "generation": generation, "status": status}
        for key in ("config_type", "source"):
            try:  # ase.db refuses text that looks like a number; such text stays in `info` alone
                check_key_values({key: info[key]})
            except (KeyError, ValueError):
                continue
            pairs[key] = info[key]
        bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        bare.calc = atoms.calc
        return int(self._db.write(bare, key_value_pairs=pairs, data={"info": info}, id=row))

    def proposals(self, generation: int | None = None) -> list[Proposal]:
        """Structures in the order of their proposal, of one generation or all."""
        where, values = ("", ()) if generation is None else ("WHERE generation = ?", (generation,))
        with self._read() as connection:
            rows = connection.execute(
                f"SELECT structure, row, generation FROM proposals {where} ORDER BY generation, position",  # noqa: S608
                values,
            ).fetchall()
        return [Proposal(*row) for row in rows]

    def atoms(self, proposals: Iterable[Proposal]) -> list[Atoms]:
        """The structures themselves, with their provenance in ``info`` and, if labelled, the label."""
        with self._db:
            return [self._atoms(self._db._get_row(proposal.row), proposal) for proposal in proposals]

    @staticmethod
    def _atoms(row: AtomsRow, proposal: Proposal) -> Atoms:
        atoms = Atoms(row.numbers, positions=row.positions, cell=row.cell, pbc=row.pbc)
        atoms.info.update(row.data.get("info", {}), generation=proposal.generation)
        if "energy" in row:
            atoms.info["REF_energy"] = float(row.energy)
            atoms.arrays["REF_forces"] = np.array(row.forces, dtype=float)
            if "stress" in row:
                atoms.info["REF_stress"] = np.array(row.stress, dtype=float)
        return atoms

    # -- labels

    def add_labels(self, reference: str, results: Sequence[tuple[Proposal, Mapping[str, Any]]]) -> None:
        """Record labels (or their failures) in one transaction; one that is there already is kept.

        Parameters
        ----------
        reference : fingerprint of the reference that computed them.
        results : what `compute_label` returned, or the record of a failure, for each proposal.
        """
        with self._write() as connection:
            for proposal, result in results:
                if self._has_label(connection, proposal.structure, reference):
                    continue
                if result["status"] != "failed":
                    atoms = self._atoms(self._db._get_row(proposal.row), proposal)
                    atoms.calc = label_calculator(atoms, result)
                    self._write_row(
                        atoms, proposal.structure, proposal.generation, result["status"], proposal.row
                    )
                error = result.get("error")
                row = (
                    proposal.structure, reference, result["status"], proposal.row, result.get("max_force"),
                    None if error is None else f"{error['type']}: {error['message']}",
                    result.get("attempts", 1), result.get("seconds", 0.0),
                )  # fmt: skip
                connection.execute("INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    @staticmethod
    def _has_label(connection: sqlite3.Connection, structure: str, reference: str) -> bool:
        query = "SELECT 1 FROM labels WHERE structure = ? AND reference = ?"
        return connection.execute(query, (structure, reference)).fetchone() is not None

    def labels(self, reference: str) -> dict[str, LabelRow]:
        """Labels of a reference, failed and rejected ones included, by structure."""
        with self._read() as connection:
            rows = connection.execute(
                "SELECT structure, status, max_force, error, attempts, seconds "
                "FROM labels WHERE reference = ?",
                (reference,),
            ).fetchall()
        return {row[0]: LabelRow(*row) for row in rows}

    def forget_failures(self, reference: str) -> list[str]:
        """Drop the records of failed labels, so that they are tried again; returns their structures."""
        with self._write() as connection:
            query = "SELECT structure FROM labels WHERE reference = ? AND status = 'failed'"
            failed = [row[0] for row in connection.execute(query, (reference,))]
            connection.execute("DELETE FROM labels WHERE reference = ? AND status = 'failed'", (reference,))
        return failed

    def training_set(self, reference: str) -> list[Atoms]:
        """All structures with an accepted label, in the order of `keep_order`, then of their proposal.

        ``info["REF_energy"]`` in eV, ``arrays["REF_forces"]`` (N, 3) in eV/Å, ``info["REF_stress"]`` (6,) in
        eV/Å³.
        """
        place = {structure: number for number, structure in enumerate(self._order() or ())}
        accepted = self._accepted(reference)
        return self.atoms(sorted(accepted, key=lambda proposal: place.get(proposal.structure, len(place))))

    def _accepted(self, reference: str) -> list[Proposal]:
        labels = self.labels(reference)
        return [
            proposal
            for proposal in self.proposals()
            if proposal.structure in labels and labels[proposal.structure].status == "labelled"
        ]

    def waiting(self, reference: str) -> list[Proposal]:
        """Structures without a label, be it a failed one, in the order of their proposal."""
        labels = self.labels(reference)
        return [proposal for proposal in self.proposals() if proposal.structure not in labels]

    @property
    def has_order(self) -> bool:
        """Whether `keep_order` was ever called."""
        return self._order() is not None

    def keep_order(self, reference: str, *, generations: Container[int] | None = None) -> None:
        """Give the accepted labels that have none a place in the training set, for good.

        What a structure is used for (training, validation, calibration) depends on its place: a label that is
        had later than others of its generation must not move them.

        Parameters
        ----------
        reference : fingerprint of the reference.
        generations : only of structures proposed in these.
        """
        order = self._order() or []
        known = set(order)
        order += [
            proposal.structure
            for proposal in self._accepted(reference)
            if proposal.structure not in known and (generations is None or proposal.generation in generations)
        ]
        self.set_meta("order", order)

    def _order(self) -> list[str] | None:
        try:
            return list(self.meta("order"))
        except KeyError:
            return None

    # -- tasks

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
                "GROUP BY generation, kind ORDER BY MIN(finished)"
            ).fetchall()
        found: dict[int, dict[str, float]] = {}
        for generation, kind, seconds in rows:
            found.setdefault(generation, {})[kind] = seconds
        return found

    def stage_ends(self) -> dict[int, dict[str, float]]:
        """When stages ended, in seconds since 1970, by generation and name."""
        query = "SELECT generation, name, finished FROM stages ORDER BY generation, finished"
        with self._read() as connection:
            rows = connection.execute(query).fetchall()
        found: dict[int, dict[str, float]] = {}
        for generation, name, finished in rows:
            found.setdefault(generation, {})[name] = finished
        return found
