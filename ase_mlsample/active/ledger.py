"""The ledger: one SQLite file with every structure, label, task and stage of a run.

Structures are rows of an ``ase.db`` (``ase gui ledger.db`` opens it), written at proposal and again with
their label; states live in plain tables in the same file. What is recorded is durable: it survives the death
of the process at any moment.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.ledger_counts import LedgerCounts
from ase_mlsample.active.ledger_tables import FORMAT, LabelRow, Proposal, label_calculator

if TYPE_CHECKING:
    from ase.db.row import AtomsRow

__all__ = ["FORMAT", "LabelRow", "Ledger", "Proposal"]

_LABEL_COLUMNS = "structure, status, max_force, error, attempts, seconds, kind, recipe, source"
_ORDER = "order"


class Ledger(LedgerCounts):
    """Everything a run knows; made by `create`, opened again by `open`.

    One process writes (the run that holds the directory's lock); others read at any time.
    """

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
            new = 0
            for position, atoms in enumerate(frames):
                structure = structure_hash(atoms)
                if self._proposal(connection, structure) is None:
                    row = self._write_row(atoms, structure, generation, "proposed")
                    self._insert_proposal(connection, Proposal(structure, row, generation), position)
                    new += 1
            self._finish_stage(connection, generation, stage, {**summary, "proposed": new})
        return new

    @staticmethod
    def _proposal(connection: sqlite3.Connection, structure: str) -> Proposal | None:
        query = "SELECT structure, row, generation FROM proposals WHERE structure = ?"
        found = connection.execute(query, (structure,)).fetchone()
        return None if found is None else Proposal(*found)

    @staticmethod
    def _insert_proposal(connection: sqlite3.Connection, proposal: Proposal, position: int) -> None:
        values = (proposal.structure, proposal.row, proposal.generation, position)
        connection.execute("INSERT INTO proposals VALUES (?, ?, ?, ?)", values)

    def _write_row(
        self, atoms: Atoms, structure: str, generation: int, status: str, row: int | None = None
    ) -> int:
        from ase.db.core import check as check_key_values

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
        return self._proposals(f"FROM proposals p {where} ORDER BY p.generation, p.position, p.row", values)

    def find(self, structures: Sequence[str]) -> list[Proposal]:
        """Structures by their hashes, in the order of these; unknown ones are left out."""
        with self._read() as connection:
            found = [self._proposal(connection, structure) for structure in structures]
        return [proposal for proposal in found if proposal is not None]

    def _proposals(self, rest: str, values: Sequence[Any] = ()) -> list[Proposal]:
        query = f"SELECT p.structure, p.row, p.generation {rest}"
        with self._read() as connection:
            return [Proposal(*row) for row in connection.execute(query, values)]

    def atoms(self, proposals: Iterable[Proposal]) -> list[Atoms]:
        """The structures themselves, with their provenance in ``info`` and, if labelled, the label."""
        return list(self.stream(proposals))

    def stream(self, proposals: Iterable[Proposal]) -> Iterator[Atoms]:
        """`atoms`, one at a time: what is not kept needs no memory."""
        with self._read() as connection:  # of its own: whoever takes the structures may write meanwhile
            self._db._initialize(connection)
            for proposal in proposals:
                query = "SELECT * FROM systems WHERE id = ?"
                values = connection.execute(query, (proposal.row,)).fetchone()
                yield self._atoms(self._db._convert_tuple_to_row(values), proposal)

    def provenance(self, reference: str) -> Iterator[tuple[Proposal, dict[str, Any], str]]:
        """Each structure's ``info`` and state ("labelled" … or "waiting"), without the structure itself."""
        query = (
            "SELECT p.structure, p.row, p.generation, s.data, COALESCE(l.status, 'waiting') "
            "FROM proposals p JOIN systems s ON s.id = p.row "
            "LEFT JOIN labels l ON l.structure = p.structure AND l.reference = ? "
            "ORDER BY p.generation, p.position, p.row"
        )
        with self._read() as connection:
            self._db._initialize(connection)
            # all at once: an open query would keep the writer waiting
            rows = connection.execute(query, (reference,)).fetchall()
        for *proposal, data, status in rows:
            yield Proposal(*proposal), self._db.decode(data).get("info", {}), status

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
                self._insert_label(connection, proposal, reference, result)

    @staticmethod
    def _insert_label(
        connection: sqlite3.Connection, proposal: Proposal, reference: str, result: Mapping[str, Any]
    ) -> None:
        error = result.get("error")
        row = (
            proposal.structure, reference, result["status"], proposal.row, result.get("max_force"),
            None if error is None else f"{error['type']}: {error['message']}",
            result.get("attempts", 1), result.get("seconds", 0.0), proposal.generation,
            None if error is None else error.get("kind", "unknown"),
            result.get("recipe", 0), result.get("source", "computed"),
        )  # fmt: skip
        connection.execute(
            "INSERT INTO labels (structure, reference, status, row, max_force, error, attempts, seconds, "
            "generation, kind, recipe, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def add_labelled(
        self, reference: str, generation: int, frames: Iterable[tuple[Atoms, Mapping[str, Any]]]
    ) -> dict[str, int]:
        """Record structures together with labels that were had elsewhere, all in one transaction.

        Parameters
        ----------
        reference : fingerprint of the reference that the labels are of.
        generation : that structures which are new belong to.
        frames : structures, each with its label as `compute_label` returns it; ``source`` says whence.

        Returns
        -------
        dict
            Numbers of structures that were "new", "waiting" (known, and had no label, or a failed one), and
            "known" (left out: they had one, or were listed before).
        """
        counts = {"new": 0, "waiting": 0, "known": 0}
        with self._write() as connection:
            last = connection.execute("SELECT MAX(position) FROM proposals").fetchone()[0]
            for position, (atoms, result) in enumerate(frames, start=0 if last is None else last + 1):
                structure = structure_hash(atoms)
                known = self._proposal(connection, structure)
                self._forget_failure(connection, structure, reference)
                if known is not None and self._has_label(connection, structure, reference):
                    counts["known"] += 1
                    continue
                counts["new" if known is None else "waiting"] += 1
                copy = atoms.copy()
                copy.calc = label_calculator(copy, result)
                owner = generation if known is None else known.generation
                row = self._write_row(
                    copy, structure, owner, result["status"], None if known is None else known.row
                )
                proposal = Proposal(structure, row, owner)
                if known is None:
                    self._insert_proposal(connection, proposal, position)
                self._insert_label(connection, proposal, reference, result)
        return counts

    @staticmethod
    def _has_label(connection: sqlite3.Connection, structure: str, reference: str) -> bool:
        query = "SELECT 1 FROM labels WHERE structure = ? AND reference = ?"
        return connection.execute(query, (structure, reference)).fetchone() is not None

    @staticmethod
    def _forget_failure(connection: sqlite3.Connection, structure: str, reference: str) -> None:
        query = "DELETE FROM labels WHERE structure = ? AND reference = ? AND status = 'failed'"
        connection.execute(query, (structure, reference))

    def labels(self, reference: str, generation: int | None = None) -> dict[str, LabelRow]:
        """Labels of a reference by structure, failed and rejected ones too; of one generation, or all."""
        where, values = ("", ()) if generation is None else (" AND generation = ?", (generation,))
        query = f"SELECT {_LABEL_COLUMNS} FROM labels WHERE reference = ?{where}"  # noqa: S608 - our own text
        with self._read() as connection:
            return {row[0]: LabelRow(*row) for row in connection.execute(query, (reference, *values))}

    def forget_failures(self, reference: str, *, kind: str | None = None) -> list[str]:
        """Drop the records of failed labels, so that they are tried again; returns their structures.

        Parameters
        ----------
        reference : fingerprint of the reference.
        kind : only failures of this kind.
        """
        where, values = "reference = ? AND status = 'failed'", [reference]
        if kind is not None:
            where, values = f"{where} AND kind = ?", [*values, kind]
        query = f"SELECT structure FROM labels WHERE {where}"  # noqa: S608 - our own text
        with self._read() as connection:
            failed = [row[0] for row in connection.execute(query, values)]
        if failed:
            with self._write() as connection:
                connection.execute(f"DELETE FROM labels WHERE {where}", values)  # noqa: S608
        return failed

    def training_set(self, reference: str) -> list[Atoms]:
        """All structures with an accepted label, in the order of `keep_order`, then of their proposal.

        ``info["REF_energy"]`` in eV, ``arrays["REF_forces"]`` (N, 3) in eV/Å, ``info["REF_stress"]`` (6,) in
        eV/Å³.
        """
        return self.atoms(self.accepted(reference))

    def accepted(self, reference: str) -> list[Proposal]:
        """The structures of `training_set`, in its order."""
        return self._proposals(
            "FROM proposals p JOIN labels l ON l.structure = p.structure AND l.reference = ? "
            "AND l.status = 'labelled' LEFT JOIN places o ON o.structure = p.structure "
            "ORDER BY o.place IS NULL, o.place, p.generation, p.position, p.row",
            (reference,),
        )

    def waiting(self, reference: str) -> list[Proposal]:
        """Structures without a label, be it a failed one, in the order of their proposal."""
        return self._proposals(
            "FROM proposals p LEFT JOIN labels l ON l.structure = p.structure AND l.reference = ? "
            "WHERE l.structure IS NULL ORDER BY p.generation, p.position, p.row",
            (reference,),
        )

    @property
    def has_order(self) -> bool:
        """Whether `keep_order` was ever called."""
        try:
            self.meta(_ORDER)
        except KeyError:
            return False
        return True

    def keep_order(self, reference: str, *, generations: Container[int] | None = None) -> None:
        """Give the accepted labels that have none a place in the training set, for good.

        What a structure is used for (training, validation, calibration) depends on its place: a label that is
        had later than others of its generation must not move them.

        Parameters
        ----------
        reference : fingerprint of the reference.
        generations : only of structures proposed in these.
        """
        new = self._proposals(
            "FROM proposals p JOIN labels l ON l.structure = p.structure AND l.reference = ? "
            "AND l.status = 'labelled' LEFT JOIN places o ON o.structure = p.structure "
            "WHERE o.place IS NULL ORDER BY p.generation, p.position, p.row",
            (reference,),
        )
        placed = [p.structure for p in new if generations is None or p.generation in generations]
        with self._write() as connection:
            last = connection.execute("SELECT MAX(place) FROM places").fetchone()[0]
            first = 0 if last is None else last + 1
            rows = [(structure, place) for place, structure in enumerate(placed, start=first)]
            connection.executemany("INSERT INTO places VALUES (?, ?)", rows)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_ORDER, json.dumps("places")))
