"""Labelled structures that come into a run from a file, and leave it as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.active.config import RunConfig
from ase_mlsample.active.frames import write_exact
from ase_mlsample.active.ledger import Ledger
from ase_mlsample.active.run_directory import RunDirectory
from ase_mlsample.training.dataset import Dataset
from ase_mlsample.training.deepmd_systems import is_deepmd_folder, read_systems
from ase_mlsample.training.labels import Labels, read_labels

__all__ = ["export_deepmd", "export_labels", "import_labels", "with_reference"]

STATEMENT = "REF_reference"


def import_labels(
    config: RunConfig,
    path: Path,
    *,
    energy_key: str = "REF_energy",
    forces_key: str = "REF_forces",
    stress_key: str = "REF_stress",
    same_reference: bool = False,
) -> dict[str, int]:
    """Record the labelled structures of a file in a run's ledger, which is made when there is none.

    They count as labels of the run's reference with the source "imported", and belong to the next generation
    that is labelled. A structure that the ledger has a label of is left out: what tells structures apart is
    the hash of their content.

    Parameters
    ----------
    config : of the run.
    path : file that ASE reads, or a folder of deepmd-kit's data systems.
    energy_key, forces_key, stress_key : where the labels are.
    same_reference : says that labels which do not name their reference in ``info["REF_reference"]``, or name
        another, are of the run's.

    Returns
    -------
    dict
        Numbers of structures that were "new", "waiting" (proposed, and had no label) and "known" (left out).

    Raises
    ------
    ValueError, KeyError
        A frame has no energy or forces, or one that is not finite, elements that the run does not have, or is
        not known to be of the run's reference; then nothing is imported.
    RuntimeError
        A run is at work in the folder.
    """
    from ase.io import read

    keys = {"energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key}
    frames = read_systems(path) if is_deepmd_folder(path) else read(path, index=":")
    if not frames:
        raise ValueError(f"{path} holds no structure")
    labels = [read_labels(atoms, index=number, **keys) for number, atoms in enumerate(frames)]
    with RunDirectory(config) as directory:
        reference = directory.reference.fingerprint
        for number, (atoms, label) in enumerate(zip(frames, labels, strict=True)):
            _check(atoms, label, f"frame {number} of {path}", config, forces_key)
            if not same_reference:
                _check_statement(atoms, reference, f"frame {number} of {path}")
        pairs = (
            (_clean(atoms, path, keys), _result(label, config))
            for atoms, label in zip(frames, labels, strict=True)
        )
        counts = directory.ledger.add_labelled(reference, _generation(directory.ledger), pairs)
        directory.log.write("imported", file=str(path), **counts)
    return counts


def export_labels(ledger: Ledger, path: Path) -> int:
    """Write all accepted labels of a run as extended XYZ with all digits; returns how many there are.

    ``info["REF_reference"]`` names the reference, so that another run of it can import the file.
    """
    return write_exact(path, with_reference(ledger))


def export_deepmd(ledger: Ledger, folder: Path) -> int:
    """Write all accepted labels of a run as deepmd-kit's data systems; returns how many there are.

    Raises
    ------
    FileExistsError, ValueError
        As `ase_mlsample.training.Dataset.to_deepmd`.
    """
    dataset = Dataset(ledger.stream(ledger.accepted(ledger.meta("reference"))))
    dataset.to_deepmd(folder)
    return len(dataset)


def with_reference(ledger: Ledger) -> Iterator[Atoms]:
    """The training set, one by one, each with the fingerprint of its reference."""
    reference = ledger.meta("reference")
    for atoms in ledger.stream(ledger.accepted(reference)):
        atoms.info[STATEMENT] = reference
        yield atoms


def _generation(ledger: Ledger) -> int:
    """The next generation that is labelled."""
    stages = ledger.stages()
    if not stages:
        return 0
    last = max(stages)
    return last + 1 if "label" in stages[last] else last


def _check(atoms: Atoms, label: Labels, where: str, config: RunConfig, forces_key: str) -> None:
    if label.forces is None:
        raise KeyError(f"{where} has no forces under {forces_key!r}; name the key, or leave the frame out")
    foreign = sorted(set(atoms.get_chemical_symbols()) - set(config.elements))
    if foreign:
        raise ValueError(
            f"{where} has {', '.join(foreign)}, but the run's elements are {list(config.elements)}"
        )


def _check_statement(atoms: Atoms, reference: str, where: str) -> None:
    stated = atoms.info.get(STATEMENT)
    if stated == reference:
        return
    told = "does not say" if stated is None else f"says {stated!r}"
    raise ValueError(
        f"{where} {told} in {STATEMENT} by which reference it was computed, and the run's is {reference!r}: "
        "labels of two references do not mix. --same-reference says that they are of the run's"
    )


def _clean(atoms: Atoms, path: Path, keys: dict[str, str]) -> Atoms:
    """The structure with its provenance as plain values."""
    copy = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    for key, value in atoms.info.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if key not in (*keys.values(), STATEMENT) and isinstance(plain, str | int | float | bool):
            copy.info[key] = plain
    copy.info.setdefault("source", "imported")
    copy.info["imported_from"] = path.name
    return copy


def _result(label: Labels, config: RunConfig) -> dict[str, Any]:
    assert label.forces is not None  # noqa: S101 - checked before
    largest = float(np.linalg.norm(label.forces, axis=1).max())
    return {
        "status": "labelled" if largest <= config.reference.max_force else "rejected",
        "energy": label.energy,
        "forces": label.forces,
        "stress": label.stress,
        "max_force": largest,
        "attempts": 0,
        "seconds": 0.0,
        "source": "imported",
    }
