"""One GPAW calculation: in this process, or as a program of its own (under MPI) that reads a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray

from ase_mlsample.references.files import content_hash

__all__ = ["ERROR", "INPUT", "RESULTS", "STRUCTURE", "TEXT", "VERSION", "main", "single_point", "version"]

VERSION = "--version"
STRUCTURE, INPUT, RESULTS, ERROR, TEXT = "atoms.json", "input.json", "results.json", "error.json", "gpaw.txt"


def version(xc: str) -> str:
    """Version of GPAW and hash of the content of its PAW data for a functional."""
    module = import_module("gpaw")
    folders = [Path(path) for path in module.setup_paths]
    data = {path for folder in folders for path in folder.glob(f"*.{xc}*")}
    return f"gpaw {module.__version__}, {xc} data {content_hash(data)}"


def single_point(atoms: Atoms, parameters: Mapping[str, Any], text: Path) -> dict[str, Any]:
    """Free energy (eV), forces (N, 3) and stress (6,) of a structure.

    Parameters
    ----------
    atoms : the structure; it is not changed.
    parameters : keyword arguments of GPAW.
    text : file for GPAW's output.
    """
    work = atoms.copy()
    work.calc = import_module("gpaw").GPAW(**parameters, txt=str(text))
    return {
        "energy": float(work.get_potential_energy(force_consistent=True)),
        "forces": _array(work.get_forces()),
        "stress": _array(work.get_stress()),
    }


def _array(values: Any) -> NDArray[np.float64]:
    return np.array(values, dtype=float)


def main(folder: Path) -> None:
    """Read structure and parameters from a folder, compute, and leave results or the error there."""
    try:
        parameters = json.loads((folder / INPUT).read_text())
        found = single_point(read(folder / STRUCTURE), parameters, folder / TEXT)
    except Exception as error:
        _leave(folder / ERROR, {"type": type(error).__name__, "message": str(error)})
        raise
    _leave(folder / RESULTS, {name: np.asarray(value).tolist() for name, value in found.items()})


def _leave(path: Path, values: dict[str, Any]) -> None:
    # with MPI every process comes here, with the same values
    if import_module("gpaw.mpi").world.rank == 0:
        path.write_text(json.dumps(values))


if __name__ == "__main__":
    if sys.argv[1] == VERSION:
        sys.stdout.write(f"{version(sys.argv[2])}\n")
    else:
        main(Path(sys.argv[1]))
