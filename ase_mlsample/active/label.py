"""One label: energy, forces and stress of the reference for one structure, checked before they count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from ase_mlsample.active.factories import build

__all__ = ["Reference", "compute_label", "structure_hash"]


@dataclass(frozen=True)
class Reference:
    """The calculator that labels are computed with, by name, so that it can be sent to workers.

    Attributes
    ----------
    factory : ``"module:factory"`` that returns an ASE calculator.
    kwargs : its keyword arguments.
    version : whatever else tells two references apart (version of the code, pseudopotentials …).
    max_force : eV/Å; a structure with a larger force on an atom is recorded but not learned from.
    """

    factory: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    max_force: float = float("inf")

    @property
    def fingerprint(self) -> str:
        """``"r"`` and 16 hexadecimal digits: the same for two references that give the same labels."""
        text = json.dumps([self.factory, dict(self.kwargs), self.version], sort_keys=True, default=str)
        return "r" + hashlib.sha256(text.encode()).hexdigest()[:16]

    def calculator(self) -> Calculator:
        """Make the calculator; a worker makes it once."""
        return _calculator(self.factory, json.dumps(dict(self.kwargs), sort_keys=True))


@lru_cache(maxsize=2)
def _calculator(factory: str, kwargs: str) -> Calculator:
    return build(factory, json.loads(kwargs))


def structure_hash(atoms: Atoms) -> str:
    """``"s"`` and the SHA-256 of numbers, positions, cell and periodicity: the name of a structure."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(atoms.numbers, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(atoms.positions + 0.0, dtype="<f8").tobytes())  # -0.0 is 0.0
    digest.update(np.ascontiguousarray(atoms.cell.array + 0.0, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(atoms.pbc, dtype="u1").tobytes())
    return "s" + digest.hexdigest()


def compute_label(*, atoms: Atoms, reference: Reference) -> dict[str, Any]:
    """Label one structure.

    Parameters
    ----------
    atoms : the structure; it is not changed.
    reference : the calculator to use.

    Returns
    -------
    dict
        ``status`` ("labelled", or "rejected" when a force exceeds ``reference.max_force``), ``energy`` (eV,
        the force-consistent one where the calculator knows it), ``forces`` (N, 3) eV/Å, ``stress`` (6,) eV/Å³
        or None, ``max_force`` eV/Å.

    Raises
    ------
    ValueError
        The answer is not finite, has the wrong shape, or the calculator changed the structure.
    """
    work = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    work.calc = calculator = reference.calculator()
    try:
        forces = np.array(work.get_forces(apply_constraint=False), dtype=float)
        energy = _energy(work, calculator)
        stress = _stress(work)
    except BaseException:
        _calculator.cache_clear()  # a calculator that failed may be in any state
        raise
    if structure_hash(work) != structure_hash(atoms):
        raise ValueError("the reference changed the positions or the cell of the structure it was given")
    if forces.shape != (len(atoms), 3):
        raise ValueError(f"the reference returned forces of shape {forces.shape} for {len(atoms)} atoms")
    numbers: dict[str, Any] = {
        "energy": energy,
        "forces": forces,
        **({} if stress is None else {"stress": stress}),
    }
    for name, value in numbers.items():
        if not np.all(np.isfinite(value)):
            raise ValueError(f"the reference returned a {name} that is not finite")
    largest = float(np.linalg.norm(forces, axis=1).max()) if len(forces) else 0.0
    return {
        "status": "labelled" if largest <= reference.max_force else "rejected",
        "energy": energy,
        "forces": forces,
        "stress": stress,
        "max_force": largest,
    }


def _energy(atoms: Atoms, calculator: Calculator) -> float:
    if "free_energy" in calculator.implemented_properties:
        return float(atoms.get_potential_energy(force_consistent=True))
    return float(atoms.get_potential_energy())


def _stress(atoms: Atoms) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    if atoms.cell.rank < 3:
        return None
    try:
        return np.array(atoms.get_stress(apply_constraint=False), dtype=float)
    except (PropertyNotImplementedError, NotImplementedError):
        return None
