"""What tests of the loop look at: processes, calls of the reference, the data set."""

import time
from pathlib import Path

import numpy as np

from ase_mlsample.active import Ledger

PATIENCE_S = 90.0


def wait_for(condition, process=None):
    """Poll until a condition holds, within a bound; a process that ends meanwhile is an error."""
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended early: {process.output.read_text()}")
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)
    return found


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def descendants(pid):
    """Processes that a process started, and those that they started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {child for child, parent in parents.items() if parent == pid}
    return found.union(*(descendants(child) for child in found))


def calls(values):
    """Structures that the reference was asked for, and by which process."""
    path = Path(values["reference"]["kwargs"]["calls"])
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def data_set(values):
    """The final data set, as comparable bytes in order."""
    ledger = Ledger.open(Path(values["directory"]) / "ledger.db")
    return [
        (
            atoms.positions.tobytes(),
            atoms.cell.array.tobytes(),
            atoms.info["REF_energy"],
            np.asarray(atoms.arrays["REF_forces"]).tobytes(),
            np.asarray(atoms.info["REF_stress"]).tobytes(),
            atoms.info["generation"],
        )
        for atoms in ledger.training_set(ledger.meta("reference"))
    ]
