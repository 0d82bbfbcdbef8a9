import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample import _core


def edges_of(atoms, cutoff):
    pairs = _core.NeighborList(cutoff)
    pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)
    return pairs.first, pairs.second, pairs.vectors


@pytest.fixture(name="atoms")
def small_cell():
    atoms = bulk("Si", a=5.431, cubic=True)
    atoms.rattle(0.2, seed=3)
    return atoms


def test_sums_over_edges(atoms, rng):
    first, second, vectors = edges_of(atoms, 6.0)
    g, w = rng.normal(size=vectors.shape), rng.normal(size=len(atoms))
    w[2] = 0.0
    gradient, virial = _core.pull_edges(first, second, vectors, g, w)
    centers = np.repeat(np.arange(len(atoms)), np.diff(first))
    pull = w[centers, None] * g
    expected = np.zeros((len(atoms), 3))
    np.add.at(expected, second, pull)
    np.add.at(expected, centers, -pull)
    full = pull.T @ vectors
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    np.testing.assert_allclose(virial, (full + full.T) / 2, atol=1e-11)


def test_number_of_threads_changes_no_bit(rng):
    atoms = bulk("Si", a=5.431, cubic=True) * 10  # enough atoms for several parts
    edges = edges_of(atoms, 2.6)
    g, w = rng.normal(size=edges[2].shape), rng.normal(size=len(atoms))
    before = _core.num_threads()
    try:
        results = []
        for threads in (1, 3):
            _core.set_num_threads(threads)
            results.append(_core.pull_edges(*edges, g, w))
    finally:
        _core.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)
    centers = np.repeat(np.arange(len(atoms)), np.diff(edges[0]))
    np.testing.assert_allclose(np.trace(results[0][1]), np.sum(w[centers, None] * g * edges[2]), atol=1e-8)


def test_no_edges():
    gradient, virial = _core.pull_edges(
        np.zeros(3, np.int64), np.zeros(0, np.int32), np.zeros((0, 3)), np.zeros((0, 3)), np.ones(2)
    )
    assert not gradient.any()
    assert not virial.any()
    assert gradient.shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.ones(7)}, "first must be a C-contiguous int64"),
        ({"weights": np.ones(8, np.float32)}, "weights must be a C-contiguous float64"),
        ({"edge_gradient": np.ones((3, 3))}, "edge_gradient must be"),
        ({"second": "negative"}, "names atom -2 of 8"),
        ({"first": "falling"}, "must not decrease"),
        ({"first": "short"}, "end at the number of edges"),
    ],
)
def test_bad_arrays(atoms, change, message):
    first, second, vectors = (np.array(a) for a in edges_of(atoms, 3.0))
    arguments = {"first": first, "second": second, "vectors": vectors}
    arguments |= {"edge_gradient": vectors.copy(), "weights": np.ones(8)}
    if change.get("second") == "negative":
        second[4] = -2
    elif change.get("first") == "falling":
        first[2] = first[3] + 1
    elif change.get("first") == "short":
        first[-1] -= 1
    else:
        arguments |= change
    with pytest.raises(ValueError, match=message):
        _core.pull_edges(**arguments)
