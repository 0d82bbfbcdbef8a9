"""Minimum distances and how overlaps are undone, against ASE's neighbour list."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from scipy.optimize import check_grad

from ase_mlsample.samplers import packing
from ase_mlsample.samplers.packing import (
    CLOSE_PACKING,
    closest_pair,
    minimum_distances,
    packing_fraction,
    separate,
)


def test_default_is_the_sum_of_covalent_radii():
    table = minimum_distances(["C", "Si"])
    assert table == pytest.approx(np.array([[1.52, 1.87], [1.87, 2.22]]))


def test_default_is_capped_for_close_packed_metals():
    for symbol in ("W", "Cu", "Fe", "Ti"):
        (distance,) = minimum_distances([symbol]).ravel()
        bond = neighbor_list("d", bulk(symbol), 4.0).min()
        assert distance == pytest.approx(0.9 * bond, rel=1e-6)


def test_tables():
    expected = np.array([[1.4, 1.8], [1.8, 2.1]])
    for spec in (
        {("C", "C"): 1.4, ("C", "Si"): 1.8, ("Si", "Si"): 2.1},
        {"C-C": 1.4, "Si-C": 1.8, "Si-Si": 2.1},
    ):
        np.testing.assert_array_equal(minimum_distances(["C", "Si"], spec), expected)
    assert (minimum_distances(["C", "Si"], 1.5) == 1.5).all()
    with pytest.raises(KeyError, match="lacks the pair C-Si"):
        minimum_distances(["C", "Si"], {"C-C": 1.4, "Si-Si": 2.1})
    with pytest.raises(ValueError, match="'CSi' is no pair of elements"):
        minimum_distances(["C", "Si"], {"CSi": 1.4})
    with pytest.raises(ValueError, match="given twice"):
        minimum_distances(["C", "Si"], {"C-Si": 1.4, "Si-C": 2.1})
    with pytest.raises(ValueError, match="positive and finite"):
        minimum_distances(["C"], -1.0)
    with pytest.raises(ValueError, match="not a chemical symbol"):
        minimum_distances(["Xq"])


def test_packing_fraction_of_touching_fcc_spheres_is_close_packing():
    atoms = bulk("Al", a=4.0, cubic=True)
    touching = np.array([[4.0 / math.sqrt(2)]])
    assert packing_fraction([4], touching, atoms.get_volume()) == pytest.approx(CLOSE_PACKING)


def test_closest_pair_finds_images_of_small_cells():
    ratio, pair, distance = closest_pair(Atoms("Si", cell=[1.8, 5, 5], pbc=True), 2.0)
    assert (ratio, pair, distance) == (pytest.approx(0.9), "Si-Si", pytest.approx(1.8))
    assert closest_pair(Atoms("Si", cell=[1.8, 5, 5], pbc=[False, True, True]), 2.0)[0] == math.inf


def test_gradient_of_the_repulsion():
    rng = np.random.default_rng(0)
    atoms = Atoms(
        "Si6C4", cell=[[4, 0, 0], [1, 5, 0], [0, 1, 3.5]], scaled_positions=rng.random((10, 3)), pbc=True
    )
    symbols, species = packing._species(atoms)
    table = minimum_distances(symbols)
    pairs = packing._Pairs(3.0, 0.3, atoms.cell.array, atoms.pbc)
    state = packing._Repulsion(pairs, species, table)
    error = check_grad(
        lambda x: state.evaluate(x)[0], lambda x: state.evaluate(x)[1], atoms.positions.ravel(), epsilon=1e-6
    )
    scale = np.linalg.norm(state.evaluate(atoms.positions.ravel())[1])
    assert scale > 0.1
    assert error < 1e-5 * scale


def test_separate_parts_all_overlaps_and_nothing_else():
    rng = np.random.default_rng(3)
    atoms = Atoms("Si20", cell=[7.5, 7, 8], scaled_positions=rng.random((20, 3)), pbc=True)
    before = atoms.copy()
    parted = separate(atoms, 2.2)
    assert atoms == before
    assert len(neighbor_list("d", atoms, 2.2)) > 0
    assert len(neighbor_list("d", parted, 2.2)) == 0
    np.testing.assert_array_equal(separate(parted, 2.2).positions, parted.positions)


def test_separate_gives_up_where_it_must():
    assert separate(Atoms("Si", cell=[1.8, 5, 5], pbc=True), 2.0) is None
    rng = np.random.default_rng(3)
    crowded = Atoms("Si30", cell=[6, 6, 6], scaled_positions=rng.random((30, 3)), pbc=True)
    assert packing_fraction([30], np.array([[2.4]]), 216) > CLOSE_PACKING
    assert separate(crowded, 2.4, max_steps=50) is None
