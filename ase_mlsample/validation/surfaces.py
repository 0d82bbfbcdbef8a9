"""Surface energies of low-index planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import J, m

from ase_mlsample.samplers.planes import Miller
from ase_mlsample.samplers.surfaces import Slab
from ase_mlsample.validation.properties import PropertyResult, Quantity, each_member
from ase_mlsample.validation.relaxation import relaxed, relaxed_crystal

__all__ = ["dimerised", "surface_energies"]

_J_PER_M2 = float(J / m**2)


@each_member
def surface_energies(
    calc: Any,
    crystal: Atoms,
    *,
    planes: Sequence[Miller] = ((1, 0, 0), (1, 1, 0), (1, 1, 1)),
    thickness: float = 18.0,
    vacuum: float = 12.0,
    width: float = 7.0,
    rattle: float = 0.05,
    fmax: float = 0.01,
) -> PropertyResult:
    """Energies of surfaces, as cut and after relaxation.

    γ = (E_slab − N E_bulk) / 2A. The slab is cut where atomic planes are farthest apart; its two surfaces are
    alike. A small rattle lets the relaxation leave a symmetric saddle. For (100) of diamond it starts also
    from rows of dimers, p(2×1), which no small displacement leads to.

    Parameters
    ----------
    calc : ase Calculator
        Gives the stress.
    crystal : Atoms
        A conventional cell, in whose axes the planes are meant.
    planes : sequence of (int, int, int)
        Miller indices.
    thickness, vacuum, width : float
        Å; of the slab, of the vacuum and of its cell in the plane.
    rattle : float
        Å, standard deviation before the relaxation; from a generator with a fixed seed.
    fmax : float
        eV/Å.

    Returns
    -------
    PropertyResult
        "100.cut" and "100.relaxed", J/m², for each plane, and "100.dimers" for diamond.
    """
    ground = relaxed_crystal(calc, crystal)
    per_atom = float(ground.get_potential_energy()) / len(ground)
    quantities = []
    sizes = {}
    for plane in planes:
        name = "".join(str(index) for index in plane)
        rng = np.random.default_rng(0)
        make = Slab(plane, thickness=thickness, vacuum=vacuum, width=width, termination="widest")
        slab = make(ground, rng)
        slab.calc = calc
        area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
        cut = float(slab.get_potential_energy())
        energies = {"cut": cut}
        starts = {"relaxed": slab}
        if name == "100" and crystal.info.get("config_type") == "diamond":
            starts["dimers"] = dimerised(slab)
        for state, start in starts.items():
            moved = start.copy()
            moved.positions += rng.normal(0.0, rattle, moved.positions.shape)
            energies[state] = float(relaxed(calc, moved, fmax=fmax, steps=1000).get_potential_energy())
        sizes[name] = len(slab)
        for state, energy in energies.items():
            gamma = (energy - per_atom * len(slab)) / (2 * area) / _J_PER_M2
            quantities.append(Quantity(f"{name}.{state}", gamma, "J/m²", f"({name}) surface, {state}"))
    facts = {"atoms": sizes, "thickness_A": thickness, "vacuum_A": vacuum, "rattle_A": rattle}
    return PropertyResult("surfaces", tuple(quantities), facts=facts)


def dimerised(slab: Atoms, *, bond: float = 0.64) -> Atoms:
    """Bring the atoms of both surfaces of a (100) slab of diamond together in pairs, as p(2×1) has them.

    Parameters
    ----------
    slab : Atoms
        As cut, in a cell with an even number of surface atoms along both directions.
    bond : float
        Length of the dimers over the distance of surface atoms.

    Raises
    ------
    ValueError
        When the surface has rows of an odd number of atoms.
    """
    changed = slab.copy()
    heights = slab.positions[:, 2]
    for level, inward in ((heights.max(), -1), (heights.min(), 1)):
        surface = np.flatnonzero(np.abs(heights - level) < 0.3)
        below = np.flatnonzero((inward * (heights - level) > 0.3) & (inward * (heights - level) < 2.0))
        back = slab.get_distances(surface[0], below, mic=True, vector=True)
        back = back[np.argmin(np.linalg.norm(back, axis=1))]
        # the bonds to the second layer leave the other direction of the plane for the dimer
        across = np.array([-back[1], back[0], 0.0]) / np.hypot(back[0], back[1])
        spacing = float(np.linalg.norm(slab.cell[0]) / np.round(np.sqrt(len(surface))))
        rows = np.round((slab.positions[surface] - slab.positions[surface[0]]) @ across / spacing).astype(int)
        if len(surface) % 2 or np.count_nonzero(rows % 2) * 2 != len(surface):
            raise ValueError(
                f"{len(surface)} surface atoms in rows of an odd number form no dimers; widen the slab"
            )
        changed.positions[surface] += np.outer(1 - 2 * (rows % 2), across) * (spacing * (1 - bond) / 2)
    return changed
