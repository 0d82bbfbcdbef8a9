import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample.analysis.clusters import find_clusters, size_distribution


def chain(x, cell=30.0, pbc=True):
    positions = np.zeros((len(x), 3))
    positions[:, 0] = x
    return Atoms(f"Ar{len(x)}", positions=positions, cell=[cell, 9, 9], pbc=pbc)


def test_labels_by_size_and_gaps():
    atoms = chain([0, 10, 11, 12, 20, 21])
    found = find_clusters(atoms, np.ones(6), cutoff=1.5)
    assert found.labels.tolist() == [3, 1, 1, 1, 2, 2]
    assert found.sizes.tolist() == [3, 2, 1]
    assert found.largest == 3
    assert found.members().tolist() == [1, 2, 3]


def test_atoms_below_the_threshold_part_clusters():
    atoms = chain([10, 11, 12, 13, 14])
    found = find_clusters(atoms, [0.9, 0.8, 0.5, 0.7, 0.6], cutoff=1.5, threshold=0.5)
    assert found.labels.tolist() == [1, 1, 0, 2, 2]


def test_clusters_reach_over_the_boundary_only_where_periodic():
    x = [0.5, 29.5, 15.0]
    assert find_clusters(chain(x), np.ones(3), cutoff=1.5).sizes.tolist() == [2, 1]
    assert find_clusters(chain(x, pbc=False), np.ones(3), cutoff=1.5).sizes.tolist() == [1, 1, 1]


def test_sphere_in_a_crystal():
    atoms = bulk("Si", a=5.431, cubic=True) * 4
    center = atoms.cell.sum(axis=0) / 2
    inside = np.linalg.norm(atoms.positions - center, axis=1) < 7.0
    found = find_clusters(atoms, inside, cutoff=2.8)
    assert found.largest == inside.sum()
    assert ((found.labels == 1) == inside).all()


def test_agrees_with_a_walk_from_atom_to_atom(rng):
    atoms = Atoms("Ar60", positions=rng.uniform(0, 12, (60, 3)), cell=[12, 12, 12], pbc=True)
    values = rng.uniform(size=60)
    found = find_clusters(atoms, values, cutoff=2.2, threshold=0.3)
    near = atoms.get_all_distances(mic=True) < 2.2
    near &= (values > 0.3)[:, None] & (values > 0.3)[None]
    left, sizes = set(np.flatnonzero(values > 0.3).tolist()), []
    while left:
        group, edge = set(), {left.pop()}
        while edge:
            i = edge.pop()
            group.add(i)
            edge |= set(np.flatnonzero(near[i]).tolist()) - group
        left -= group
        sizes.append(len(group))
        assert len(set(found.labels[sorted(group)].tolist())) == 1
    assert found.sizes.tolist() == sorted(sizes, reverse=True)


def test_no_crystalline_atoms():
    found = find_clusters(chain([1, 2]), np.zeros(2), cutoff=1.5)
    assert found.labels.tolist() == [0, 0]
    assert found.largest == 0
    with pytest.raises(KeyError, match="cluster 1 is not among the 0"):
        found.members()


def test_annotation_and_values_by_name():
    atoms = chain([1, 2, 9])
    atoms.set_array("crystallinity", np.array([0.9, 0.9, 0.1]))
    find_clusters(atoms, "crystallinity", cutoff=1.5).annotate(atoms)
    assert atoms.arrays["cluster"].tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="do not belong"):
        find_clusters(chain([1, 2]), np.ones(2), cutoff=1.5).annotate(atoms)


def test_size_distribution():
    frames = [
        find_clusters(chain([1, 2, 10, 20]), np.ones(4), cutoff=1.5),
        find_clusters(chain([1, 2, 3, 20]), np.ones(4), cutoff=1.5),
    ]
    found = size_distribution(frames)
    assert found.size.tolist() == [1, 2, 3]
    assert found.number.tolist() == [1.5, 0.5, 0.5]
    assert found.frames == 2


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.ones(3), ValueError, "one finite number for each of the 2 atoms"),
        ([1.0, np.nan], ValueError, "with 1 that are none"),
        ("crystallinity", KeyError, "no array 'crystallinity'"),
    ],
)
def test_bad_values(values, error, message):
    with pytest.raises(error, match=message):
        find_clusters(chain([1, 2]), values, cutoff=1.5)


def test_no_frames():
    with pytest.raises(ValueError, match="one structure at least"):
        size_distribution([])
