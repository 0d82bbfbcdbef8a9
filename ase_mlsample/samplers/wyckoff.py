"""Space groups and their Wyckoff positions, derived from the symmetry operations alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.samplers.affine import UNIT, Subspace, image, intersection, parametrise, solve
from ase_mlsample.samplers.group_names import first_setting, quiet_spglib, space_group_number

__all__ = ["SpaceGroup", "WyckoffPosition", "space_group", "symmetry_deviation"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# rows: primitive vectors in units of the conventional ones
_PRIMITIVE: dict[str, FloatArray] = {
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, -0.5], [0, 0.5, 0.5]]),
    "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """One Wyckoff position: the points of a space group whose site symmetries are conjugate.

    Parameters
    ----------
    letter : str
        As in the International Tables; empty if it could not be told.
    multiplicity : int
        Points in the conventional cell.
    site_order : int
        Order of the site symmetry group.
    points : ndarray (m, 3)
        With the parameters zero, in units of the primitive vectors.
    directions : ndarray (m, 3, f)
        The points move along these with the f free parameters, each from 0 to 1.
    """

    letter: str
    multiplicity: int
    site_order: int
    points: FloatArray
    directions: FloatArray
    subspace: Subspace

    @cached_property
    def size(self) -> int:
        """Points in the primitive cell."""
        return len(self.points)

    @cached_property
    def n_free(self) -> int:
        """Free parameters of a point."""
        return int(self.directions.shape[2])

    @property
    def label(self) -> str:
        """Multiplicity and letter, such as "8a"."""
        return f"{self.multiplicity}{self.letter}"

    def coordinates(self, parameters: FloatArray) -> FloatArray:
        """Return the points (m, 3) for ``parameters`` (f,), unwrapped, in units of the primitive vectors."""
        return np.asarray(self.points + self.directions @ parameters)


@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """A space group in spglib's first setting of its number.

    Parameters
    ----------
    number : int
        1 to 230.
    symbol : str
        Short Hermann–Mauguin symbol, such as "Fd-3m".
    hall_number : int
        Of the setting.
    rotations : ndarray (n, 3, 3), int
        One for each element of the point group, in units of the primitive vectors.
    translations : ndarray (n, 3), int
        In units of 1/UNIT of the primitive vectors.
    primitive : ndarray (3, 3)
        Rows are the primitive vectors in units of the conventional ones.
    """

    number: int
    symbol: str
    hall_number: int
    rotations: IntArray
    translations: IntArray
    primitive: FloatArray

    @property
    def order(self) -> int:
        """Operations of the point group: points of the general position in the primitive cell."""
        return len(self.rotations)

    @cached_property
    def n_centrings(self) -> int:
        """Primitive cells in the conventional one."""
        return len(self.centrings)

    @cached_property
    def centrings(self) -> FloatArray:
        """Lattice points (c, 3) in the conventional cell, in units of its vectors."""
        steps = np.indices((3, 3, 3)).reshape(3, -1).T
        twelfths = np.rint(steps @ self.primitive * 12).astype(np.int64) % 12
        return np.unique(twelfths, axis=0) / 12

    @cached_property
    def lattice(self) -> str:
        """Crystal system, with "rhombohedral" for the R lattices among the trigonal groups."""
        if self.symbol[0] == "R":
            return "rhombohedral"
        ends = {2: "triclinic", 15: "monoclinic", 74: "orthorhombic", 142: "tetragonal", 194: "hexagonal"}
        return next((name for end, name in ends.items() if self.number <= end), "cubic")

    def operations(self, cell: str = "primitive") -> tuple[IntArray, FloatArray]:
        """Return rotations (n, 3, 3) and translations (n, 3) in units of a cell's vectors.

        The cell is "primitive" or "conventional"; centring translations are left out.
        """
        _check_cell(cell)
        translations = self.translations / UNIT
        if cell == "primitive":
            return self.rotations, translations
        basis = self.primitive.T
        rotations = basis @ self.rotations @ np.linalg.inv(basis)
        return np.rint(rotations).astype(np.int64), translations @ self.primitive

    @cached_property
    def wyckoff(self) -> tuple[WyckoffPosition, ...]:
        """The Wyckoff positions in the order of their letters; the last one is the general position."""
        positions = [self._position(subspace) for subspace in _representatives(self)]
        positions.sort(key=lambda one: (one.size, one.n_free, one.subspace))
        letters = _letters(self, positions)
        named = [
            WyckoffPosition(letter, p.multiplicity, p.site_order, p.points, p.directions, p.subspace)
            for letter, p in zip(letters, positions, strict=True)
        ]
        return tuple(sorted(named, key=lambda one: (one.letter.isupper(), one.letter)))

    def _position(self, subspace: Subspace) -> WyckoffPosition:
        """Return the orbit of a subspace's general point."""
        point, basis = parametrise(subspace)
        points = (self.rotations @ point + self.translations) % UNIT
        directions = self.rotations @ basis
        keys = np.concatenate([points, directions.reshape(self.order, -1)], axis=1)
        _, first = np.unique(keys, axis=0, return_index=True)
        # the point itself first (operation 0 is the identity), then in the order of the operations
        kept = np.sort(first)
        return WyckoffPosition(
            letter="",
            multiplicity=len(kept) * self.n_centrings,
            site_order=self.order // len(kept),
            points=points[kept] / UNIT,
            directions=directions[kept].astype(np.float64),
            subspace=subspace,
        )

    def locate(self, point: FloatArray, candidates: list[WyckoffPosition], tolerance: float = 1e-4) -> int:
        """Return which of ``candidates`` a point (3,), in units of the primitive vectors, belongs to.

        Raises
        ------
        LookupError
            If it belongs to none of them.
        """
        images = self.rotations @ point + self.translations / UNIT
        for index in sorted(range(len(candidates)), key=lambda i: candidates[i].size):
            rows, constants = candidates[index].subspace
            if not rows:
                return index
            off = images @ np.array(rows).T - np.array(constants) / UNIT
            if (np.abs(off - np.rint(off)).max(axis=1) < tolerance).any():
                return index
        raise LookupError(f"{point} is on none of the {len(candidates)} positions of {self.symbol}")


