"""Conversion from and to TorchANI's models, whose own energies are the oracle."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from ase_mlsample.calculators import ANIEnsemble
from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_torch import import_torchani
from tests.calculators.ani_models import random_model, small_aev

HARTREE = 27.211386024367243
SYMBOLS = ("H", "C", "O")
CUTOFF_FUNCTIONS = {"ani1x": "smooth", "ani2x": "cosine"}


def assemble(kind: str = "ani2x", members: int = 3, **options: Any) -> Any:
    """A TorchANI model of random weights, as their assembler makes it."""
    torchani = import_torchani()
    torch.manual_seed(3)
    assembler = torchani.arch.Assembler(symbols=SYMBOLS)
    assembler.set_atomic_networks(ctor=kind, kwargs=options)
    assembler.set_global_cutoff_fn(CUTOFF_FUNCTIONS[kind])
    assembler.set_aev_computer(angular=kind, radial=kind)
    assembler.set_gsaes_as_self_energies("wb97x-631gd")
    return assembler.assemble(members).requires_grad_(False)


def theirs(model: Any, atoms: Atoms, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Member energies (eV) and forces (eV/Å) by TorchANI alone, one structure, all pairs."""
    coordinates = torch.tensor(atoms.positions[None], dtype=dtype, requires_grad=True)
    cell = pbc = None
    if atoms.pbc.any():
        cell, pbc = torch.tensor(atoms.cell.array, dtype=dtype), torch.tensor(atoms.pbc)
    inputs = (torch.tensor(atoms.numbers[None]), coordinates)
    energies = model(inputs, cell=cell, pbc=pbc, ensemble_values=True).energies.reshape(-1)
    forces = [-torch.autograd.grad(e, coordinates, retain_graph=True)[0][0].numpy() for e in energies]
    return energies.detach().numpy() * HARTREE, np.array(forces) * HARTREE


def molecules(rng: np.random.Generator) -> list[Atoms]:
    frames = [molecule(name) for name in ("CH3CH2OH", "C6H6", "H2O")]
    periodic = molecule("CH3OH", cell=[12.0, 13.0, 14.0], pbc=True)
    for atoms in (*frames, periodic):
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return [*frames, periodic]


@pytest.mark.parametrize("kind", ["ani1x", "ani2x"])
def test_energies_and_forces_are_torchani_in_double(rng: np.random.Generator, kind: str) -> None:
    model = assemble(kind).double()
    calc = ANIEnsemble.from_torchani(model, dtype="float64")
    preset = getattr(AEVParameters, kind)(SYMBOLS)
    assert calc.model.aev == replace(preset, cutoff_function=CUTOFF_FUNCTIONS[kind])
    for atoms in molecules(rng):
        energies, forces = theirs(model, atoms, torch.float64)
        prediction = calc.evaluate(atoms, members=True)
        np.testing.assert_allclose(prediction.member_energies, energies, rtol=0, atol=1e-9)
        # torch's derivative of celu has 1/α in single precision.
        np.testing.assert_allclose(prediction.member_forces, forces, rtol=0, atol=1e-6)


def test_energies_and_forces_are_torchani_in_single(rng: np.random.Generator) -> None:
    model = assemble()
    model.set_enabled("energy_shifter", False)  # thousands of eV would hide the digits
    calc = ANIEnsemble.from_torchani(model)
    for atoms in molecules(rng):
        energies, forces = theirs(model, atoms, torch.float32)
        prediction = calc.evaluate(atoms, members=True)
        np.testing.assert_allclose(prediction.member_energies, energies, rtol=0, atol=1e-5 * len(atoms))
        np.testing.assert_allclose(prediction.member_forces, forces, rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"bias": False, "activation": "gelu"}])
def test_weights_go_round_bit_for_bit(rng: np.random.Generator, options: dict) -> None:
    model = assemble(**options)
    calc = ANIEnsemble.from_torchani(model)
    assert calc.model.networks.dtype == torch.float32
    back = calc.to_torchani()
    mine, original = back.state_dict(), model.state_dict()
    assert mine.keys() == original.keys()
    assert all(torch.equal(mine[key], original[key]) for key in mine)
    double = ANIEnsemble.from_torchani(model, dtype="float64")
    again = double.to_torchani()
    for atoms in molecules(rng):
        energies, _ = theirs(again, atoms, torch.float64)
        np.testing.assert_allclose(
            double.evaluate(atoms, members=True).member_energies, energies, rtol=0, atol=1e-10 * len(atoms)
        )


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize(
    "aev",
    [
        small_aev("Al", "Si"),
        small_aev("Al", "Si", cutoff_function="smooth"),
        AEVParameters.metal(("Al", "Si")),
    ],
    ids=["small", "smooth", "metal"],
)
def test_our_models_become_torchani(rng: np.random.Generator, n_members: int, aev: AEVParameters) -> None:
    calc = ANIEnsemble(
        random_model(aev=aev, n_members=n_members, scale=2.0, repulsion=False), dtype="float64"
    )
    model = calc.to_torchani()
    cluster = (bulk("Al") * 2)[:6]
    cluster.symbols[::2] = "Si"
    cluster = Atoms(cluster.symbols, cluster.positions + rng.normal(0, 0.1, (6, 3)))
    crystal = bulk("Si", cubic=True) * 2
    crystal.symbols[::3] = "Al"
    crystal.positions += rng.normal(0, 0.1, crystal.positions.shape)
    for atoms in (cluster, crystal):
        energies, _ = theirs(model, atoms, torch.float64)
        assert energies.mean() == pytest.approx(calc.evaluate(atoms).energy, abs=1e-10 * len(atoms))
    restored = ANIEnsemble.from_torchani(model, dtype="float64")
    assert restored.model.aev == aev
    assert restored.evaluate(crystal).energy == pytest.approx(calc.evaluate(crystal).energy, abs=1e-9)


def test_only_active_members_are_taken(rng: np.random.Generator) -> None:
    model = assemble(members=4).double()
    model.set_active_members([3, 1])
    calc = ANIEnsemble.from_torchani(model, dtype="float64")
    atoms = molecules(rng)[0]
    energies, _ = theirs(model, atoms, torch.float64)
    assert calc.n_members == 2
    np.testing.assert_allclose(
        np.sort(calc.evaluate(atoms, members=True).member_energies), np.sort(energies), atol=1e-9
    )


def test_what_has_no_counterpart_is_refused() -> None:
    torchani = import_torchani()
    with pytest.raises(TypeError, match=r"torchani\.arch\.ANI is needed, not dict"):
        ANIEnsemble.from_torchani({})
    repulsive = torchani.arch.simple_ani(SYMBOLS, lot="wb97x-631gd", strategy="pyaev")
    with pytest.raises(ValueError, match="repulsion_xtb"):
        ANIEnsemble.from_torchani(repulsive)
    repulsive.set_enabled("repulsion_xtb", False)
    assert ANIEnsemble.from_torchani(repulsive).model.aev.cutoff_function == "smooth"
    shared = torchani.arch.simple_ani(
        SYMBOLS, lot="wb97x-631gd", strategy="pyaev", repulsion=False, container="SingleNN"
    )
    with pytest.raises(TypeError, match="SingleNN"):
        ANIEnsemble.from_torchani(shared)
    with pytest.raises(ValueError, match="activation"):
        ANIEnsemble.from_torchani(assemble(activation=torch.nn.ReLU()))
    calc = ANIEnsemble(random_model("Si"))
    with pytest.raises(ValueError, match="repulsion"):
        calc.to_torchani()
    assert ANIEnsemble(replace(calc.model, repulsion=None)).to_torchani().symbols == ("Si",)
