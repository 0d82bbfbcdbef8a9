"""The compiled Deep Potential against the definition in plain loops, difference quotients and itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.calculators.ani_graph import concatenate, species_table
from ase_mlsample.calculators.dp_native import NativeBackend
from tests.calculators.dp_models import crowded, plain_energies, random_model

NAMES = ("energies", "gradient", "virial")
#: Relative to the largest number of its kind.
ROUNDING = {"float64": 1e-13, "float32": 3e-6}


@pytest.fixture(autouse=True)
def one_thread():
    before = _core.num_threads()
    _core.set_num_threads(1)
    yield
    _core.set_num_threads(before)


def joined(model, frames):
    neighbors = _core.NeighborList(model.cutoff + 0.7)  # pairs beyond the cutoff must not count
    return concatenate(frames, neighbors, species_table(model.symbols), model.symbols)


def placed(atoms, cutoff, skin=0.4):
    neighbors = _core.NeighborList(cutoff, skin)
    neighbors.place(atoms.positions, atoms.cell.array, atoms.pbc)
    return neighbors


def structure(repeat, seed=0):
    """A rattled crystal, few of its atoms of the second kind."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", a=5.431, cubic=True) * repeat
    atoms.positions += rng.normal(scale=0.2, size=(len(atoms), 3))
    return atoms, (rng.random(len(atoms)) < 0.2).astype(np.int32)


def assert_close(found, expected, tolerance):
    for name in NAMES:
        mine, theirs = getattr(found, name), getattr(expected, name)
        scale = max(np.abs(theirs).max(initial=0.0), 1e-3)
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("type_embedding", ["pair", "one-side"])
@pytest.mark.parametrize(
    ("symbols", "shape"),
    [
        (("Si",), {}),
        (("Si", "O"), {"embedding": (5, 10, 20)}),
        # widths of no vector's length, no layer that adds its input
        (("Si", "O", "H"), {"embedding": (3, 7), "fitting": (8, 5), "cutoff": 4.0}),
        (("Si",), {"embedding": (2, 4, 4, 37), "sel": 2}),  # more neighbours than slots
    ],
)
def test_energies_are_those_of_the_definition(symbols, shape, type_embedding):
    model = random_model(*symbols, type_embedding=type_embedding, **shape)
    frames = crowded(*symbols)
    found = NativeBackend(model, dtype="float64").evaluate(joined(model, frames), members=True).energies
    wanted = np.concatenate([plain_energies(model, atoms) for atoms in frames], axis=1)
    own = np.array([model.self_energies[s] for atoms in frames for s in atoms.symbols])
    # sums of a few hundred terms of order one, in another order
    np.testing.assert_allclose(found + own, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tabulated", [False, True])
def test_gradient_and_virial_are_derivatives(tabulated):
    model = random_model("Si", "O", n_members=2)
    backend = NativeBackend(model, dtype="float64", tabulated=tabulated)
    atoms = crowded("Si", "O")[0]
    found = backend.evaluate(joined(model, [atoms]), members=True)
    step = 1e-4

    def quotient(change):
        moved = [change(atoms.copy(), sign * step) for sign in (1, -1)]
        plus, minus = (backend.evaluate(joined(model, [a]), members=True).energies.sum(axis=1) for a in moved)
        return (plus - minus) / (2 * step)

    def shifted(moved, step):
        moved.positions[atom, axis] += step
        return moved

    def strained(moved, step):
        strain = np.eye(3)
        strain[a, b] += step
        moved.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
        return moved

    # central differences: error step² times a third derivative of order ten, and of hundreds by strain
    for atom, axis in ((0, 0), (3, 2), (7, 1)):
        np.testing.assert_allclose(found.gradient[:, atom, axis], quotient(shifted), rtol=0, atol=3e-7)
    for a, b in ((0, 0), (1, 2), (2, 0)):
        np.testing.assert_allclose(found.virial[:, 0, a, b], quotient(strained), rtol=0, atol=3e-5)


@pytest.mark.parametrize("tabulated", [False, True])
def test_single_precision_is_double_precision_rounded(tabulated):
    model = random_model("Si", "O", embedding=(5, 10, 20))
    graph = joined(model, crowded("Si", "O"))
    exact = NativeBackend(model, dtype="float64").evaluate(graph, members=True)
    found = NativeBackend(model, dtype="float32", tabulated=tabulated).evaluate(graph, members=True)
    assert_close(found, exact, ROUNDING["float32"])


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("repeat", [(1, 1, 1), (4, 3, 2)])
def test_pairs_found_on_the_way_are_those_of_the_list(dtype, mean, repeat):
    atoms, species = structure(repeat)
    model = random_model("Si", "O")
    backend, neighbors = NativeBackend(model, dtype=dtype), placed(atoms, model.cutoff)
    found = backend.evaluate_placed(species, neighbors, members=not mean)
    neighbors.update(atoms.positions, atoms.cell.array, atoms.pbc)
    graph = joined(
        model, [Atoms(np.where(species, "O", "Si").tolist(), atoms.positions, cell=atoms.cell, pbc=True)]
    )
    given = backend.evaluate(graph, members=not mean)
    for name in NAMES:
        # the longer list of the graph holds the same pairs in the same order
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name), err_msg=name)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_the_mean_is_that_of_the_members(dtype):
    atoms, species = structure((3, 3, 3))  # more atoms than a block
    model = random_model("Si", "O")
    backend, neighbors = NativeBackend(model, dtype=dtype), placed(atoms, model.cutoff)
    members = backend.evaluate_placed(species, neighbors, members=True)
    mean = backend.evaluate_placed(species, neighbors, members=False)
    for name in NAMES:
        every, one = getattr(members, name), getattr(mean, name)
        assert len(one) == 1
        # a member's share is rounded in the precision of the networks
        tolerance = ROUNDING[dtype] * np.abs(every).max()
        np.testing.assert_allclose(one[0], every.mean(axis=0), rtol=0, atol=tolerance, err_msg=name)


