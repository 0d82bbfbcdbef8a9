import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_mlsample import _core


def linear(start, stop, n):
    return [start + (stop - start) * m / n for m in range(n)]


def sections(n):
    return [np.pi * (2 * p + 1) / (2 * n) for p in range(n)]


METAL = {
    "radial_cutoff": 7.0,
    "radial_eta": 43.9,
    "radial_shifts": linear(1.25, 7.0, 32),
    "angular_cutoff": 5.0,
    "angular_eta": 6.5,
    "zeta": 69.4,
    "angular_shifts": linear(1.25, 5.0, 8),
    "sections": sections(8),
}
ANI2X = {
    "radial_cutoff": 5.1,
    "radial_eta": 19.7,
    "radial_shifts": linear(0.8, 5.1, 16),
    "angular_cutoff": 3.5,
    "angular_eta": 12.5,
    "zeta": 14.1,
    "angular_shifts": linear(0.8, 3.5, 8),
    "sections": sections(4),
}
# Nothing a multiple of anything, sections beyond [0, pi], zeta below one.
ODD = {
    "radial_cutoff": 4.7,
    "radial_eta": 3.0,
    "radial_shifts": [0.5, 1.9, 3.3],
    "angular_cutoff": 4.6,
    "angular_eta": 0.7,
    "zeta": 0.8,
    "angular_shifts": [1.0, 2.5, 3.0, 4.4, 5.0],
    "sections": [-0.4, 0.3, 4.0],
}
CUTOFFS = ["cosine", "smooth"]


def rounded(parameters):
    """The values that TorchANI keeps: everything but the cutoffs in single precision."""
    exact = ("radial_cutoff", "angular_cutoff")
    return {k: v if k in exact else np.float32(v).astype(float).tolist() for k, v in parameters.items()}


def make(parameters, num_species, cutoff_function="cosine"):
    return _core.AEV(num_species, **rounded(parameters), cutoff_function=cutoff_function)


def csr(atoms, cutoff):
    i, j, shift, vectors = neighbor_list("ijSD", atoms, cutoff)
    order = np.lexsort((*shift.T[::-1], j, i))
    first = np.searchsorted(i[order], np.arange(len(atoms) + 1)).astype(np.int64)
    return first, j[order].astype(np.int32), np.ascontiguousarray(vectors[order])


def stack(frames):
    """One graph of several (species, first, second, vectors)."""
    offsets = np.cumsum([0] + [len(f[0]) for f in frames])
    edges = np.cumsum([0] + [len(f[2]) for f in frames])
    first = np.concatenate([[0]] + [f[1][1:] + e for f, e in zip(frames, edges, strict=False)])
    second = np.concatenate([f[2] + np.int32(o) for f, o in zip(frames, offsets, strict=False)])
    species = np.concatenate([f[0] for f in frames])
    return (
        species,
        first.astype(np.int64),
        second.astype(np.int32),
        np.concatenate([f[3] for f in frames]),
    ), offsets


def graph_of(atoms, species, cutoff):
    return (np.asarray(species, np.int32), *csr(atoms, cutoff))


def silicon(seed=1, repeat=(2, 1, 1), rattle=0.2, num_species=1):
    atoms = bulk("Si", a=5.431, cubic=True) * repeat
    atoms.set_cell(
        atoms.cell.array @ np.array([[1, 0.03, 0], [0.05, 1, -0.02], [0, 0, 1.02]]), scale_atoms=True
    )
    atoms.rattle(rattle, seed=seed)
    return atoms, np.random.default_rng(seed).integers(0, num_species, len(atoms)).astype(np.int32)


