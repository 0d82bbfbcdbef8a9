"""Model files: what is saved is what is loaded, and what is no model is refused with a reason."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from safetensors.numpy import save_file

from ase_mlsample.calculators import ANIEnsemble
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.model_files import FORMAT_VERSION, read_model_file, write_model_file
from tests.calculators.ani_models import random_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    ANIEnsemble(random_model("Al", "Si", scale=0.7)).save(path)
    return path


def edit_header(path: Path, change: dict[str, str]) -> None:
    """Change the metadata and leave the tensors as they are."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] |= change
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def description(path: Path) -> dict:
    return read_model_file(path, kind="ani")[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("repulsion", [True, False])
def test_saved_is_loaded(tmp_path: Path, dtype: str, repulsion: bool) -> None:
    model = random_model("Al", "Si", dtype=dtype, repulsion=repulsion, scale=0.7)
    path = tmp_path / "model.safetensors"
    ANIEnsemble(model).save(path)
    loaded = ANIEnsemble.load(path, dtype="float64")
    assert loaded.model.describe() == model.describe()
    assert loaded.model.aev == model.aev
    assert loaded.model.calibration == model.calibration
    for symbol, (weights, biases) in model.networks.layers().items():
        again = loaded.model.networks.layers()[symbol]
        assert all(torch.equal(a, b) for a, b in zip(weights + biases, again[0] + again[1], strict=True))
    atoms = bulk("Si") * 2
    atoms.rattle(0.1, seed=1)
    expected = ANIEnsemble(model, dtype="float64").evaluate(atoms, members=True)
    found = loaded.evaluate(atoms, members=True)
    assert np.array_equal(found.member_forces, expected.member_forces)
    assert np.array_equal(found.member_energies, expected.member_energies)


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    model = ANIModel.load(path)
    with torch.no_grad():
        next(model.networks.parameters())[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="holds NaN"):
        model.save(path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        random_model("Si").save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_metadata_must_be_plain(tmp_path: Path) -> None:
    model = random_model("Si")
    model.metadata["rng"] = np.random.default_rng(0)
    with pytest.raises(TypeError, match="not JSON serializable"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        random_model("Si").save(tmp_path / "missing" / "model.safetensors")


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        ANIEnsemble.load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        ANIEnsemble.load(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 100, -1000, -1])
def test_truncated(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="truncated or corrupt"):
        ANIEnsemble.load(path)


def test_not_safetensors(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 a zipped pickle " * 50)
    with pytest.raises(ValueError, match="not a model file"):
        ANIEnsemble.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_others(path: Path, metadata: dict | None) -> None:
    save_file({"weight": np.zeros(3)}, path, metadata=metadata)
    with pytest.raises(ValueError, match="of another program"):
        ANIEnsemble.load(path)


def test_headers_that_do_not_fit(path: Path) -> None:
    good = path.read_bytes()
    newer = {"format_version": str(FORMAT_VERSION + 1), "package_version": "9.9"}
    for change, message in (
        (newer, r"written by ase-mlsample 9\.9 in format 2, newer than format 1"),
        ({"kind": "deep-potential"}, "kind 'deep-potential', not 'ani'"),
        ({"description": "{"}, "damaged header"),
        ({"description": "[]"}, "damaged header"),
        ({"format_version": "x"}, "damaged header"),
        ({"description": "{}"}, "no valid ANI model: it lacks 'networks'"),
    ):
        path.write_bytes(good)
        edit_header(path, change)
        with pytest.raises(ValueError, match=message):
            ANIEnsemble.load(path)


def test_descriptions_that_do_not_fit(path: Path) -> None:
    good = path.read_bytes()
    facts = description(path)
    changes: list[tuple[dict, str]] = [
        ({"scale": -1.0}, "scale"),
        ({"self_energies": {"Al": 0.0}}, "self energies"),
        ({"elements": ["Si", "Al"]}, "order must agree"),
        ({"aev": facts["aev"] | {"zeta": 0.0}}, "zeta"),
        ({"networks": facts["networks"] | {"members": 7}}, "layout"),
        ({"calibration": {"colour": 1.0}}, "colour"),
    ]
    for change, message in changes:
        path.write_bytes(good)
        edit_header(path, {"description": json.dumps(facts | change)})
        with pytest.raises(ValueError, match=f"no valid ANI model.*{message}"):
            ANIEnsemble.load(path)


def test_tensors_that_do_not_fit(path: Path) -> None:
    tensors, facts = read_model_file(path, kind="ani")
    write_model_file(
        path, {k: v for k, v in tensors.items() if k != "Si.bias.1"}, kind="ani", description=facts
    )
    with pytest.raises(ValueError, match=r"lacks 'Si\.bias\.1'"):
        ANIEnsemble.load(path)
    write_model_file(path, tensors | {"Si.weight.1": np.zeros((3, 2, 2))}, kind="ani", description=facts)
    with pytest.raises(ValueError, match="weights for Si"):
        ANIEnsemble.load(path)
    write_model_file(path, tensors, kind="ani", description=facts)
    data = bytearray(path.read_bytes())
    data[-8:] = struct.pack("<d", float("nan"))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"is corrupt: .* holds NaN"):
        ANIEnsemble.load(path)
