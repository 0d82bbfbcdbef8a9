from pathlib import Path

import pytest

from ase_mlsample.cli import main
from ase_mlsample.cli.validate_target import target


@pytest.fixture
def run(tmp_path):
    """Folder of a run as far as it matters here: a ledger, two generations, the newest one's model on top."""
    folder = tmp_path / "run"
    for number in (0, 1):
        (folder / f"models/000{number}").mkdir(parents=True)
        (folder / f"models/000{number}/model.safetensors").write_bytes(b"model %d" % number)
    (folder / "model.safetensors").write_bytes(b"model 1")
    (folder / "ledger.db").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "described", ["", "model.safetensors", "models/0001", "models/0001/model.safetensors"]
)
def test_the_newest_model_of_a_run(run, described):
    found = target(str(run / described), None)
    assert (found.folder, found.run) == (run / "validation", run)
    assert Path(found.model).read_bytes() == b"model 1"
    (run / "model.safetensors").write_bytes(b"model 2")  # the run trains on
    assert Path(found.model).read_bytes() == b"model 1"
    (run / "model.safetensors").write_bytes(b"model 1")
    assert target(str(run / described), run / "validation") == found


def test_an_older_one_is_no_longer_the_runs(run):
    found = target(str(run / "models/0000"), None)
    assert (found.folder, found.run) == (run / "models/0000/model.validation", None)


def test_results_elsewhere_get_a_page_of_their_own(run, tmp_path):
    found = target(str(run), tmp_path / "other")
    assert (found.folder, found.run) == (tmp_path / "other", None)


def test_a_committee(run):
    for path in (run, run / "models/0001"):
        (path / "model.safetensors").rename(path / "committee.json")
    assert target(str(run), None).model == str(run / "models/0001/committee.json")
    assert target(str(run), None).run == run


def test_a_run_without_its_generations(run):
    for number in (0, 1):
        (run / f"models/000{number}/model.safetensors").unlink()
    assert target(str(run), None).model == str(run / "model.safetensors")


def test_no_run(tmp_path, capsys):
    alone = tmp_path / "si.safetensors"
    alone.write_bytes(b"model")
    assert target(str(alone), None).folder == tmp_path / "si.validation"
    assert target("ase.calculators.emt:EMT", None).folder == Path("ase.calculators.emt.EMT.validation")
    assert main(["validate", str(tmp_path)]) == 2
    assert f"there is no model in {tmp_path}" in capsys.readouterr().err
