import numpy as np
import pytest
from ase.build import molecule
from ase.neighborlist import neighbor_list

from ase_mlsample import _core

ANI2X = {
    "radial_cutoff": 5.1,
    "radial_eta": 19.7,
    "radial_shifts": [0.8 + 4.3 * m / 16 for m in range(16)],
    "angular_cutoff": 3.5,
    "angular_eta": 12.5,
    "zeta": 14.1,
    "angular_shifts": [0.8 + 2.7 * m / 8 for m in range(8)],
    "sections": [np.pi * (2 * p + 1) / 8 for p in range(4)],
}


def make():
    return _core.AEV(2, **ANI2X)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_atoms_without_neighbors(n):
    aev = make()
    graph = (np.zeros(n, np.int32), np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros((0, 3)))
    frame = np.array([0, 0, n])
    assert not aev.forward(*graph, double=True).any()
    derivative, virial = aev.gradient(*graph, np.ones((2, n, aev.length)), frame)
    assert derivative.shape == (2, n, 3)
    assert virial.shape == (2, 2, 3, 3)
    assert not derivative.any()
    assert not virial.any()
    tangent = aev.tangent(*graph, np.ones((2, n, 3)), None, frame, double=False)
    assert tangent.shape == (2, n, aev.length)
    assert not tangent.any()


def test_no_frames_and_no_members():
    aev = make()
    graph = (np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 3)))
    derivative, virial = aev.gradient(*graph, np.zeros((0, 0, aev.length)), np.zeros(1, np.int64))
    assert derivative.shape == (0, 0, 3)
    assert virial.shape == (0, 0, 3, 3)


def water():
    """Species, first, second, vectors of a molecule in which all see each other."""
    i, j, vectors = neighbor_list("ijD", molecule("H2O"), 5.1)
    order = np.lexsort((j, i))
    first = np.array([0, 2, 4, 6], np.int64)
    return (
        np.array([1, 0, 0], np.int32),
        first,
        j[order].astype(np.int32),
        np.ascontiguousarray(vectors[order]),
    )


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, np.zeros(3), r"species must be a C-contiguous int32 \(N,\) array"),
        (0, np.array([0, 1, 2], np.int32), r"species\[2\] is 2, out of range for num_species = 2"),
        (0, np.array([0, -1, 1], np.int32), r"species\[1\] is -1"),
        (1, np.array([0, 2, 4], np.int64), r"first must be a C-contiguous int64 \(N\+1,\)"),
        (1, np.array([0, 4, 2, 6], np.int64), "first must not decrease"),
        (1, np.array([0, 2, 4, 5], np.int64), "first must start at 0 and end at the number of edges"),
        (2, np.array([1, 2, 0, 3, 0, 1], np.int32), r"second\[3\] .* is 3"),
        (2, np.array([1, 2, 0, -2, 0, 1], np.int32), r"second\[3\] .* is -2"),
        (2, np.zeros(6, np.int64), "second must be a C-contiguous int32"),
        (3, np.zeros((6, 3)), r"vectors\[0\] .* apart by a finite distance"),
        (3, np.full((6, 3), np.nan), r"vectors\[0\] \(a neighbour of atom 0\) is \(-?nan"),
        (3, np.full((6, 3), np.inf), r"vectors\[0\] .* finite"),
        (3, np.ones((5, 3)), r"vectors must be a C-contiguous float64 \(E, 3\)"),
        (3, np.ones((3, 6)).T, r"vectors must .* \(not contiguous\)"),
        (3, np.ones((6, 3), np.float32), "vectors must .* float64"),
    ],
)
def test_bad_graphs_are_refused(index, value, message):
    graph = list(water())
    graph[index] = value
    aev = make()
    with pytest.raises(ValueError, match=message):
        aev.forward(*graph, double=True)
    if "number" in message or "second must" in message:
        return
    with pytest.raises(ValueError, match=message):
        aev.gradient(*graph, np.ones((1, 3, aev.length)), np.array([0, 3]))
    with pytest.raises(ValueError, match=message):
        aev.tangent(*graph, np.ones((1, 3, 3)), None, np.array([0, 3]), double=True)


def test_bad_arguments_of_gradient_and_tangent_are_refused():
    graph, aev = water(), make()
    frame, g, v = np.array([0, 3]), np.ones((2, 3, aev.length)), np.ones((2, 3, 3))
    with pytest.raises(ValueError, match=r"g must be .* \(M, N, length\)"):
        aev.gradient(*graph, g[:, :, :-1].copy(), frame)
    with pytest.raises(ValueError, match=r"g must be .* \(M, N, length\)"):
        aev.gradient(*graph, g.astype(int), frame)
    with pytest.raises(ValueError, match=r"g must .* \(not contiguous\)"):
        aev.gradient(*graph, np.asfortranarray(g), frame)
    with pytest.raises(ValueError, match="frame_first must start at 0"):
        aev.gradient(*graph, g, np.array([0, 2]))
    with pytest.raises(ValueError, match="frame_first must be"):
        aev.gradient(*graph, g, np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="not an atom of the same frame"):
        aev.gradient(*graph, g, np.array([0, 2, 3]))
    with pytest.raises(ValueError, match=r"v must be .* \(M, N, 3\)"):
        aev.tangent(*graph, v[:, :2].copy(), None, frame, double=True)
    with pytest.raises(ValueError, match=r"strain must be .* \(M, S, 3, 3\)"):
        aev.tangent(*graph, v, np.zeros((1, 1, 3, 3)), frame, double=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radial_cutoff": 0.0}, "radial_cutoff must be a positive number"),
        ({"zeta": float("nan")}, "zeta must be a positive number"),
        ({"angular_cutoff": 6.0}, "angular_cutoff .* must not exceed radial_cutoff"),
        ({"sections": []}, "sections is empty"),
        ({"radial_shifts": [1.0, float("inf")]}, "radial_shifts holds a value that is not finite"),
    ],
)
def test_bad_hyperparameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        _core.AEV(2, **{**ANI2X, **change})


def test_bad_species_count_and_cutoff_function_are_refused():
    with pytest.raises(ValueError, match="num_species must be between 1 and 1000, not 0"):
        _core.AEV(0, **ANI2X)
    with pytest.raises(ValueError, match="cutoff_function must be 'cosine' or 'smooth', not 'hard'"):
        _core.AEV(2, **ANI2X, cutoff_function="hard")


def test_read_only_arrays_and_torch_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    graph, aev = water(), make()
    expected = aev.forward(*graph, double=True)
    for array in graph:
        array.setflags(write=False)
    np.testing.assert_array_equal(aev.forward(*graph, double=True), expected)
    tensors = [torch.tensor(array) for array in graph]
    np.testing.assert_array_equal(aev.forward(*tensors, double=True), expected)
