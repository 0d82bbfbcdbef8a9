import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.references.failures import GeometryFailure, SetupFailure
from ase_mlsample.references.structures import check_elements, check_structure, plain


def refused(atoms, **options):
    with pytest.raises(GeometryFailure) as caught:
        check_structure(atoms, **{"smallest_distance": None, "needs_cell": True, **options})
    return str(caught.value)


def test_a_good_structure_passes():
    check_structure(bulk("Si", cubic=True), smallest_distance=None, needs_cell=True)
    check_structure(Atoms("Si2", [(0, 0, 0), (2.2, 0, 0)]), smallest_distance=2.1, needs_cell=False)


def test_close_atoms_are_named_with_their_distance():
    atoms = bulk("Si", cubic=True)
    atoms.positions[5] = atoms.positions[2] + [0.0, 0.3, 0.4]
    assert "atoms 2 (Si) and 5 (Si) are 0.500 Å apart, closer than 0.888 Å" in refused(atoms)
    check_structure(atoms, smallest_distance=0.49, needs_cell=True)


def test_images_count():
    atoms = Atoms("Si", cell=[0.7, 9, 9], pbc=True)
    assert "atoms 0 (Si) and 0 (Si) are 0.700 Å apart" in refused(atoms)
    atoms.pbc = False
    check_structure(atoms, smallest_distance=None, needs_cell=True)


def test_what_is_no_structure():
    assert "without atoms" in refused(Atoms(cell=[5, 5, 5], pbc=True))
    atoms = bulk("Si")
    atoms.positions[0, 1] = np.nan
    assert "not finite" in refused(atoms)
    assert "no volume" in refused(Atoms("Si", cell=[5, 5, 0], pbc=(1, 1, 0)))
    flat = Atoms("Si", cell=[[5, 0, 0], [0, 5, 0], [5, 5, 1e-9]], pbc=True)
    assert "no volume" in refused(flat)


@given(st.lists(st.integers(-3, 3), min_size=3, max_size=3))
def test_skewed_cells_become_upright_without_a_change_of_the_crystal(multiples):
    upright = bulk("Si", cubic=True)
    upright.rattle(0.1, seed=1)
    upright.calc = StillingerWeber()
    a, b, c = multiples
    skewed = Atoms(upright.symbols, positions=upright.positions, pbc=True)
    skewed.set_cell(np.array([[1, 0, 0], [a, 1, 0], [b, c, 1]]) @ upright.cell.array)
    work = plain(skewed, periodic=True)
    assert np.all(np.abs(work.cell.angles() - 90) <= 45)
    work.calc = StillingerWeber()
    np.testing.assert_allclose(work.get_forces(), upright.get_forces(), atol=1e-11)
    np.testing.assert_allclose(work.get_stress(), upright.get_stress(), atol=1e-13)


def test_slabs_keep_their_cell():
    slab = bulk("Si", cubic=True)
    slab.set_cell([[5.43, 0, 0], [20, 5.43, 0], [0, 0, 30]])
    slab.pbc = (True, True, False)
    np.testing.assert_array_equal(plain(slab, periodic=True).cell.array, slab.cell.array)


def test_left_handed_cells_are_turned_round():
    atoms = bulk("Si")
    atoms.rattle(0.1, seed=1)
    left = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell.array[[1, 0, 2]], pbc=(1, 0, 1))
    assert np.linalg.det(left.cell.array) < 0
    right = plain(left, periodic=True)
    assert np.linalg.det(right.cell.array) > 0
    np.testing.assert_array_equal(right.positions, left.positions)
    # the same vectors up to their signs, in their order: the same lattice, and pbc still belongs to them
    np.testing.assert_array_equal(np.abs(right.cell.array), np.abs(left.cell.array))
    np.testing.assert_allclose(right.get_all_distances(mic=True), atoms.get_all_distances(mic=True))
    np.testing.assert_array_equal(plain(left, periodic=False).cell.array, left.cell.array)


def test_plain_atoms_have_no_past():
    atoms = bulk("Si", cubic=True)
    atoms.info["a"] = 1
    atoms.set_initial_charges(np.ones(8))
    atoms.pbc = (True, False, False)
    copy = plain(atoms, periodic=True)
    assert copy.pbc.all()
    assert copy.info == {}
    assert set(copy.arrays) == {"numbers", "positions"}
    assert not plain(atoms, periodic=False).pbc.all()


def test_moments_by_element():
    copy = plain(Atoms("FeSi", [(0, 0, 0), (2, 0, 0)]), periodic=False, spin={"Fe": 2.2})
    assert copy.get_initial_magnetic_moments().tolist() == [2.2, 0.0]


def test_strange_elements():
    check_elements(bulk("Si"), None, code="x", what="elements")
    check_elements(bulk("Si"), ("Al", "Si"), code="x", what="elements")
    with pytest.raises(SetupFailure, match=r"x: Si2 .* has Si, but elements names only Al"):
        check_elements(bulk("Si"), ("Al",), code="x", what="elements")
