"""Holes are where the textbook has them, and no point is farther from the atoms."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample.samplers.holes import find_holes, nearest_distances


@pytest.mark.parametrize(
    ("atoms", "radius", "sites"),
    [
        (bulk("Al", a=4.0, cubic=True), 2.0, 4),  # octahedral: half an edge, one for each atom
        (bulk("Al", a=4.0) * (2, 1, 3), 2.0, 6),
        (bulk("Fe", "bcc", a=3.0, cubic=True), 3.0 * np.sqrt(5) / 4, 12),  # tetrahedral: six for each atom
        (bulk("Po", "sc", a=3.0), 3.0 * np.sqrt(3) / 2, 1),
    ],
)
def test_largest_holes_of_crystals(atoms, radius, sites):
    places, radii = find_holes(atoms)
    assert radii[0] == pytest.approx(radius)
    assert (radii > radius - 1e-6).sum() == sites
    np.testing.assert_allclose(nearest_distances(atoms, places), radii, atol=1e-6)


def test_diamond_has_the_tetrahedral_hole():
    atoms = bulk("Si", a=5.43, cubic=True)
    _, radii = find_holes(atoms)
    assert radii[0] == pytest.approx(5.43 * np.sqrt(3) / 4)
    assert (np.abs(radii - radii[0]) < 1e-6).sum() == 8


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), skew=st.floats(0.0, 0.8))
def test_no_point_is_farther_from_the_atoms(seed, count, skew):
    rng = np.random.default_rng(seed)
    cell = 5 * np.eye(3) + 5 * skew * rng.uniform(-1, 1, (3, 3)) * np.tri(3, k=-1)
    atoms = Atoms("Si" * count, cell=cell, scaled_positions=rng.random((count, 3)), pbc=True)
    places, radii = find_holes(atoms)
    random = nearest_distances(atoms, rng.random((2000, 3)) @ cell)
    assert random.max() <= radii[0] + 1e-9
    np.testing.assert_allclose(nearest_distances(atoms, places), radii, atol=1e-6)


def test_distances_agree_with_the_minimum_image():
    rng = np.random.default_rng(0)
    atoms = Atoms(
        "Si5", cell=[[6, 0, 0], [2, 5, 0], [-1, 2, 7]], scaled_positions=rng.random((5, 3)), pbc=True
    )
    points = rng.uniform(-10, 10, (50, 3))
    for point, distance in zip(points, nearest_distances(atoms, points), strict=True):
        probe = atoms + Atoms("H", positions=[point])
        assert distance == pytest.approx(probe.get_distances(5, range(5), mic=True).min())


def test_clusters_have_holes_only_between_their_atoms():
    octahedron = Atoms("Al6", positions=np.concatenate([np.eye(3), -np.eye(3)]) * 2.0)
    places, radii = find_holes(octahedron)
    np.testing.assert_allclose(places[0], 0, atol=1e-9)
    assert radii[0] == pytest.approx(2.0)
    assert len(find_holes(Atoms("Al2", positions=[[0, 0, 0], [2, 0, 0]]))[0]) == 0
