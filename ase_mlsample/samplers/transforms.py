"""Changes of a structure: rattled, strained, scaled, repeated."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.samplers.base import AtomsTransform, Window, checked_sizes, checked_window

__all__ = ["Rattle", "Scale", "Strain", "Supercell", "near_cubic_repeats", "noted"]

FloatArray = NDArray[np.float64]


def noted(atoms: Atoms, name: str, **values: float | str) -> Atoms:
    """Write the provenance of a transform into ``info``: the chain of names, and its numbers."""
    chain = atoms.info.get("transforms", "")
    atoms.info["transforms"] = f"{chain}|{name}" if chain else name
    atoms.info.update(values)
    return atoms


class Rattle(AtomsTransform):
    """Gaussian displacement of every Cartesian component.

    Parameters
    ----------
    amplitude : float or (float, float)
        Standard deviation in Å, or the window from which it is drawn for every frame.
    """

    def __init__(self, amplitude: Window) -> None:
        self.amplitude = checked_window("the amplitude", amplitude, unit=" in Å")

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a rattled copy; ``info['rattle_A']`` has the standard deviation."""
        deviation = float(rng.uniform(*self.amplitude))
        rattled = atoms.copy()
        rattled.positions += deviation * rng.standard_normal((len(atoms), 3))
        return noted(rattled, "Rattle", rattle_A=deviation)

    def __repr__(self) -> str:
        return f"Rattle({self.amplitude})"


class Strain(AtomsTransform):
    """A random symmetric strain of the cell, the atoms moving with it.

    Parameters
    ----------
    maximum : float
        Each of the six components ε_ab is drawn from [−maximum, maximum]; at most 0.3.
    """

    def __init__(self, maximum: float) -> None:
        if not 0 <= maximum <= 0.3:
            raise ValueError(f"the largest strain component must lie in 0 to 0.3, got {maximum!r}")
        self.maximum = float(maximum)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a strained copy; ``info['strain_max']`` has the largest absolute component."""
        xx, yy, zz, yz, xz, xy = rng.uniform(-self.maximum, self.maximum, 6)
        strain = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain))
        strained.positions = atoms.positions @ (np.eye(3) + strain)
        return noted(strained, "Strain", strain_max=float(np.abs(strain).max()))

    def __repr__(self) -> str:
        return f"Strain({self.maximum})"


class Scale(AtomsTransform):
    """The volume times a random factor, shape and fractional positions kept.

    Parameters
    ----------
    volume : float or (float, float)
        The factor, or the window from which it is drawn for every frame.
    """

    def __init__(self, volume: Window) -> None:
        self.volume = checked_window("volume", volume)
        if self.volume[0] == 0:
            raise ValueError(f"volume must be a window of positive factors (low, high), got {volume!r}")

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a scaled copy; ``info['volume_scale']`` has the factor."""
        factor = float(rng.uniform(*self.volume))
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * factor ** (1 / 3))
        scaled.positions = atoms.positions * factor ** (1 / 3)
        return noted(scaled, "Scale", volume_scale=factor)

    def __repr__(self) -> str:
        return f"Scale({self.volume})"


class Supercell(AtomsTransform):
    """A repeat of the cell along its vectors, as near to a cube as the number of atoms allows.

    Parameters
    ----------
    n_atoms : int or (int, int)
        Smallest and largest number of atoms; the number is drawn for every frame from those that can be had.
    """

    def __init__(self, n_atoms: int | tuple[int, int]) -> None:
        self.n_atoms = checked_sizes(n_atoms)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return a repeated copy; ``info['n_cells']`` has the number of cells.

        Raises
        ------
        ValueError
            When no repeat has so many atoms.
        """
        choices = near_cubic_repeats(atoms, n_atoms=self.n_atoms)
        repeats = choices[int(rng.integers(len(choices)))]
        return noted(atoms.repeat(repeats), "Supercell", n_cells=math.prod(repeats))

    def __repr__(self) -> str:
        return f"Supercell({self.n_atoms})"


def _repeats(most: int, pbc: list[bool]) -> Iterator[tuple[int, int, int]]:
    """Yield the repeats of at most ``most`` cells."""
    for a in range(1, (most if pbc[0] else min(most, 1)) + 1):
        for b in range(1, (most // a if pbc[1] else 1) + 1):
            for c in range(1, (most // (a * b) if pbc[2] else 1) + 1):
                yield a, b, c


def near_cubic_repeats(
    atoms: Atoms, *, n_atoms: tuple[int, int], aspect: float = 2.0
) -> list[tuple[int, int, int]]:
    """Return the repeats whose size lies in the window: for every size the most cubic one.

    Parameters
    ----------
    atoms : Atoms
        The cell to repeat, along its periodic vectors only.
    n_atoms : (int, int)
        Window of the number of atoms of the repeated cell.
    aspect : float
        Repeats whose largest height is more than this times the smallest are left out, unless none is better.

    Raises
    ------
    ValueError
        When no repeat has so many atoms.
    """
    low, high = n_atoms
    most = high // len(atoms) if len(atoms) else 0
    heights = 1 / np.linalg.norm(np.linalg.pinv(atoms.cell.complete().array), axis=0)
    best: dict[int, tuple[float, tuple[int, int, int]]] = {}
    for repeats in _repeats(most, [bool(periodic) for periodic in atoms.pbc]):
        cells = math.prod(repeats)
        if cells * len(atoms) >= low:
            sides = [h * r for h, r, periodic in zip(heights, repeats, atoms.pbc, strict=True) if periodic]
            elongation = max(sides) / min(sides) if sides else 1.0
            best[cells] = min(best.get(cells, (math.inf, repeats)), (elongation, repeats))
    if not best:
        raise ValueError(
            f"no repeat of a cell of {len(atoms)} atoms has {low} to {high} atoms; "
            "widen n_atoms to hold a multiple of it"
        )
    allowed = max(aspect + 1e-9, min(elongation for elongation, _ in best.values()))
    return [repeats for _, (elongation, repeats) in sorted(best.items()) if elongation <= allowed]
