"""Reading reference labels out of ASE frames: which key holds what, and whether it can be trusted."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

__all__ = ["Labels", "read_labels"]

# What ASE's readers move out of `info` and `arrays` into the frame's calculator.
_CALCULATOR_KEYS = ("energy", "free_energy", "forces", "stress")


@dataclass(frozen=True, slots=True)
class Labels:
    """Reference values of one frame.

    Attributes
    ----------
    energy
        Total (free) energy in eV.
    forces
        (N, 3) in eV/Å, or None.
    stress
        (6,) in eV/Å³, Voigt xx yy zz yz xz xy, dE/dε/V, or None.
    weight
        The frame's weight in the loss (``config_weight``, 1 where absent).
    """

    energy: float
    forces: NDArray[np.float64] | None
    stress: NDArray[np.float64] | None
    weight: float


def read_labels(atoms: Atoms, *, index: int, energy_key: str, forces_key: str, stress_key: str) -> Labels:
    """Labels of one frame under the given keys.

    A key is looked up in ``info`` (energy, stress) or ``arrays`` (forces); the names that ASE's readers move
    into the calculator (``energy``, ``free_energy``, ``forces``, ``stress``) are then looked up there.

    Raises
    ------
    KeyError
        If the energy is missing; forces and stress may be absent.
    ValueError
        If a label is not finite or has a wrong shape, or a frame with a stress lacks cell vectors.
    """
    where = f"frame {index} ({atoms.get_chemical_formula()})"
    if len(atoms) == 0:
        raise ValueError(f"frame {index} has no atoms; remove it from the data set")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError(f"{where} has positions or a cell that are not finite; remove it from the data set")
    energy = _lookup(atoms, energy_key, per_atom=False)
    if energy is None:
        raise KeyError(
            f"{where} has no energy under {energy_key!r} (info: {sorted(map(str, atoms.info))}, results of "
            f"its calculator: {_result_names(atoms)}); name the key with energy_key=, "
            "or use calculator_labels=True for energies stored with a calculator"
        )
    return Labels(
        energy=float(_checked(energy, (), "energy", where)),
        forces=_forces(atoms, forces_key, where),
        stress=_stress(atoms, stress_key, where),
        weight=_weight(atoms, where),
    )


def _lookup(atoms: Atoms, key: str, *, per_atom: bool) -> object | None:
    store = atoms.arrays if per_atom else atoms.info
    if key in store:
        value: object = store[key]
        return value
    if key in _CALCULATOR_KEYS and atoms.calc is not None:
        found: object | None = atoms.calc.results.get(key)
        return found
    return None


def _result_names(atoms: Atoms) -> list[str]:
    return sorted(atoms.calc.results) if atoms.calc is not None else []


def _checked(value: object, shape: tuple[int, ...], what: str, where: str) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: the {what} is not numeric: {value!r}") from None
    if array.shape != shape:
        raise ValueError(f"{where}: the {what} has shape {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: the {what} is not finite; remove the frame or label it again")
    return array


def _forces(atoms: Atoms, key: str, where: str) -> NDArray[np.float64] | None:
    value = _lookup(atoms, key, per_atom=True)
    return None if value is None else _checked(value, (len(atoms), 3), "forces array", where)


def _stress(atoms: Atoms, key: str, where: str) -> NDArray[np.float64] | None:
    value = _lookup(atoms, key, per_atom=False)
    if value is None:
        return None
    if atoms.cell.rank < 3:
        raise ValueError(
            f"{where} has a stress but no cell with three vectors; drop the stress or give the cell"
        )
    array = np.asarray(value)
    if array.size == 9:
        full = _checked(array.reshape(3, 3), (3, 3), "stress", where)
        full = 0.5 * (full + full.T)
        return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])
    return _checked(value, (6,), "stress", where)


def _weight(atoms: Atoms, where: str) -> float:
    weight = float(_checked(atoms.info.get("config_weight", 1.0), (), "config_weight", where))
    if weight < 0:
        raise ValueError(f"{where}: config_weight is {weight}; it must not be negative")
    return weight
