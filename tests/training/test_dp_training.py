"""Deep Potentials through the whole of training: settings, files, interruption, continuation, transfer."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from pydantic import ValidationError

from ase_mlsample.calculators import DeepPotentialEnsemble, StillingerWeber
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_networks import DeepPotentialNetworks
from ase_mlsample.calculators.loading import load_ensemble, load_model
from ase_mlsample.training import (
    Dataset,
    DeepPotentialSettings,
    ModelSettings,
    PrefactorSettings,
    TrainingResult,
    TrainingSettings,
    continue_training,
    dataset_errors,
    expanded,
    learning_curve,
    train_ensemble,
)
from ase_mlsample.training.dp_start import deep_potential_start
from ase_mlsample.training.evaluation import training_output
from ase_mlsample.training.expanded import ExpandedNetworks
from ase_mlsample.training.expansion import Expansion
from ase_mlsample.training.features import Geometry
from ase_mlsample.training.folds import strided_split
from ase_mlsample.training.freezing import freeze, parameter_counts, parameter_names
from ase_mlsample.training.loss import Loss, Output
from ase_mlsample.training.moments import MomentSet
from ase_mlsample.training.optimisation import Optimisation
from ase_mlsample.training.setup import Setup
from ase_mlsample.training.targets import reduced_labels
from tests.calculators.dp_models import random_model

Frames = Callable[..., list[Atoms]]


@pytest.fixture
def small() -> DeepPotentialSettings:
    return DeepPotentialSettings(
        members=2, cutoff=4.6, embedding=(4, 8), axis_neurons=3, fitting=(12, 12), switch_start=2.5
    )


def train(
    dataset: Dataset, model: Any, settings: TrainingSettings, directory: Path, **options: Any
) -> TrainingResult:
    rng = np.random.default_rng(7)
    return train_ensemble(
        dataset, model=model, settings=settings, rng=rng, directory=directory, progress=False, **options
    )


def tensors(result: TrainingResult) -> dict[str, np.ndarray]:
    model = result.calculator.model
    assert isinstance(model, DeepPotentialModel)
    return model.tensors()


def same(a: TrainingResult, b: TrainingResult) -> bool:
    pairs = zip(tensors(a).values(), tensors(b).values(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


class StopHereError(Exception):
    pass


def stop_at(epoch: int) -> Callable[[int], None]:
    def stop(done: int) -> None:
        if done == epoch:
            raise StopHereError

    return stop


# in single precision folding the features' mixing into the weights rounds these
@pytest.mark.parametrize(("precision", "rel"), [("float64", 1e-7), ("float32", 1e-4)])
def test_the_calculator_has_the_errors_that_were_reported(
    silicon_set: Dataset,
    small: DeepPotentialSettings,
    short: TrainingSettings,
    tmp_path: Path,
    precision: str,
    rel: float,
) -> None:
    settings = short.model_copy(update={"precision": precision})
    result = train(silicon_set, small, settings, tmp_path)
    calculator = load_ensemble(tmp_path / "model.safetensors", dtype=precision)
    assert isinstance(calculator, DeepPotentialEnsemble)
    unseen = silicon_set.subset(np.flatnonzero(strided_split(len(silicon_set), members=2).held_out).tolist())
    errors = dataset_errors(calculator, unseen)
    assert result.held_out is not None
    assert result.held_out.forces_rmse == pytest.approx(errors.forces_rmse, rel=rel)
    assert result.held_out.energy_rmse == pytest.approx(errors.energy_rmse, rel=rel)
    assert result.held_out.stress_rmse == pytest.approx(errors.stress_rmse, rel=rel)
    assert calculator.model.calibration == result.calibration
    assert set(result.coverage) == {"energy", "forces", "stress"}
    assert calculator.model.metadata["training"]["frames"] == len(silicon_set)
    assert calculator.model.repulsion is not None


def test_interrupted_anywhere_it_ends_with_the_same_bits(
    silicon_set: Dataset, small: DeepPotentialSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    whole = train(silicon_set, small, short, tmp_path / "whole")
    with pytest.raises(StopHereError):
        train(silicon_set, small, short, tmp_path / "cut", on_epoch=stop_at(3))
    resumed = train(silicon_set, small, short, tmp_path / "cut")
    assert same(whole, resumed)
    histories = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    records = [[{**json.loads(line), "seconds": 0} for line in lines] for lines in histories]
    assert records[0] == records[1]


def test_a_resume_has_the_features_that_the_weights_are_of(
    silicon_set: Dataset,
    small: DeepPotentialSettings,
    short: TrainingSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On another machine the mixing is rounded in another way, and before it was another one."""
    whole = train(silicon_set, small, short, tmp_path / "whole")
    with pytest.raises(StopHereError):
        train(silicon_set, small, short, tmp_path / "cut", on_epoch=stop_at(3))
    path = tmp_path / "cut" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    found = expanded._inverse_root
    monkeypatch.setattr(expanded, "_inverse_root", lambda *args: 1.01 * found(*args))
    assert same(whole, train(silicon_set, small, short, tmp_path / "cut"))
    del content["state"]["buffers"]
    torch.save(content | {"version": 1}, path)
    with pytest.raises(ValueError, match="is of version 1, not 2; delete it to train anew"):
        train(silicon_set, small, short, tmp_path / "cut")


