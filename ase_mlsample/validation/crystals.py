"""Relaxed crystal prototypes and how their energies compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.samplers.prototypes import PROTOTYPES, estimated_volume, prototype
from ase_mlsample.validation.properties import PropertyResult, Quantity, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal, space_group

__all__ = ["COMMON", "crystal_of", "prototype_energies"]

#: Prototypes of an element that are compared unless others are named.
COMMON = ("diamond", "beta-tin", "simple-hexagonal", "sc", "bct5", "bcc", "fcc", "hcp", "bct")

_CUBIC_CELL = {"diamond": 8, "fcc": 4, "bcc": 2, "sc": 1}


def crystal_of(symbol: str, name: str, *, conventional: bool = False) -> Atoms:
    """A prototype of an element at its estimated volume, as relaxations start from.

    Parameters
    ----------
    symbol : str
    name : str
        Of a prototype of `ase_mlsample.samplers.prototypes`.
    conventional : bool
        The conventional cell instead of the primitive one.
    """
    kind = prototype(name)
    return kind.build(symbol, estimated_volume(kind, symbol), conventional=conventional)


@each_member
def prototype_energies(
    calc: Any, symbol: str, *, prototypes: Sequence[str] = COMMON, ground: str | None = None
) -> PropertyResult:
    """Relax prototypes at zero pressure with their symmetry kept, and compare them.

    Parameters
    ----------
    calc : ase Calculator
    symbol : str
        The element.
    prototypes : sequence of str
        Names that `ase_mlsample.samplers.prototypes` knows.
    ground : str, optional
        The one from which energies count; the lowest by default.

    Returns
    -------
    PropertyResult
        For each prototype its energy above `ground` ("energy.fcc", meV/atom), its volume ("volume.fcc",
        Å³/atom), for cubic ones the lattice constant ("a.fcc", Å), for those with one axis "a.hcp" and the
        axial ratio ("c/a.hcp").

    Raises
    ------
    ValueError
        For an unknown prototype, or a `ground` that is not among them.
    RuntimeError
        When `ground` does not relax; others that do not are noted and left out.
    """
    names = [prototype(name).name for name in prototypes]
    ground = None if ground is None else prototype(ground).name
    if ground is not None and ground not in names:
        raise ValueError(f"ground = {ground!r} is not among the prototypes {', '.join(names)}")
    found: dict[str, Atoms] = {}
    notes = []
    for name in names:
        try:
            found[name] = relaxed_crystal(calc, crystal_of(symbol, name))
        except RuntimeError as error:
            if name == ground:
                raise
            notes.append(f"{name} left out: {error}")
            continue
        group = space_group(found[name])
        if group != PROTOTYPES[name].spacegroup:
            notes.append(f"{name} relaxed to a crystal of space group {group}")
    if not found:
        raise RuntimeError(f"no prototype of {symbol} relaxed: {'; '.join(notes)}")
    energies = {name: float(atoms.get_potential_energy()) / len(atoms) for name, atoms in found.items()}
    lowest = ground or min(energies, key=lambda name: energies[name])
    quantities = [q for name, atoms in found.items() for q in _described(name, atoms)]
    quantities += [
        Quantity(f"energy.{name}", 1000 * (energy - energies[lowest]), "meV/atom", f"{name} above {lowest}")
        for name, energy in energies.items()
        if name != lowest
    ]
    facts = {"ground": lowest, "energy_eV_per_atom": energies[lowest]}
    return PropertyResult("prototypes", tuple(quantities), facts=facts, notes=tuple(notes))


def _described(name: str, atoms: Atoms) -> list[Quantity]:
    volume = float(atoms.get_volume()) / len(atoms)
    found = [Quantity(f"volume.{name}", volume, "Å³/atom", f"{name} volume")]
    if name in _CUBIC_CELL:
        return [
            Quantity(f"a.{name}", (volume * _CUBIC_CELL[name]) ** (1 / 3), "Å", f"{name} a"),
            *found,
        ]
    if PROTOTYPES[name].spacegroup in range(75, 195):
        a, c = _axes(name, atoms)
        found.append(Quantity(f"a.{name}", a, "Å", f"{name} a"))
        found.append(Quantity(f"c/a.{name}", c / a, "", f"{name} c/a"))
    return found


def _axes(name: str, atoms: Atoms) -> tuple[float, float]:
    """Lengths a and c of the conventional cell, of a lattice with one axis along z."""
    kind = PROTOTYPES[name]
    # the strain is diagonal and alike in x and y, so that the cell is the prototype's, stretched
    stretch = np.linalg.solve(np.array(kind.cell), atoms.cell.array)
    body_centred = kind.spacegroup < 143 and np.abs(np.array(kind.cell))[:, :2].max() < 1 - 1e-9
    height = 2 * np.abs(np.array(kind.cell)[:, 2]).max() if body_centred else kind.cell[2][2]
    return float(stretch[0, 0]), float(height * stretch[2, 2])
