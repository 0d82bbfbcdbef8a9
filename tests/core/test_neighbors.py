import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ase_mlsample import _core


def update(neighbors, atoms):
    return neighbors.update(atoms.positions, np.ascontiguousarray(atoms.cell.array), atoms.pbc)


def rows(neighbors):
    """All pairs as (i, j, Sx, Sy, Sz), in the order of the list."""
    counts = np.diff(neighbors.first)
    first = np.repeat(np.arange(len(counts)), counts)
    return np.column_stack([first, neighbors.second, neighbors.shifts])


def lexicographic(pairs):
    return pairs[np.lexsort(pairs.T[::-1])]


def state(neighbors):
    return [np.array(getattr(neighbors, k)) for k in ("first", "second", "shifts", "vectors", "distances")]


def assert_same_state(one, other):
    for a, b in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def check_against_ase(atoms, cutoff, skin=0.3):
    neighbors = _core.NeighborList(cutoff, skin)
    assert update(neighbors, atoms) is True
    i, j, shift, vectors, distances = neighbor_list("ijSDd", atoms, cutoff)
    expected = np.column_stack([i, j, shift])
    order = np.lexsort(expected.T[::-1])
    got = rows(neighbors)
    np.testing.assert_array_equal(got, expected[order])
    np.testing.assert_array_equal(got, lexicographic(got))
    np.testing.assert_allclose(neighbors.vectors, vectors[order], atol=1e-10)
    np.testing.assert_allclose(neighbors.distances, distances[order], atol=1e-10)
    assert neighbors.first.dtype == np.int64
    assert neighbors.second.dtype == neighbors.shifts.dtype == np.int32
    return neighbors


def random_atoms(rng, *, n, lengths, shear, pbc, spread):
    """A triclinic structure, left-handed half of the time, its atoms up to `spread` cells away."""
    cell = np.diag(lengths) + shear * rng.uniform(-1, 1, (3, 3)) * np.min(lengths)
    if rng.random() < 0.5:
        cell = cell[[1, 0, 2]]
    fractional = rng.uniform(-spread, 1 + spread, (n, 3))
    return Atoms(f"Si{n}", positions=fractional @ cell, cell=cell, pbc=pbc)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 24),
    lengths=st.tuples(*[st.floats(1.5, 9.0)] * 3),
    shear=st.floats(0.0, 0.45),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    spread=st.sampled_from([0.0, 0.3, 4.0]),
    cutoff=st.floats(1.5, 6.0),
)
def test_equals_ase(*, seed, cutoff, **structure):
    atoms = random_atoms(np.random.default_rng(seed), **structure)
    edge = np.abs(neighbor_list("d", atoms, cutoff + 1e-6) - cutoff)
    assume(not np.any(edge < 1e-9))  # rounding decides there
    check_against_ase(atoms, cutoff)


def test_directions_of_a_pair_are_exact_negatives_even_at_the_cutoff():
    rng = np.random.default_rng(5)
    for _ in range(20):
        atoms = random_atoms(rng, n=5, lengths=(2.0, 2.0, 2.0), shear=0.0, pbc=True, spread=2.0)
        neighbors = _core.NeighborList(2.0)
        update(neighbors, atoms)
        first, shifts = rows(neighbors)[:, 0], neighbors.shifts
        there = {
            (i, j, *s): v.tobytes()
            for i, j, s, v in zip(
                first.tolist(),
                neighbors.second.tolist(),
                shifts.tolist(),
                neighbors.vectors + 0.0,
                strict=True,
            )
        }
        back = {
            (j, i, *s): v.tobytes()
            for i, j, s, v in zip(
                first.tolist(),
                neighbors.second.tolist(),
                (-shifts).tolist(),
                0.0 - neighbors.vectors,
                strict=True,
            )
        }
        assert there == back


@pytest.mark.parametrize("pbc", [True, False, (True, True, False)])
def test_large_system_equals_ase(pbc):
    atoms = bulk("Si", cubic=True) * (6, 5, 4)
    atoms.rattle(0.2, rng=np.random.default_rng(1))
    atoms.positions += atoms.cell[0] * 3  # unwrapped
    atoms.pbc = pbc
    check_against_ase(atoms, 4.2, skin=1.0)