def test_more_polynomials_are_taken_when_needed_and_a_resume_knows_of_them(
    silicon_set: Dataset,
    small: DeepPotentialSettings,
    short: TrainingSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    restored = MomentSet.set_terms
    monkeypatch.setattr(
        MomentSet, "set_terms", lambda self, terms: (made.append(terms), restored(self, terms))[0]
    )
    deviations = iter([0.5] * 3 + [2.0] + [0.5] * 100)
    monkeypatch.setattr(ExpandedNetworks, "deviation", lambda _: next(deviations))
    with pytest.raises(StopHereError):
        train(silicon_set, small, short, tmp_path, on_epoch=stop_at(4))
    train(silicon_set, small, short, tmp_path)
    assert made == [36]


def test_continued_fine_tuned_and_of_other_members(
    silicon_set: Dataset,
    silicon: Frames,
    small: DeepPotentialSettings,
    short: TrainingSettings,
    tmp_path: Path,
) -> None:
    first = train(silicon_set, small, short, tmp_path / "first")
    longer = continue_training(silicon_set, directory=tmp_path / "first", more_epochs=2, progress=False)
    assert longer.epochs == short.epochs + 2
    assert not same(first, longer)
    other = Dataset(silicon(32, seed=8))
    tuned = continue_training(other, directory=tmp_path / "first", more_epochs=1, progress=False)
    start, end = longer.calculator.model, tuned.calculator.model
    assert isinstance(start, DeepPotentialModel)
    assert isinstance(end, DeepPotentialModel)
    for name in ("mean", "std_radial", "std_angular"):
        assert np.array_equal(getattr(start, name), getattr(end, name))
    assert end.self_energies == start.self_energies
    assert end.parameters == start.parameters


def test_transfer_moves_the_zero_of_energy_and_some_layers_alone(
    silicon_set: Dataset,
    silicon: Frames,
    small: DeepPotentialSettings,
    short: TrainingSettings,
    tmp_path: Path,
) -> None:
    first = train(silicon_set, small, short, tmp_path / "first")
    shifted = silicon(32, seed=3)
    for atoms in shifted:
        atoms.info["REF_energy"] += 50.0 * len(atoms)
    settings = TrainingSettings(recipe="transfer", epochs=1, checkpoint_seconds=0)
    model = load_model(tmp_path / "first" / "model.safetensors")
    result = train(Dataset(shifted), model, settings, tmp_path / "next")
    moved = result.calculator.model.self_energies["Si"] - model.self_energies["Si"]
    assert moved == pytest.approx(50.0, abs=0.5)
    before, after = tensors(first), tensors(result)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {
        f"fitting.Si.layers.{layer}" for layer in ("1.weight", "1.bias", "1.timestep", "2.weight", "2.bias")
    }
    trained = result.calculator.model.metadata["training"]["parameters"]
    assert trained == {"trained": 12 * 12 + 12 + 12 + 12 + 1, "all": trained["all"]}


@pytest.mark.parametrize("kind", ["ani", "deep_potential"])
def test_every_weight_steps_against_its_gradient(
    kind: str, silicon_set: Dataset, small: DeepPotentialSettings, small_model: ModelSettings
) -> None:
    settings = TrainingSettings(recipe="deepmd", precision="float64")
    split = strided_split(len(silicon_set), members=2, n_folds=16)
    model = small if kind == "deep_potential" else small_model
    rng = np.random.default_rng(1)
    run = Optimisation(Setup.of(silicon_set, model, settings, split=split, rng=rng).problem, settings, rng)
    problem, weights = run._problem, run._trained
    (batch,) = problem.features.batches(np.flatnonzero(split.train.all(axis=0))[:4], size=4)
    output = training_output(problem.networks, batch, problem.scale, with_forces=True)
    loss = run._train_loss(batch, output).sum()
    before = [weight.detach().clone() for weight in weights]
    gradients = torch.autograd.grad(
        loss, weights, retain_graph=True, materialize_grads=True, allow_unused=True
    )
    run._update(loss)
    for old, weight, gradient in zip(before, weights, gradients, strict=True):
        # the first step of Adam is the rate, in the direction of the gradient's sign; its ε is 1e-8
        step = -settings.learning_rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(weight - old, step, rtol=1e-9, atol=1e-12)


def test_names_that_are_frozen() -> None:
    model = random_model("Si", "O", n_members=2)
    networks = ExpandedNetworks(DeepPotentialNetworks(model), Expansion(0.5))
    names = parameter_names(networks)
    assert sorted(names) == sorted(set(model.tensors()) - {"mean", "std_radial", "std_angular"})
    for pattern, expected in (
        ("embedding.Si.O", {n for n in names if n.startswith("embedding.Si.O.")}),
        ("embedding", {n for n in names if n.startswith("embedding.")}),
        ("fitting.O.layers.-1", {"fitting.O.layers.3.weight", "fitting.O.layers.3.bias"}),
        ("*.timestep", {n for n in names if n.endswith("timestep")}),
    ):
        freeze(networks, (pattern,))
        pairs = zip(names, networks.parameters(), strict=True)
        assert {name for name, parameter in pairs if not parameter.requires_grad} == expected
    assert parameter_counts(networks)[1] == sum(model.tensors()[name][0].size for name in names)
    with pytest.raises(ValueError, match="nothing is called 'embeding'"):
        freeze(networks, ("embeding",))


def test_the_start_needs_the_memory_of_a_few_frames_alone(
    silicon_set: Dataset,
    small: DeepPotentialSettings,
    short: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ase_mlsample.training.moments._CHUNK_ATOMS", 32)
    held: list[int] = []
    whole = MomentSet.derivatives

    def spy(self: MomentSet, geometry: Geometry) -> Any:
        held.append(len(geometry.frame_first) - 1)
        return whole(self, geometry)

    monkeypatch.setattr(MomentSet, "derivatives", spy)
    rng = np.random.default_rng(0)
    start = deep_potential_start(silicon_set, small, short, symbols=("Si",), rng=rng)
    assert start.features.evaluated_together == 4
    assert max(held) == 4


def test_deepmd_initial_weights_are_as_they_were_drawn(
    silicon_set: Dataset, small: DeepPotentialSettings, tmp_path: Path
) -> None:
    model = small.model_copy(update={"initial": "deepmd"})
    still = TrainingSettings(epochs=1, learning_rate=1e-30, final_learning_rate=1e-30, precision="float64")
    found = tensors(train(silicon_set, model, still, tmp_path))
    assert found["fitting.Si.layers.1.bias"].std() > 0.5  # 0.1 otherwise
    assert found["embedding.Si.Si.layers.1.weight"].std() == pytest.approx(1 / np.sqrt(12), rel=0.3)


def test_energies_that_fall_short(silicon: Frames) -> None:
    dataset = Dataset(silicon(4, seed=0))
    geometry = Geometry.of_frames(list(dataset), ["Si"], cutoff=4.0)
    features = MomentSet(geometry, random_model("Si").parameters)
    targets = reduced_labels(dataset, geometry, None)
    loss = Loss(TrainingSettings(), targets, torch.tensor([[1.0, 1, 0, 2], [0, 1, 1, 1]]))
    batch = features.batch(np.array([0, 3]))
    nothing = torch.zeros(0)
    output = Output(targets.energies[[0, 3]] - torch.tensor([[3.0, 5.0], [3.0, 7.0]]), nothing, nothing)
    sizes = dataset.n_atoms
    wanted = [[3.0 + 2 * 5.0, sizes[0] + 2 * sizes[3]], [7.0, sizes[3]]]
    np.testing.assert_allclose(loss.energy_shortfall(batch, output), wanted, rtol=1e-12)


def test_the_loss_of_deepmd(silicon: Frames) -> None:
    frames = [*silicon(6, seed=0)[::3], bulk("Si") * (3, 1, 1)]
    reference = StillingerWeber().evaluate(frames[2])
    frames[2].info["REF_energy"], frames[2].arrays["REF_forces"] = reference.energy, reference.forces
    dataset = Dataset(frames)
    geometry = Geometry.of_frames(frames, ["Si"], cutoff=4.0)
    features = MomentSet(geometry, random_model("Si").parameters)
    targets = reduced_labels(dataset, geometry, None)
    prefactors = PrefactorSettings(energy=(0.02, 1.0), forces=(1000.0, 2.0), virial=(10.0, 3.0))
    loss = Loss(TrainingSettings(prefactors=prefactors), targets, torch.ones(1, 3))
    rng = np.random.default_rng(0)
    batch = features.batch(np.arange(3))
    labels = (targets.energies, targets.forces, targets.virials)
    errors = [torch.tensor(rng.normal(size=(1, *label.shape))) for label in labels]
    output = Output(
        targets.energies + errors[0], errors[1] - targets.forces, targets.virials.nan_to_num() + errors[2]
    )
    sizes, begins = dataset.n_atoms, np.cumsum([0, *dataset.n_atoms])
    e, f, v = (error[0].numpy() for error in errors)
    of_energy = np.mean(e**2 / sizes)
    of_forces = np.mean([np.mean(f[a:b] ** 2) for a, b in pairwise(begins)])
    of_virial = np.mean([np.mean(v[k] ** 2) / sizes[k] for k in (0, 1)])  # the third has no stress
    for decay, factors in ((1.0, (0.02, 1000, 10)), (0.25, (0.755, 251.5, 4.75)), (0.0, (1, 2, 3))):
        wanted = factors[0] * of_energy + factors[1] * of_forces + factors[2] * of_virial
        assert float(loss(batch, output, decay=decay)[0]) == pytest.approx(wanted, rel=1e-12)


def test_the_recipe_of_deepmd_trains(
    silicon_set: Dataset, small: DeepPotentialSettings, tmp_path: Path
) -> None:
    settings = TrainingSettings(recipe="deepmd", epochs=3, validation_interval=1)
    assert settings.prefactors == PrefactorSettings()
    assert TrainingSettings.model_validate(settings.model_dump(mode="json")) == settings
    result = train(silicon_set, small, settings, tmp_path)
    losses = [np.mean(record["validation_loss"]) for record in result.history]
    assert losses[-1] < losses[0]


def test_a_rate_that_was_not_set_is_that_of_the_kind() -> None:
    plain = TrainingSettings(epochs=3)
    assert plain.suited_to("ani") is plain
    suited = plain.suited_to("deep_potential")
    assert (suited.learning_rate, suited.final_learning_rate, suited.epochs) == (1e-3, 3e-5, 3)
    for settings in (TrainingSettings(learning_rate=5e-3), TrainingSettings(recipe="fine-tuning")):
        assert settings.suited_to("deep_potential") is settings
    assert suited.suited_to("deep_potential") is suited


def test_prefactors_must_be_something() -> None:
    with pytest.raises(ValidationError, match="nothing to learn"):
        PrefactorSettings(energy=(0, 0), forces=(0, 0), virial=(0, 0))


def test_learning_curve(
    silicon_set: Dataset, small: DeepPotentialSettings, short: TrainingSettings, tmp_path: Path
) -> None:
    settings = short.model_copy(update={"epochs": 1})
    curve = learning_curve(
        silicon_set,
        fractions=(1.0,),
        model=small,
        settings=settings,
        rng=np.random.default_rng(0),
        directory=tmp_path,
        progress=False,
    )
    assert curve.points[0].errors.forces_rmse is not None


def test_two_elements_and_missing_labels(
    silicon: Frames, small: DeepPotentialSettings, tmp_path: Path
) -> None:
    frames = silicon(24, seed=2)
    for k, atoms in enumerate(frames):
        if k % 3 == 0:
            atoms.symbols[:2] = "Al"
        if k % 4 == 0:
            del atoms.arrays["REF_forces"]
    settings = TrainingSettings(epochs=2, folds=8, validation_folds=1, validation_interval=1)
    result = train(Dataset(frames), small, settings, tmp_path)
    assert result.calculator.model.symbols == ("Al", "Si")
    assert result.held_out is not None
    assert np.isfinite(result.held_out.energy_rmse)