def test_members_do_not_know_of_each_other():
    atoms, species = structure((2, 2, 2))
    model = random_model("Si", "O")
    neighbors = placed(atoms, model.cutoff)
    together = NativeBackend(model, dtype="float64").evaluate_placed(species, neighbors, members=True)
    for member in range(3):
        one = NativeBackend(model.select([member]), dtype="float64")
        alone = one.evaluate_placed(species, neighbors, members=True)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[member])


def test_threads_change_nothing_but_rounding():
    atoms, species = structure((4, 4, 3))
    model = random_model("Si", "O")
    backend, neighbors = NativeBackend(model, dtype="float64"), placed(atoms, model.cutoff)
    alone = backend.evaluate_placed(species, neighbors, members=True)
    for threads in (2, 3, 7):
        _core.set_num_threads(threads)
        shared = backend.evaluate_placed(species, neighbors, members=True)
        np.testing.assert_array_equal(alone.energies, shared.energies)
        assert_close(shared, alone, ROUNDING["float64"])


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_age_of_a_list_changes_nothing(threads, dtype):
    atoms, species = structure((4, 2, 2))
    atoms.pbc = [False, True, True]
    model = random_model("Si", "O")
    backend = NativeBackend(model, dtype=dtype)
    _core.set_num_threads(threads)
    fresh = backend.evaluate_placed(species, placed(atoms, model.cutoff), members=True)
    rng = np.random.default_rng(1)
    for skin in (0.6, 1.2, 2.4):
        before = Atoms(atoms, positions=atoms.positions + rng.normal(0, 0.05, (len(atoms), 3)))
        neighbors = placed(before, model.cutoff, skin=skin)
        assert not neighbors.place(atoms.positions, atoms.cell.array, atoms.pbc)
        again = backend.evaluate_placed(species, neighbors, members=True)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name), err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 2e-6)])
def test_nothing_jumps_where_neighbours_enter(dtype, tolerance):
    model = random_model("Si", "O")
    backend = NativeBackend(model, dtype=dtype)

    def pair(distance):
        atoms = Atoms("SiO", [[0, 0, 0], [0.6 * distance, 0, 0.8 * distance]])
        return backend.evaluate(joined(model, [atoms]), members=True)

    far, inside, outside = pair(9.0), pair(model.cutoff - 1e-4), pair(model.cutoff)
    assert not outside.gradient.any()
    np.testing.assert_array_equal(outside.energies, far.energies)
    # near the cutoff energies differ by its distance cubed
    np.testing.assert_allclose(inside.energies, far.energies, rtol=0, atol=tolerance)
    np.testing.assert_allclose(inside.gradient, 0.0, atol=100 * tolerance)


