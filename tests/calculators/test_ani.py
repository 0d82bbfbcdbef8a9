"""The ANI ensemble: backends, batches, members, bad input; the common contract is in test_contract."""

import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import PropertyNotImplementedError

from ase_mlsample.calculators import ANIEnsemble
from ase_mlsample.calculators.ani_graph import concatenate
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.testing.counting import counted
from tests.calculators.ani_models import energies_and_gradient, random_model, small_aev

#: eV/atom, eV/Å and eV/Å³ between backends.
AGREEMENT = {"float64": 1e-10, "float32": 1e-5}


def structures(rng: np.random.Generator) -> dict[str, Atoms]:
    alloy = bulk("NaCl", "zincblende", a=5.4)
    alloy.numbers[:] = (13, 14)
    slab = fcc111("Al", (2, 2, 2), vacuum=5.0)
    slab.symbols[::3] = "Si"
    large = bulk("Si", cubic=True) * 3
    large.numbers[rng.choice(216, 60, replace=False)] = 13
    cluster = (bulk("Al") * 2)[:7]
    frames = {
        "primitive": alloy,
        "slab": slab,
        "large": large,
        "molecule": Atoms(cluster.symbols, cluster.positions),
        "pair out of reach": Atoms("AlSi", [[0, 0, 0], [0, 0, 9.0]]),
        "pair in reach of the repulsion": Atoms("AlSi", [[0, 0, 0], [0, 0, 1.6]]),
        "atom": Atoms("Si"),
    }
    for atoms in frames.values():
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    # Atoms outside the cell.
    large.positions[5] += 3 * large.cell.array[0] - large.cell.array[2]
    return frames


def assert_same(found: object, expected: object, tolerance: float) -> None:
    names = ("energy", "energies", "forces", "stress", "member_energies", "member_forces", "member_stress")
    for name in names:
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            size = len(found.forces) if "energ" in name else 1  # type: ignore[attr-defined]
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * size, err_msg=name)


@pytest.mark.parametrize("dtype", AGREEMENT)
@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize(("cutoff_function", "repulsion"), [("cosine", False), ("smooth", True)])
def test_native_is_torchani(
    rng: np.random.Generator, dtype: str, members: bool, cutoff_function: str, repulsion: bool
) -> None:
    aev = small_aev("Al", "Si", cutoff_function=cutoff_function)
    model = random_model(aev=aev, scale=1.5, repulsion=repulsion)
    native, oracle = (ANIEnsemble(model, dtype=dtype, backend=backend) for backend in ("native", "torch"))
    frames = structures(rng)
    for atoms in frames.values():
        assert_same(native.evaluate(atoms, members), oracle.evaluate(atoms, members), AGREEMENT[dtype])
    batch = list(frames.values())
    for mine, theirs in zip(
        native.evaluate_many(batch, members), oracle.evaluate_many(batch, members), strict=True
    ):
        assert_same(mine, theirs, AGREEMENT[dtype])


@pytest.mark.parametrize("batch_atoms", [1, 20, 2048])
def test_batches_are_single_evaluations(rng: np.random.Generator, batch_atoms: int) -> None:
    calc = ANIEnsemble(random_model("Al", "Si"), dtype="float64")
    frames = [*structures(rng).values()] * 2
    for members in (False, True):
        together = calc.evaluate_many(frames, members, batch_atoms=batch_atoms)
        assert len(together) == len(frames)
        for atoms, prediction in zip(frames, together, strict=True):
            assert_same(prediction, calc.evaluate(atoms, members), 1e-12)
    assert calc.evaluate_many([]) == []
    assert len(calc.evaluate_many(atoms for atoms in frames)) == len(frames)


def test_members_are_ensembles_of_one(rng: np.random.Generator) -> None:
    model = random_model("Al", "Si")
    prediction = ANIEnsemble(model, dtype="float64").evaluate(structures(rng)["slab"], members=True)
    for member in range(model.n_members):
        alone = ANIModel(
            aev=model.aev,
            networks=model.networks.select([member]),
            self_energies=model.self_energies,
            repulsion=model.repulsion,
        )
        single = ANIEnsemble(alone, dtype="float64").evaluate(
            structures(np.random.default_rng(20240607))["slab"]
        )
        assert single.energy == pytest.approx(prediction.member_energies[member], abs=1e-10)
        np.testing.assert_allclose(single.forces, prediction.member_forces[member], atol=1e-11)
        np.testing.assert_allclose(single.stress, prediction.member_stress[member], atol=1e-12)
    assert prediction.spread.calibration == model.calibration
    assert prediction.spread.force_sigma.min() > 0


@pytest.mark.parametrize("dtype", AGREEMENT)
def test_identical_members_agree(rng: np.random.Generator, dtype: str) -> None:
    model = random_model("Al", "Si")
    model = ANIModel(
        aev=model.aev, networks=model.networks.select([1, 1, 1, 1]), self_energies=model.self_energies
    )
    for atoms in structures(rng).values():
        spread = ANIEnsemble(model, dtype=dtype).evaluate(atoms, members=True).spread
        tolerance = 1e-6 if dtype == "float32" else 1e-14
        assert spread.energy_std <= tolerance * len(atoms)
        assert spread.force_sigma.max() <= tolerance


def test_a_spread_at_every_step_costs_one_evaluation() -> None:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    plain = ANIEnsemble(random_model(aev=small_aev("Si")), dtype="float64")
    every = ANIEnsemble(plain.model, dtype="float64", with_spread=True)
    for calc, expected in ((plain, 4), (every, 2)):
        atoms.calc = calc
        with counted(calc) as calls:
            for _ in range(2):
                atoms.positions[0, 0] += 0.01
                forces = atoms.get_forces()
                spread = calc.get_spread(atoms)
        assert len(calls) == expected
    np.testing.assert_allclose(plain.get_forces(atoms), forces, atol=1e-12)
    np.testing.assert_array_equal(plain.get_spread(atoms).forces_std, spread.forces_std)
    with pytest.raises(ValueError, match="one member"):
        ANIEnsemble(random_model(aev=small_aev("Si"), n_members=1), with_spread=True)