def _check_cell(cell: str) -> None:
    if cell not in {"primitive", "conventional"}:
        raise ValueError(f"cell must be 'primitive' or 'conventional', got {cell!r}")


def _representatives(group: SpaceGroup) -> list[Subspace]:
    """Return one fixed subspace for each Wyckoff position.

    The points that an operation fixes make parallel subspaces; these and their intersections are the sets of
    points fixed by a site symmetry group, and two such groups are conjugate when an operation maps one set
    to the other.
    """
    levels: list[set[Subspace]] = [set(), set(), set(), set()]  # by dimension
    levels[3].add(Subspace((), ()))
    for rotation, translation in zip(group.rotations[1:], group.translations[1:], strict=True):
        matrix = tuple(tuple(row) for row in (rotation - np.eye(3, dtype=np.int64)).tolist())
        for subspace in solve(matrix, tuple((-translation).tolist())):
            levels[subspace.dimension].add(subspace)
    planes = sorted(levels[2])
    levels[1].update(*(_meet(plane, planes, 1) for plane in planes))
    lines = sorted(levels[1])
    levels[0].update(*(_meet(line, planes + lines, 0) for line in lines))
    inverses = np.rint(np.linalg.inv(group.rotations)).astype(np.int64)
    representatives = []
    for level in levels:
        left = set(level)
        while left:
            first = min(left)
            orbit = {image(first, r, t) for r, t in zip(inverses, group.translations, strict=True)}
            representatives.append(first)
            left -= orbit
    return representatives


def _meet(one: Subspace, others: list[Subspace], dimension: int) -> set[Subspace]:
    found = (meeting for other in others for meeting in intersection(one, other))
    return {meeting for meeting in found if meeting.dimension == dimension}


