"""Variables of the whole structure: volume, density, potential energy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from ase_mlsample.cvs.base import CollectiveVariable, CVValue, require_finite

__all__ = ["Density", "PotentialEnergy", "Volume", "already_evaluated"]

_GRAMS_PER_AMU = 1e3 * units._amu  # amu in kg, from ASE's constants
_CM3_PER_A3 = 1e-24


class _Known(NamedTuple):
    calc: Any
    atoms: Atoms
    prediction: Any


_at_hand: ContextVar[_Known | None] = ContextVar("prediction at hand", default=None)


@contextmanager
def already_evaluated(calc: Any, atoms: Atoms, prediction: Any) -> Iterator[None]:
    """Spare :class:`PotentialEnergy` an evaluation that its caller has made.

    Within the context, potential energies of this calculator and these very atoms, wherever in a combination
    of variables they stand, are taken from the prediction.

    Parameters
    ----------
    calc : object with ``evaluate``
    atoms : Atoms
        They must not change within the context.
    prediction : Prediction
        What ``calc.evaluate(atoms)`` gave.
    """
    token = _at_hand.set(_Known(calc, atoms, prediction))
    try:
        yield
    finally:
        _at_hand.reset(token)


class Volume(CollectiveVariable):
    """Volume of the cell, in Å³, or per atom.

    Parameters
    ----------
    per_atom : bool
        Divide by the number of atoms.
    name : str

    Raises
    ------
    ValueError
        In evaluation, if the cell has no volume.
    """

    def __init__(self, *, per_atom: bool = False, name: str = "volume") -> None:
        super().__init__([name])
        self._per_atom = bool(per_atom)
        self.parameters = {"per_atom": self._per_atom}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient (zero) and virial; see :class:`CollectiveVariable`."""
        volume = _volume(atoms, self.names[0]) / (len(atoms) if self._per_atom else 1)
        return CVValue(np.array([volume]), np.zeros((1, len(atoms), 3)), volume * np.eye(3)[None])


class Density(CollectiveVariable):
    """Mass density, in g/cm³.

    Parameters
    ----------
    name : str

    Raises
    ------
    ValueError
        In evaluation, if the cell has no volume.
    """

    def __init__(self, *, name: str = "density") -> None:
        super().__init__([name])

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient (zero) and virial; see :class:`CollectiveVariable`."""
        volume = _volume(atoms, self.names[0])
        density = float(atoms.get_masses().sum()) * _GRAMS_PER_AMU / (volume * _CM3_PER_A3)
        return CVValue(np.array([density]), np.zeros((1, len(atoms), 3)), -density * np.eye(3)[None])


class PotentialEnergy(CollectiveVariable):
    """Potential energy of a calculator, in eV, or per atom.

    The free energy where a calculator tells it from the energy, since that is what its forces belong to. A
    calculator of this package is asked by its stateless ``evaluate``, another through ASE's interface with
    its cache. Where the same calculator drives the dynamics, each structure is evaluated once.

    Parameters
    ----------
    calc : ASE calculator
        With forces; with stress for structures that are periodic.
    per_atom : bool
        Divide by the number of atoms.
    name : str

    Raises
    ------
    TypeError
        If the calculator is none.
    PropertyNotImplementedError
        In evaluation, if a periodic structure has no stress.
    """

    def __init__(self, calc: Any, *, per_atom: bool = False, name: str = "energy") -> None:
        super().__init__([name])
        if not hasattr(calc, "get_property"):
            raise TypeError(f"an ASE calculator is meant, not {type(calc).__name__}: {calc!r:.60}")
        self._calc, self._per_atom = calc, bool(per_atom)
        self.parameters = {"calculator": type(calc).__name__, "per_atom": self._per_atom}

    def evaluate(self, atoms: Atoms) -> CVValue:
        """Value with gradient and virial; see :class:`CollectiveVariable`."""
        require_finite(atoms)
        energy, forces, stress = self._evaluated(atoms)
        if not atoms.pbc.any():
            moments = -forces.T @ atoms.positions
            virial = 0.5 * (moments + moments.T)
        elif stress is None:
            raise PropertyNotImplementedError(
                f"{self.names[0]}: {type(self._calc).__name__} gives no stress for these atoms, which the "
                "variable's derivative by strain needs; use a calculator with stress, in a cell with a volume"
            )
        else:
            virial = atoms.get_volume() * voigt_6_to_full_3x3_stress(stress)
        scale = 1.0 / len(atoms) if self._per_atom else 1.0
        return CVValue(np.array([scale * energy]), -scale * forces[None], scale * virial[None])

    def _evaluated(self, atoms: Atoms) -> tuple[float, NDArray[np.float64], NDArray[np.float64] | None]:
        calc = self._calc
        if hasattr(calc, "evaluate"):
            known = _at_hand.get()
            if known is not None and known.calc is calc and known.atoms is atoms:
                found = known.prediction
            else:
                found = calc.evaluate(atoms)
            return float(found.energy), found.forces, found.stress
        # forces first: what gives them has the energy too
        forces = np.array(calc.get_property("forces", atoms), dtype=float)
        free = "free_energy" in getattr(calc, "implemented_properties", ())
        energy = calc.get_property("free_energy" if free else "energy", atoms)
        stress = None
        if atoms.pbc.any():
            try:
                stress = calc.get_property("stress", atoms)
            except PropertyNotImplementedError:
                stress = None
        return float(energy), forces, stress


def _volume(atoms: Atoms, what: str) -> float:
    require_finite(atoms)
    volume = float(abs(np.linalg.det(atoms.cell.array)))
    if volume < 1e-10 * float(np.prod(np.linalg.norm(atoms.cell.array, axis=1))) or volume == 0:
        raise ValueError(f"{what}: the cell {atoms.cell.tolist()} has no volume; give the atoms a full cell")
    return volume