def test_primitive_cell_with_long_cutoff():
    check_against_ase(bulk("Si"), 12.0)


def test_molecule_without_a_cell():
    atoms = molecule("C6H6")
    neighbors = check_against_ase(atoms, 3.0)
    assert not np.any(neighbors.shifts)


def test_wire_and_slab_with_zero_vectors():
    for pbc in [(True, False, False), (False, True, False), (True, False, True)]:
        atoms = Atoms("Si3", [[0, 0, 0], [1.5, 0.4, -8], [0.3, 2.9, 0.6]], pbc=pbc)
        atoms.cell = np.diag([3.1, 3.3, 3.7]) * np.array(pbc)[:, None]
        complete = atoms.copy()
        complete.cell = np.diag([3.1, 3.3, 3.7])
        neighbors = _core.NeighborList(4.0)
        update(neighbors, atoms)
        reference = _core.NeighborList(4.0)
        update(reference, complete)
        assert_same_state(neighbors, reference)
        assert len(neighbors) > 0


def test_no_atoms_and_single_atom():
    neighbors = _core.NeighborList(4.0, 1.0)
    assert update(neighbors, Atoms()) is True
    np.testing.assert_array_equal(neighbors.first, [0])
    assert len(neighbors) == 0
    assert update(neighbors, Atoms("Si")) is True
    np.testing.assert_array_equal(neighbors.first, [0, 0])


def test_result_does_not_depend_on_age():
    rng = np.random.default_rng(7)
    atoms = bulk("Si", cubic=True) * 3
    aged = _core.NeighborList(4.0, 1.2)
    rebuilt = []
    for _ in range(40):
        atoms.positions += rng.normal(0, 0.03, (len(atoms), 3)) + 0.2
        strain = np.eye(3) + rng.normal(0, 1e-3, (3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        rebuilt.append(update(aged, atoms))
        fresh = _core.NeighborList(4.0, 0.0)
        update(fresh, atoms)
        assert_same_state(aged, fresh)
    assert rebuilt[0]
    assert 0 < sum(rebuilt[1:]) < 20


def test_cell_change_without_atoms_is_seen():
    atoms = bulk("Si", cubic=True) * 2
    aged = _core.NeighborList(4.0, 0.5)
    update(aged, atoms)
    for scale in (0.999, 0.99, 0.9, 0.6, 1.3):
        atoms.set_cell(np.eye(3) * 10.86 * scale, scale_atoms=False)
        update(aged, atoms)
        fresh = _core.NeighborList(4.0)
        update(fresh, atoms)
        assert_same_state(aged, fresh)


def test_rebuilds_only_when_it_must():
    atoms = bulk("Si", cubic=True) * 2
    neighbors = _core.NeighborList(4.0, 1.0)
    assert update(neighbors, atoms)
    assert not update(neighbors, atoms)
    atoms.positions[3] += [0.45, 0, 0]
    atoms.positions[9] -= [0.45, 0, 0]
    assert not update(neighbors, atoms)
    atoms.positions[3] += [0.2, 0, 0]
    assert update(neighbors, atoms)
    atoms.pbc = (True, True, False)
    assert update(neighbors, atoms)
    del atoms[5]
    assert update(neighbors, atoms)
    assert len(neighbors.first) == len(atoms) + 1


def test_atoms_coming_into_reach_are_never_missed():
    neighbors = _core.NeighborList(3.0, 1.0)
    for distance in np.arange(4.6, 2.4, -0.05):
        atoms = Atoms("Si2", [[0, 0, 0], [distance, 0, 0]])
        update(neighbors, atoms)
        assert len(neighbors) == (2 if distance < 3.0 else 0)


def test_views_outlive_updates():
    atoms = bulk("Si", cubic=True)
    neighbors = _core.NeighborList(3.0, 1.0)
    update(neighbors, atoms)
    vectors = neighbors.vectors
    kept = vectors.copy()
    atoms.rattle(0.05, rng=np.random.default_rng(0))
    update(neighbors, atoms)
    np.testing.assert_array_equal(vectors, kept)
    assert np.abs(neighbors.vectors - kept).max() > 0.01
    later = neighbors.distances
    del neighbors
    assert later.min() > 2.0


def test_same_list_with_any_number_of_threads():
    atoms = bulk("Si", cubic=True) * 6
    atoms.rattle(0.1, rng=np.random.default_rng(3))
    before = _core.num_threads()
    try:
        _core.set_num_threads(1)
        one = _core.NeighborList(4.0, 0.5)
        update(one, atoms)
        _core.set_num_threads(3)
        three = _core.NeighborList(4.0, 0.5)
        update(three, atoms)
        assert_same_state(one, three)
    finally:
        _core.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.positions.__setitem__((3, 1), np.nan), "atom 3 is not finite"),
        (lambda a: a.positions.__setitem__((2, 0), np.inf), "atom 2 is not finite"),
        (lambda a: a.positions.__setitem__(5, a.positions[1]), "atoms 1 and 5 are on top of each other"),
        (lambda a: a.positions.__setitem__(5, a.positions[1] + a.cell[2]), "atoms 1 and 5"),
        (lambda a: a.set_cell(np.diag([5.0, 5.0, 0.0])), "singular along its periodic directions"),
        (lambda a: a.set_cell([[5, 0, 0], [0, 5, 0], [5, 5, 0]]), "linearly independent"),
        (lambda a: a.set_cell(np.diag([5.0, 5.0, np.nan])), "singular"),
        (lambda a: a.set_cell(np.diag([1e-4, 10.0, 10.0])), "images"),
    ],
)
def test_bad_structures_raise(change, message):
    neighbors = _core.NeighborList(4.0, 0.5)
    good = bulk("Si", cubic=True)
    update(neighbors, good)
    bad = good.copy()
    change(bad)
    with pytest.raises(ValueError, match=message):
        update(neighbors, bad)
    with pytest.raises(RuntimeError, match="call update"):
        _ = neighbors.second
    assert update(neighbors, good)  # and it recovers