def test_narrow_switches_need_double_precision():
    # 3e-7 Å, by which a distance is rounded, are 3e-6 of this switch, whose slope is up to 6 over its length
    wide, narrow = (random_model("Si", cutoff=4.5, switch_start=start) for start in (4.4, 4.46))
    graph = joined(wide, [Atoms("Si2", [[0, 0, 0], [0, 0, 4.48]])])
    exact, found = (
        NativeBackend(wide, dtype=t).evaluate(graph, members=True) for t in ("float64", "float32")
    )
    assert np.abs(exact.gradient).max() > 0.01
    assert_close(found, exact, 5e-5)
    with pytest.raises(ValueError, match=r"hundredth of the cutoff wide.*4\.46.* to 4\.5.*use float64"):
        NativeBackend(narrow, dtype="float32")
    assert np.abs(NativeBackend(narrow, dtype="float64").evaluate(graph, members=True).gradient).max() > 0.01


def no_neighbours_or_many():
    """Frames of silicon and oxygen, each with what it is an edge case of."""
    rng = np.random.default_rng(3)
    big, species = structure((3, 3, 3))
    big.numbers[species == 1] = 8
    small = Atoms("Si", cell=[[2.2, 0, 0], [0.4, 2.3, 0], [0, 0.3, 2.4]], pbc=True)
    dense = bulk("Si", "fcc", a=2.3, cubic=True) * (2, 2, 1)
    dense.positions += rng.normal(scale=0.05, size=dense.positions.shape)
    dense.numbers[::3] = 8
    lone = Atoms("SiOSi2", [[0, 0, 0], [9, 0, 0], [18, 0, 0], [18, 1.9, 0]])
    return {
        "no atoms": Atoms(),
        "one atom": Atoms("O", [[1, 2, 3]], cell=20 * np.eye(3), pbc=True),
        "one atom and its images": small,
        "some atoms without neighbours": lone,
        "some hundred neighbours": dense,
        "more atoms than a block": big,
    }


@pytest.mark.parametrize("type_embedding", ["pair", "one-side"])
@pytest.mark.parametrize("tabulated", [False, True])
@pytest.mark.parametrize("dtype", ROUNDING)
def test_every_way_through_the_kernels_gives_the_same(dtype, tabulated, type_embedding):
    model = random_model("Si", "O", type_embedding=type_embedding)
    backend = NativeBackend(model, dtype=dtype, tabulated=tabulated)
    exact = NativeBackend(model, dtype="float64", tabulated=False)
    # of a hundred neighbours in single precision; of tables, as made: 3e-7 of values, 3e-6 of slopes
    tolerance = {"float64": 3e-6 if tabulated else 1e-13, "float32": 1e-5}[dtype]
    for name, atoms in no_neighbours_or_many().items():
        graph = joined(model, [atoms])
        _core.set_num_threads(1)
        given = exact.evaluate(graph, members=True)
        neighbors = placed(atoms, model.cutoff)
        for threads in (1, 4):
            _core.set_num_threads(threads)
            for found in (
                backend.evaluate(graph, members=True),
                backend.evaluate_placed(graph.species, neighbors, members=True),
            ):
                assert found.energies.shape == (3, len(atoms)), name
                assert_close(found, given, tolerance)
            means = (
                backend.evaluate(graph, members=False),
                backend.evaluate_placed(graph.species, neighbors, members=False),
            )
            for found in means:
                expected = SimpleNamespace(**{k: getattr(given, k).mean(axis=0)[None] for k in NAMES})
                assert_close(found, expected, 3 * tolerance)  # the members' forces cancel in part


