"""Ensembles of networks, of either family: backends, batches, members, bad input."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import PropertyNotImplementedError

from ase_mlsample.calculators import ANIEnsemble, DeepPotentialEnsemble
from ase_mlsample.testing.counting import counted
from tests.calculators import ani_models, dp_models

#: eV/atom, eV/Å and eV/Å³ between backends.
AGREEMENT = {"float64": 1e-10, "float32": 1e-5}


@dataclass(frozen=True)
class Family:
    """A kind of ensemble: random models of given elements, and models of some of a model's members."""

    ensemble: type[Any]
    make: Callable[..., Any]
    select: Callable[[Any, list[int]], Any]

    def model(self, *symbols: str, repulsion: bool = True, **options: Any) -> Any:
        """A model that nobody trained."""
        return self.make(*symbols, repulsion=repulsion, **options)


def select_ani(model: Any, members: list[int]) -> Any:
    return replace(model, networks=model.networks.select(members))


ANI = Family(ANIEnsemble, ani_models.random_model, select_ani)
DEEP = Family(DeepPotentialEnsemble, dp_models.random_model, lambda model, members: model.select(members))


@pytest.fixture(params=[ANI, DEEP], ids=["ani", "deep-potential"])
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


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


def smooth_ani(**options: Any) -> Any:
    return ANI.model(aev=ani_models.small_aev("Al", "Si", cutoff_function="smooth"), scale=1.5, **options)


MODELS = {
    "ani": (ANI, lambda: ANI.model("Al", "Si", repulsion=False)),
    "ani-smooth": (ANI, smooth_ani),
    "deep-pair": (DEEP, lambda: DEEP.model("Al", "Si", repulsion=False)),
    "deep-one-side": (DEEP, lambda: DEEP.model("Al", "Si", type_embedding="one-side", sel=5)),
    "deep-wide": (DEEP, lambda: DEEP.model("Al", "Si", embedding=(8, 16, 32), cutoff=6.0)),
}


@pytest.mark.parametrize("dtype", AGREEMENT)
@pytest.mark.parametrize("name", MODELS)
def test_native_is_torch(rng: np.random.Generator, dtype: str, name: str) -> None:
    family, make = MODELS[name]
    model = make()
    native, oracle = (family.ensemble(model, dtype=dtype, backend=backend) for backend in ("native", "torch"))
    frames = list(structures(rng).values())
    expected = [oracle.evaluate(atoms, members=True) for atoms in frames]
    batch = native.evaluate_many(frames, members=True)
    for atoms, together, theirs in zip(frames, batch, expected, strict=True):
        assert_same(native.evaluate(atoms, members=True), theirs, AGREEMENT[dtype])
        assert_same(together, theirs, AGREEMENT[dtype])
        mean = replace(theirs, spread=None, member_energies=None, member_forces=None, member_stress=None)
        assert_same(native.evaluate(atoms), mean, AGREEMENT[dtype])
    assert_same(oracle.evaluate(frames[0]), native.evaluate(frames[0]), AGREEMENT[dtype])


@pytest.mark.parametrize("batch_atoms", [1, 20, 2048])
def test_batches_are_single_evaluations(family: Family, rng: np.random.Generator, batch_atoms: int) -> None:
    calc = family.ensemble(family.model("Al", "Si"), dtype="float64")
    frames = [*structures(rng).values()] * 2
    for members in (False, True):
        together = calc.evaluate_many(frames, members, batch_atoms=batch_atoms)
        assert len(together) == len(frames)
        for atoms, prediction in zip(frames, together, strict=True):
            assert_same(prediction, calc.evaluate(atoms, members), 1e-12)
    assert calc.evaluate_many([]) == []
    assert len(calc.evaluate_many(atoms for atoms in frames)) == len(frames)


def test_members_are_ensembles_of_one(family: Family, rng: np.random.Generator) -> None:
    model = family.model("Al", "Si")
    prediction = family.ensemble(model, dtype="float64").evaluate(structures(rng)["slab"], members=True)
    for member in range(model.n_members):
        alone = family.select(model, [member])
        single = family.ensemble(alone, dtype="float64").evaluate(
            structures(np.random.default_rng(20240607))["slab"]
        )
        assert single.energy == pytest.approx(prediction.member_energies[member], abs=1e-10)
        np.testing.assert_allclose(single.forces, prediction.member_forces[member], atol=1e-11)
        np.testing.assert_allclose(single.stress, prediction.member_stress[member], atol=1e-12)
    assert prediction.spread.calibration == model.calibration
    assert prediction.spread.force_sigma.min() > 0


