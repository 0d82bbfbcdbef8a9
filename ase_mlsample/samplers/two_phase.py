"""Two phases side by side: a crystal and a disordered half in one cell, as coexistence runs start from."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ase_mlsample.samplers.base import AtomsSampler, Sampler, Window, checked_window
from ase_mlsample.samplers.packing import (
    AMU_PER_A3,
    MinDistanceSpec,
    closest_pair,
    minimum_distances,
    push_apart,
    separate,
)
from ase_mlsample.samplers.parting import checked_distance

__all__ = ["TwoPhase"]

FloatArray = NDArray[np.float64]


class TwoPhase(AtomsSampler):
    """A crystal and a disordered phase joined along one axis of its cell, with a common cross-section.

    The crystal keeps its atoms and its part of the cell. The other part is filled at random at a given
    density with atoms of the crystal's composition, or with a frame of a second sampler, which is deformed to
    the cross-section at its own density; then close pairs are pushed apart by the soft repulsion, first in
    this part alone, then where the two meet.

    Parameters
    ----------
    solid : Sampler
        Such as ``PerturbedCrystal("diamond", symbol="Si", n_atoms=(32, 64), rattle=0.1)``; its frames must be
        periodic in three directions.
    liquid : Sampler or None
        Such as ``RandomDisorder("Si", n_atoms=(32, 64), density=2.5)``; None: random places, see ``density``.
    density : float, (float, float) or None
        Of the disordered part in g/cm³, where ``liquid`` is None; None: that of the crystal.
    ratio : float or (float, float)
        Atoms of the disordered part by those of the crystal, rounded to whole formula units, where ``liquid``
        is None.
    axis : {0, 1, 2} or None
        Cell vector along which the phases are joined; None: drawn for every frame.
    min_distance : float, mapping or None
        As in :class:`RandomDisorder`, for pairs with an atom of the disordered part; bonds within the crystal
        may be as short as they are.
    max_attempts : int
        Draws tried for one frame before a RuntimeError.

    Raises
    ------
    ValueError, TypeError
        At construction, for what is no sampler or no window.
    """

    def __init__(
        self,
        solid: Sampler,
        liquid: Sampler | None = None,
        *,
        density: Window | None = None,
        ratio: Window = (0.8, 1.2),
        axis: int | None = None,
        min_distance: MinDistanceSpec = None,
        max_attempts: int = 20,
    ) -> None:
        for name, sampler in (("solid", solid), ("liquid", liquid)):
            if sampler is not None and not isinstance(sampler, Sampler):
                raise TypeError(
                    f"{name} must be a sampler, got {type(sampler).__name__}; pass PerturbedCrystal(...)"
                )
        if liquid is not None and density is not None:
            raise ValueError("density is for a part filled at random; the frames of liquid have their own")
        if axis not in (None, 0, 1, 2):
            raise ValueError(f"axis must be 0, 1, 2 or None, got {axis!r}")
        if max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, got {max_attempts}")
        self.solid, self.liquid, self.axis, self.max_attempts = solid, liquid, axis, max_attempts
        self.density = None if density is None else checked_window("density", density, unit=" in g/cm³")
        self.ratio = checked_window("ratio", ratio)
        if self.ratio[0] == 0 or (self.density is not None and self.density[0] == 0):
            raise ValueError(f"ratio and density must be positive, got {ratio!r} and {density!r}")
        self.min_distance = checked_distance(min_distance)

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return one frame.

        ``arrays['phase']`` is 0 in the crystal and 1 in the disordered part; ``info`` has ``solid_type`` (the
        crystal's ``config_type``), ``solid_fraction`` of the volume, ``density_g_cm3`` of the disordered part
        and ``axis``.

        Raises
        ------
        ValueError
            For a crystal that is not periodic in three directions.
        RuntimeError
            When close pairs stayed in all of ``max_attempts`` draws.
        """
        for _ in range(self.max_attempts):
            crystal = next(iter(self.solid.sample(1, rng)))
            if crystal.cell.rank < 3 or not crystal.pbc.all():
                raise ValueError(
                    f"a crystal of a two-phase cell is periodic in three directions, got {crystal}"
                )
            axis = int(rng.integers(3)) if self.axis is None else self.axis
            symbols, places, volume = self._disorder(crystal, rng)
            part = _part(crystal, symbols, places, volume, axis)
            # on its own first: it must fit into its part of the cell without pushing the crystal aside
            filled = separate(part, self.min_distance)
            atoms = None if filled is None else self._parted(_joined(crystal, filled, axis), crystal)
            if atoms is not None:
                atoms.wrap()
                mass = sum(atomic_masses[atomic_numbers[symbol]] for symbol in symbols)
                atoms.info = {
                    "source": "TwoPhase",
                    "config_type": "two-phase",
                    "solid_type": str(crystal.info.get("config_type", crystal.get_chemical_formula())),
                    "solid_fraction": float(crystal.get_volume() / atoms.get_volume()),
                    "density_g_cm3": float(mass * AMU_PER_A3 / volume),
                    "axis": axis,
                }
                return atoms
        raise RuntimeError(
            f"no two-phase cell without close pairs in {self.max_attempts} draws; "
            "lower the density or min_distance"
        )

    def _parted(self, joined: Atoms, crystal: Atoms) -> Atoms | None:
        """Push close pairs apart, but let the crystal's own bonds be as short as they are."""
        symbols = sorted(set(joined.get_chemical_symbols()))
        table = minimum_distances(symbols, self.min_distance)
        own, _, _ = closest_pair(crystal, self.min_distance)
        count = len(symbols)
        full = np.tile(table, (2, 2))
        full[:count, :count] *= min(1.0, 0.999 * own)
        species = np.array([symbols.index(symbol) for symbol in joined.get_chemical_symbols()])
        return push_apart(joined, species + count * joined.arrays["phase"], full)

    def _disorder(self, crystal: Atoms, rng: np.random.Generator) -> tuple[list[str], FloatArray, float]:
        """Return symbols, fractional positions and volume (Å³) of the disordered part."""
        if self.liquid is not None:
            frame = next(iter(self.liquid.sample(1, rng)))
            if frame.cell.rank < 3:
                raise ValueError(f"a frame of liquid needs a cell with three vectors, got {frame}")
            return frame.get_chemical_symbols(), frame.get_scaled_positions(), float(frame.get_volume())
        unit, units = _formula_unit(crystal)
        wanted = max(1, round(float(rng.uniform(*self.ratio)) * units))
        symbols = unit * wanted
        if self.density is None:
            volume = float(crystal.get_volume()) * wanted / units
        else:
            mass = sum(atomic_masses[atomic_numbers[symbol]] for symbol in symbols)
            volume = float(mass * AMU_PER_A3 / rng.uniform(*self.density))
        return symbols, rng.random((len(symbols), 3)), volume

    def __repr__(self) -> str:
        return f"TwoPhase({self.solid!r}, {self.liquid!r})"


