"""The Deep Potential in torch, against plain loops and finite differences."""

import numpy as np
import pytest

from ase_mlsample import _core
from ase_mlsample.calculators.ani_graph import concatenate, species_table
from ase_mlsample.calculators.dp_torch import TorchBackend
from tests.calculators.dp_models import crowded, plain_energies, random_model


def sums(model, frames, *, members=True, dtype="float64"):
    neighbors = _core.NeighborList(model.cutoff + 0.7)  # pairs beyond the cutoff must not count
    graph = concatenate(frames, neighbors, species_table(model.symbols), model.symbols)
    return TorchBackend(model, dtype=dtype, device="cpu").evaluate(graph, members=members)


@pytest.mark.parametrize("type_embedding", ["pair", "one-side"])
@pytest.mark.parametrize(
    ("symbols", "shape"),
    [
        (("Si",), {}),
        (("Si", "O"), {}),
        (("Si", "O", "H"), {"embedding": (2, 4, 7, 7), "fitting": (8, 5)}),
        (("Si",), {"sel": 2}),  # more neighbours than slots
    ],
)
def test_energies_are_those_of_the_definition(symbols, shape, type_embedding):
    model = random_model(*symbols, type_embedding=type_embedding, **shape)
    frames = crowded(*symbols)
    found = sums(model, frames).energies
    wanted = np.concatenate([plain_energies(model, atoms) for atoms in frames], axis=1)
    own = np.array([model.self_energies[s] for atoms in frames for s in atoms.symbols])
    # sums of a few hundred terms of order one, in another order
    np.testing.assert_allclose(found + own, wanted, rtol=0, atol=1e-12)


def test_gradient_and_virial_are_derivatives():
    model = random_model("Si", "O", n_members=2)
    atoms = crowded("Si", "O")[0]
    found = sums(model, [atoms])
    step = 1e-4
    for atom, axis in ((0, 0), (3, 2), (7, 1)):
        numeric = np.zeros(2)
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            numeric += sign * sums(model, [moved]).energies.sum(axis=1) / (2 * step)
        # central differences: error step² times a third derivative of order ten
        np.testing.assert_allclose(found.gradient[:, atom, axis], numeric, rtol=0, atol=3e-7)
    for a, b in ((0, 0), (1, 2), (2, 0)):
        numeric = np.zeros(2)
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
            numeric += sign * sums(model, [strained]).energies.sum(axis=1) / (2 * step)
        np.testing.assert_allclose(found.virial[:, 0, a, b], numeric, rtol=0, atol=3e-5)


def test_mean_is_that_of_the_members():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    every, mean = sums(model, frames), sums(model, frames, members=False)
    for name in ("energies", "gradient", "virial"):
        np.testing.assert_allclose(getattr(mean, name)[0], getattr(every, name).mean(axis=0), atol=1e-12)


def test_frames_do_not_feel_each_other():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    together, alone = sums(model, frames), [sums(model, [atoms]) for atoms in frames]
    np.testing.assert_allclose(
        together.virial, np.concatenate([part.virial for part in alone], axis=1), rtol=0, atol=1e-12
    )


def test_single_precision():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    double, single = sums(model, frames), sums(model, frames, dtype="float32")
    # 24 bits, through sums of terms of order one and a squared matrix
    np.testing.assert_allclose(single.energies, double.energies, rtol=0, atol=2e-5)
    np.testing.assert_allclose(single.gradient, double.gradient, rtol=0, atol=2e-4)
