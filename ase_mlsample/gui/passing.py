"""Structures on their way into another process: everything that a viewer can use, and what stays behind.

Extended XYZ has no place for constraints, several results and most of ``info``, and ASE's trajectories have
none for arrays: what goes through the pipe is a pickle of plain values, read by a process of our own making.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator

__all__ = ["pack_frames", "portable", "unpack_frames"]

_PLAIN = (str, bytes, bool, int, float, complex, np.number, np.bool_, type(None))


def portable(atoms: Atoms) -> tuple[Atoms, list[str]]:
    """Return a copy of a structure that any process can read, and the names of what it lacks.

    Parameters
    ----------
    atoms : of any subclass; nothing is computed.

    Returns
    -------
    copy : Atoms
        All numeric and text arrays; ``info`` as far as it is plain values, arrays and containers of them;
        ASE's own constraints; results that the calculator holds for exactly this structure.
    lost : list of str
        What was left out, such as ``info['model']``.
    """
    lost = []
    copy = Atoms(cell=atoms.cell, pbc=atoms.pbc, celldisp=atoms.get_celldisp())
    copy.arrays = {}
    for name, array in atoms.arrays.items():
        if array.dtype.kind == "O":
            lost.append(f"arrays[{name!r}]")
        else:
            copy.arrays[name] = array.copy()
    for key, value in atoms.info.items():
        if _is_plain(value):
            copy.info[key] = value
        else:
            lost.append(f"info[{key!r}]")
    constraints = []
    for constraint in atoms.constraints:
        if type(constraint).__module__.startswith("ase."):
            constraints.append(constraint)
        else:
            lost.append(f"the constraint {type(constraint).__name__}")
    copy.set_constraint(constraints)
    results, missing = _results(atoms)
    if results:
        copy.calc = SinglePointCalculator(copy, **results)
    return copy, lost + missing


def pack_frames(frames: Iterable[Atoms], **options: Any) -> tuple[bytes, list[str]]:
    """Return structures and options for `unpack_frames`, and what was left out of any of them.

    Parameters
    ----------
    frames : structures.
    options : plain values.
    """
    packed, lost = [], dict[str, None]()
    for atoms in frames:
        copy, missing = portable(atoms)
        packed.append(copy)
        lost |= dict.fromkeys(missing)
    return pickle.dumps((packed, options)), list(lost)


def unpack_frames(stream: BinaryIO) -> tuple[list[Atoms], dict[str, Any]]:
    """Read what `pack_frames` wrote; only for a pipe from a process of the same user."""
    frames, options = pickle.load(stream)  # noqa: S301 (written by the process that started this one)
    return frames, options


def _results(atoms: Atoms) -> tuple[dict[str, Any], list[str]]:
    """Results that are at hand for this very structure, and those that are none of ASE's."""
    found, lost = {}, []
    for name in getattr(atoms.calc, "results", {}):
        if name not in all_properties:
            lost.append(f"the result {name!r}")
            continue
        value = atoms.calc.get_property(name, atoms, allow_calculation=False)
        if value is not None:
            found[name] = value
    return found, lost


def _is_plain(value: Any) -> bool:
    if type(value).__module__ not in ("builtins", "numpy"):  # another process may not find its class
        return False
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind != "O")
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return isinstance(value, _PLAIN)
