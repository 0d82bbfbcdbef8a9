"""How trainings of Deep Potentials begin: settings, slots, statistics, weights and features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError

from ase_mlsample.calculators.dp_native import NativeBackend
from ase_mlsample.training import (
    Dataset,
    DeepPotentialSettings,
    TrainingSettings,
    model_settings,
)
from ase_mlsample.training.dp_initial import environment_statistics, initial_layers, spread_layers
from ase_mlsample.training.dp_start import deep_potential_start, new_parameters
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.features import Geometry
from tests.calculators.dp_models import crowded, random_model

Frames = Callable[..., list[Atoms]]


def test_statistics_of_the_environment_matrix() -> None:
    model, frames = random_model("Si", "O"), crowded("Si", "O")
    p = model.parameters
    geometry = Geometry.of_frames(frames, p.symbols, cutoff=p.cutoff)
    mean, radial, angular = environment_statistics(geometry, p)
    for index, symbol in enumerate(p.symbols):
        rows = []
        for atoms in frames:
            part = Geometry.of_frames([atoms], p.symbols, cutoff=p.cutoff)
            for i in np.flatnonzero(np.array(atoms.get_chemical_symbols()) == symbol):
                slots = np.zeros((p.n_slots, 4))
                for slot, edge in enumerate(range(part.first[i], part.first[i + 1])):
                    r = np.linalg.norm(part.vectors[edge])
                    u = np.clip((r - p.switch_start) / (p.cutoff - p.switch_start), 0, 1)
                    s = (1 + u**3 * (-6 * u**2 + 15 * u - 10)) / r
                    slots[slot] = s, *(s * part.vectors[edge] / r)
                rows.append(slots)
        matrix = np.concatenate(rows)
        assert mean[index] == pytest.approx(matrix[:, 0].mean(), rel=1e-12)
        assert radial[index] == pytest.approx(max(matrix[:, 0].std(), 0.01), rel=1e-10)
        assert angular[index] == pytest.approx(max(matrix[:, 1:].std(), 0.01), rel=1e-10)
    lacking = random_model("Si", "O", "H").parameters
    mean, radial, _ = environment_statistics(
        Geometry.of_frames(frames, lacking.symbols, cutoff=lacking.cutoff), lacking
    )
    assert (mean[2], radial[2]) == (0.0, 1.0 / lacking.cutoff)


@pytest.mark.parametrize("cutoff", [2.5, 4.0, 4.5, 6.0])
def test_a_switch_that_settings_take_can_be_evaluated(cutoff: float) -> None:
    """At the very limit the settings and the compiled core round alike."""
    for start in (0.99 * cutoff, round(0.99 * cutoff, 4)):
        try:
            settings = DeepPotentialSettings(cutoff=cutoff, switch_start=start)
        except ValidationError:
            with pytest.raises(ValueError, match="hundredth"):
                NativeBackend(random_model("Si", cutoff=cutoff, switch_start=start), dtype="float32")
        else:
            assert settings.switch_start == start
            NativeBackend(random_model("Si", cutoff=cutoff, switch_start=start), dtype="float32")


def test_models_with_a_narrow_switch_are_trained_in_double_precision(silicon: Frames) -> None:
    model, dataset = random_model("Si", cutoff=4.5, switch_start=4.46), Dataset(silicon(2, seed=0))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"from 4\.46 to 4\.5 Å, is too narrow .* float64"):
        deep_potential_start(dataset, model, TrainingSettings(), symbols=("Si",), rng=rng)
    double = TrainingSettings(precision="float64")
    deep_potential_start(dataset, model, double, symbols=("Si",), rng=rng)


def test_elements_of_few_frames_are_centred_with_the_others(silicon: Frames) -> None:
    frames = [atoms.copy() for atoms in silicon(2, seed=0) for _ in range(150)]
    for atoms in (frames[7], frames[8]):
        atoms.symbols[:2] = "O"
    frames[8].info["config_weight"] = 0.0
    frames[9].symbols[0] = "H"
    frames[9].info["config_weight"] = 0.0
    dataset, settings = Dataset(frames), TrainingSettings(precision="float64")
    model = DeepPotentialSettings(members=1, cutoff=3.0, embedding=(4, 8), axis_neurons=3, fitting=(6,))
    symbols, rng = dataset.symbols, np.random.default_rng(0)
    start = deep_potential_start(dataset, model, settings, symbols=symbols, rng=rng)
    assert isinstance(start.networks, ExpandedNetworks)
    assert {symbols[k] for k in start.networks.centred} == {"Si", "O"}  # no frame with H counts


def test_initial_weights_have_the_spread_of_the_definition() -> None:
    p = random_model("Si", embedding=(20, 40), fitting=(60, 60)).parameters
    (embedding,), (fitting,) = initial_layers(p, 200, rng=np.random.default_rng(0), dtype="float64")
    assert embedding.weights[1].std() == pytest.approx(1 / np.sqrt(60), rel=0.01)
    assert fitting.weights[0].std() == pytest.approx(1 / np.sqrt(p.length + 60), rel=0.01)
    assert fitting.biases[1].std() == pytest.approx(1.0, rel=0.02)
    assert fitting.timesteps[1] is not None
    assert fitting.timesteps[1].mean() == pytest.approx(0.1, abs=1e-4)
    assert fitting.timesteps[1].std() == pytest.approx(0.001, rel=0.05)


def test_spread_layers_cover_the_range_of_the_data() -> None:
    p = random_model("Si", "O", embedding=(20, 40)).parameters
    ranges = [(-1.0, 4.0)] * 3 + [(0.0, 1.0)]
    embeddings, fittings = spread_layers(p, 50, ranges=ranges, rng=np.random.default_rng(0), dtype="float64")
    steps = -embeddings[1].biases[0] / embeddings[1].weights[0][..., 0]
    assert -1.0 < steps.min() < -0.9
    assert 3.9 < steps.max() < 4.0
    assert embeddings[3].weights[0].std() == pytest.approx(5 * embeddings[2].weights[0].std(), rel=0.1)
    assert fittings[0].weights[0].std() == pytest.approx(1 / np.sqrt(p.length), rel=0.03)


def test_sel_from_the_data(silicon: Frames) -> None:
    frames = silicon(4, seed=0, rattle=0.01)
    geometry = Geometry.of_frames(frames, ["Si"], cutoff=6.0)
    most = int(np.diff(geometry.first).max())
    auto = new_parameters(DeepPotentialSettings(), geometry, ("Si",)).sel["Si"]
    assert auto % 4 == 0
    assert 1.1 * most <= auto < 1.1 * most + 4
    assert new_parameters(DeepPotentialSettings(sel=30), geometry, ("Si",)).sel == {"Si": 30}
    with pytest.raises(ValueError, match="needed for"):
        new_parameters(DeepPotentialSettings(sel={"O": 3}), geometry, ("Si",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "deep_potential", "cutof": 5.0}, "did you mean 'cutoff'"),
        ({"type": "deep_potental"}, "did you mean 'deep_potential'"),
        ({"type": "deep_potential", "hidden": [3]}, "unknown setting 'hidden'"),
        ({"type": "deep_potential", "sel": 0}, "it must be 'auto'"),
        ({"type": "deep_potential", "sel": {"Si": "many"}}, "it must be 'auto'"),
        ({"type": "deep_potential", "axis_neurons": 99}, "at most the last of embedding"),
        ({"type": "deep_potential", "switch_start": 7.0}, "must be below cutoff"),
        ({"type": "deep_potential", "switch_start": 5.99}, "by a hundredth of it"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_settings(values)
    assert isinstance(model_settings({"type": "deep_potential"}), DeepPotentialSettings)
    assert model_settings({}).type == "ani"