def _formula_unit(atoms: Atoms) -> tuple[list[str], int]:
    """Return the symbols of one formula unit and how many units there are."""
    counts = atoms.symbols.formula.count()
    units = math.gcd(*counts.values())
    return [symbol for symbol in sorted(counts) for _ in range(counts[symbol] // units)], units


def _part(crystal: Atoms, symbols: list[str], places: FloatArray, volume: float, axis: int) -> Atoms:
    """Return the disordered part alone, periodic, with the cross-section of the crystal."""
    cell = crystal.cell.array.copy()
    cell[axis] *= volume / float(crystal.get_volume())
    return Atoms(symbols, cell=cell, scaled_positions=places, pbc=True)


def _joined(crystal: Atoms, part: Atoms, axis: int) -> Atoms:
    """Return the crystal with the disordered part beyond its end along one cell vector."""
    joined = Atoms(crystal.numbers, positions=crystal.positions, cell=crystal.cell, pbc=True)
    joined.wrap()
    beyond = part.copy()
    beyond.wrap()
    beyond.positions += crystal.cell.array[axis]
    joined += beyond
    cell = crystal.cell.array.copy()
    cell[axis] += part.cell.array[axis]
    joined.set_cell(cell)
    joined.set_array("phase", np.repeat(np.array([0, 1], dtype=np.int64), [len(crystal), len(part)]))
    return joined