def test_no_atoms_and_one_alone():
    model = random_model("Si", "O")
    for dtype in ROUNDING:
        backend = NativeBackend(model, dtype=dtype)
        for n in (0, 1):
            neighbors = placed(Atoms(f"Si{n}" if n else "", positions=np.zeros((n, 3))), model.cutoff)
            found = backend.evaluate_placed(np.zeros(n, np.int32), neighbors, members=True)
            assert found.energies.shape == (3, n)
            assert not found.gradient.any()
            assert not found.virial.any()


def test_what_cannot_be_evaluated_is_named():
    atoms, species = structure((1, 1, 1))
    model = random_model("Si", "O")
    potential = NativeBackend(model, dtype="float64")
    with pytest.raises(ValueError, match=r"ends at 3.0+ Å, before the Deep Potential's cutoff of 4.5"):
        potential.evaluate_placed(species, placed(atoms, 3.0), members=True)
    with pytest.raises(ValueError, match=r"species\[0\] is 2, out of range"):
        potential.evaluate_placed(species * 0 + np.int32(2), placed(atoms, 4.5), members=True)
    with pytest.raises(ValueError, match=r"species must be .* int32 \(N,\)"):
        potential.evaluate_placed(species[:3], placed(atoms, 4.5), members=True)
    with pytest.raises(RuntimeError, match="place it first"):
        potential.evaluate_placed(species, _core.NeighborList(4.5), members=True)
    graph = joined(model, [Atoms("Si2", [[0, 0, 0], [0, 0, 2.0]])])
    broken = graph.vectors.copy()
    broken[1] = np.nan
    with pytest.raises(ValueError, match=r"vectors\[1\] \(a neighbour of atom 1\) is \(nan"):
        potential.evaluate(replace(graph, vectors=broken), members=False)


def arguments(**changes):
    """Of a kernel for one element and one member, embedding 1-2 and fitting 4-1."""
    one = np.ones((1, 1))
    fitting = ([np.ones((1, 1, 4))], [np.ones((1, 1, 1))], [None])
    given = {
        "cutoff": 4.0,
        "switch_start": 1.0,
        "axis": 2,
        "slots": np.ones(1),
        "empty": np.ones((1, 1, 1, 2)),
    }
    given |= {"mean": one, "std_radial": one, "std_angular": one, "fittings": [fitting]}
    return given | {"layers": ([np.ones((1, 2, 1))], [np.ones((1, 1, 2))])} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"switch_start": 4.0}, "0 <= switch_start < cutoff"),
        ({"cutoff": np.nan}, "0 <= switch_start < cutoff"),
        ({"axis": 3}, "axis must be between 1 and the embeddings' 2 outputs, not 3"),
        ({"std_radial": np.zeros((1, 1))}, "standard deviations positive"),
        ({"std_angular": np.full((1, 1), np.inf)}, "standard deviations positive"),
        ({"slots": np.zeros(1)}, "slots must be positive and finite, not 0"),
        ({"slots": np.full(1, np.inf)}, "slots must be positive and finite, not inf"),
        ({"slots": np.ones(2)}, r"slots must be a C-contiguous float64 \(K,\)"),
        ({"layers": None}, "either tables or layers"),
        ({"tables": np.ones((1, 1, 1, 3, 6, 2))}, "either tables or layers"),
        ({"layers": None, "tables": np.ones((1, 1, 1, 3, 5, 2))}, r"tables must be .* intervals, 6, outputs"),
        ({"layers": ([np.ones((1, 3, 1))], [np.ones((1, 1, 3))])}, "the embeddings have 3 outputs, not 2"),
        ({"layers": ([np.ones((1, 2, 2))], [np.ones((1, 1, 2))])}, "maps 2 to 2 numbers, but gets 1"),
        ({"layers": ([np.ones((1, 2, 1))], [])}, "the layers of the embeddings need biases"),
        ({"fittings": []}, "fitting networks for each of the 1 elements, not 0"),
        ({"fittings": [([np.ones((1, 1, 5))], [], [])]}, "must take 4 numbers"),
        ({"fittings": [([np.ones((1, 1, 4))], [], [np.ones((1, 1, 1))])]}, "not add them"),
        ({"empty": np.ones((1, 1, 1, 2), np.float32)}, "float32"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _core.DeepPotential(**arguments(**changes))
    assert _core.DeepPotential(**arguments()).members == 1