def torchani_computer(parameters, num_species, cutoff_function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces that its CUDA extensions are missing
        from torchani.aev import AEVComputer, ANIAngular, ANIRadial

    p = parameters
    radial = ANIRadial(p["radial_eta"], p["radial_shifts"], p["radial_cutoff"], cutoff_fn=cutoff_function)
    angular = ANIAngular(
        p["angular_eta"],
        p["zeta"],
        p["angular_shifts"],
        p["sections"],
        p["angular_cutoff"],
        cutoff_fn=cutoff_function,
    )
    return AEVComputer(radial, angular, num_species)


def torchani_aev(computer, species, positions, *, double=True, cell=None):
    """TorchANI's AEV (N, L) and the positions that it hangs on."""
    import torch

    dtype = torch.float64 if double else torch.float32
    x = torch.tensor(np.asarray(positions)[None], dtype=dtype, requires_grad=True)
    kinds = torch.tensor(np.asarray(species)[None].astype(np.int64))
    box = None if cell is None else torch.tensor(np.asarray(cell), dtype=dtype)
    pbc = None if cell is None else torch.tensor([True, True, True])
    return computer.to(dtype)(kinds, x, box, pbc)[0], x


def molecule_of_seven(rng):
    """Seven elements in a heap, some pairs close to the cutoffs."""
    positions = rng.uniform(0, 6.5, (200, 3))
    chosen = [positions[0]]
    for p in positions:
        if min(np.linalg.norm(p - q) for q in chosen) > 1.0:
            chosen.append(p)
    n = min(len(chosen), 34)
    return Atoms(f"H{n}", positions=chosen[:n]), rng.integers(0, 7, n).astype(np.int32)


@pytest.mark.parametrize("cutoff_function", CUTOFFS)
@pytest.mark.parametrize("name", ["ani2x", "metal", "odd"])
def test_forward_and_gradient_equal_torchani(name, cutoff_function):
    import torch

    parameters = {"ani2x": ANI2X, "metal": METAL, "odd": ODD}[name]
    if name == "metal":
        atoms, species, kinds = *silicon(), 1
        atoms.pbc = False
    else:
        atoms, species = molecule_of_seven(np.random.default_rng(5))
        kinds = 7
    aev = make(parameters, kinds, cutoff_function)
    computer = torchani_computer(parameters, kinds, cutoff_function)
    graph = graph_of(atoms, species, parameters["radial_cutoff"])
    reference, x = torchani_aev(computer, species, atoms.positions)
    expected = reference.detach().numpy()
    assert aev.length == expected.shape[1]
    assert expected.max() > 0.1
    got = aev.forward(*graph, double=True)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    single = aev.forward(*graph, double=False)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=2e-6)

    g = np.random.default_rng(0).normal(size=(3, *expected.shape))
    frame = np.array([0, len(atoms)])
    derivative, _ = aev.gradient(*graph, g, frame)
    rough, _ = aev.gradient(*graph, g.astype(np.float32), frame)
    for k in range(3):
        (theirs,) = torch.autograd.grad((reference * torch.tensor(g[k])).sum(), x, retain_graph=True)
        np.testing.assert_allclose(derivative[k], theirs[0].numpy(), rtol=0, atol=1e-10)
        # a power below one has an infinite slope where the angle is opposite to a section
        loose = 2e-2 if parameters["zeta"] < 1 else 1e-4
        np.testing.assert_allclose(rough[k], theirs[0].numpy(), rtol=0, atol=loose)


def test_single_precision_equals_torchani_in_single_precision():
    for parameters, kinds in ((ANI2X, 7), (METAL, 1)):
        atoms, species = molecule_of_seven(np.random.default_rng(3))
        species %= kinds
        computer = torchani_computer(parameters, kinds, "cosine")
        expected, _ = torchani_aev(computer, species, atoms.positions, double=False)
        got = make(parameters, kinds).forward(*graph_of(atoms, species, 7.0), double=False)
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=1e-5)


