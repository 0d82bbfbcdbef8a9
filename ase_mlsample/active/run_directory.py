"""The folder of a run: one writer at a time, one configuration, one reference."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pydantic import ValidationError

from ase_mlsample._files import write_atomic
from ase_mlsample.active.config import RunConfig, comparable_part, frozen_part
from ase_mlsample.active.config_file import differences, dump_config
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.live import clear_live
from ase_mlsample.active.running import hold, is_running
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.versions import installed_versions

__all__ = ["EventLog", "RunDirectory", "is_running"]

# what may lie in the folder of a run whose ledger is gone: its labels are taken in again
_SALVAGED = {"results", "run.lock", "live", "files", "parsl", "stop"}


class EventLog:
    """``log.jsonl``: one line of JSON an event, appended in one write; for lack of space, it is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **fields: Any) -> None:
        """Append an event with its time (UTC) and fields."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"time": stamp, "event": event, **fields}, default=str) + "\n"
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, (_end_of_cut_line(file) + line).encode())
            finally:
                os.close(file)
        except OSError as error:  # what cannot be told must not hide why, nor cost a label
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def events(self) -> list[dict[str, Any]]:
        """All events; a line cut by the death of its writer is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found


def _end_of_cut_line(file: int) -> str:
    """A new line, where the last writer died, or the disk was full, in the middle of one."""
    size = os.fstat(file).st_size
    return "\n" if size and os.pread(file, 1, size - 1) != b"\n" else ""


class RunDirectory:
    """An output folder, held by one process; use it as a context manager.

    Parameters
    ----------
    config : of the run; ``config.directory`` is made when missing.

    Raises
    ------
    RuntimeError
        Another process works in the folder (on entering).
    ValueError
        It holds something else, or a run with another configuration, reference or ledger version.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.path = config.directory.absolute()
        self.reference = config.reference.reference()
        self.log = EventLog(self.path / "log.jsonl")
        self._lock: IO[str] | None = None

    def __enter__(self) -> RunDirectory:
        self._refuse_foreign()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = hold(self.path)
        try:
            self.store = ResultStore(self.path / "results")
            self.resumed = (self.path / "ledger.db").exists()
            self.ledger = self._open() if self.resumed else self._create()
            self.ledger.set_meta("versions", installed_versions())
            clear_live(self.path)
            write_atomic(self.path / "config.yaml", dump_config(self.config).encode())
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def model(self, generation: int) -> Path:
        """Folder of the model of a generation."""
        return self.path / "models" / f"{generation:04d}"

    @cached_property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that name the configuration in the keys of tasks.

        Those of the configuration that the run was started with, as it was written then: a later version of
        this package may know more settings, and what was computed must keep its keys.
        """
        try:
            return str(self.ledger.meta("fingerprint"))
        except KeyError:
            return _digest(self.ledger.meta("config"))

    def _refuse_foreign(self) -> None:
        if not self.path.exists() or (self.path / "ledger.db").exists():
            return
        if not self.path.is_dir():
            raise ValueError(f"directory: {self.path} is a file; give the path of a folder")
        foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in _SALVAGED)
        foreign = [name for name in foreign if not name.startswith(".new-ledger.db")]
        if foreign:
            raise ValueError(
                f"directory: {self.path} holds no ledger but other files ({', '.join(foreign[:5])}); "
                "give an empty or a new folder"
            )

    def _create(self) -> Ledger:
        ledger = Ledger.create(
            self.path / "ledger.db", reference=self.reference.fingerprint, config=self.config.to_dict()
        )
        if self.reference.reported:
            ledger.set_meta("reported", self.reference.reported)
        return ledger

    def _open(self) -> Ledger:
        ledger = Ledger.open(self.path / "ledger.db")
        before = ledger.meta("config")
        now = self.config.to_dict()
        if ledger.meta("reference") != self.reference.fingerprint:
            changes = "; ".join(differences(before["reference"], now["reference"], path="reference"))
            if before["reference"] == now["reference"]:
                changes = f"its code reports {self.reference.reported!r} now, {_reported(ledger)} before"
            raise ValueError(
                f"the ledger in {self.path} holds labels of another reference ({changes}), and labels of two "
                "references do not mix; give another directory, or the reference of before"
            )
        frozen, old = comparable_part(now), comparable_part(_completed(before))
        changed = differences({key: old.get(key) for key in frozen}, frozen)
        if changed:
            raise ValueError(
                f"the run in {self.path} was started with another configuration: {'; '.join(changed)}. "
                "Give another directory or the values of before "
                "(stop, executors, testset, name, live may change, and how often a label is tried)"
            )
        if before != now:
            try:
                ledger.meta("fingerprint")
            except KeyError:
                ledger.set_meta("fingerprint", _digest(before))
            ledger.set_meta("config", now)
        return ledger


def _digest(config: Mapping[str, Any]) -> str:
    frozen = json.dumps(frozen_part(config), sort_keys=True)
    return hashlib.sha256(frozen.encode()).hexdigest()[:8]


def _reported(ledger: Ledger) -> str:
    try:
        return repr(ledger.meta("reported"))
    except KeyError:
        return "nothing"


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration with the defaults of settings that its version did not know."""
    try:
        return RunConfig.model_validate(config).to_dict()
    except ValidationError:  # it has settings that are gone: the comparison names them
        return dict(config)
