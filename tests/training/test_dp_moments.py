"""Training's way to the energies and forces of Deep Potentials, against their definition."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.calculators.ani_graph import concatenate, species_table
from ase_mlsample.calculators.dp_networks import DeepPotentialNetworks
from ase_mlsample.calculators.dp_torch import TorchBackend
from ase_mlsample.training.evaluation import predict, training_output
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.expansion import Expansion
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.moments import MomentSet
from tests.calculators.dp_models import crowded, random_model


def expanded(model, frames, *, double=True):
    geometry = Geometry.of_frames(frames, model.symbols, cutoff=model.parameters.cutoff)
    features = MomentSet(geometry, model.parameters, double=double)
    networks = DeepPotentialNetworks(model, dtype="float64" if double else "float32")
    networks = ExpandedNetworks(networks, features.expansion)
    features.follow(networks)
    return features, networks


def exact(model, frames):
    neighbors = _core.NeighborList(model.cutoff)
    graph = concatenate(frames, neighbors, species_table(model.symbols), model.symbols)
    sums = TorchBackend(model, dtype="float64", device="cpu").evaluate(graph, members=True)
    return np.add.reduceat(sums.energies, graph.frame_first[:-1], axis=1), sums.gradient, sums.virial


@pytest.mark.parametrize("type_embedding", ["pair", "one-side"])
@pytest.mark.parametrize("symbols", [("Si",), ("Si", "O", "H")])
def test_energies_forces_and_virials_are_those_of_the_definition(symbols, type_embedding):
    model, frames = random_model(*symbols, type_embedding=type_embedding), crowded(*symbols)
    features, networks = expanded(model, frames)
    batch = features.batch(np.arange(len(frames)))
    energies, gradient, virials = exact(model, frames)
    for output in (predict(networks, batch, 1.0), training_output(networks, batch, 1.0, with_forces=True)):
        # the polynomials are good to 1e-12 of values up to ten, their derivatives to a hundred times that
        np.testing.assert_allclose(output.energies.detach(), energies, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.gradient.detach(), gradient, rtol=0, atol=1e-9)
        np.testing.assert_allclose(output.virials.detach(), virials, rtol=0, atol=1e-8)


def test_single_precision():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    features, networks = expanded(model, frames, double=False)
    output = predict(networks, features.batch(np.arange(len(frames))), 1.0)
    energies, gradient, _ = exact(model, frames)
    np.testing.assert_allclose(output.energies, energies, rtol=0, atol=1e-4)
    np.testing.assert_allclose(output.gradient, gradient, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("centred", "type_embedding"), [(False, "pair"), (True, "pair"), (True, "one-side")])
def test_derivatives_of_a_loss_by_the_weights(centred, type_embedding):
    model, frames = random_model("Si", "O", n_members=2, type_embedding=type_embedding), crowded("Si", "O")
    features, networks = expanded(model, frames)
    if centred:
        networks.centre(features.inputs, features.species, keep=True)
    batch = features.batch(np.array([2, 0]))
    rng = np.random.default_rng(5)
    output = training_output(networks, batch, 1.0, with_forces=True)
    weights = [
        torch.tensor(rng.normal(size=part.shape))
        for part in (output.energies, output.gradient, output.virials)
    ]

    def loss():
        parts = training_output(networks, batch, 1.0, with_forces=True)
        return sum(
            (weight * part).sum() + 0.1 * part.square().sum()
            for weight, part in zip(weights, (parts.energies, parts.gradient, parts.virials), strict=True)
        )

    parameters = list(networks.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    step = 1e-5
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.tensor(rng.normal(size=parameter.shape))
        slopes = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(direction, alpha=sign * step)
                slopes.append(sign * float(loss()))
                parameter.sub_(direction, alpha=sign * step)
        wanted = sum(slopes) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(wanted, rel=1e-5, abs=1e-4)


def test_centred_features_change_nothing_but_the_weights():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    features, networks = expanded(model, frames)
    batch = features.batch(np.arange(4))
    before, first = predict(networks, batch, 1.0), networks.networks.fitting(0).weights[0].clone()
    networks.centre(features.inputs, features.species, keep=True, spread=0.5, untouched=[1])
    after = predict(networks, batch, 1.0)
    torch.testing.assert_close(after.energies, before.energies, rtol=0, atol=1e-10)
    torch.testing.assert_close(after.gradient, before.gradient, rtol=0, atol=1e-9)
    assert not torch.allclose(networks.networks.fitting(0).weights[0], first)
    coefficients = networks._coefficients(0)
    _, mixed = networks._features(features.inputs[features.species == 0], *coefficients)
    centred = mixed - networks._mean_features(0, *coefficients).unsqueeze(1)
    torch.testing.assert_close(centred.mean(dim=1), torch.zeros_like(centred[:, 0]), rtol=0, atol=1e-10)
    assert centred.detach().square().mean(dim=(1, 2)).numpy() == pytest.approx(0.25)
    for matrices in (networks.left, networks.right):
        assert torch.equal(matrices[1], torch.eye(matrices.shape[-1]).double().expand_as(matrices[1]))
    folded = networks.copy().model(model).tensors()
    for name, array in model.tensors().items():
        np.testing.assert_allclose(folded[name], array, rtol=0, atol=1e-11)


def test_single_precision_rounds_the_plain_weights_and_no_more():
    """The mean of the features, which goes into the biases, has no errors of the coefficients."""
    model, frames = random_model("Si", "O", dtype="float32"), crowded("Si", "O")
    features, networks = expanded(model, frames, double=False)
    networks.centre(features.inputs, features.species, keep=True)
    folded, exact = networks.model(model).tensors(), networks.copy().double().model(model).tensors()
    for name, array in folded.items():
        assert np.array_equal(array, exact[name].astype(array.dtype)), name


def test_mixed_features_vary_alike():
    """The eigenvalues of their covariances lie closer together, by no more than the bound allows."""
    model, frames = random_model("Si", n_members=2), crowded("Si")
    features, networks = expanded(model, frames)
    plain = networks._statistics(0, features.inputs)[1:]
    networks.centre(features.inputs, features.species, keep=True)
    mixed = networks._statistics(0, features.inputs)[1:]
    for before, after in zip(plain, mixed, strict=True):
        ratios = [values[:, -1] / values[:, -3] for values in map(torch.linalg.eigvalsh, (before, after))]
        assert (ratios[1] < ratios[0]).all()
    conditions = torch.linalg.cond(networks.left[0])
    assert (conditions < 1.001 * math.sqrt(1 + 1 / 0.1**2)).all()
    # no sign of an eigenvector is left in it
    torch.testing.assert_close(networks.left, networks.left.mT, rtol=0, atol=1e-10)


def test_features_stay_centred_when_the_embedding_changes():
    model, frames = random_model("Si", "O", n_members=2), crowded("Si", "O")
    features, networks = expanded(model, frames)
    networks.centre(features.inputs, features.species, keep=True)
    with torch.no_grad():
        for networks_of_pair in networks.networks.embeddings:
            for parameter in networks_of_pair.parameters():
                parameter.add_(0.1)
    features.follow(networks)
    for element in range(2):
        mean = networks._statistics(element, features.inputs[features.species == element])[0]
        kept = networks._mean_features(element, *networks._coefficients(element))
        torch.testing.assert_close(kept, mean, rtol=0, atol=1e-9)
    answers = predict(networks, features.batch(np.arange(4)), 1.0)
    np.testing.assert_allclose(answers.energies.detach(), exact(networks.model(model), frames)[0], atol=1e-9)


def test_energies_are_raised_by_the_biases_that_are_trained():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    features, networks = expanded(model, frames)
    networks.networks.fitting(1).biases[-1].requires_grad_(False)
    batch = features.batch(np.arange(4))
    before = predict(networks, batch, 1.0).energies
    by = torch.tensor([0.5, 0.0, -2.0], dtype=torch.float64)
    networks.raise_energies(by)
    silicon = torch.tensor([float((atoms.symbols == "Si").sum()) for atoms in frames])
    raised = predict(networks, batch, 1.0).energies - before
    torch.testing.assert_close(raised, by[:, None] * silicon.double(), rtol=0, atol=1e-11)


def test_batches_select_frames():
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    features, networks = expanded(model, frames)
    whole = predict(networks, features.batch(np.arange(4)), 1.0)
    batch = features.batch(np.array([3, 1]))
    assert features.atoms(np.array([3, 1])).tolist() == batch.atoms.tolist()
    part = predict(networks, batch, 1.0)
    torch.testing.assert_close(part.energies, whole.energies[:, [3, 1]], rtol=0, atol=1e-11)
    torch.testing.assert_close(part.virials, whole.virials[:, [3, 1]], rtol=0, atol=1e-10)


def test_polynomials_and_their_slopes():
    expansion = Expansion(0.7, 12)
    s = torch.linspace(0.0, 0.7, 9).double()
    values, slopes = expansion.polynomials(s)
    wanted = np.cos(np.arange(12) * np.arccos(np.clip(2 * s.numpy() / 0.7 - 1, -1, 1))[:, None])
    np.testing.assert_allclose(values, wanted, atol=1e-12)
    step = 1e-6
    numeric = (expansion.polynomials(s + step)[0] - expansion.polynomials(s - step)[0]) / (2 * step)
    np.testing.assert_allclose(slopes, numeric, atol=1e-5)
    coefficients = expansion.transform @ torch.sin(3 * expansion.nodes)
    np.testing.assert_allclose(values @ coefficients, torch.sin(3 * s), atol=1e-9)


def test_atoms_without_neighbours():
    model = random_model("Si", repulsion=False)
    frames = [bulk("Si", cubic=True), bulk("Si", cubic=True)]
    frames[1].set_cell(3 * frames[1].cell.array, scale_atoms=True)
    frames[1].pbc = False
    features, networks = expanded(model, frames)
    output = predict(networks, features.batch(np.arange(2)), 1.0)
    np.testing.assert_allclose(output.energies, exact(model, frames)[0], rtol=0, atol=1e-10)
    assert not output.gradient[:, 8:].any()
    with pytest.raises(ValueError, match="no two atoms"):
        MomentSet(Geometry.of_frames(frames[1:], ["Si"], cutoff=4.5), model.parameters)


def test_an_element_whose_atoms_are_all_alone():
    model = random_model("Si", "O")
    model.mean[:, 1] = 0.0  # of an environment matrix of empty slots alone: all features are 0
    frames = [bulk("Si", cubic=True), Atoms("O", positions=[[0, 0, 0]])]
    features, networks = expanded(model, frames)
    batch = features.batch(np.arange(2))
    before = predict(networks, batch, 1.0).energies
    networks.centre(features.inputs, features.species, keep=True)
    assert networks.left.isfinite().all()
    assert networks.right.isfinite().all()
    torch.testing.assert_close(predict(networks, batch, 1.0).energies, before, rtol=0, atol=1e-10)