@pytest.mark.parametrize("dtype", AGREEMENT)
def test_identical_members_agree(family: Family, rng: np.random.Generator, dtype: str) -> None:
    model = family.model("Al", "Si")
    model = replace(family.select(model, [1, 1, 1, 1]), repulsion=None)
    for atoms in structures(rng).values():
        spread = family.ensemble(model, dtype=dtype).evaluate(atoms, members=True).spread
        tolerance = 1e-6 if dtype == "float32" else 1e-14
        assert spread.energy_std <= tolerance * len(atoms)
        assert spread.force_sigma.max() <= tolerance


def test_a_spread_at_every_step_costs_one_evaluation(family: Family) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    plain = family.ensemble(family.model("Si"), dtype="float64")
    every = family.ensemble(plain.model, dtype="float64", with_spread=True)
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
        family.ensemble(family.model("Si", n_members=1), with_spread=True)


def test_one_member_has_no_spread(family: Family) -> None:
    calc = family.ensemble(family.model("Si", n_members=1))
    atoms = bulk("Si")
    assert np.isfinite(calc.evaluate(atoms).energy)
    assert not calc.supports_spread
    with pytest.raises(PropertyNotImplementedError):
        calc.get_spread(atoms)
    with pytest.raises(ValueError, match="one member"):
        calc.evaluate(atoms, members=True)


def test_repulsion_keeps_atoms_apart(family: Family) -> None:
    model = family.model("Si")
    calc = family.ensemble(model, dtype="float64")
    close = calc.evaluate(Atoms("Si2", [[0, 0, 0], [0, 0, 1.0]]))
    assert close.forces[1, 2] > 10
    assert close.energy > 2 * model.self_energies["Si"] + 10


@pytest.mark.parametrize("repulsion", [False, True])
def test_results_do_not_depend_on_the_history(
    family: Family, rng: np.random.Generator, repulsion: bool
) -> None:
    atoms = structures(rng)["large"]
    model = family.model("Al", "Si", repulsion=repulsion)
    calc = family.ensemble(model)
    for _ in range(5):
        atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
        calc.evaluate(atoms)
    assert_same(calc.evaluate(atoms), family.ensemble(model).evaluate(atoms), 0.0)


def test_pickles_go_on_without_runtime_state(family: Family, rng: np.random.Generator) -> None:
    atoms = structures(rng)["slab"]
    calc = family.ensemble(family.model("Al", "Si"))
    expected = calc.evaluate(atoms, members=True)
    again = pickle.loads(pickle.dumps(calc))  # noqa: S301
    assert_same(again.evaluate(atoms, members=True), expected, 0.0)
    assert again.model.metadata == calc.model.metadata


def test_bad_input(family: Family, rng: np.random.Generator) -> None:
    model = family.model("Al", "Si")
    calc = family.ensemble(model)
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
    with pytest.raises(TypeError, match=rf"{family.ensemble.__name__}.load\('al.safetensors'\)"):
        family.ensemble("al.safetensors")
    with pytest.raises(ValueError, match="batch_atoms"):
        calc.evaluate_many([bulk("Al")], batch_atoms=0)
    for options, message in (
        ({"dtype": "float16"}, "dtype"),
        ({"backend": "jax"}, "backend"),
        ({"device": "mps"}, "device"),
    ):
        with pytest.raises(ValueError, match=message):
            family.ensemble(model, **options)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no CUDA"):
            family.ensemble(model, device="cuda")


def test_files_hold_the_whole_model(family: Family, rng: np.random.Generator, tmp_path: Any) -> None:
    atoms = structures(rng)["slab"]
    calc = family.ensemble(family.model("Al", "Si"))
    calc.save(tmp_path / "model.safetensors")
    again = family.ensemble.load(tmp_path / "model.safetensors", with_spread=True)
    assert_same(again.evaluate(atoms, members=True), calc.evaluate(atoms, members=True), 0.0)
    assert again.model.describe() == calc.model.describe()
    assert again.with_spread
    other = ANI if family is DEEP else DEEP
    with pytest.raises(ValueError, match="holds a model of kind"):
        other.ensemble.load(tmp_path / "model.safetensors")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_cpu(family: Family, rng: np.random.Generator) -> None:
    model = family.model("Al", "Si")
    cpu, cuda = (family.ensemble(model, dtype="float64", device=device) for device in ("cpu", "cuda"))
    assert cuda.backend == "torch"
    for atoms in structures(rng).values():
        assert_same(cuda.evaluate(atoms, members=True), cpu.evaluate(atoms, members=True), 1e-10)
