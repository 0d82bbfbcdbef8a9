"""What the Deep Potential ensemble has of its own: tabulated embeddings, and by how much they are off."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.calculators import DeepPotentialEnsemble
from ase_mlsample.calculators.ani_graph import Graph, concatenate, species_table
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_native import NativeBackend
from ase_mlsample.calculators.dp_tables import Embeddings, EmbeddingTables
from tests.calculators.dp_models import random_model
from tests.calculators.dp_silicon import deep_silicon


def usual_model(*symbols: str, type_embedding: str = "pair") -> DeepPotentialModel:
    """Of the sizes in use."""
    return random_model(
        *symbols,
        embedding=(20, 40, 80),
        axis_neurons=16,
        fitting=(80, 80, 80),
        cutoff=6.0,
        sel=60,
        type_embedding=type_embedding,
    )


def graph_of(model: DeepPotentialModel, frames: list[Atoms]) -> Graph:
    neighbors = _core.NeighborList(model.cutoff)
    return concatenate(frames, neighbors, species_table(model.symbols), model.symbols)


def silicon_and_oxygen(rng: np.random.Generator) -> list[Atoms]:
    """A hot crystal, a dense disordered structure, a molecule whose atoms nearly touch."""
    crystal = bulk("Si", a=5.431, cubic=True) * 2
    crystal.positions += rng.normal(0, 0.25, crystal.positions.shape)
    dense = bulk("Si", "fcc", a=3.9, cubic=True) * 2
    dense.positions += rng.normal(0, 0.4, dense.positions.shape)
    close = Atoms("SiO2", [[0, 0, 0], [0.4, 0, 0], [0, 0.9, 0.3]])
    for atoms in (crystal, dense):
        atoms.numbers[rng.random(len(atoms)) < 0.3] = 8
    return [crystal, dense, close]


@pytest.mark.parametrize("type_embedding", ["pair", "one-side"])
def test_tables_are_as_good_as_promised(rng: np.random.Generator, type_embedding: str) -> None:
    model = usual_model("Si", "O", type_embedding=type_embedding)
    graph = graph_of(model, silicon_and_oxygen(rng))
    exact = NativeBackend(model, dtype="float64").evaluate(graph, members=True)
    tables = NativeBackend(model, dtype="float64", tabulated=True).evaluate(graph, members=True)
    single = NativeBackend(model, dtype="float32").evaluate(graph, members=True)
    assert np.abs(exact.gradient).max() > 0.3  # eV/Å
    for found, energy, force in ((tables, 1e-9, 1e-7), (single, 1e-6, 1e-6)):  # eV and eV/Å
        np.testing.assert_allclose(found.energies, exact.energies, rtol=0, atol=energy)
        np.testing.assert_allclose(found.gradient, exact.gradient, rtol=0, atol=force)


def test_tables_do_for_a_fitted_model(rng: np.random.Generator) -> None:
    model = replace(deep_silicon().model, repulsion=None)
    atoms = bulk("Si", a=5.431, cubic=True) * 2
    atoms.positions += rng.normal(0, 0.25, atoms.positions.shape)
    graph = graph_of(model, [atoms])
    exact = NativeBackend(model, dtype="float64").evaluate(graph, members=True)
    tables = NativeBackend(model, dtype="float64", tabulated=True).evaluate(graph, members=True)
    assert np.abs(exact.gradient).max() > 5  # eV/Å
    np.testing.assert_allclose(tables.energies, exact.energies, rtol=0, atol=1e-6)
    np.testing.assert_allclose(tables.gradient, exact.gradient, rtol=0, atol=1e-5)


def test_the_error_of_the_tables_is_at_hand() -> None:
    single, double = deep_silicon("float32"), deep_silicon("float64")
    error = single.tabulation_error
    assert error is not None
    assert 0 < error.value < 3e-7
    assert 0 < error.slope < 3e-6
    assert double.tabulation_error is None
    assert DeepPotentialEnsemble(single.model, backend="torch").tabulation_error is None


def test_the_error_is_found_where_it_is() -> None:
    embeddings = Embeddings.of(random_model("Si", "O"))
    tables = EmbeddingTables.made(embeddings)
    intervals = tables.coefficients.shape[1]
    tau = np.linspace(0.0, 0.76, 20001)  # to 0.31 Å
    exact = embeddings.evaluate(tau / (1 - tau)).value
    interval = (tau * intervals).astype(int)
    powers = (tau * intervals - interval)[:, None] ** np.arange(6)
    found = np.einsum("nk,pnkc->pnc", powers, tables.coefficients[:, interval])
    error, largest = (np.abs(values).max(axis=(1, 2)) for values in (found - exact, exact))
    worst = (error / largest).max()
    assert 0.5 * worst < tables.error.value < 1.01 * worst


def test_a_network_of_small_values_does_not_hide_behind_others() -> None:
    model = random_model("Si", n_members=2, embedding=(3, 7))
    *first, last = model.embeddings[0].weights
    small = np.array([1.0, 1e-6])[:, None]
    embedding = replace(
        model.embeddings[0],
        weights=(*first, last * small[..., None]),
        biases=(*model.embeddings[0].biases[:-1], model.embeddings[0].biases[-1] * small),
    )
    # the second member is small and, for its size, steep
    model = replace(model, embeddings=(embedding,), std_radial=model.std_radial * [[1.0], [0.1]])
    together = EmbeddingTables.made(Embeddings.of(model))
    usual, steep = (EmbeddingTables.made(Embeddings.of(model.select([member]))) for member in (0, 1))
    n_usual, n_steep, n = (tables.coefficients.shape[1] for tables in (usual, steep, together))
    assert n_usual < n_steep == n


def test_a_network_that_hardly_varies_is_tabulated() -> None:
    model = random_model("Si", n_members=1, embedding=(3, 7))
    flat = replace(model.embeddings[0], weights=tuple(1e-9 * w for w in model.embeddings[0].weights))
    error = EmbeddingTables.made(Embeddings.of(replace(model, embeddings=(flat,)))).error
    # rounding of the values, times the number of intervals
    assert max(error) < 1e-12


def test_tables_are_twice_differentiable() -> None:
    coefficients = EmbeddingTables.made(Embeddings.of(random_model("Si"))).coefficients
    left, right = coefficients[:, 1:], coefficients[:, :-1]
    k = np.arange(6)
    for factor, power in ((1.0 + 0 * k, 0), (k, 1), (k * (k - 1) / 2, 2)):
        ends = np.einsum("k,pikc->pic", factor, right)
        np.testing.assert_allclose(ends, left[:, :, power], rtol=0, atol=1e-11)


def test_embeddings_have_the_derivatives_of_their_values() -> None:
    embeddings = Embeddings.of(random_model("Si", "O", embedding=(2, 4, 9)))
    s, step = np.linspace(0.0, 0.8, 7), 1e-4
    at, above, below = (embeddings.evaluate(s + shift) for shift in (0.0, step, -step))
    # difference quotients: step² times a fourth derivative of some ten thousands
    np.testing.assert_allclose(at.slope, (above.value - below.value) / (2 * step), rtol=0, atol=1e-4)
    np.testing.assert_allclose(at.bend, (above.slope - below.slope) / (2 * step), rtol=0, atol=1e-2)


def test_what_no_table_holds_is_refused() -> None:
    model = random_model("Si")
    steep = replace(model, std_radial=1e-5 * model.std_radial)
    with pytest.raises(ValueError, match=r"too steep to be tabulated.*dtype='float64'"):
        DeepPotentialEnsemble(steep).evaluate(bulk("Si"))
    assert np.isfinite(DeepPotentialEnsemble(steep, dtype="float64").evaluate(bulk("Si")).energy)


@pytest.mark.parametrize(("network", "part"), [(0, "layers.1.bias"), (1, "layers.0.weight")])
def test_weights_that_are_no_numbers_are_refused(network: int, part: str) -> None:
    model = random_model("Si")
    arrays = dict((*model.embeddings, *model.fittings)[network].arrays())
    arrays[part].flat[3] = (np.nan, np.inf)[network]
    with pytest.raises(ValueError, match=f"holds NaN or infinity in {part}"):
        replace(model)