@pytest.mark.parametrize(
    ("cutoff", "skin"), [(0.0, 0.0), (-1.0, 0.0), (np.nan, 0.0), (3.0, -0.1), (3.0, np.inf)]
)
def test_bad_lengths_raise(cutoff, skin):
    with pytest.raises(ValueError, match="must be"):
        _core.NeighborList(cutoff, skin)


def test_wrong_shapes_and_types_raise():
    neighbors = _core.NeighborList(3.0)
    cell, pbc = np.eye(3) * 5, np.ones(3, bool)
    with pytest.raises(TypeError):
        neighbors.update(np.zeros((4, 2)), cell, pbc)
    with pytest.raises(TypeError):
        neighbors.update(np.zeros((4, 3), complex), cell, pbc)
    with pytest.raises(TypeError):
        neighbors.update(np.zeros((4, 3)), np.zeros((2, 3)), pbc)
    with pytest.raises(RuntimeError, match="call update"):
        _ = neighbors.first


def test_placed_atoms_have_the_pairs_of_an_update():
    atoms = bulk("Si", cubic=True) * (2, 2, 1)
    atoms.rattle(0.1, seed=4)
    cell, pbc = np.ascontiguousarray(atoms.cell.array), atoms.pbc
    lazy, eager = _core.NeighborList(4.0, 0.3), _core.NeighborList(4.0, 0.3)
    for step in range(4):
        atoms.positions += 0.06
        atoms.positions[0] += 0.1
        rebuilt = eager.update(atoms.positions, cell, pbc)
        assert lazy.place(atoms.positions, cell, pbc) == rebuilt, step
        assert len(lazy) == len(eager)
        for name in ("first", "second", "shifts", "vectors", "distances"):
            assert np.array_equal(getattr(lazy, name), getattr(eager, name)), name


def test_overlap_of_placed_atoms_shows_when_pairs_are_asked_for():
    positions = np.array([[0.0, 0, 0], [0, 0, 5e-4], [2, 0, 0]])
    none = np.zeros(3, bool)
    neighbors = _core.NeighborList(4.0, 0.3)
    assert neighbors.place(positions, np.zeros((3, 3)), none)
    with pytest.raises(ValueError, match="atoms 0 and 1 are on top of each other"):
        len(neighbors)
    with pytest.raises(RuntimeError, match="empty"):
        _ = neighbors.first
    positions[1] = [0, 0, 2]
    assert neighbors.place(positions, np.zeros((3, 3)), none)
    assert len(neighbors) == 6
