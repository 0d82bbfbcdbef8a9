"""Planar defects: slabs with two surfaces, and grain boundaries of two turned slabs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from numpy.typing import NDArray

from ase_mlsample.samplers.base import AtomsTransform, Window, checked_window
from ase_mlsample.samplers.packing import MinDistanceSpec
from ase_mlsample.samplers.parting import checked_distance, parted
from ase_mlsample.samplers.planes import Coincidence, Miller, checked_planes, coincidences, oriented
from ase_mlsample.samplers.transforms import noted

__all__ = ["GrainBoundary", "Slab"]

FloatArray = NDArray[np.float64]

_CUT = 0.3  # crystals are cut in gaps between atomic planes that are at least this share of the widest
_SAME_LATTICE = 0.02  # in units of the cell vectors
_ASPECT = 4.0  # no needles: largest ratio of the sides of a common cell, or that of the plane lattice itself


def _crystal(atoms: Atoms) -> Atoms:
    if len(atoms) == 0 or atoms.cell.rank < 3 or not atoms.pbc.all():
        raise ValueError(
            f"a plane is cut through a crystal that is periodic in three directions, got {atoms}; "
            "set its cell and pbc=True"
        )
    return atoms


def _thickness(thickness: Window) -> tuple[float, float]:
    window = checked_window("thickness", thickness, unit=" in Å")
    if window[0] == 0:
        raise ValueError(f"thickness must be positive, got {thickness!r}; give it in Å")
    return window


def _block(unit: Atoms, thickness: float, rng: np.random.Generator, share: float = _CUT) -> Atoms:
    """Return whole units of an oriented crystal, cut between two atomic planes, in an upright cell."""
    spacing = float(unit.cell[2, 2])
    units = max(1, round(thickness / spacing))
    block = unit.repeat((1, 1, units))
    heights = np.sort(unit.positions[:, 2] % spacing)
    gaps = np.diff([*heights, heights[0] + spacing])
    allowed = np.flatnonzero(gaps >= share * gaps.max() - 1e-6)
    below = int(allowed[int(rng.integers(len(allowed)))])
    cut = heights[below] + gaps[below] / 2
    total = units * spacing
    # whole repeats along the leaning vector bring every atom between the cuts
    times = np.floor((block.positions[:, 2] - cut) / total)
    block.positions -= times[:, None] * block.cell.array[2] + np.array([0.0, 0.0, cut])
    block.cell[2] = [0.0, 0.0, total]
    block.wrap(pbc=[True, True, False])
    return block


def _name(miller: Miller) -> str:
    return " ".join(str(index) for index in miller)


class Slab(AtomsTransform):
    """A slab with two free surfaces, cut from a crystal along a lattice plane.

    Whole lattice planes are repeated, so that the composition is that of the crystal. The cell is upright
    along z and stays periodic in all three directions, with vacuum: plane-wave references need it, the stress
    is defined, and beyond the cutoff of a potential nothing changes. Give ``periodic=False`` for an open z.
    Explore a slab at constant volume, without density or pressure ramp, which would act on the vacuum.

    Parameters
    ----------
    miller : (int, int, int), sequence of these, or None
        Planes to choose from, in terms of the cell of the given atoms, which may be a supercell; None: all
        with indices −1, 0, 1. For the usual indices of a cubic crystal give its cubic cell: the frames of
        :class:`PerturbedCrystal` come from primitive and from conventional cells.
    thickness : float or (float, float)
        Å of crystal, rounded to whole lattice planes, at least one.
    vacuum : float or (float, float)
        Å of cell beyond the crystal.
    width : float
        The cell is repeated in the plane until it is as wide, in Å.
    termination : {"random", "widest"}
        Where to cut: any gap between atomic planes that is at least 0.3 times as wide as the widest, or the
        widest.
    periodic : bool
        Periodicity along z.

    Raises
    ------
    ValueError, TypeError
        At construction, for what is no plane or no window.
    """

    def __init__(
        self,
        miller: Miller | Sequence[Miller] | None = None,
        *,
        thickness: Window = (8.0, 16.0),
        vacuum: Window = (8.0, 15.0),
        width: float = 0.0,
        termination: str = "random",
        periodic: bool = True,
    ) -> None:
        self.planes = checked_planes(miller)
        self.thickness = _thickness(thickness)
        self.vacuum = checked_window("vacuum", vacuum, unit=" in Å")
        (self.width, _) = checked_window("width", width, unit=" in Å")
        if termination not in ("random", "widest"):
            raise ValueError(f"termination must be 'random' or 'widest', got {termination!r}")
        self.termination, self.periodic = termination, periodic

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return the slab; ``info`` has ``miller``, ``slab_thickness_A`` and ``slab_vacuum_A``.

        Raises
        ------
        ValueError
            For atoms that are not periodic in three directions.
        """
        plane = self.planes[int(rng.integers(len(self.planes)))]
        unit = oriented(_crystal(atoms), plane)
        share = 1.0 if self.termination == "widest" else _CUT
        slab = _block(unit, float(rng.uniform(*self.thickness)), rng, share)
        vacuum, thickness = float(rng.uniform(*self.vacuum)), float(slab.cell[2, 2])
        widths = 1 / np.linalg.norm(np.linalg.inv(slab.cell.array[:2, :2]), axis=0)
        slab = slab.repeat((*(max(1, int(np.ceil(self.width / w - 1e-6))) for w in widths), 1))
        slab.positions[:, 2] += vacuum / 2
        slab.cell[2, 2] += vacuum
        slab.pbc = [True, True, self.periodic]
        slab.info = dict(atoms.info)
        return noted(slab, "Slab", miller=_name(plane), slab_thickness_A=thickness, slab_vacuum_A=vacuum)

    def __repr__(self) -> str:
        return f"Slab({len(self.planes)} planes, thickness={self.thickness}, vacuum={self.vacuum})"


