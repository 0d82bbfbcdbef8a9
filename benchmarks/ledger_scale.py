"""A ledger under load: status, selection of the next batch, memory, cost of a label, with many structures.

    python benchmarks/ledger_scale.py --structures 100000 --atoms 64 --folder /tmp/scale

makes a run's folder with that many labelled structures (in one transaction; a folder that is there is used
again) and measures, each in a process of its own, so that time includes the start of Python and memory is the
peak of the process. CPU time is what is asked for; wall time depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_mlsample.active.config import SelectionSettings
from ase_mlsample.active.descriptors import KnownDescriptors
from ase_mlsample.active.exchange import export_labels
from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.select import select_batch

REFERENCE = "r0123456789abcdef"
BATCH = 200
STATUS = """
import json, resource, sys
from ase_mlsample.cli import main
assert main(["status", sys.argv[1]]) == 0
print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))
"""


def main() -> None:
    """Make the ledger if it is not there, then measure each case in its own process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--structures", type=int, default=20_000)
    parser.add_argument("--atoms", type=int, default=64, choices=(8, 64, 216))
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=Path("ledger_scale"))
    parser.add_argument("--case", choices=sorted(CASES), help="measure this one here")
    args = parser.parse_args()
    if args.case is not None:
        print(json.dumps(CASES[args.case](args)))
        return
    if not (args.folder / "ledger.db").exists():
        seconds = _timed(make, args)[1]
        size = (args.folder / "ledger.db").stat().st_size
        print(f"made {args.structures} structures: {seconds:.0f} s CPU, {size / 1e6:.0f} MB")
    print(f"{'':34}{'CPU, s':>8}{'wall, s':>9}{'peak, MB':>10}")
    for case in ("status", *CASES):
        show(case, args)


def show(case: str, args: argparse.Namespace) -> None:
    """Run a case and print its line."""
    if case == "status":  # as a user calls it, with nothing of this file imported
        command = [sys.executable, "-c", STATUS, str(args.folder)]
    else:
        command = [sys.executable, __file__, "--case", case, "--folder", str(args.folder)]
        command += ["--candidates", str(args.candidates), "--atoms", str(args.atoms)]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"{case:34}{cpu:8.2f}{wall:9.2f}{told.pop('peak'):10.0f}  {told or ''}")


def make(args: argparse.Namespace) -> None:
    """A run with labelled structures over ten generations, the last one waiting for its labels."""
    args.folder.mkdir(parents=True, exist_ok=True)
    config = {
        "name": "scale",
        "elements": ["Si"],
        "reference": {"factory": "none"},
        "directory": str(args.folder),
    }
    ledger = Ledger.create(args.folder / "ledger.db", reference=REFERENCE, config=config)
    rng = np.random.default_rng(1)
    share = args.structures // 10
    for generation in range(10):
        copy_in(ledger, generation, labelled(share, args.atoms, rng))
        ledger.finish_stage(generation, "select", {"lo": 0.1, "hi": 0.6, "uncertain_fraction": 0.05})
        ledger.finish_stage(generation, "label", {"labelled": share})
        ledger.finish_stage(generation, "train", {"force_rmse": 0.1, "n_frames": share * (generation + 1)})
    ledger.keep_order(REFERENCE)
    ledger.propose(10, [atoms for atoms, _ in labelled(BATCH, args.atoms, rng)], stage="select", summary={})


