"""Whole evaluations, their neighbours given as edges or found on the way, and statistics over members."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.calculators.ani_native import compiled_networks
from ase_mlsample.calculators.networks import MemberNetworks

SETTINGS = {
    "radial_cutoff": 5.0,
    "radial_eta": 8.0,
    "radial_shifts": [1.0 + 0.5 * k for k in range(8)],
    "angular_cutoff": 4.4,
    "angular_eta": 6.0,
    "zeta": 8.0,
    "angular_shifts": [1.2, 2.0, 2.8],
    "sections": [0.4, 1.2, 2.0, 2.8],
}


@pytest.fixture(autouse=True)
def one_thread():
    before = _core.num_threads()
    _core.set_num_threads(1)
    yield
    _core.set_num_threads(before)


def ensemble(dtype):
    aev = _core.AEV(2, **SETTINGS)
    rng = np.random.default_rng(3)
    networks = MemberNetworks(
        3, aev.length, hidden=(12, 7), activation="celu", symbols=("Si", "C"), dtype=dtype, rng=rng
    )
    return aev, compiled_networks(networks.requires_grad_(requires_grad=False))


def structure(repeat, seed=0):
    """A rattled crystal, few of its atoms of the second kind."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", a=5.431, cubic=True) * repeat
    atoms.positions += rng.normal(scale=0.2, size=(len(atoms), 3))
    return atoms, (rng.random(len(atoms)) < 0.2).astype(np.int32)


def placed(atoms, cutoff=5.0, skin=0.4):
    neighbors = _core.NeighborList(cutoff, skin)
    neighbors.place(atoms.positions, atoms.cell.array, atoms.pbc)
    return neighbors


def edges(neighbors, species):
    return species, neighbors.first, neighbors.second, neighbors.vectors, np.array([0, len(species)])


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (3, 2, 2)])
def test_pairs_found_on_the_way_are_those_of_the_list(dtype, mean, repeat):
    atoms, species = structure(repeat)
    aev, networks = ensemble(dtype)
    neighbors = placed(atoms)
    found = _core.evaluate_ani(aev, networks, species, neighbors, mean=mean)
    given = _core.evaluate_ani(aev, networks, *edges(neighbors, species), mean=mean)
    for one, other in zip(found, given, strict=True):
        assert np.array_equal(one, other)


def test_the_mean_is_that_of_the_members():
    atoms, species = structure((2, 2, 1))
    aev, networks = ensemble("float64")
    neighbors = placed(atoms)
    members = _core.evaluate_ani(aev, networks, species, neighbors, mean=False)
    mean = _core.evaluate_ani(aev, networks, species, neighbors, mean=True)
    for all_of_them, one in zip(members, mean, strict=True):
        assert len(one) == 1
        np.testing.assert_allclose(one[0], all_of_them.mean(axis=0), rtol=0, atol=1e-12)


def test_threads_change_nothing_but_rounding():
    atoms, species = structure((3, 3, 2))
    aev, networks = ensemble("float64")
    neighbors = placed(atoms)
    alone = _core.evaluate_ani(aev, networks, species, neighbors, mean=False)
    for threads in (2, 3, 7):
        _core.set_num_threads(threads)
        shared = _core.evaluate_ani(aev, networks, species, neighbors, mean=False)
        assert np.array_equal(alone[0], shared[0])
        for one, other in zip(alone[1:], shared[1:], strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-11)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_age_of_a_list_changes_nothing(threads):
    atoms, species = structure((4, 2, 2))
    atoms.pbc = [False, True, True]
    aev, networks = ensemble("float64")
    _core.set_num_threads(threads)
    fresh = _core.evaluate_ani(aev, networks, species, placed(atoms), mean=False)
    rng = np.random.default_rng(1)
    for skin in (0.6, 1.2, 2.4):
        neighbors = placed(
            Atoms(atoms, positions=atoms.positions + rng.normal(0, 0.05, (len(atoms), 3))), skin=skin
        )
        assert not neighbors.place(atoms.positions, atoms.cell.array, atoms.pbc)
        for one, other in zip(
            _core.evaluate_ani(aev, networks, species, neighbors, mean=False), fresh, strict=True
        ):
            assert np.array_equal(one, other)


def test_no_atoms_and_one_alone():
    aev, networks = ensemble("float32")
    for n in (0, 1):
        neighbors = placed(Atoms(f"Si{n}" if n else "", positions=np.zeros((n, 3))))
        species = np.zeros(n, np.int32)
        energies, gradient, virial = _core.evaluate_ani(aev, networks, species, neighbors, mean=False)
        assert energies.shape == (3, n)
        assert not gradient.any()
        assert not virial.any()


def test_what_cannot_be_evaluated_is_named():
    atoms, species = structure((1, 1, 1))
    aev, networks = ensemble("float32")
    with pytest.raises(RuntimeError, match="place it first"):
        _core.evaluate_ani(aev, networks, species, _core.NeighborList(5.0), mean=True)
    with pytest.raises(ValueError, match=r"list ends at 4\.9.* before the AEV's cutoff of 5\.0"):
        _core.evaluate_ani(aev, networks, species, placed(atoms, 4.9), mean=True)
    with pytest.raises(ValueError, match=r"species must be a C-contiguous int32 \(N,\)"):
        _core.evaluate_ani(aev, networks, species[1:].copy(), placed(atoms), mean=True)
    with pytest.raises(ValueError, match="out of range for num_species"):
        _core.evaluate_ani(aev, networks, species + np.int32(2), placed(atoms), mean=True)
    atoms.positions[5] = atoms.positions[2] + [0, 0, 5e-4]
    with pytest.raises(ValueError, match="atoms 2 and 5 are on top of each other"):
        _core.evaluate_ani(aev, networks, species, placed(atoms), mean=True)


def test_moments_are_exact_where_all_members_agree():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(7, 20001))
    values[:, ::3] = values[0, ::3]
    mean, deviation = _core.moments(values)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(deviation, values.std(axis=0, ddof=1), rtol=0, atol=1e-14)
    assert np.array_equal(mean[::3], values[0, ::3])
    assert not deviation[::3].any()
    _core.set_num_threads(3)
    assert np.array_equal(_core.moments(values), (mean, deviation))
    assert [len(found) for found in _core.moments(np.empty((2, 0)))] == [0, 0]
    with pytest.raises(ValueError, match="at least two members"):
        _core.moments(values[:1])
    with pytest.raises(ValueError, match=r"values must be a C-contiguous float64 \(M, K\)"):
        _core.moments(values[:, ::2])
