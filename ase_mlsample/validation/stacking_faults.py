"""Stacking faults on (111) planes of fcc and diamond crystals."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.units import J, m
from numpy.typing import NDArray

from ase_mlsample.samplers.planes import oriented
from ase_mlsample.validation.properties import PropertyResult, Quantity, curve, each_member
from ase_mlsample.validation.relaxation import relaxed_crystal

__all__ = ["fault_energy", "stacking_fault_energies"]

FloatArray = NDArray[np.float64]

_MJ_PER_M2 = float(1e-3 * J / m**2)


def fault_energy(
    calc: Any, block: Atoms, shift: FloatArray, *, relax: bool = True, fmax: float = 1e-3, steps: int = 300
) -> float:
    """Energy of a crystal whose copies along z are displaced against each other in the plane.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    block : Atoms
        Periodic; a and b in the xy-plane. Left alone.
    shift : (2,) array, Å
        Added to the third cell vector: between the block and its copy lies a fault.
    relax : bool
        Atoms and the height of the cell relax along z, to zero normal stress.
    fmax, steps
        Of this relaxation.

    Returns
    -------
    float
        eV.

    Raises
    ------
    RuntimeError
        When it does not converge.
    """
    from ase.constraints import FixedLine
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms = block.copy()
    cell = block.cell.array.copy()
    cell[2, :2] += shift
    atoms.set_cell(cell)
    atoms.calc = calc
    if relax:
        atoms.set_constraint(FixedLine(np.arange(len(atoms)), (0, 0, 1)))
        only_height = FrechetCellFilter(atoms, mask=[False, False, True, False, False, False])
        optimizer = BFGS(only_height, logfile=None, maxstep=0.1)
        if not optimizer.run(fmax=fmax, steps=steps):
            raise RuntimeError(f"a fault displaced by {shift} Å did not relax in {steps} steps")
    return float(atoms.get_potential_energy())


def _block(crystal: Atoms, thickness: float, gap: str) -> Atoms:
    """Planes (111) stacked along z, with the periodic boundary in the wide or the narrow gap of planes."""
    unit = oriented(crystal, (1, 1, 1))
    spacing = float(unit.cell[2, 2])
    block = unit.repeat((1, 1, max(3, round(thickness / spacing))))
    heights = np.sort(np.round(unit.positions[:, 2] % spacing, 6))
    gaps = np.diff([*heights, heights[0] + spacing])
    chosen = int(np.argmax(gaps) if gap == "wide" else np.argmin(gaps))
    block.positions[:, 2] -= heights[chosen] + gaps[chosen] / 2
    block.wrap(eps=1e-9)
    return block


def _hollow(block: Atoms) -> FloatArray:
    """One of the two displacements, a/√6 long, that take a triangular layer into its hollows."""
    u, v = block.cell.array[0, :2], block.cell.array[1, :2]
    return np.asarray((u + v) / 3 if u @ v > 0 else (u - v) / 3)


@each_member
def stacking_fault_energies(
    calc: Any, crystal: Atoms, *, thickness: float = 25.0, points: int = 13, relax: bool = True
) -> PropertyResult:
    """Intrinsic and unstable stacking faults, from the γ-lines of (111) planes.

    The crystal is displaced along ⟨112⟩ to the intrinsic fault (in diamond between the narrow planes, the
    glide set), and in diamond along ⟨110⟩ between the wide planes (the shuffle set).

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        The conventional cell of fcc or diamond, with ``info["config_type"]``.
    thickness : float
        Å between a fault and its next image.
    points : int
        Of each line.
    relax : bool
        Atoms relax along z at zero normal stress.

    Returns
    -------
    PropertyResult
        "intrinsic" and "unstable.glide", in diamond "unstable.shuffle" too, mJ/m²; curves of the γ-lines
        against the displacement, as a fraction of a/√6 ⟨112⟩ and of a/√2 ⟨110⟩.

    Raises
    ------
    ValueError
        For another crystal.

    References
    ----------
    V. Vítek, Philos. Mag. 18, 773 (1968).
    """
    kind = crystal.info.get("config_type")
    if kind not in ("fcc", "diamond"):
        raise ValueError(f"stacking faults are those of fcc and diamond, not of {kind!r}")
    ground = relaxed_crystal(calc, crystal)
    glide = _block(ground, thickness, "narrow" if kind == "diamond" else "wide")
    area = float(np.linalg.norm(np.cross(glide.cell[0], glide.cell[1]))) * _MJ_PER_M2
    fractions = np.linspace(0.0, 1.0, points)

    def line(block: Atoms, end: FloatArray, along: FloatArray) -> FloatArray:
        energies = [fault_energy(calc, block, f * end, relax=relax) for f in along]
        return (np.array(energies) - energies[0]) / area

    # of the two directions one leads to the fault, the other one to layers on top of each other
    partial = min(
        (_hollow(glide), -_hollow(glide)), key=lambda end: fault_energy(calc, glide, end, relax=False)
    )
    gamma = line(glide, partial, fractions)
    quantities = [
        Quantity("intrinsic", float(gamma[-1]), "mJ/m²", "intrinsic stacking fault"),
        Quantity("unstable.glide", float(gamma.max()), "mJ/m²", "unstable fault, glide ⟨112⟩"),
    ]
    curves = {"glide": curve(fractions, gamma)}
    if kind == "diamond":
        shuffle = _block(ground, thickness, "wide")
        half = line(shuffle, shuffle.cell.array[0, :2], fractions / 2)
        quantities.append(
            Quantity("unstable.shuffle", float(half.max()), "mJ/m²", "unstable fault, shuffle ⟨110⟩")
        )
        # the line is its own mirror image about the middle
        whole = np.append(half, half[-2::-1])
        curves["shuffle"] = curve(np.linspace(0.0, 1.0, len(whole)), whole)
    facts = {"atoms": len(glide), "thickness_A": float(glide.cell[2, 2]), "relaxed": relax}
    return PropertyResult("stacking_faults", tuple(quantities), curves, facts)