class GrainBoundary(AtomsTransform):
    """Two slabs of one crystal, one turned about their common normal, in a periodic cell with two boundaries.

    For a twist boundary an angle is drawn from the window, and the nearest one is taken for which the plane
    lattice and the turned one have a common cell within ``max_strain`` and ``max_atoms``, no longer than four
    times its width; half of the strain goes into each slab. A symmetric tilt boundary is the turn by 180°,
    which every plane lattice allows without strain. Angles at which the turned lattice is the same again are
    no boundary and are left out. The upper slab is displaced in the plane at random; its atoms that come too
    near to one of the lower are taken away, other close pairs are pushed apart by the soft repulsion.

    Parameters
    ----------
    miller : (int, int, int), sequence of these, or None
        Boundary planes as in :class:`Slab`; None: with indices up to 1 for twist, 2 for tilt boundaries.
    kind : {"any", "twist", "tilt"}
        "any" draws one of the two for every frame, where the planes allow both.
    angle : float or (float, float)
        Window of the twist angle, in degrees between 0 and 180.
    thickness : float or (float, float)
        Å of each slab, rounded to whole lattice planes.
    max_strain : float
        Largest principal strain between the slabs, at most 0.2.
    max_atoms : int
        Largest number of atoms of the cell.
    merge : float
        An upper atom nearer to a lower one than this times the crystal's shortest bond is taken away; 0 keeps
        the composition.
    min_distance : float, mapping or None
        In Å; None: as in :class:`PerturbedCrystal`.

    Raises
    ------
    ValueError, TypeError
        At construction, for what is no plane or no window.
    """

    def __init__(
        self,
        miller: Miller | Sequence[Miller] | None = None,
        *,
        kind: str = "any",
        angle: Window = (5.0, 85.0),
        thickness: Window = (8.0, 12.0),
        max_strain: float = 0.03,
        max_atoms: int = 200,
        merge: float = 0.6,
        min_distance: MinDistanceSpec = None,
    ) -> None:
        if kind not in ("any", "twist", "tilt"):
            raise ValueError(f"kind must be 'any', 'twist' or 'tilt', got {kind!r}")
        self.kinds = ("twist", "tilt") if kind == "any" else (kind,)
        self.planes = {"twist": checked_planes(miller), "tilt": checked_planes(miller, largest=2)}
        self.angle = checked_window("angle", angle, unit=" in degrees")
        if self.angle[1] > 180:
            raise ValueError(f"angle must lie in 0 to 180 degrees, got {angle!r}")
        self.thickness = _thickness(thickness)
        if not 0 <= max_strain <= 0.2:
            raise ValueError(f"max_strain must lie in 0 to 0.2, got {max_strain!r}")
        if not 0 <= merge <= 1:
            raise ValueError(f"merge must lie in 0 to 1, got {merge!r}")
        if max_atoms < 2:
            raise ValueError(f"max_atoms must be at least 2, got {max_atoms}")
        self.max_strain, self.max_atoms, self.merge = float(max_strain), max_atoms, float(merge)
        self.min_distance = checked_distance(min_distance)

    def __call__(self, atoms: Atoms, rng: np.random.Generator) -> Atoms:
        """Return the cell; the lower slab has ``arrays['grain']`` 0, the upper 1.

        ``info`` has ``miller``, ``gb_kind``, ``gb_angle_deg``, ``gb_strain`` and ``gb_removed``.

        Raises
        ------
        ValueError
            For atoms that are not periodic in three directions, or when no boundary fits the limits.
        RuntimeError
            When close pairs stay.
        """
        plane, kind, unit, common = self._choice(_crystal(atoms), rng)
        for _ in range(10):
            heights = [min(float(rng.uniform(*self.thickness)), self._room(unit, common)) for _ in range(2)]
            blocks = [_block(unit, height, rng) for height in heights]
            lower, upper = _joined(blocks, common)
            upper.positions += rng.random(2) @ upper.cell.array[:2]
            upper.wrap(pbc=[True, True, False])
            joined, removed = self._stacked(lower, upper)
            relaxed = parted(joined, atoms, self.min_distance)
            if relaxed is not None:
                relaxed.wrap()
                relaxed.info = dict(atoms.info)
                numbers = {"gb_angle_deg": common.angle, "gb_strain": common.strain, "gb_removed": removed}
                return noted(relaxed, "GrainBoundary", miller=_name(plane), gb_kind=kind, **numbers)
        raise RuntimeError(
            f"the close pairs of a {kind} boundary in ({_name(plane)}) could not be parted in 10 placements; "
            "raise merge or lower min_distance"
        )

    def _choice(self, atoms: Atoms, rng: np.random.Generator) -> tuple[Miller, str, Atoms, Coincidence]:
        """Draw kind, plane and angle; the first in random order that fits the limits."""
        kinds = [str(kind) for kind in rng.permutation(self.kinds)]
        for kind in kinds:
            for index in rng.permutation(len(self.planes[kind])):
                plane = self.planes[kind][int(index)]
                unit = oriented(atoms, plane)
                target = 180.0 if kind == "tilt" else float(rng.uniform(*self.angle))
                found = self._common_cells(unit, kind)
                if found:
                    return plane, kind, unit, min(found, key=lambda one: abs(one.angle - target))
        raise ValueError(
            f"no {' or '.join(kinds)} boundary of {atoms.get_chemical_formula()} fits max_strain="
            f"{self.max_strain:g}, max_atoms={self.max_atoms}, thickness={self.thickness} and "
            f"angle={self.angle}; widen one of them, choose other planes, or start from the unit cell of the "
            "perfect crystal and strain and rattle afterwards"
        )

    def _common_cells(self, unit: Atoms, kind: str) -> list[Coincidence]:
        layers = 2 * max(1, round(self.thickness[0] / float(unit.cell[2, 2])))
        most = 1 if kind == "tilt" else self.max_atoms // (layers * len(unit))
        angles = (180.0, 180.0) if kind == "tilt" else self.angle
        if layers * len(unit) > self.max_atoms:
            return []
        found = coincidences(
            unit.cell.array[:2, :2], most=min(most, 60), angles=angles, strain=self.max_strain
        )
        return [
            one
            for one in found
            if not _same_lattice(unit.cell.array, one.angle) and _aspect(one, unit.cell.array) <= _ASPECT
        ]

    def _room(self, unit: Atoms, common: Coincidence) -> float:
        """Return the largest thickness of a slab that keeps to ``max_atoms``, in Å."""
        layers = self.max_atoms // (2 * common.cells * len(unit))
        return layers * float(unit.cell[2, 2])

    def _stacked(self, lower: Atoms, upper: Atoms) -> tuple[Atoms, int]:
        """Return both slabs in one cell, without upper atoms that come too near, and their number."""
        from ase.neighborlist import neighbor_list

        height = float(lower.cell[2, 2])
        below, above = lower.copy(), upper.copy()
        below.set_array("grain", np.zeros(len(below), dtype=np.int64))
        above.set_array("grain", np.ones(len(above), dtype=np.int64))
        above.positions[:, 2] += height
        below.cell[2, 2] += float(upper.cell[2, 2])
        below += above
        own = neighbor_list("d", lower, 1.5 * (lower.get_volume() / len(lower)) ** (1 / 3))
        reach = self.merge * float(own.min()) if len(own) else 0.0
        if reach <= 0:
            return below, 0
        first, second = neighbor_list("ij", below, reach)
        grain = below.arrays["grain"]
        near = sorted({int(j) for i, j in zip(first, second, strict=True) if grain[i] == 0 and grain[j] == 1})
        if len(near) == len(above):
            return (
                below,
                0,
            )  # both slabs must stay; the soft repulsion parts them, or the placement is refused
        del below[near]
        return below, len(near)

    def __repr__(self) -> str:
        return f"GrainBoundary({' or '.join(self.kinds)}, angle={self.angle})"


