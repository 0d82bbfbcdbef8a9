"""The sampler contract: what is drawn depends on the generator alone, and says where it came from."""

import numbers
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_mlsample.testing.errors import require, same_info

__all__ = ["check_sampler"]


def check_sampler(sampler: Any, *, n: int = 4, seed: int = 0, min_distance: float = 1.0) -> None:
    """Draw structures twice from one seed and once from another, and look at what came out.

    Parameters
    ----------
    sampler : object with ``sample(n, rng)``
    n : int
        Structures to draw.
    seed : int
        Of the generator.
    min_distance : float, Å
        No two atoms, images included, may be closer.

    Raises
    ------
    ContractError
        If the count is wrong, draws depend on anything but the generator, or a structure is unphysical or
        does not say where it came from.
    """
    frames = list(sampler.sample(n, np.random.default_rng(seed)))
    require(len(frames) == n, f"asked for {n} structures, got {len(frames)}")
    again = list(sampler.sample(n, np.random.default_rng(seed)))
    for number, (atoms, twin) in enumerate(zip(frames, again, strict=True)):
        require(atoms == twin, f"structure {number} differs between two draws with the same seed")
        require(
            same_info(atoms.info, twin.info),
            f"structure {number} tells another story in two draws with the same seed",
        )
        _check_structure(atoms, number, min_distance)
    other = list(sampler.sample(n, np.random.default_rng(seed + 1)))
    require(any(a != b for a, b in zip(frames, other, strict=True)), "another seed draws the same structures")
    require(len({atoms.positions.tobytes() for atoms in frames}) == n, f"{n} draws repeat a structure")


def _check_structure(atoms: Atoms, number: int, min_distance: float) -> None:
    require(isinstance(atoms, Atoms) and len(atoms) > 0, f"structure {number} is {atoms!r}")
    finite = np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
    require(bool(finite), f"structure {number} has positions or a cell that are not numbers")
    require(atoms.calc is None, f"structure {number} comes with a calculator")
    close = neighbor_list("d", atoms, min_distance)
    if len(close):
        require(False, f"structure {number} has atoms {close.min():.3f} Å apart, less than {min_distance} Å")
    for key in ("config_type", "source"):
        value = atoms.info.get(key)
        require(isinstance(value, str | numbers.Real), f"structure {number} has info[{key!r}] = {value!r}")
