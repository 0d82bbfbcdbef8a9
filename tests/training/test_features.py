from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from ase_mlsample import _core
from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_torch import torchani_aev_computer
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.training.evaluation import predict, training_output
from ase_mlsample.training.features import FeatureSet
from ase_mlsample.training.standardisation import Standardisation


def parameters(cutoff_function: str = "cosine") -> AEVParameters:
    return AEVParameters.from_steps(
        ("H", "C", "O"),
        start=0.8,
        radial_cutoff=4.4,
        angular_cutoff=3.3,
        n_radial=7,
        n_angular=3,
        n_sections=4,
        cutoff_function=cutoff_function,
    )


def mixed_frames() -> list[Atoms]:
    """A molecule, a tiny and a sheared crystal, one atom alone, and a slab: all the geometry there is."""
    tiny = bulk("C", "diamond", a=3.5)
    sheared = bulk("C", "diamond", a=3.6, cubic=True)
    sheared.set_chemical_symbols("COCCOCCH")
    sheared.set_cell(
        sheared.cell.array @ (np.eye(3) + np.array([[0, 0.1, 0], [0, 0, -0.2], [0.05, 0, 0]])), True
    )
    slab = sheared.copy()
    slab.pbc = (True, True, False)
    frames = [molecule("CH3CH2OH"), tiny, sheared, Atoms("H"), slab]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=k)
    return frames


def mixed_features(double: bool) -> FeatureSet:
    return FeatureSet(mixed_frames(), parameters(), double=double)


def test_products_of_a_batch_are_adjoint(rng: np.random.Generator) -> None:
    whole = mixed_features(True)
    batch = whole.batch(np.array([2, 0, 4]))
    n, length = batch.inputs.shape
    g = rng.normal(size=(3, n, length))
    v, strain = rng.normal(size=(3, n, 3)), rng.normal(size=(3, 3, 3, 3))
    by_positions, by_strain = batch.derivatives.gradient(g)
    forward = np.sum(g * batch.derivatives.tangent(v, strain))
    assert forward == pytest.approx(np.sum(by_positions * v) + np.sum(by_strain * strain), rel=1e-12)


def test_products_do_not_depend_on_the_number_of_threads(rng: np.random.Generator) -> None:
    whole = mixed_features(False)
    batch = whole.batch(np.array([0, 1, 2, 3, 4, 2, 2, 0]))
    n, length = batch.inputs.shape
    g = rng.normal(size=(4, n, length)).astype(np.float32)
    before = _core.num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            positions, strain = batch.derivatives.gradient(g)
            found.append((positions, strain, batch.derivatives.tangent(positions, strain)))
    finally:
        _core.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert np.array_equal(a, b)


def test_batches_put_the_right_frames_together() -> None:
    whole = mixed_features(True)
    order = np.array([2, 0, 1])
    batch = whole.batch(order)
    alone = [FeatureSet([mixed_frames()[k]], parameters(), double=True) for k in order]
    assert torch.equal(batch.inputs, torch.cat([features.inputs for features in alone]))
    assert torch.bincount(batch.frame_of_atom).tolist() == [len(features.species) for features in alone]
    sizes = [len(part.frames) for part in whole.batches(np.arange(5), size=2)]
    assert sizes == [2, 2, 1]


def test_loss_gradient_equals_full_double_backward_through_torchani(rng: np.random.Generator) -> None:
    atoms, aev = molecule("CH3CH2OH"), parameters()
    atoms.rattle(0.05, seed=1)
    features = FeatureSet([atoms], aev, double=True)
    networks = MemberNetworks(
        3, aev.length, hidden=(10, 7), activation="celu", symbols=aev.symbols, rng=rng, dtype="float64"
    )
    forces, virial = torch.from_numpy(rng.normal(size=(9, 3))), torch.from_numpy(rng.normal(size=(3, 3)))

    def loss(energy: torch.Tensor, gradient: torch.Tensor, strain: torch.Tensor) -> torch.Tensor:
        return (
            energy.square().sum()
            + (gradient + forces).square().sum()
            + 0.3 * (strain - virial).square().sum()
        )

    output = training_output(networks, features.batch(np.array([0])), 1.7, with_forces=True)
    ours_loss = loss(output.energies[:, 0], output.gradient, output.virials[:, 0])
    ours = torch.autograd.grad(ours_loss, list(networks.parameters()))

    species = features.species
    computer = torchani_aev_computer(aev).double()
    energies, gradients, strains = [], [], []
    for member in range(3):
        positions = torch.tensor(atoms.positions, requires_grad=True)
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        moved = positions @ (torch.eye(3, dtype=torch.float64) + strain).T
        theirs_aev = computer(species.unsqueeze(0), moved.unsqueeze(0))[0]
        energy = 1.7 * networks(theirs_aev, species)[member].sum()
        by_positions, by_strain = torch.autograd.grad(energy, (positions, strain), create_graph=True)
        energies.append(energy), gradients.append(by_positions), strains.append(by_strain)
    theirs_loss = loss(torch.stack(energies), torch.stack(gradients), torch.stack(strains))
    theirs = torch.autograd.grad(theirs_loss, list(networks.parameters()))
    assert ours_loss.item() == pytest.approx(theirs_loss.item(), rel=1e-10)
    for mine, reference in zip(ours, theirs, strict=True):
        assert float((mine - reference).abs().max()) <= 1e-10 * max(1.0, float(reference.abs().max()))


def test_standardised_inputs_change_nothing_once_folded(rng: np.random.Generator) -> None:
    frames, aev = mixed_frames(), parameters()
    raw = FeatureSet(frames, aev, double=True)
    standardised = FeatureSet(frames, aev, double=True)
    standardisation = Standardisation.of(raw.inputs, raw.species, 3)
    standardised.standardise(standardisation)
    carbons = standardised.inputs[standardised.species == 1]
    assert float(carbons.mean(dim=0).abs().max()) < 1e-12
    networks = MemberNetworks(2, aev.length, hidden=(8,), symbols=aev.symbols, rng=rng, dtype="float64")
    inner = predict(networks, standardised.batch(np.arange(5)), 1.0)
    outer = predict(standardisation.folded(networks), raw.batch(np.arange(5)), 1.0)
    back = predict(
        standardisation.unfolded(standardisation.folded(networks)), standardised.batch(np.arange(5)), 1.0
    )
    for other in (outer, back):
        assert torch.allclose(inner.energies, other.energies, atol=1e-11)
        assert torch.allclose(inner.gradient, other.gradient, atol=1e-11)
        assert torch.allclose(inner.virials, other.virials, atol=1e-11)


def test_training_output_equals_prediction(rng: np.random.Generator) -> None:
    whole = mixed_features(True)
    networks = MemberNetworks(
        2, whole.parameters.length, hidden=(8,), symbols=("H", "C", "O"), rng=rng, dtype="float64"
    )
    batch = whole.batch(np.arange(5))
    trained, predicted = (
        training_output(networks, batch, 2.0, with_forces=True),
        predict(networks, batch, 2.0),
    )
    assert torch.allclose(trained.energies, predicted.energies, atol=1e-12)
    assert torch.allclose(trained.gradient, predicted.gradient, atol=1e-12)
    assert torch.allclose(trained.virials, predicted.virials, atol=1e-12)


def test_atoms_on_top_of_each_other_are_named(silicon: Callable[..., list[Atoms]]) -> None:
    good, bad = silicon(2, seed=0)
    bad.positions[1] = bad.positions[0]
    aev = AEVParameters.metal("Si")
    with pytest.raises(ValueError, match=r"frame 1 \(Si8\)"):
        FeatureSet([good, bad], aev)
