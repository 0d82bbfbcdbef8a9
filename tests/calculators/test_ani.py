"""What the ANI ensemble has of its own; the rest is in test_network_ensemble and test_contract."""

import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_mlsample.calculators import ANIEnsemble
from ase_mlsample.calculators.ani_graph import concatenate
from tests.calculators.ani_models import energies_and_gradient, random_model


def test_isolated_atoms_differ_by_self_energies_and_bias() -> None:
    model = random_model("Si", repulsion=False)
    energy = ANIEnsemble(model, dtype="float64").evaluate(Atoms("Si")).energy
    nothing = torch.zeros(1, model.aev.length, dtype=torch.float64)
    bare, _ = energies_and_gradient(model.networks, nothing, torch.zeros(1).long())
    assert energy == pytest.approx(float(bare.mean()) + model.self_energies["Si"])


def test_torch_needs_the_images_of_pairs() -> None:
    from ase_mlsample import _core
    from ase_mlsample.calculators.ani_graph import species_table
    from ase_mlsample.calculators.ani_torch import TorchBackend

    model = random_model("Si")
    graph = concatenate([bulk("Si")], _core.NeighborList(5.0), species_table(("Si",)), ("Si",))
    with pytest.raises(ValueError, match="shifts"):
        TorchBackend(model, dtype="float64", device="cpu").evaluate(graph, members=False)
