from pathlib import Path

import ase.io
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


def test_several_files_have_weights_and_a_test_set(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, silicon_set: Dataset
) -> None:
    data, settings, model = files
    silicon_set[:16].write(tmp_path / "cheap.extxyz")
    cheap = str(tmp_path / "cheap.extxyz")
    command = ["train", data, cheap, "--weights", "1", "0.2", "--settings", settings, "--out", model]
    assert main([*command, "--epochs", "1", "--quiet", "--testset", data]) == 0
    out, _ = capsys.readouterr()
    assert "held-out frames of cheap" in out
    assert "ensemble, test set" in out
    assert main(["train", data, cheap, "--weights", "1", "--out", model]) == 2
    assert "gives 1 numbers for 2 files" in capsys.readouterr().err
    listed = tmp_path / "listed.yaml"
    listed.write_text("data: [data.extxyz, {path: cheap.extxyz, weight: 0.2}]" + SETTINGS)
    command = ["train", "--settings", str(listed), "--out", model, "--epochs", "1", "--quiet"]
    assert main(command) == 0  # the same training as before, which is finished
    assert main([*command, data]) == 2
    assert "drop one of them" in capsys.readouterr().err
    assert main(["train", "--out", model]) == 2
    assert "no data" in capsys.readouterr().err


def test_continue_ends_extends_or_starts_from_a_training(
    files: tuple[str, str, str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    silicon_set: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, settings, model = files
    assert main(["train", data, "--settings", settings, "--out", model, "--epochs", "2", "--quiet"]) == 0
    monkeypatch.chdir(tmp_path.parent)
    folder = str(tmp_path / "si.training")
    capsys.readouterr()
    assert main(["train", "--continue", folder, "--quiet"]) == 2
    assert "--epochs +N" in capsys.readouterr().err
    assert main(["train", "--continue", folder, "--epochs", "+2", "--quiet"]) == 0
    out, _ = capsys.readouterr()
    assert "4 epochs" in out
    assert f"wrote {model}" in out
    assert ANIEnsemble.load(model).model.metadata["training"]["epochs"] == 4
    silicon_set[:20].write(tmp_path / "other.extxyz")
    other = [str(tmp_path / "other.extxyz"), "--out", str(tmp_path / "other.safetensors")]
    assert main(["train", *other, "--continue", folder, "--epochs", "+1", "--quiet"]) == 0
    tuned = ANIEnsemble.load(tmp_path / "other.safetensors").model
    assert tuned.metadata["training"]["settings"]["recipe"] == "fine-tuning"
    capsys.readouterr()
    for wrong, message in (
        (["--continue", folder, "--epochs", "5"], "write --epochs +5"),
        (["--continue", folder, "--members", "5", "--seed", "1"], "drop --members, --seed"),
        (["--continue", str(tmp_path)], "does not say where its data are"),
        ([data, "--epochs", "+5"], "name it with --continue DIR"),
        ([data, "--epochs", "five"], "a whole number"),
    ):
        assert main(["train", *wrong]) == 2
        assert message in capsys.readouterr().err


def test_a_folder_that_does_not_know_its_data_keeps_its_own_model(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, silicon_set: Dataset
) -> None:
    data, settings, model = files
    assert main(["train", data, "--settings", settings, "--out", model, "--epochs", "1", "--quiet"]) == 0
    folder = tmp_path / "si.training"
    (folder / "command.json").unlink()  # as after a training from Python
    before = (folder / "model.safetensors").read_bytes()
    silicon_set[:20].write(tmp_path / "other.extxyz")
    command = [
        "train",
        str(tmp_path / "other.extxyz"),
        "--continue",
        str(folder),
        "--epochs",
        "+1",
        "--quiet",
    ]
    assert main(command) == 0
    assert (folder / "model.safetensors").read_bytes() == before
    assert f"wrote {model}" in capsys.readouterr().out
    assert main(["train", "--continue", str(folder), "--weights", "1", "2"]) == 2
    assert "--weights belongs to files of data" in capsys.readouterr().err


def test_the_command_of_a_training_that_was_continued_says_so(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, settings, model = files
    command = ["train", data, "--settings", settings, "--out", model, "--epochs", "1", "--quiet"]
    folder = str(tmp_path / "si.training")
    assert main(command) == 0
    assert main(["train", "--continue", folder, "--epochs", "+2", "--quiet"]) == 0
    assert main(command) == 2
    assert "was continued for 2 epochs beyond the end of this one; go on with" in capsys.readouterr().err


def test_the_test_set_has_the_keys_of_the_data(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, silicon_set: Dataset
) -> None:
    _, settings, model = files
    theirs = [atoms.copy() for atoms in silicon_set]
    for atoms in theirs:
        atoms.info["dft"] = atoms.info.pop("REF_energy")
    ase.io.write(tmp_path / "theirs.extxyz", theirs)
    data = str(tmp_path / "theirs.extxyz")
    command = [
        "train",
        data,
        "--energy-key",
        "dft",
        "--testset",
        data,
        "--settings",
        settings,
        "--out",
        model,
    ]
    assert main([*command, "--epochs", "1", "--quiet"]) == 0
    assert "ensemble, test set" in capsys.readouterr().out


def test_transfer_from_the_command_line(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, settings, model = files
    assert main(["train", data, "--settings", settings, "--out", model, "--epochs", "1", "--quiet"]) == 0
    better = ["train", data, "--start", model, "--epochs", "1", "--out", str(tmp_path / "better.safetensors")]
    capsys.readouterr()
    assert main([*better, "--recipe", "transfer"]) == 0
    assert "parameters of each member, the rest frozen" in capsys.readouterr().err
    assert main([*better, "--directory", str(tmp_path / "never"), "--freeze", "layers.7"]) == 2
    assert "parameters are Si.layers.0.weight" in capsys.readouterr().err
    assert main(["train", data, "--recipe", "transfer", "--out", model]) == 2
    assert "--start" in capsys.readouterr().err


def test_a_learning_curve_is_printed_written_and_drawn(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, _, model = files
    short = tmp_path / "short.yaml"
    short.write_text(SETTINGS + "  folds: 4\n  validation_folds: 1\n")
    command = ["train", data, "--settings", str(short), "--out", model, "--epochs", "1", "--quiet"]
    assert main([*command, "--learning-curve", "0.25", "1.0"]) == 0
    out, _ = capsys.readouterr()
    assert "errors on 8 frames" in out
    assert (tmp_path / "si.learning" / "learning_curve.json").exists()
    assert (tmp_path / "si.learning" / "learning_curve.png").stat().st_size > 1000
    assert main([*command, "--repeats", "2"]) == 2
    assert "belongs to --learning-curve" in capsys.readouterr().err
    assert main([*command, "--learning-curve", "1.0", "--repeats", "0"]) == 2
    assert "repeats is 0" in capsys.readouterr().err


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
