"""The file of a ledger: made whole, opened, read by many and written by one, a transaction at a time."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ase_mlsample.active.ledger_tables import FORMAT, READABLE, TABLES, migrate, show_as_new

if TYPE_CHECKING:
    from ase.db.sqlite import SQLite3Database

__all__ = ["LedgerFile"]

_PATIENCE_S = 20
# what SQLite says of files that are none of its own, or have other tables
_NO_LEDGER = ("SQLITE_ERROR", "SQLITE_NOTADB", "SQLITE_CORRUPT")
# ase.db commits by itself when a count of rows is divisible by 5000, which would cut our transactions
_NEVER = float("nan")


class LedgerFile:
    """One SQLite file with the tables of ase.db and ours; `create` and `open` make instances.

    Parameters
    ----------
    path : of the file.
    format_version : of its tables.
    """

    def __init__(self, path: Path | str, *, format_version: int = FORMAT) -> None:
        self.path = Path(path)
        self._format = format_version
        self._rows: SQLite3Database | None = None

    @classmethod
    def create(cls, path: Path | str, *, reference: str, config: Mapping[str, Any]) -> Self:
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
            for statement in TABLES:
                connection.execute(statement)
            meta = {"format": FORMAT, "reference": reference, "config": config, "created": time.time()}
            rows = [(key, json.dumps(value)) for key, value in meta.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        temporary.rename(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a ledger and check that this version can read it.

        One of format 1 is read as it is; the first change brings it to this format.

        Raises
        ------
        FileNotFoundError
            No such file.
        ValueError
            It is not a ledger, or one of another format version.
        RuntimeError
            A long transaction keeps readers out.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no ledger at {path}; `mlsample run` makes one")
        try:
            found = cls(path).meta("format")
        except (sqlite3.DatabaseError, KeyError) as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
                raise RuntimeError(
                    f"{path} has been written to for {_PATIENCE_S} s without a pause; ask again later"
                ) from error
            if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorname not in _NO_LEDGER:
                raise
            raise ValueError(
                f"{path} is not a ledger of a run (it lacks a ledger's tables); give another directory"
            ) from None
        if found not in READABLE:
            raise ValueError(
                f"{path} has ledger format {found}; this version of ase-mlsample reads format {FORMAT} "
                "and those before. Go on with the version that wrote it, or start in another directory"
            )
        return cls(path, format_version=found)

    @property
    def _db(self) -> SQLite3Database:
        if self._rows is None:
            # it loads half of ASE, which who only asks where a run stands need not wait for
            from ase.db.sqlite import SQLite3Database

            # no lock file of ase.db's: it would outlive a killed process and block the next one for ever
            self._rows = SQLite3Database(
                str(self.path), create_indices=True, use_lock_file=False, serial=True
            )
        return self._rows

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction over ase.db's tables and ours."""
        try:
            with self._db as database:
                database.change_count = _NEVER
                if self._format < FORMAT:
                    migrate(database.connection)
                yield database.connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_FULL":
                raise
            told = (
                f"{os.strerror(errno.ENOSPC)}: this change of the ledger is taken back. What was recorded "
                "before is safe; make room, then run again"
            )
            raise OSError(errno.ENOSPC, told, str(self.path)) from error
        finally:
            if self._db.connection is not None:  # ase.db keeps one whose commit fails
                self._db.connection.close()
                self._db.connection = None
        self._format = FORMAT

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        connection = self._reader()
        try:
            if self._format < FORMAT:  # or has its writer brought it to the new format since?
                found = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
                self._format = json.loads(found[0])
            if self._format < FORMAT:
                show_as_new(connection)
            yield connection
        finally:
            connection.close()

    def _reader(self) -> sqlite3.Connection:
        address = self.path.absolute().as_uri()  # which folders named run#1 or 50% need
        connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=_PATIENCE_S)
        try:
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # its writer was killed in a transaction: to take that back, the file must be opened for writing
            connection.close()
            connection = sqlite3.connect(f"{address}?mode=rw", uri=True, timeout=_PATIENCE_S)
        return connection

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
        """Summaries of all complete stages, by generation and name, in the order of their completion."""
        with self._read() as connection:
            # not by time: clocks may go backwards
            query = "SELECT generation, name, summary FROM stages ORDER BY generation, rowid"
            rows = connection.execute(query).fetchall()
        found: dict[int, dict[str, dict[str, Any]]] = {}
        for generation, name, summary in rows:
            found.setdefault(generation, {})[name] = json.loads(summary)
        return found

    def stage_ends(self) -> dict[int, dict[str, float]]:
        """When stages ended, in seconds since 1970, by generation and name."""
        query = "SELECT generation, name, finished FROM stages ORDER BY generation, rowid"
        with self._read() as connection:
            rows = connection.execute(query).fetchall()
        found: dict[int, dict[str, float]] = {}
        for generation, name, finished in rows:
            found.setdefault(generation, {})[name] = finished
        return found