def test_periodic_box_equals_torchani():
    atoms, species = silicon(repeat=(3, 3, 3), num_species=3)
    computer = torchani_computer(METAL, 3, "cosine")
    expected, _ = torchani_aev(computer, species, atoms.positions, cell=atoms.cell.array)
    got = make(METAL, 3).forward(*graph_of(atoms, species, 7.0), double=True)
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, True)])
def test_cells_smaller_than_the_cutoff_equal_explicit_images(pbc):
    atoms = Atoms("Si2", positions=[[0.1, -0.2, 0.3], [1.4, 1.2, 1.5]], pbc=pbc)
    atoms.cell = [[2.9, 0.2, 0.0], [-0.3, 3.1, 0.4], [0.5, 0.1, 3.3]]
    species = [0, 1]
    reach = 4
    counts = [2 * reach + 1 if periodic else 1 for periodic in pbc]
    images = np.array(list(np.ndindex(*counts))) - [reach if periodic else 0 for periodic in pbc]
    images = images[np.argsort(np.abs(images).sum(1), kind="stable")]  # the atoms themselves come first
    cluster = (images @ atoms.cell.array)[:, None] + atoms.positions[None]
    near = np.linalg.norm(cluster - cluster[0], axis=2).min(axis=1) < 9.5
    cluster = cluster[near].reshape(-1, 3)
    computer = torchani_computer(METAL, 2, "cosine")
    expected, _ = torchani_aev(computer, species * int(near.sum()), cluster)
    neighbors = _core.NeighborList(7.0)
    neighbors.update(atoms.positions, np.ascontiguousarray(atoms.cell.array), atoms.pbc)
    graph = (np.array(species, np.int32), neighbors.first, neighbors.second, neighbors.vectors)
    got = make(METAL, 2).forward(*graph, double=True)
    np.testing.assert_allclose(got, expected[:2].detach().numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("cutoff_function", CUTOFFS)
def test_derivatives_against_finite_differences(cutoff_function):
    rng = np.random.default_rng(7)
    atoms, species = silicon(repeat=(1, 1, 1), num_species=2)
    aev = make(METAL, 2, cutoff_function)
    v = rng.normal(size=(2, len(atoms), 3))
    strain = rng.normal(size=(2, 1, 3, 3))
    g = rng.normal(size=(2, len(atoms), aev.length))
    frame = np.array([0, len(atoms)])
    graph = graph_of(atoms, species, 7.5)  # edges beyond the cutoff, so that none appears or goes on the way
    derivative, virial = aev.gradient(*graph, g, frame)
    tangent = aev.tangent(*graph, v, strain, frame, double=True)
    i = np.repeat(np.arange(len(atoms)), np.diff(graph[1]))
    h = 2e-6
    for k in range(2):
        moved = v[k][graph[2]] - v[k][i] + graph[3] @ strain[k, 0].T
        ends = [aev.forward(*graph[:3], graph[3] + s * h * moved, double=True) for s in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert np.abs(numeric).max() > 1
        np.testing.assert_allclose(tangent[k], numeric, rtol=0, atol=5e-8)
        expected = (derivative[k] * v[k]).sum() + (virial[k, 0] * strain[k, 0]).sum()
        assert (g[k] * numeric).sum() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("parameters", [METAL, ANI2X, ODD])
@pytest.mark.parametrize("double", [True, False])
def test_gradient_and_tangent_are_adjoint(parameters, double):
    rng = np.random.default_rng(11)
    frames = []
    for seed, repeat in ((1, (1, 1, 1)), (2, (2, 1, 1)), (3, (1, 1, 1))):
        atoms, species = silicon(seed, repeat, num_species=3)
        frames.append(graph_of(atoms, species, parameters["radial_cutoff"]))
    graph, offsets = stack(frames)
    aev = make(parameters, 3)
    for members in (1, 2, 3, 5, 8):
        g = rng.normal(size=(members, len(graph[0]), aev.length)).astype(np.float64 if double else np.float32)
        v = rng.normal(size=(members, len(graph[0]), 3))
        strain = rng.normal(size=(members, 3, 3, 3))
        derivative, virial = aev.gradient(*graph, g, offsets)
        tangent = aev.tangent(*graph, v, strain, offsets, double=double)
        assert derivative.dtype == virial.dtype == np.float64
        assert tangent.dtype == g.dtype
        left = np.einsum("knl,knl->k", g.astype(float), tangent.astype(float))
        right = np.einsum("kna,kna->k", derivative, v) + np.einsum("ksab,ksab->k", virial, strain)
        scale = np.einsum("knl,knl->k", np.abs(g), np.abs(tangent)).astype(float)
        np.testing.assert_allclose(left / scale, right / scale, rtol=0, atol=1e-14 if double else 1e-6)
        without = aev.tangent(*graph, v, None, offsets, double=double)
        at_rest = aev.tangent(*graph, v, np.zeros_like(strain), offsets, double=double)
        np.testing.assert_array_equal(without, at_rest)


def test_forces_sum_to_zero_and_rotations_cost_nothing():
    atoms, species = silicon(num_species=2)
    aev = make(METAL, 2)
    g = np.random.default_rng(0).normal(size=(2, len(atoms), aev.length))
    derivative, virial = aev.gradient(*graph_of(atoms, species, 7.0), g, np.array([0, len(atoms)]))
    np.testing.assert_allclose(derivative.sum(1), 0, atol=1e-11)
    np.testing.assert_allclose(virial, virial.transpose(0, 1, 3, 2), atol=1e-11)


@pytest.mark.parametrize("double", [True, False])
def test_batch_equals_single_frames_and_threads_do_not_matter(double):
    rng = np.random.default_rng(2)
    frames = []
    for seed in range(7):
        atoms, species = silicon(seed, (1 + seed % 2, 1, 1), num_species=2)
        frames.append(graph_of(atoms, species, 7.0))
    graph, offsets = stack(frames)
    aev, n = make(METAL, 2), offsets[-1]
    g = rng.normal(size=(3, n, aev.length)).astype(np.float64 if double else np.float32)
    v, strain = rng.normal(size=(3, n, 3)), rng.normal(size=(3, 7, 3, 3))
    threads = _core.num_threads()
    results = []
    try:
        for count in (1, 2, 3, 16):
            _core.set_num_threads(count)
            results.append(
                [
                    aev.forward(*graph, double=double),
                    *aev.gradient(*graph, g, offsets),
                    aev.tangent(*graph, v, strain, offsets, double=double),
                ]
            )
            again = aev.gradient(*graph, g, offsets)
            np.testing.assert_array_equal(results[-1][1], again[0])
            np.testing.assert_array_equal(results[-1][2], again[1])
    finally:
        _core.set_num_threads(threads)
    for other in results[1:]:
        np.testing.assert_array_equal(other[0], results[0][0])
        np.testing.assert_array_equal(other[3], results[0][3])
        np.testing.assert_allclose(other[1], results[0][1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(other[2], results[0][2], rtol=0, atol=1e-11)
    aevs, derivative, virial, tangent = results[0]
    for f, frame in enumerate(frames):
        part = slice(offsets[f], offsets[f + 1])
        whole = np.array([0, len(frame[0])])
        np.testing.assert_array_equal(aev.forward(*frame, double=double), aevs[part])
        one, w = aev.gradient(*frame, np.ascontiguousarray(g[:, part]), whole)
        np.testing.assert_allclose(one, derivative[:, part], rtol=0, atol=1e-12)
        np.testing.assert_allclose(w[:, 0], virial[:, f], rtol=0, atol=1e-11)
        t = aev.tangent(
            *frame,
            np.ascontiguousarray(v[:, part]),
            np.ascontiguousarray(strain[:, f : f + 1]),
            whole,
            double=double,
        )
        np.testing.assert_array_equal(t, tangent[:, part])


def test_members_do_not_mix():
    atoms, species = silicon(num_species=2)
    graph, frame = graph_of(atoms, species, 7.0), np.array([0, len(atoms)])
    aev = make(METAL, 2)
    g = np.random.default_rng(0).normal(size=(7, len(atoms), aev.length))
    together = aev.gradient(*graph, g, frame)
    for k in range(7):
        alone = aev.gradient(*graph, g[k : k + 1], frame)
        np.testing.assert_allclose(together[0][k], alone[0][0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(together[1][k], alone[1][0], rtol=0, atol=1e-11)


def test_many_neighbors_are_treated_in_blocks():
    """A dense heap whose pairs of neighbours exceed every internal block, against TorchANI."""
    rng = np.random.default_rng(0)
    atoms = bulk("Si", a=3.0, cubic=True) * (3, 3, 3)
    atoms.pbc = False
    atoms.rattle(0.05, seed=0)
    species = rng.integers(0, 2, len(atoms)).astype(np.int32)
    parameters = {**ODD, "radial_cutoff": 5.5, "angular_cutoff": 5.3}
    expected, _ = torchani_aev(torchani_computer(parameters, 2, "cosine"), species, atoms.positions)
    graph = graph_of(atoms, species, 5.5)
    assert np.diff(graph[1]).max() > 90
    got = make(parameters, 2).forward(*graph, double=True)
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-12, atol=0)


coordinates = st.lists(st.floats(-4, 4, width=32), min_size=12, max_size=30)


@settings(max_examples=25, deadline=None)
@given(coordinates, st.sampled_from(CUTOFFS), st.booleans())
def test_any_geometry_gives_finite_adjoint_derivatives(numbers, cutoff_function, double):
    positions = np.array(numbers[: len(numbers) // 3 * 3]).reshape(-1, 3)
    n = len(positions)
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2) + np.eye(n)
    if apart.min() < 0.05:
        return
    species = (np.arange(n) % 3).astype(np.int32)
    graph = graph_of(Atoms(f"H{n}", positions=positions), species, ANI2X["radial_cutoff"])
    aev = make(ANI2X, 3, cutoff_function)
    rng = np.random.default_rng(n)
    g = rng.normal(size=(3, n, aev.length)).astype(np.float64 if double else np.float32)
    v, strain, frame = rng.normal(size=(3, n, 3)), rng.normal(size=(3, 1, 3, 3)), np.array([0, n])
    derivative, virial = aev.gradient(*graph, g, frame)
    tangent = aev.tangent(*graph, v, strain, frame, double=double)
    for array in (aev.forward(*graph, double=double), derivative, virial, tangent):
        assert np.isfinite(array).all()
    left = np.einsum("knl,knl->k", g.astype(float), tangent.astype(float))
    right = np.einsum("kna,kna->k", derivative, v) + np.einsum("ksab,ksab->k", virial, strain)
    scale = 1 + np.abs(g).max() * np.abs(tangent).sum()
    np.testing.assert_allclose(left / scale, right / scale, rtol=0, atol=1e-13 if double else 1e-5)


def test_edges_beyond_the_cutoff_are_skipped():
    atoms, species = silicon(num_species=2)
    aev = make(METAL, 2)
    near = aev.forward(*graph_of(atoms, species, 7.0), double=True)
    far = aev.forward(*graph_of(atoms, species, 9.0), double=True)
    np.testing.assert_allclose(far, near, rtol=0, atol=1e-13)