def _same_lattice(cell: FloatArray, angle: float) -> bool:
    """Tell whether a lattice is the same after a turn about z."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = cell @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.linalg.inv(cell)
    return bool(np.abs(turned - np.round(turned)).max() < _SAME_LATTICE)


def _aspect(common: Coincidence, cell: FloatArray) -> float:
    """Return the ratio of the sides of a common cell, by that of the plane lattice where this exceeds one."""
    sides = np.linalg.norm(common.lower @ cell[:2, :2], axis=1)
    own = np.linalg.norm(cell[:2], axis=1)
    least = max(1.0, float(own.max() / own.min()) / _ASPECT)
    return float(sides.max() / sides.min()) / least


def _joined(blocks: list[Atoms], common: Coincidence) -> tuple[Atoms, Atoms]:
    """Return both slabs with the plane cell that they have in common, the second one turned."""
    grown = []
    for block, rows in zip(blocks, (common.lower, common.upper), strict=True):
        matrix = np.eye(3, dtype=int)
        matrix[:2, :2] = rows
        grown.append(make_supercell(block, matrix))
    below, above = (one.cell.array[:2, :2] for one in grown)
    left, stretch, right = np.linalg.svd(np.linalg.inv(above) @ below)
    # above R P = below with a rotation R and a symmetric P: half of P is for each slab
    plane = above @ left @ right @ (right.T @ np.diag(np.sqrt(stretch)) @ right)
    c, s = plane[0] / np.linalg.norm(plane[0])
    plane = plane @ np.array([[c, -s], [s, c]])
    plane[0, 1] = 0.0
    for one in grown:
        cell = one.cell.array.copy()
        cell[:2, :2] = plane
        one.set_cell(cell, scale_atoms=True)
    return grown[0], grown[1]
