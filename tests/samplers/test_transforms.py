"""Transforms change what they say, and only that."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ase_mlsample.samplers.transforms import Rattle, Scale, Strain, Supercell, near_cubic_repeats


@pytest.mark.parametrize("transform", [Rattle(0.1), Strain(0.05), Scale((0.9, 1.1)), Supercell((8, 40))])
def test_input_is_untouched_and_seed_decides(transform):
    atoms = bulk("Al", cubic=True)
    atoms.calc, before = EMT(), atoms.copy()
    changed = transform(atoms, np.random.default_rng(0))
    assert atoms == before
    assert atoms.info == {}
    assert changed.calc is None
    assert changed != before
    assert changed == transform(atoms, np.random.default_rng(0))
    assert changed.info["transforms"] == type(transform).__name__


def test_rattle_draws_its_amplitude():
    atoms = bulk("Al", cubic=True).repeat(6)
    rng = np.random.default_rng(0)
    for _ in range(5):
        rattled = Rattle((0.05, 0.3))(atoms, rng)
        assert 0.05 <= rattled.info["rattle_A"] <= 0.3
        deviation = (rattled.positions - atoms.positions).std()
        assert deviation == pytest.approx(rattled.info["rattle_A"], rel=0.08)


def test_strain_is_symmetric_and_bounded():
    atoms, rng = bulk("Al", cubic=True), np.random.default_rng(0)
    for _ in range(20):
        strained = Strain(0.05)(atoms, rng)
        strain = np.linalg.inv(atoms.cell.array) @ strained.cell.array - np.eye(3)
        np.testing.assert_allclose(strain, strain.T, atol=1e-12)
        assert np.abs(strain).max() == pytest.approx(strained.info["strain_max"])
        assert np.abs(strain).max() <= 0.05
        np.testing.assert_allclose(strained.get_scaled_positions(), atoms.get_scaled_positions(), atol=1e-12)


def test_transforms_keep_atoms_outside_the_cell_where_they_are():
    atoms = Atoms("Al", positions=[[5.0, -1, 2]], cell=[3, 3, 3], pbc=True)
    scaled = Scale((1.331, 1.331))(atoms, np.random.default_rng(0))
    np.testing.assert_allclose(scaled.positions, 1.1 * atoms.positions)
    assert scaled.get_volume() == pytest.approx(1.331 * 27)
    assert scaled.info["volume_scale"] == 1.331


def test_supercells_are_near_cubic_and_in_the_window():
    primitive = bulk("Si", a=5.43)
    repeats = near_cubic_repeats(primitive, n_atoms=(16, 54))
    assert (2, 2, 2) in repeats
    assert (3, 3, 3) in repeats
    assert all(16 <= 2 * np.prod(one) <= 54 for one in repeats)
    assert all(max(one) <= 2 * min(one) for one in repeats)
    assert near_cubic_repeats(primitive, n_atoms=(14, 14)) == [(1, 1, 7)] or near_cubic_repeats(
        primitive, n_atoms=(14, 14)
    ) == [(7, 1, 1)]
    sizes = {len(Supercell((16, 54))(primitive, np.random.default_rng(seed))) for seed in range(20)}
    assert len(sizes) > 2


def test_only_periodic_vectors_are_repeated():
    slab = Atoms("Al", cell=[3, 3, 20], pbc=[True, True, False])
    assert near_cubic_repeats(slab, n_atoms=(4, 4)) == [(2, 2, 1)]
    assert near_cubic_repeats(Atoms("Al"), n_atoms=(1, 9)) == [(1, 1, 1)]
    with pytest.raises(ValueError, match="no repeat of a cell of 2 atoms has 3 to 3"):
        near_cubic_repeats(bulk("Si"), n_atoms=(3, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rattle(-0.1),
        lambda: Rattle((0.2, 0.1)),
        lambda: Strain(0.5),
        lambda: Strain(float("nan")),
        lambda: Scale((0.0, 1.0)),
        lambda: Supercell((0, 4)),
    ],
)
def test_bad_settings(make):
    with pytest.raises(ValueError, match="must"):
        make()
