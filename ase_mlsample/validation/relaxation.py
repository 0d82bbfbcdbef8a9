"""Relaxation to zero force and, for a whole crystal, to zero stress with its symmetry kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

__all__ = ["relaxed", "relaxed_crystal", "space_group"]

#: Å; positions that symmetry finds alike.
SYMPREC = 1e-3


def relaxed_crystal(
    calc: Any, crystal: Atoms, *, fmax: float = 1e-4, pressure_GPa: float = 0.0, steps: int = 500
) -> Atoms:
    """Relax cell and positions of a crystal together, in the freedom that its symmetry leaves.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        With the symmetry to keep; left alone. Its size should be right within a fifth.
    fmax : float
        eV/Å, also of the virial per atom in eV.
    pressure_GPa : float
        External pressure, GPa.
    steps : int
        Allowed.

    Returns
    -------
    Atoms
        With the calculator, without constraints.

    Raises
    ------
    RuntimeError
        When it does not converge, or the volume leaves the range of half to twice that of the start: the
        potential does not hold this crystal.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS
    from ase.units import GPa

    atoms = crystal.copy()
    atoms.calc = calc
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    # the filter counts strain times atoms as Å: no step strains by more than 3 %
    optimizer = BFGS(
        FrechetCellFilter(atoms, scalar_pressure=pressure_GPa * GPa),
        logfile=None,
        maxstep=min(0.1, 0.03 * len(atoms)),
    )
    start = crystal.get_volume()
    done = False
    for done in optimizer.irun(fmax=fmax, steps=steps):  # noqa: B007 (the last one tells)
        if not 0.5 < atoms.get_volume() / start < 2.0:
            break
    atoms.set_constraint()
    ratio = atoms.get_volume() / start
    if not done or not 0.5 < ratio < 2.0:
        raise RuntimeError(
            f"{_name(crystal)} has no zero-pressure structure near where it was looked for: after "
            f"{optimizer.nsteps} steps the volume is {ratio:.3f} of the first and the largest force "
            f"{np.abs(atoms.get_forces()).max():.2g} eV/Å; the potential may not hold this crystal"
        )
    return atoms


def relaxed(calc: Any, atoms: Atoms, *, fmax: float = 5e-3, steps: int = 500) -> Atoms:
    """Relax positions in a fixed cell.

    Parameters
    ----------
    calc : ase Calculator
    atoms : Atoms
        Left alone; its constraints hold.
    fmax : float
        eV/Å.
    steps : int
        Allowed.

    Returns
    -------
    Atoms
        With the calculator.

    Raises
    ------
    RuntimeError
        When it does not converge.
    """
    from ase.optimize import LBFGS

    moved = atoms.copy()
    moved.calc = calc
    optimizer = LBFGS(moved, logfile=None, maxstep=0.1)
    if not optimizer.run(fmax=fmax, steps=steps):
        raise RuntimeError(
            f"{_name(atoms)} did not relax to {fmax:g} eV/Å in {steps} steps: the largest force is "
            f"{np.linalg.norm(moved.get_forces(), axis=1).max():.2g} eV/Å"
        )
    return moved


def space_group(atoms: Atoms, *, symprec: float = 0.02) -> int:
    """International number of the space group that spglib finds, 0 if none.

    Parameters
    ----------
    atoms : Atoms
        Periodic in three directions.
    symprec : float
        Å.
    """
    import spglib

    found = spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec
    )
    return 0 if found is None else int(found.number)


def _name(atoms: Atoms) -> str:
    kind = atoms.info.get("config_type")
    formula = atoms.get_chemical_formula()
    return f"{kind} ({formula})" if kind else str(formula)
