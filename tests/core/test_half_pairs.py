import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_mlsample import _core

LINEAR = np.array([[0.0, 1.0, 0.0, 0.0]])  # x = 2 r^2/cutoff^2 - 1
CONSTANT = np.array([[1.0, 0.0, 0.0, 0.0]])


def blocks(atoms, cutoff, half=None):
    half = half or _core.HalfPairs(cutoff, 0.5)
    return half.update(atoms.positions, np.ascontiguousarray(atoms.cell.array), atoms.pbc)


def neighbors_and_squares(atoms, cutoff):
    pairs = blocks(atoms, cutoff)
    return _core.pair_sums(pairs, np.concatenate([CONSTANT, LINEAR]), np.zeros((2, 4)), chebyshev=False)[0]


def structures(seed):
    rng = np.random.default_rng(seed)
    for n, box in ((1, 2.0), (2, 4.0), (7, 6.0), (63, 11.0), (64, 13.0), (300, 18.0), (1300, 30.0)):
        cell = np.eye(3) * box + rng.uniform(-0.25, 0.25, (3, 3)) * box
        for pbc in (True, (True, False, True), False):
            # outside the cell, too
            positions = rng.uniform(-1, 2, (n, 3)) @ cell
            yield Atoms(f"Ar{n}", positions=positions, cell=cell, pbc=pbc)


@pytest.mark.parametrize("cutoff", [3.0, 5.9, 8.5])
def test_every_pair_once(cutoff):
    for atoms in structures(int(cutoff * 10)):
        if len(atoms) > 100 and cutoff > 8:
            continue
        number, x = neighbors_and_squares(atoms, cutoff)
        i, d = neighbor_list("id", atoms, cutoff)
        assert np.array_equal(number, np.bincount(i, minlength=len(atoms)))
        expected = np.bincount(i, 2 * d**2 / cutoff**2 - 1, minlength=len(atoms))
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-10)


def test_powers_and_chebyshev_polynomials_are_the_same_function():
    atoms = bulk("Si", cubic=True) * 3
    atoms.rattle(0.1, seed=1)
    pairs = blocks(atoms, 6.0)
    rng = np.random.default_rng(0)
    series, slopes = rng.normal(size=(2, 9)), rng.normal(size=(2, 9))
    padded = [np.pad(a, ((0, 0), (0, 1))) for a in (series, slopes)]
    powers = [
        np.array([np.pad(np.polynomial.chebyshev.cheb2poly(row), (0, 1)) for row in a])
        for a in (series, slopes)
    ]
    one = _core.pair_sums(pairs, *padded, chebyshev=True)
    other = _core.pair_sums(pairs, *powers, chebyshev=False)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_threads_change_rounding_only():
    atoms = bulk("Si", cubic=True) * 6
    atoms.rattle(0.1, seed=1)
    before, results = _core.num_threads(), []
    weights = np.random.default_rng(1).normal(size=len(atoms))
    try:
        for threads in (1, 3):
            _core.set_num_threads(threads)
            pairs = blocks(atoms, 6.0)
            sums, slopes = _core.pair_sums(pairs, LINEAR, LINEAR, chebyshev=False)
            results.append((sums, *_core.pull_pairs(pairs, slopes[0], weights)))
    finally:
        _core.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_arguments():
    pairs = blocks(bulk("Si", cubic=True), 3.0)
    with pytest.raises(ValueError, match="even number of terms from 4 to 256"):
        _core.pair_sums(pairs, np.ones((1, 3)), np.ones((1, 3)), chebyshev=True)
    with pytest.raises(ValueError, match="slope_series must be a C-contiguous float64"):
        _core.pair_sums(pairs, np.ones((1, 4)), np.ones((1, 6)), chebyshev=True)
    with pytest.raises(ValueError, match="slopes must be"):
        _core.pull_pairs(pairs, np.ones(3), None)
    with pytest.raises(ValueError, match="weights must be"):
        _core.pull_pairs(pairs, np.ones(len(pairs)), np.ones(3))
    with pytest.raises(ValueError, match="cutoff must be a positive length"):
        _core.HalfPairs(-1.0)
    settings = {"cutoff": 2.0, "gauss": np.ones(3), "shares": np.ones(101), "density": 0.1, "local": False}
    with pytest.raises(ValueError, match=r"the Gaussians reach 2\.1"):
        _core.PairEntropy(pairs, **settings)
    with pytest.raises(ValueError, match="density must be positive"):
        _core.PairEntropy(pairs, **(settings | {"density": -1.0}))
    graph = (np.array([0, 1]), np.zeros(1, np.int32), np.ones((1, 3)), np.ones(1))
    with pytest.raises(ValueError, match="local, averaged or correlation, not 'global'"):
        _core.BondOrder(*graph, kind="global", degree=6, inner=1.0, outer=2.0)
    with pytest.raises(ValueError, match="from 1 to 16, not 20"):
        _core.BondOrder(*graph, kind="local", degree=20, inner=1.0, outer=2.0)
    with pytest.raises(ValueError, match="radius below that"):
        _core.BondOrder(*graph, kind="local", degree=6, inner=2.0, outer=1.0)
    order = _core.BondOrder(*graph, kind="local", degree=6, inner=1.0, outer=2.0)
    with pytest.raises(ValueError, match="weights must be"):
        order.pull(np.ones(2))
