"""Results survive files, and calculators survive being copied and sent to other processes."""

import copy
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.db import connect

from ase_mlsample.testing.errors import assert_close, require

__all__ = ["check_io", "check_pickling"]


def check_io(calc: BaseCalculator, atoms: Atoms, *, name: str = "structure") -> None:
    """Write atoms with their calculator to extxyz, traj and an ASE data base, and read the results back.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If energy, forces or stress come back changed.
    """
    atoms = atoms.copy()
    atoms.calc = calc
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    stress = calc.results.get("stress")
    with TemporaryDirectory() as folder:
        xyz, traj, database = (Path(folder) / f"frames.{kind}" for kind in ("extxyz", "traj", "db"))
        ase.io.write(xyz, atoms)
        ase.io.write(traj, atoms)
        with connect(database) as rows:
            rows.write(atoms)
        # extxyz keeps eight decimals of a number, the others keep them all.
        read = {"extxyz": (ase.io.read(xyz), 2e-8), "traj": (ase.io.read(traj), 0.0)}
        read["ase.db"] = (connect(database).get_atoms(), 0.0)
    for file, (back, tolerance) in read.items():
        what = f"{name}, from {file}"
        came = set() if back.calc is None else set(back.calc.results)
        lost = {"energy", "forces", *(["stress"] if stress is not None else [])} - came
        require(not lost, f"{what}: {', '.join(sorted(lost))} did not come back")
        limit = tolerance * max(1.0, abs(energy))
        assert_close(back.get_potential_energy(), energy, tolerance=limit, what=f"{what}: energy (eV)")
        limit = tolerance * max(1.0, float(np.abs(forces).max()))
        assert_close(back.get_forces(), forces, tolerance=limit, what=f"{what}: forces (eV/Å)")
        if stress is not None:
            assert_close(back.get_stress(), stress, tolerance=tolerance, what=f"{what}: stress (eV/Å³)")


def check_pickling(calc: BaseCalculator, atoms: Atoms, *, name: str = "structure") -> None:
    """Pickle and deep-copy the calculator before and after it was used.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    name : str
        What messages call the structure.

    Raises
    ------
    ContractError
        If a copy gives other results, or shares them with the original.
    """
    if hasattr(calc, "reset"):
        calc.reset()
    unused = pickle.loads(pickle.dumps(calc))  # noqa: S301 (our own bytes)
    forces = calc.get_forces(atoms)
    copies = {
        "pickled before use": unused,
        "pickled after use": pickle.loads(pickle.dumps(calc)),  # noqa: S301
        "deep-copied": copy.deepcopy(calc),
    }
    for how, twin in copies.items():
        assert_close(twin.get_forces(atoms), forces, tolerance=0.0, what=f"{name}: forces when {how} (eV/Å)")
        twin.results.clear()
        require("forces" in calc.results, f"{name}: the original lost its results with one {how}")
