"""Structures for the variables of order: rattled crystals in cells of many kinds."""

import numpy as np
from ase import Atoms
from ase.build import bulk

SHEAR = np.array([[1, 0.03, 0], [0.05, 1, -0.02], [0, 0, 1.02]])


def silicon(repeat, *, pbc=True, shear=True, a=5.431, scale=0.2, seed=0):
    """Rattled silicon in a sheared cell."""
    atoms = bulk("Si", a=a, cubic=True) * repeat
    if shear:
        atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    atoms.positions += np.random.default_rng(seed).normal(scale=scale, size=(len(atoms), 3))
    atoms.pbc = pbc
    return atoms


def frames():
    """Cells smaller than the cutoff, a slab, a cluster, an oblique cell, one of many atoms."""
    oblique = bulk("Si") * (3, 2, 2)
    oblique.rattle(0.2, seed=4)
    return {
        "cube": silicon(1),
        "two cubes": silicon((2, 2, 2), seed=1),
        "slab": silicon((2, 2, 2), pbc=(True, True, False), seed=2),
        "cluster": silicon((2, 1, 1), pbc=False, seed=3),
        "oblique": oblique,
    }


def approaching(distances, *, cell=30.0, pbc=True):
    """Two pairs of atoms, at distances that change and at 2.4 Å, none of them near a face of the cell."""
    for distance in distances:
        yield Atoms(
            "Si4",
            positions=[[9, 9, 9], [9 + distance, 9, 9], [9.3, 11.4, 9], [10.5, 8, 10.7]],
            cell=[cell] * 3,
            pbc=pbc,
        )
