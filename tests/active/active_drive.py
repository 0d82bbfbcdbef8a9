"""Run a configuration with a point where the run waits to be killed: active_drive.py CONFIG POINT FILE."""

import itertools
import sys
import time
from pathlib import Path

from active_toy import block

from ase_mlsample.active import ActiveLoop, ledger, models, read_config, store


def in_ledger(blocked):
    """In the middle of a transaction, the third label of a batch being written."""
    original, seen = ledger.Ledger._write_row, []

    def write_row(self, atoms, structure, generation, status, row=None):
        found = original(self, atoms, structure, generation, status, row)
        if status == "labelled":
            seen.append(structure)
        if len(seen) == 3:
            block(blocked)
        return found

    ledger.Ledger._write_row = write_row


def in_proposals(blocked):
    """In the middle of the proposals of a generation."""
    original = ledger.Ledger._write_row

    def write_row(self, atoms, structure, generation, status, row=None):
        found = original(self, atoms, structure, generation, status, row)
        if generation == 1:
            block(blocked)
        return found

    ledger.Ledger._write_row = write_row


def in_result(blocked):
    """Between the writing of a label's file and its renaming."""
    original, seen = store.os.fsync, []

    def fsync(file):
        seen.append(file)
        if len(seen) > 12:
            block(blocked)
        original(file)

    store.os.fsync = fsync


def in_large_transaction(blocked):
    """In the middle of a transaction of which a part is in the file already."""
    original = ledger.Ledger._write_row

    def write_row(self, atoms, structure, generation, status, row=None):
        self._db.connection.execute("PRAGMA cache_size = 1")
        found = original(self, atoms, structure, generation, status, row)
        if generation == 1:
            assert self.path.with_name("ledger.db-journal").stat().st_size > 512
            block(blocked)
        return found

    ledger.Ledger._write_row = write_row


def clock_goes_backwards(_):
    """Every look at the clock shows an earlier time."""
    now = itertools.count(2_000_000_000, -60)
    time.time = lambda: float(next(now))


def in_training(blocked):
    """In the middle of the calibration of a committee."""
    original = models.fit_calibration

    def fit_calibration(*errors):
        block(blocked)
        return original(*errors)

    models.fit_calibration = fit_calibration


def in_closing(blocked):
    """With the second model recorded, and what its generation has explored not yet."""
    from ase_mlsample.active.asynchronous_exploring import Exploration

    original = Exploration.close

    def close(self, generation):
        if generation == 1:
            block(blocked)
        return original(self, generation)

    Exploration.close = close


if __name__ == "__main__":
    config = read_config(sys.argv[1])
    if len(sys.argv) > 2:
        globals()[sys.argv[2]](Path(sys.argv[3]))
    ActiveLoop(config).run()
