"""Deep Potentials from and to deepmd-kit's files, against what deepmd-kit 3.2 said of them."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest

from ase_mlsample.calculators import DeepPotentialEnsemble
from ase_mlsample.calculators.deepmd_export import model_to_deepmd
from ase_mlsample.calculators.deepmd_files import read_deepmd_file, write_deepmd_file
from ase_mlsample.calculators.deepmd_import import model_from_deepmd
from ase_mlsample.calculators.repulsion import Repulsion
from tests.calculators.deepmd.record import structures
from tests.calculators.dp_models import crowded, plain_energies, random_model

RECORDS = Path(__file__).parent / "deepmd"


@pytest.mark.parametrize("kind", ["pair", "one_side"])
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_energies_forces_and_virials_are_deepmd_kits(kind: str, backend: Any) -> None:
    calc = DeepPotentialEnsemble.convert_deepmd(RECORDS / f"{kind}.yaml", dtype="float64", backend=backend)
    assert calc.model.symbols == ("Ge", "Si")
    assert calc.model.parameters.type_embedding == kind.replace("_", "-")
    recorded = json.loads((RECORDS / f"{kind}.json").read_text())
    for name, atoms in structures().items():
        prediction, theirs = calc.evaluate(atoms), recorded[name]
        # the records have all digits; sums go in another order
        assert prediction.energy == pytest.approx(theirs["energy"], abs=1e-12)
        assert prediction.forces == pytest.approx(np.array(theirs["forces"]), abs=1e-12)
        if prediction.stress is not None:
            virial = -np.reshape(theirs["virial"], 9)[[0, 4, 8, 5, 2, 1]]
            assert prediction.stress * atoms.get_volume() == pytest.approx(virial, abs=1e-12)


@pytest.mark.parametrize("type_embedding", ["pair", "one-side"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_round_trip_is_exact(type_embedding: str, dtype: str, tmp_path: Path) -> None:
    model = random_model("Si", "O", "H", type_embedding=type_embedding, dtype=dtype)
    files = [tmp_path / f"member{k}.dp" for k in range(3)]
    DeepPotentialEnsemble(model).to_deepmd(files)
    again = model_from_deepmd(files)
    assert again.parameters == model.parameters
    assert again.self_energies == model.self_energies
    assert again.dtype == model.dtype
    for name, array in model.tensors().items():
        # statistics are double here, and there of the networks' precision
        assert np.array_equal(again.tensors()[name], array.astype(dtype)), name
    assert again.metadata == {"origin": "deepmd-kit"}
    assert sorted(tmp_path.iterdir()) == files


def test_members_with_other_atomic_energies_keep_theirs(tmp_path: Path) -> None:
    members = [random_model("Si", "O", n_members=1, seed=seed) for seed in range(2)]
    members[1] = replace(members[1], self_energies={"Si": -100.0, "O": 7.0})
    for k, member in enumerate(members):
        model_to_deepmd(member, tmp_path / f"{k}.dp")
    both = model_from_deepmd([tmp_path / "0.dp", tmp_path / "1.dp"])
    atoms = crowded("Si", "O")[0]
    wanted = [plain_energies(member, atoms).sum() for member in members]
    # energies of 1e5 eV in double precision
    assert plain_energies(both, atoms).sum(axis=1) == pytest.approx(wanted, abs=1e-9)


def test_hdf5_and_yaml_hold_the_same(tmp_path: Path) -> None:
    content = read_deepmd_file(RECORDS / "pair.yaml")
    write_deepmd_file(tmp_path / "pair.dp", content)
    one, other = (model_from_deepmd(path) for path in (RECORDS / "pair.yaml", tmp_path / "pair.dp"))
    assert all(np.array_equal(array, other.tensors()[name]) for name, array in one.tensors().items())


def test_fitting_without_timesteps_and_second_bias() -> None:
    content = read_deepmd_file(RECORDS / "one_side.yaml")
    before = model_from_deepmd(RECORDS / "one_side.yaml")
    for network in content["model"]["fitting"]["nets"]["networks"]:
        network["layers"][1]["@variables"]["idt"] = None
    content["model"]["@variables"]["out_bias"] = np.array([[[1.0], [2.0]]])
    after = _from(content)
    assert np.all(after.fittings[0].timesteps[1] == 1.0)
    assert after.self_energies["Si"] - before.self_energies["Si"] == 2.0


def _from(content: dict[str, Any]) -> Any:
    with TemporaryDirectory() as folder:
        write_deepmd_file(Path(folder) / "model.dp", content)
        return model_from_deepmd(Path(folder) / "model.dp")


def _put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def _activation(content: dict[str, Any]) -> None:
    content["model"]["fitting"]["nets"]["networks"][0]["layers"][0]["activation_function"] = "gelu"


def _statistics(content: dict[str, Any]) -> None:
    content["model"]["descriptor"]["@variables"]["davg"][0, 3, 0] = 0.5


def _compressed(content: dict[str, Any]) -> None:
    content["model"]["descriptor"]["embeddings"]["networks"][0] = None


def _no_skips(content: dict[str, Any]) -> None:
    content["model"]["descriptor"]["embeddings"]["networks"][0]["layers"][1]["resnet"] = False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_put("model", "type", value="zbl"), "a model of type 'zbl' has no counterpart.*from_deepmd"),
        (_put("model", "type_map", value=None), "no type_map"),
        (_put("model", "type_map", value=["Si", "X"]), "'X' is not the symbol"),
        (_put("model", "descriptor", "type", value="se_e2_r"), "descriptor 'se_e2_r' has no counterpart"),
        (_put("model", "descriptor", "type", value="dpa1"), "descriptor 'dpa1' has no counterpart"),
        (_put("model", "descriptor", "exclude_types", value=[[0, 1]]), "excluded pairs of types"),
        (_put("model", "descriptor", "resnet_dt", value=True), "timesteps in the embedding"),
        (_put("model", "descriptor", "env_protection", value=1e-6), "protection of short distances"),
        (_put("model", "descriptor", "spin", value={"use_spin": [True]}), "the model has spin"),
        (_put("model", "fitting", "type", value="dipole"), "predicts 'dipole', not an energy"),
        (_put("model", "fitting", "numb_fparam", value=1), r"frame parameters \(numb_fparam\)"),
        (_put("model", "fitting", "numb_aparam", value=1), r"atomic parameters \(numb_aparam\)"),
        (_put("model", "fitting", "atom_ener", value=[None, 1.0]), r"energies of atoms in vacuum"),
        (_put("model", "fitting", "neuron", value=[12, 4]), "from 12 to 12.*other widths"),
        (_put("model", "fitting", "neuron", value=[4, 8]), "from 4 to 8.*other widths"),
        (_activation, "the activation 'gelu', only 'tanh'"),
        (_statistics, "davg and dstd differ between the neighbours"),
        (_compressed, "the model was compressed"),
        (_no_skips, "without skip connections"),
        (lambda content: content["model"].pop("fitting"), "it lacks 'fitting'"),
        (lambda content: content.pop("model"), "no section 'model'"),
    ],
)
def test_what_has_no_counterpart_is_named(change: Callable[[dict[str, Any]], None], message: str) -> None:
    content = deepcopy(read_deepmd_file(RECORDS / "pair.yaml"))
    change(content)
    with pytest.raises(ValueError, match=message):
        _from(content)


def test_members_must_share_elements_and_definition(tmp_path: Path) -> None:
    files = {}
    for name, model in {
        "sio": random_model("Si", "O", n_members=1),
        "sih": random_model("Si", "H", n_members=1),
        "other": random_model("Si", "O", n_members=1, cutoff=5.0),
    }.items():
        files[name] = tmp_path / f"{name}.dp"
        model_to_deepmd(model, files[name])
    with pytest.raises(ValueError, match=r"sih\.dp is for Si, H, .*sio\.dp for Si, O: members"):
        model_from_deepmd([files["sio"], files["sih"]])
    with pytest.raises(ValueError, match="share one definition; make them members of a Committee"):
        model_from_deepmd([files["sio"], files["other"]])
    with pytest.raises(ValueError, match="no model files are given"):
        model_from_deepmd([])


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        model_from_deepmd(tmp_path / "absent.dp")
    (tmp_path / "text.dp").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text\.dp is no model file of deepmd-kit, or is damaged"):
        model_from_deepmd(tmp_path / "text.dp")
    with h5py.File(tmp_path / "other.dp", "w"):
        pass
    with pytest.raises(ValueError, match=r"other\.dp is no model file of deepmd-kit, or is damaged"):
        model_from_deepmd(tmp_path / "other.dp")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ValueError, match="must be a mapping"):
        model_from_deepmd(tmp_path / "list.yaml")


def test_models_that_deepmd_kit_cannot_hold(tmp_path: Path) -> None:
    model = random_model("Si")
    with pytest.raises(ValueError, match="1 paths are given for 3 members"):
        model_to_deepmd(model, tmp_path / "model.dp")
    files = [tmp_path / f"{k}.dp" for k in range(3)]
    with pytest.raises(ValueError, match="switched ZBL repulsion"):
        model_to_deepmd(replace(model, repulsion=Repulsion()), files)
    with pytest.raises(ValueError, match="from 24 to 24"):
        model_to_deepmd(random_model("Si", fitting=(24, 6)), files)
    assert not list(tmp_path.iterdir())
