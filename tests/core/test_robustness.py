"""Whatever goes in, the compiled core gives finite numbers or raises ValueError; it never crashes."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample import _core
from ase_mlsample.calculators.ani_graph import Graph
from ase_mlsample.calculators.dp_native import NativeBackend
from tests.calculators.dp_models import random_model

AEV = _core.AEV(
    2,
    radial_cutoff=4.0,
    radial_eta=16.0,
    radial_shifts=[0.9, 1.7, 2.5],
    angular_cutoff=3.0,
    angular_eta=8.0,
    zeta=32.0,
    angular_shifts=[1.0, 2.0],
    sections=[0.4, 1.2, 2.0],
)
SILICON = _core.StillingerWeberKernel(
    epsilon=2.17, sigma=2.1, a=1.8, lambda_=21.0, gamma=1.2, A=7.05, B=0.602, cos_theta0=-1 / 3
)
DEEP = [
    NativeBackend(random_model("Si", "O", n_members=2, cutoff=4.0), dtype=dtype)
    for dtype in ("float32", "float64")
]
COORDINATES = st.one_of(
    st.floats(-8, 8),
    st.sampled_from(
        [0.0, 1e-320, 1e-9, 2.0, 4.0, -4.0, 1e8, -9.9e8, 1e9, 1e14, 1e155, 1e308, np.inf, np.nan]
    ),
)
LENGTHS = st.sampled_from([0.0, 1e-200, 1e-3, 1.5, 4.0, 30.0, -30.0, 1e5, 1e100, 1e160, np.inf, np.nan])
RANGE = np.full((20, 20), 1.0)


def finite(*arrays):
    assert all(np.isfinite(a).all() for a in arrays)


def run_all(species, first, second, vectors, frame):
    n, members = len(species), 2
    graph = (species, first, second, vectors)
    for double in (False, True):
        dtype = np.float64 if double else np.float32
        finite(AEV.forward(*graph, double=double))
        finite(*AEV.gradient(*graph, np.ones((members, n, AEV.length), dtype), frame))
        v, strain = np.ones((members, n, 3)), np.ones((members, len(frame) - 1, 3, 3))
        v[:, ::2] = -1.0
        finite(AEV.tangent(*graph, v, strain, frame, double=double))
    for backend in DEEP:
        sums = backend.evaluate(Graph(species, species, first, second, vectors, frame, None), members=True)
        finite(sums.energies, sums.gradient, sums.virial)


@st.composite
def structures(draw):
    """Up to six atoms, some on top of others, in any cell."""
    rows = draw(st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES), max_size=6))
    positions = np.array(rows, float).reshape(-1, 3)
    for i in range(1, len(positions)):
        if draw(st.integers(0, 4)) == 0:
            positions[i] = positions[i - 1] + draw(st.sampled_from([0.0, 1e-300, 1e-4, 1e-3, 0.01]))
    cell = np.diag(draw(st.tuples(LENGTHS, LENGTHS, LENGTHS)))
    cell[1, 0] = draw(st.sampled_from([0.0, 1.0, 1e7]))
    return positions, cell, np.array(draw(st.tuples(st.booleans(), st.booleans(), st.booleans())))


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(structures(), min_size=1, max_size=3), skin=st.sampled_from([0.0, 0.7]))
def test_any_structure_gives_finite_numbers_or_an_error(steps, skin):
    neighbors = _core.NeighborList(4.0, skin)
    for positions, cell, pbc in steps:
        try:
            neighbors.update(positions, cell, pbc)
        except ValueError:
            with pytest.raises(RuntimeError, match="call update"):
                _ = neighbors.vectors
            with pytest.raises(RuntimeError, match="update it first"):
                SILICON.compute(neighbors)
            continue
        n = len(positions)
        species, frame = np.arange(n, dtype=np.int32) % 2, np.array([0, n])
        assert len(neighbors.first) == n + 1
        finite(neighbors.vectors, neighbors.distances)
        finite(*SILICON.compute(neighbors))
        if len(neighbors) <= 200 * n:  # the cost grows with the square of the neighbours
            run_all(species, neighbors.first, neighbors.second, neighbors.vectors, frame)
        graph = (neighbors.first, neighbors.second, neighbors.vectors)
        finite(*_core.zbl(species + np.int32(13), *graph, RANGE, 2 * RANGE, frame))


INTEGERS = st.one_of(st.integers(-1, 6), st.sampled_from([2**31 - 1, -(2**31)]))
COMPONENTS = st.sampled_from([0.0, 1.0, -1.5, 2.9999999, 3.0, 4.0, 1e-13, 1e-5, 1e120, np.inf, np.nan])


def sorted_to(draw, size, end):
    """Offsets of `size` runs that mostly rise from 0 to end."""
    inner = draw(st.lists(st.integers(0, end), min_size=max(0, size - 1), max_size=max(0, size - 1)))
    if draw(st.integers(0, 4)) > 0:
        inner.sort()
    return np.array([0, *inner, end] if size > 0 else [0], np.int64)


@st.composite
def graphs(draw):
    n, edges = draw(st.integers(0, 4)), draw(st.integers(0, 8))
    index = st.integers(0, max(0, n - 1)) if draw(st.booleans()) else INTEGERS
    kind = st.integers(0, 1) if draw(st.booleans()) else INTEGERS
    species = np.array(draw(st.lists(kind, min_size=n, max_size=n)), np.int32)
    second = np.array(draw(st.lists(index, min_size=edges, max_size=edges)), np.int32)
    rows = draw(st.lists(st.tuples(COMPONENTS, COMPONENTS, COMPONENTS), min_size=edges, max_size=edges))
    vectors = np.array(rows, float).reshape(-1, 3)
    first, frame = sorted_to(draw, n, edges), sorted_to(draw, draw(st.integers(0, 3)), n)
    return species, first, second, vectors, frame


@settings(max_examples=300, deadline=None)
@given(graph=graphs())
def test_any_graph_gives_finite_numbers_or_an_error(graph):
    with contextlib.suppress(ValueError):
        run_all(*graph)
    species, first, second, vectors, frame = graph
    with contextlib.suppress(ValueError):
        finite(*_core.zbl(species, first, second, vectors, RANGE, 2 * RANGE, frame))


@pytest.mark.parametrize("shape", ["line", "right angle", "back"])
def test_collinear_neighbours_have_finite_derivatives(shape):
    ends = {"line": [[2.0, 0, 0], [-2.0, 0, 0]], "right angle": [[2.0, 0, 0], [0, 2.0, 0]]}
    ends["back"] = [[1.0, 0, 0], [2.5, 0, 0]]
    positions = np.array([[0.0, 0, 0], *ends[shape]])
    neighbors = _core.NeighborList(4.0)
    neighbors.update(positions, np.zeros((3, 3)), np.zeros(3, bool))
    run_all(
        np.array([0, 1, 1], np.int32),
        neighbors.first,
        neighbors.second,
        neighbors.vectors,
        np.array([0, 3]),
    )
    finite(*SILICON.compute(neighbors))


def test_views_are_read_only_and_outlive_the_list():
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0]])
    neighbors = _core.NeighborList(4.0)
    neighbors.update(positions, np.zeros((3, 3)), np.zeros(3, bool))
    views = [getattr(neighbors, k) for k in ("first", "second", "shifts", "vectors", "distances")]
    copies = [v.copy() for v in views]
    neighbors.update(positions * 1.5, np.zeros((3, 3)), np.zeros(3, bool))
    assert neighbors.distances[0] == 3.0
    del neighbors
    for view, copy in zip(views, copies, strict=True):
        np.testing.assert_array_equal(view, copy)
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0