def test_one_member_has_no_spread() -> None:
    calc = ANIEnsemble(random_model("Si", n_members=1))
    atoms = bulk("Si")
    assert np.isfinite(calc.evaluate(atoms).energy)
    assert not calc.supports_spread
    with pytest.raises(PropertyNotImplementedError):
        calc.get_spread(atoms)
    with pytest.raises(ValueError, match="one member"):
        calc.evaluate(atoms, members=True)


def test_isolated_atoms_differ_by_self_energies_and_bias() -> None:
    model = random_model("Si", repulsion=False)
    energy = ANIEnsemble(model, dtype="float64").evaluate(Atoms("Si")).energy
    nothing = torch.zeros(1, model.aev.length, dtype=torch.float64)
    bare, _ = energies_and_gradient(model.networks, nothing, torch.zeros(1).long())
    assert energy == pytest.approx(float(bare.mean()) + model.self_energies["Si"])


def test_repulsion_keeps_atoms_apart() -> None:
    model = random_model("Si", scale=1e-9)
    calc = ANIEnsemble(model, dtype="float64")
    close = calc.evaluate(Atoms("Si2", [[0, 0, 0], [0, 0, 1.0]]))
    assert close.forces[1, 2] > 10
    assert close.energy > 2 * model.self_energies["Si"] + 10


@pytest.mark.parametrize("repulsion", [False, True])
def test_results_do_not_depend_on_the_history(rng: np.random.Generator, repulsion: bool) -> None:
    atoms = structures(rng)["large"]
    model = random_model("Al", "Si", repulsion=repulsion)
    calc = ANIEnsemble(model)
    for _ in range(5):
        atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
        calc.evaluate(atoms)
    assert_same(calc.evaluate(atoms), ANIEnsemble(model).evaluate(atoms), 0.0)


def test_pickles_go_on_without_runtime_state(rng: np.random.Generator) -> None:
    atoms = structures(rng)["slab"]
    calc = ANIEnsemble(random_model("Al", "Si"))
    expected = calc.evaluate(atoms, members=True)
    again = pickle.loads(pickle.dumps(calc))  # noqa: S301
    assert_same(again.evaluate(atoms, members=True), expected, 0.0)
    assert again.model.metadata == calc.model.metadata
    assert again.model.networks.dtype == calc.model.networks.dtype


def test_bad_input(rng: np.random.Generator) -> None:
    model = random_model("Al", "Si")
    calc = ANIEnsemble(model)
    with pytest.raises(ValueError, match="does not know H, O; it was made for Al, Si"):
        calc.evaluate(molecule("H2O"))
    for batch_atoms in (1, 2048):
        with pytest.raises(ValueError, match=r"structure 1 \(3 atoms of H, O\): .*does not know"):
            calc.evaluate_many([bulk("Al"), molecule("H2O")], batch_atoms=batch_atoms)
    with pytest.raises(ValueError, match=r"structure 2 \(1 atoms of Al\): .*NaN"):
        calc.evaluate_many([bulk("Al"), bulk("Al"), Atoms("Al", [[np.nan, 0, 0]])])
    with pytest.raises(ValueError, match="does not know X"):
        calc.evaluate(Atoms("X"))
    with pytest.raises(ValueError, match="NaN"):
        calc.evaluate(Atoms("Al", [[np.nan, 0, 0]]))
    with pytest.raises(ValueError, match="no atoms"):
        calc.evaluate(Atoms())
    strange = bulk("Al")
    strange.numbers[0] = -106  # counted from the end of a table, this would be aluminium
    with pytest.raises(ValueError, match="does not know atomic number -106"):
        calc.evaluate(strange)
    with pytest.raises(TypeError, match=r"pass \[atoms\]"):
        calc.evaluate_many(bulk("Al"))
    with pytest.raises(TypeError, match=r"ANIEnsemble.load\('al.safetensors'\)"):
        ANIEnsemble("al.safetensors")
    with pytest.raises(ValueError, match="batch_atoms"):
        calc.evaluate_many([bulk("Al")], batch_atoms=0)
    for options, message in (
        ({"dtype": "float16"}, "dtype"),
        ({"backend": "jax"}, "backend"),
        ({"device": "mps"}, "device"),
    ):
        with pytest.raises(ValueError, match=message):
            ANIEnsemble(model, **options)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no CUDA"):
            ANIEnsemble(model, device="cuda")


def test_torch_needs_the_images_of_pairs() -> None:
    from ase_mlsample import _core
    from ase_mlsample.calculators.ani_graph import species_table
    from ase_mlsample.calculators.ani_torch import TorchBackend

    model = random_model("Si")
    graph = concatenate([bulk("Si")], _core.NeighborList(5.0), species_table(("Si",)), ("Si",))
    with pytest.raises(ValueError, match="shifts"):
        TorchBackend(model, dtype="float64", device="cpu").evaluate(graph, members=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_cpu(rng: np.random.Generator) -> None:
    model = random_model("Al", "Si")
    cpu, cuda = ANIEnsemble(model, dtype="float64"), ANIEnsemble(model, dtype="float64", device="cuda")
    assert cuda.backend == "torch"
    for atoms in structures(rng).values():
        assert_same(cuda.evaluate(atoms, members=True), cpu.evaluate(atoms, members=True), 1e-10)