def _letters(group: SpaceGroup, positions: list[WyckoffPosition]) -> list[str]:
    """Return the letters of the International Tables; empty strings when spglib does not tell them.

    spglib letters one crystal that has every position, each with an element of its own. It may move the
    origin to an equivalent place and letter from there, so that a position gets the letter of the one that it
    is moved to.
    """
    import spglib

    rng = np.random.default_rng(3)  # any generic cell and parameters
    metric = _symmetric_metric(group, rng)
    # repeated general positions keep the crystal from having more symmetry than the group
    crystal = [*range(len(positions)), len(positions) - 1, len(positions) - 1]
    sites = [positions[i].coordinates(rng.random(positions[i].n_free)) for i in crystal]
    species = np.repeat(np.arange(1, len(sites) + 1), [len(site) for site in sites])
    cell = 10 * np.linalg.cholesky(metric)
    with quiet_spglib():
        dataset = spglib.get_symmetry_dataset(
            (cell, np.concatenate(sites), species), symprec=1e-4, hall_number=group.hall_number
        )
    if dataset is None or dataset.number != group.number:
        return [""] * len(positions)
    back = np.linalg.inv(group.primitive.T)
    letters = [""] * len(positions)
    starts = np.cumsum([0, *(len(site) for site in sites)])
    for index in range(len(positions)):
        standard = dataset.transformation_matrix @ sites[index][0] + dataset.origin_shift
        target = group.locate(back @ standard, positions)
        letters[target] = dataset.wyckoffs[starts[index]]
    return letters if len(set(letters)) == len(positions) else [""] * len(positions)


def _symmetric_metric(group: SpaceGroup, rng: np.random.Generator) -> FloatArray:
    """Return a metric tensor (3, 3) of the primitive cell that has no more symmetry than the group needs."""
    seed = np.eye(3) + 0.15 * rng.standard_normal((3, 3))
    conventional = seed @ seed.T
    if group.lattice in {"hexagonal", "rhombohedral"}:
        conventional = np.array([[1, -0.5, 0], [-0.5, 1, 0], [0, 0, 1]]) + 0.2 * conventional
    metric = group.primitive @ conventional @ group.primitive.T
    rotations = group.rotations
    return np.asarray((rotations.transpose(0, 2, 1) @ metric @ rotations).mean(axis=0))


@cache
def _group(number: int) -> SpaceGroup:
    import spglib

    hall, symbol = first_setting(number)
    with quiet_spglib():
        database = spglib.get_symmetry_from_database(hall)
    primitive = _PRIMITIVE[symbol[0]]
    inverse = np.linalg.inv(primitive.T)  # conventional to primitive coordinates
    rotations = np.rint(inverse @ database["rotations"] @ primitive.T).astype(np.int64)
    translations = np.rint(database["translations"] @ inverse.T * UNIT).astype(np.int64) % UNIT
    _, first = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)
    kept = np.sort(first)  # one of the centring copies each
    return SpaceGroup(number, symbol, hall, rotations[kept], translations[kept], primitive)


def space_group(group: int | str) -> SpaceGroup:
    """Return a space group by number or Hermann–Mauguin symbol; built once and kept.

    The setting is spglib's first one of the number: unique axis b, hexagonal axes, origin choice 1. The
    Wyckoff positions are derived when they are first asked for.

    Parameters
    ----------
    group : int or str
        As in :func:`space_group_number`, which says what is raised.
    """
    return _group(space_group_number(group))


def symmetry_deviation(atoms: Atoms, group: int | str, *, cell: str = "primitive") -> float:
    """Return how far a crystal is from having every operation of a space group in its standard setting, in Å.

    A check that needs no search: each operation is applied to the atoms as they lie, and the atom of the same
    element that is nearest to each image is looked up. Crystals of a supergroup pass as well.

    Parameters
    ----------
    atoms : Atoms
        A cell as :class:`RandomSpaceGroup` makes it, with its origin.
    group : int or str
    cell : {"primitive", "conventional"}
        Which cell it is.

    Returns
    -------
    float
        The largest distance of an image from its atom, or by which an operation changes a vector of the cell.
    """
    rotations, translations = space_group(group).operations(cell)
    vectors = np.asarray(atoms.cell.array)
    metric = vectors @ vectors.T
    changed = rotations.transpose(0, 2, 1) @ metric @ rotations - metric
    worst = float(np.abs(changed).max()) / (2 * float(np.linalg.norm(vectors, axis=1).min()))
    scaled = np.linalg.solve(vectors.T, atoms.positions.T).T
    images = np.einsum("nij,aj->nai", rotations, scaled) + translations[:, None]
    differ = atoms.numbers[:, None] != atoms.numbers[None, :]
    for one in images:
        apart = one[:, None] - scaled[None]
        distances = np.linalg.norm((apart - np.rint(apart)) @ vectors, axis=2)
        distances[differ] = np.inf
        worst = max(worst, float(distances.min(axis=1).max()))
    return worst
