"""Structures on which potentials betray themselves."""

import numpy as np
from ase import Atoms
from ase.build import bulk

__all__ = ["contract_frames"]


def contract_frames(symbol: str, structure: str, a: float, *, seed: int = 0) -> dict[str, Atoms]:
    """Small structures that between them cover every kind of cell and periodicity.

    Parameters
    ----------
    symbol : str
        Element.
    structure : str
        A cubic structure that ``ase.build.bulk`` knows, such as ``"fcc"`` or ``"diamond"``.
    a : float, Å
        Lattice constant.
    seed : int
        Of the displacements.

    Returns
    -------
    dict of Atoms
        ``primitive`` cell (far smaller than a cutoff), ``sheared`` cell, ``large`` (at least 256 atoms),
        ``slab`` (vacuum and two periodic directions), ``wire``, ``molecule`` (no cell at all) and ``atom``.
    """
    rng = np.random.default_rng(seed)
    cube = bulk(symbol, structure, a=a, cubic=True)
    repeats = int(np.ceil((256 / len(cube)) ** (1 / 3)))
    primitive = bulk(symbol, structure, a=a)
    sheared = bulk(symbol, structure, a=a)
    sheared.set_cell(
        sheared.cell.array @ [[1.04, 0.15, 0.0], [0.05, 0.97, -0.1], [0.0, 0.08, 1.02]], scale_atoms=True
    )
    slab = cube * (2, 2, 1)
    slab.pbc = (True, True, False)
    slab.center(vacuum=3.0, axis=2)
    wire = cube * (1, 1, 2)
    wire.pbc = (False, False, True)
    wire.center(vacuum=4.0, axis=(0, 1))
    cluster = cube * (2, 1, 1)
    frames = {
        "primitive": primitive,
        "sheared": sheared * (2, 1, 1),
        "large": cube * repeats,
        "slab": slab,
        "wire": wire,
        "molecule": Atoms(cluster.symbols[:5], cluster.positions[:5]),
        "atom": Atoms(symbol),
    }
    for atoms in frames.values():
        atoms.positions += rng.normal(0.0, 0.06, atoms.positions.shape)
    return frames