def copy_in(ledger: Ledger, generation: int, frames: Iterator[tuple[Atoms, dict[str, Any]]]) -> None:
    """The first structure through the ledger, the others as copies of its rows with other numbers in them.

    The rows are those that `Ledger.add_labelled` writes, at a tenth of the time.
    """
    ledger.add_labelled(REFERENCE, generation, [next(frames)])
    with ledger._write() as connection:

        def rows(table: str, column: str = "id") -> list[list[Any]]:
            found = connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (first,))  # noqa: S608
            return [list(row) for row in found]

        first = connection.execute("SELECT MAX(id) FROM systems").fetchone()[0]
        names = [row[1] for row in connection.execute("PRAGMA table_info(systems)")]
        place = {name: names.index(name) for name in ("positions", "cell", "energy", "forces", "stress")}
        (system,), (proposal,), (label,) = rows("systems"), rows("proposals", "row"), rows("labels", "row")
        texts, keys = rows("text_key_values"), ("species", "keys", "number_key_values")
        others = {table: rows(table) for table in keys}
        old = proposal[0]
        new: dict[str, list[Any]] = {"systems": [], "proposals": [], "labels": [], "text_key_values": []}
        new |= {table: [] for table in others}
        for position, (atoms, result) in enumerate(frames, start=1):
            row, structure = first + position, structure_hash(atoms)
            values = {"positions": atoms.positions, "cell": atoms.cell.array, **result}
            copy = [x.replace(old, structure) if isinstance(x, str) else x for x in system]
            for name, index in place.items():
                copy[index] = values[name] if name == "energy" else np.asarray(values[name]).tobytes()
            new["systems"].append([row, f"{generation:04d}{position:028d}", *copy[2:]])
            new["proposals"].append([structure, row, generation, position])
            new["labels"].append([structure, label[1], label[2], row, *label[4:]])
            new["text_key_values"] += [
                [key, structure if key == "structure" else x, row] for key, x, _ in texts
            ]
            for table, listed in others.items():
                new[table] += [[*item[:-1], row] for item in listed]
        for table, listed in new.items():
            marks = ", ".join("?" * len(listed[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", listed)  # noqa: S608


def labelled(n: int, n_atoms: int, rng: np.random.Generator) -> Iterator[tuple[Atoms, dict[str, Any]]]:
    """Rattled, strained crystals with made-up labels."""
    cell = bulk("Si", cubic=True) * ((round((n_atoms / 8) ** (1 / 3)),) * 3)
    for number in range(n):
        atoms = cell.copy()
        atoms.set_cell(cell.cell.array @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, rng.uniform(0.02, 0.3), atoms.positions.shape)
        atoms.info = {"config_type": "crystal", "source": "benchmark", "number": number}
        forces = rng.normal(size=atoms.positions.shape)
        label = {
            "energy": -5.4 * len(atoms),
            "forces": forces,
            "stress": rng.normal(0, 0.01, 6),
            "seconds": 90.0,
        }
        yield atoms, {"status": "labelled", "max_force": 3.0, "attempts": 1, **label}


def select(args: argparse.Namespace) -> dict[str, Any]:
    """The next batch, when the structures of before were described in earlier generations."""
    ledger = Ledger.open(args.folder / "ledger.db")
    rng = np.random.default_rng(2)
    candidates = [atoms for atoms, _ in labelled(args.candidates, args.atoms, rng)]
    known = KnownDescriptors(ledger, ["Si"])
    settings = SelectionSettings(batch=BATCH)
    chosen = select_batch(candidates, known, settings=settings, elements=["Si"], rng=rng)
    return measured(candidates=len(candidates), chosen=len(chosen))


def select_anew(args: argparse.Namespace) -> dict[str, Any]:
    """The next batch when none was described, as after an import: everything is."""
    with Ledger.open(args.folder / "ledger.db")._write() as connection:
        connection.execute("DELETE FROM descriptors")
    return select(args)


def label(args: argparse.Namespace) -> dict[str, Any]:
    """Recording of one label at a time, as the driver does it."""
    ledger = Ledger.open(args.folder / "ledger.db")
    waiting = ledger.waiting(REFERENCE)[:100]
    ((_, result),) = labelled(1, args.atoms, np.random.default_rng(3))
    began, cpu = time.perf_counter(), time.process_time()
    for proposal in waiting:
        ledger.add_labels(REFERENCE, [(proposal, result)])
    n = max(1, len(waiting))
    each, used = (time.perf_counter() - began) / n, (time.process_time() - cpu) / n
    with ledger._write() as connection:  # they wait again, for the next measurement
        connection.executemany("DELETE FROM labels WHERE structure = ?", [(p.structure,) for p in waiting])
    return measured(labels=len(waiting), ms_wall_each=round(1e3 * each, 2), ms_cpu_each=round(1e3 * used, 2))


def propose(args: argparse.Namespace) -> dict[str, Any]:
    """Proposal of a batch that is known already (nothing is written)."""
    ledger = Ledger.open(args.folder / "ledger.db")
    frames = ledger.atoms(ledger.proposals(10))
    began = time.process_time()
    ledger.propose(10, frames, stage="select", summary={})
    return measured(frames=len(frames), ms_each=round(1e3 * (time.process_time() - began) / len(frames), 3))


def export(args: argparse.Namespace) -> dict[str, Any]:
    """The training set as extended XYZ, which each generation writes."""
    path = args.folder / "dataset.extxyz"
    number = export_labels(Ledger.open(args.folder / "ledger.db"), path)
    size = path.stat().st_size / 1e6
    path.unlink()
    return measured(frames=number, MB=round(size))


def measured(**told: Any) -> dict[str, Any]:
    """What a case tells, with the peak of memory so far in MB."""
    return {**told, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


CASES = {
    "select, none described": select_anew,
    "select": select,
    "label": label,
    "propose": propose,
    "export": export,
}


def _timed(function: Any, args: argparse.Namespace) -> tuple[Any, float]:
    began = time.process_time()
    return function(args), time.process_time() - began


if __name__ == "__main__":
    main()
