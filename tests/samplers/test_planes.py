"""Lattice planes: spacings, oriented cells of the same crystal, coincidence cells known by their Σ."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers.planes import (
    checked_planes,
    coincidences,
    low_index_planes,
    oriented,
    primitive,
)


def shells(atoms, reach=6.0):
    """Sorted distances of the neighbours of every atom, by element."""
    first, distances = neighbor_list("id", atoms, reach)
    rows = [(n, *np.sort(distances[first == i]).round(4)) for i, n in enumerate(atoms.numbers)]
    return {(row[0], *(float(x) for x in row[1:])) for row in rows}


def test_low_index_planes():
    assert len(low_index_planes(1)) == 13
    assert (2, 0, 0) not in low_index_planes(2)
    assert (2, 1, 0) in low_index_planes(2)


@pytest.mark.parametrize(
    ("atoms", "size"),
    [
        (bulk("Al", cubic=True), 1),
        (bulk("Al", cubic=True) * (1, 2, 3), 1),
        (bulk("Si") * (2, 3, 1), 2),
        (bulk("NaCl", "rocksalt", a=5.64, cubic=True) * 2, 2),
        (bulk("Mg"), 2),
        (bulk("CuAu", "cesiumchloride", a=3.0) * (3, 1, 1), 2),
    ],
)
def test_perfect_supercells_are_reduced(atoms, size):
    small = primitive(atoms)
    assert len(small) == size
    assert small.get_volume() / size == pytest.approx(atoms.get_volume() / len(atoms))
    assert shells(small) == shells(atoms)
    rattled = atoms.copy()
    rattled.rattle(0.1, seed=1)
    assert len(primitive(rattled)) == len(atoms)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(5e-4, 6e-3), base=st.sampled_from(["Al", "Si"]))
def test_slightly_distorted_crystals_keep_their_density(seed, size, base):
    atoms = bulk(base, cubic=True) * (2, 2, 1)
    atoms.rattle(size, seed=seed)
    small = primitive(atoms)
    assert len(atoms) % len(small) == 0
    assert small.get_volume() / len(small) == pytest.approx(atoms.get_volume() / len(atoms), rel=1e-9)


def chirality(atoms):
    """Signed volumes of every atom's three nearest neighbours, which must not be tied."""
    first, lengths, vectors = neighbor_list("idD", atoms, 6.0)
    assume(all(np.diff(np.sort(lengths[first == i])[:4]).min() > 1e-6 for i in range(len(atoms))))
    near = [np.flatnonzero(first == i)[np.argsort(lengths[first == i])[:3]] for i in range(len(atoms))]
    return sorted(float(np.linalg.det(vectors[rows])) for rows in near)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    left=st.booleans(),
    miller=st.tuples(*[st.integers(-3, 3)] * 3).filter(any),
)
def test_handedness_of_crystal_and_cell(seed, left, miller):
    rng = np.random.default_rng(seed)
    cell = (3.5 * np.eye(3) + rng.uniform(-1, 1, (3, 3)))[[1, 0, 2] if left else [0, 1, 2]]
    atoms = Atoms("SiAlCu", cell=cell, scaled_positions=rng.random((3, 3)), pbc=True)
    unit = oriented(atoms * (2, 1, 1), checked_planes(miller)[0])
    assert unit.cell.handedness == 1
    assert atoms.cell.handedness == (-1 if left else 1)
    np.testing.assert_allclose(chirality(unit), chirality(atoms), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    miller=st.tuples(*[st.integers(-3, 3)] * 3).filter(any),
    count=st.integers(1, 4),
)
def test_any_crystal_is_the_same_in_any_orientation(seed, miller, count):
    rng = np.random.default_rng(seed)
    cell = 3.5 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    atoms = Atoms("SiAlCuAu"[: 2 * count], cell=cell, scaled_positions=rng.random((count, 3)), pbc=True)
    (plane,) = checked_planes(miller)
    unit = oriented(atoms, plane)
    assert len(unit) == len(atoms)
    assert unit.cell.handedness == 1
    assert abs(unit.cell[0, 1]) + abs(unit.cell[0, 2]) + abs(unit.cell[1, 2]) < 1e-9
    spacing = 1 / np.linalg.norm(np.linalg.inv(cell) @ plane)
    assert unit.cell[2, 2] == pytest.approx(spacing)
    assert unit.get_volume() == pytest.approx(atoms.get_volume())
    assert 59.99 < unit.cell.angles()[2] < 120.01
    one = np.sort(neighbor_list("d", atoms, 6.0))
    np.testing.assert_allclose(np.sort(neighbor_list("d", unit, 6.0)), one, atol=1e-9)


def test_planes_of_a_supercell_are_those_of_its_cell():
    cubic = bulk("Al", a=4.05, cubic=True)
    for miller, spacing in (
        ((1, 1, 1), 4.05 / np.sqrt(3)),
        ((1, 0, 0), 4.05 / 2),
        ((1, 1, 0), 4.05 / np.sqrt(8)),
    ):
        for atoms in (cubic, cubic * 2):
            assert oriented(atoms, miller).cell[2, 2] == pytest.approx(spacing)


@pytest.mark.parametrize(
    ("plane", "sigma"),
    [
        # H. Grimmer, W. Bollmann, D. H. Warrington, Acta Cryst. A 30, 197 (1974)
        (np.eye(2), {5: 36.87, 13: 22.62, 17: 28.07, 25: 16.26, 29: 43.60}),
        (np.array([[1, 0], [-0.5, np.sqrt(0.75)]]), {7: 38.21, 13: 27.80, 19: 46.83}),
    ],
)
def test_exact_coincidences_are_those_of_the_tables(plane, sigma):
    found = coincidences(plane, most=30, angles=(1.0, 50.0), strain=1e-6)
    angles = {one.cells: [] for one in found}
    for one in found:
        assert one.strain < 1e-6
        angles[one.cells].append(round(one.angle, 2))
    for cells, angle in sigma.items():
        assert angle in angles[cells]


@settings(max_examples=15, deadline=None)
@given(a=st.floats(0.6, 1.6), skew=st.floats(-0.5, 0.5), strain=st.floats(0.005, 0.05))
def test_coincidence_cells_match_within_the_strain(a, skew, strain):
    plane = np.array([[3.0, 0.0], [3.0 * skew, 3.0 * a]])
    for one in coincidences(plane, most=8, angles=(5, 175), strain=strain):
        below, above = one.lower @ plane, one.upper @ plane
        c, s = np.cos(np.radians(one.angle)), np.sin(np.radians(one.angle))
        turned = above @ np.array([[c, s], [-s, c]])
        # what is left between them is a symmetric strain
        rest = np.linalg.inv(turned) @ below
        np.testing.assert_allclose(rest, rest.T, atol=1e-9)
        assert np.abs(np.linalg.eigvalsh(rest) - 1).max() == pytest.approx(one.strain)
        assert one.strain <= strain
        assert np.linalg.det(one.lower) == pytest.approx(one.cells)
        assert np.linalg.det(one.upper) == pytest.approx(one.cells)


@pytest.mark.parametrize("miller", [(0, 0, 0), (1, 1), [(1, 0, 0), (1, 0.5, 0)], []])
def test_what_is_no_plane(miller):
    with pytest.raises(ValueError, match="miller"):
        checked_planes(miller)


def test_common_factors_are_taken_out():
    assert checked_planes((2, 2, 0)) == [(1, 1, 0)]
    assert checked_planes([(1, 0, 0), (0, 0, 3)]) == [(1, 0, 0), (0, 0, 1)]
