import json

import pytest

from ase_mlsample import __version__
from ase_mlsample.cli import main
from ase_mlsample.report.numbers import number
from tests.calculators.ani_models import silicon_ensemble

SW = "ase_mlsample.calculators:StillingerWeber"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "si.safetensors"
    silicon_ensemble().save(path)
    return path


def test_validate_writes_and_shows_everything(model, tmp_path, capsys):
    folder = tmp_path / "checked"
    words = ["validate", str(model), "--reference", SW, "--only", "elastic"]
    assert main([*words, "--quick", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    for text in ("Elastic constants of diamond", "C11", "151.4", "165.8", "reference", "3 members"):
        assert text in printed
    content = json.loads((folder / "validation.json").read_text())
    assert (content["suite"], content["members"], content["quick"]) == ("silicon", 3, True)
    verdicts = {row["verdict"] for outcome in content["outcomes"] for row in outcome["rows"]}
    assert verdicts <= {"agrees", "within error", "differs", ""}
    assert (folder / "deviations.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "validation.html").read_text()
    assert "Elastic constants of diamond" in page
    assert (folder / "validation.html").as_uri() in printed
    assert content["version"] == __version__


def test_checks_of_before_stay_but_are_not_shown_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ase_mlsample.cli.validate_target.Target.write_page", lambda target: target.folder)
    for check in ("elastic", "tin_path"):
        assert main(["validate", SW, "--only", check, "--quick", "--out", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
    assert "barrier" in printed
    assert "C11" not in printed
    content = json.loads((tmp_path / "validation.json").read_text())
    assert [outcome["check"] for outcome in content["outcomes"]] == ["elastic", "tin_path"]
    (tmp_path / "validation.json").write_text("{")
    assert main(["validate", SW, "--only", "elastic", "--quick", "--out", str(tmp_path)]) == 2
    assert "validation.json cannot be read" in capsys.readouterr().err


def test_a_failed_check_is_said_and_is_an_exit_status_of_1(tmp_path, capsys):
    words = ["validate", "tests.validation.silicon_potentials:soft_silicon", "--suite", "silicon", "--quick"]
    assert main([*words, "--only", "tin_path", "elastic", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "tin_path failed: RuntimeError: " in printed
    assert "C11" in printed


def test_the_folder_is_named_after_the_factory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["validate", SW, "--only", "elastic", "--quick"]) == 0
    assert (tmp_path / "ase_mlsample.calculators.StillingerWeber.validation" / "validation.json").is_file()
    assert "differs" in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_give_the_same(model, tmp_path):
    found = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        words = ["validate", str(model), "--only", "elastic", "eos", "--quick", "--workers", workers]
        assert main([*words, "--out", str(folder)]) == 0
        content = json.loads((folder / "validation.json").read_text())
        found.append([outcome["result"] for outcome in content["outcomes"]])
    assert found[0] == found[1]


def test_list(capsys):
    assert main(["validate", SW, "--list"]) == 0
    printed = capsys.readouterr().out
    assert "suite silicon" in printed
    assert "melting" in printed
    assert "slow" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.safetensors"], "no such model file"),
        (["runs/silicon"], "neither a model file (.safetensors) nor the module:factory"),
        (["ase.calculators.emt:Nothing"], "has no 'Nothing'"),
        ([SW, "--suite", "tin"], "the suite 'tin' is of Sn, and the model knows Si"),
        ([SW, "--only", "elasticity"], "no check elasticity"),
        ([SW, "--workers", "0"], "--workers 0"),
        ([SW, "--reference-kwargs", "{a: 1}"], "belongs to --reference"),
        ([SW, "--reference", "a.safetensors", "--reference-kwargs", "{a: 1}"], "a.safetensors takes none"),
        (["ase.calculators.emt:EMT"], "say which suite"),
    ],
)
def test_bad_input(words, message, capsys):
    assert main(["validate", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (151.424, "151.4"),
        (5.43095, "5.431"),
        (0.0, "0.000"),
        (0.00123, "0.00123"),
        (1687.3, "1687"),
        (None, "–"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text
    assert number(None) == "–"
