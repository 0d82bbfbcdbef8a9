"""Model files of either kind, by what they say they are."""

from pathlib import Path

import numpy as np
import pytest

from ase_mlsample.calculators import ANIEnsemble, DeepPotentialEnsemble, load_ensemble, load_model
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.loading import ensemble_of
from ase_mlsample.calculators.model_files import model_kind, write_model_file
from tests.calculators import ani_models, dp_models


@pytest.mark.parametrize(
    ("make", "kind", "model_class", "ensemble_class"),
    [
        (ani_models.random_model, "ani", ANIModel, ANIEnsemble),
        (dp_models.random_model, "deep_potential", DeepPotentialModel, DeepPotentialEnsemble),
    ],
)
def test_either_kind_is_told_by_the_file(make, kind, model_class, ensemble_class, tmp_path: Path) -> None:
    path = tmp_path / "si.safetensors"
    ensemble_of(make("Si")).save(path)
    assert model_kind(path) == kind
    assert isinstance(load_model(path), model_class)
    loaded = load_ensemble(path, dtype="float64", with_spread=True)
    assert isinstance(loaded, ensemble_class)
    assert (loaded.dtype, loaded.with_spread, loaded.n_members) == ("float64", True, 3)


def test_what_is_no_model_of_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_ensemble(tmp_path / "absent.safetensors")
    path = tmp_path / "other.safetensors"
    write_model_file(path, {"a": np.zeros(1)}, kind="oracle", description={})
    with pytest.raises(ValueError, match="kind 'oracle'; this version knows ani, deep_potential"):
        load_model(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match="truncated or corrupt"):
        load_model(path)


def test_a_deep_potential_that_lacks_something(tmp_path: Path) -> None:
    model = dp_models.random_model("Si")
    tensors = model.tensors()
    del tensors["fitting.Si.layers.1.timestep"]
    path = tmp_path / "si.safetensors"
    write_model_file(path, tensors, kind="deep_potential", description=model.describe())
    with pytest.raises(ValueError, match="is no valid Deep Potential: timesteps"):
        load_model(path)
    del tensors["embedding.Si.Si.layers.0.bias"]
    write_model_file(path, tensors, kind="deep_potential", description=model.describe())
    with pytest.raises(ValueError, match=r"it lacks 'layers\.0\.bias'"):
        load_model(path)
