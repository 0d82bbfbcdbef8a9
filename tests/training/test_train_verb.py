from pathlib import Path

import pytest

from ase_mlsample.calculators import ANIEnsemble
from ase_mlsample.cli import main
from ase_mlsample.training import Dataset

SETTINGS = """
model:
  members: 2
  hidden: [12]
  aev: {radial_cutoff: 4.6, angular_cutoff: 3.6, n_radial: 8, n_angular: 4, n_sections: 4}
training:
  learning_rate: 1e-3
  epochs: 50
  batch_size: 8
"""


@pytest.fixture
def files(silicon_set: Dataset, tmp_path: Path) -> tuple[str, str, str]:
    silicon_set.write(tmp_path / "data.extxyz")
    (tmp_path / "train.yaml").write_text(SETTINGS)
    return str(tmp_path / "data.extxyz"), str(tmp_path / "train.yaml"), str(tmp_path / "si.safetensors")


def test_train_writes_a_model_and_reports_its_errors(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, settings, model = files
    command = ["train", data, "--settings", settings, "--out", model, "--epochs", "2", "--quiet"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "ensemble, held-out frames" in out
    assert "of errors within 1 σ" in out
    assert err == ""
    calculator = ANIEnsemble.load(model)
    assert calculator.n_members == 2
    assert calculator.model.metadata["training"]["settings"]["learning_rate"] == 1e-3
    again = [
        "train",
        data,
        "--warm-start",
        model,
        "--out",
        str(tmp_path / "next.safetensors"),
        "--epochs",
        "1",
    ]
    assert main([*again, "--quiet"]) == 0
    assert main([*again, "--members", "3"]) == 2
    assert "drop --members" in capsys.readouterr().err


def test_bad_input_has_status_two(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    data, settings, model = files
    assert main(["train", "nowhere.extxyz"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["train", data, "--out", model, "--energy-key", "dft"]) == 2
    assert "no energy under 'dft'" in capsys.readouterr().err
    Path(settings).write_text("training: {epoch: 3}")
    assert main(["train", data, "--settings", settings, "--out", model]) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    Path(settings).write_text("trainin: {}")
    assert main(["train", data, "--settings", settings, "--out", model]) == 2
    assert "sections" in capsys.readouterr().err


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "mlsample train data.extxyz --out si.safetensors" in capsys.readouterr().out
