import json
from pathlib import Path

import pytest

from ase_mlsample import __version__
from ase_mlsample.cli import main
from ase_mlsample.cli.validate import _source
from ase_mlsample.cli.validate_table import progress_bar
from ase_mlsample.report.numbers import number
from ase_mlsample.validation.checks import Check, suite
from ase_mlsample.validation.evaluation import Source, Task
from ase_mlsample.validation.progress import Progress
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


def test_models_share_the_answers_of_their_reference(tmp_path, capsys, monkeypatch):
    calls = []
    original = Check.run

    def counted(self, calc, *args, **settings):
        calls.append(type(calc).__name__)
        return original(self, calc, *args, **settings)

    monkeypatch.setattr(Check, "run", counted)
    shared = ["--reference", SW, "--reference-answers", str(tmp_path / "shared"), "--only", "elastic"]
    for name in ("soft_silicon", "silicon_committee"):
        words = ["validate", f"tests.validation.silicon_potentials:{name}", "--suite", "silicon", *shared]
        assert main([*words, "--members", "none", "--out", str(tmp_path / name)]) == 0
        content = json.loads((tmp_path / name / "validation.json").read_text())
        assert content["outcomes"][0]["reference"]["name"] == "elastic"
        assert [path.name for path in (tmp_path / name / "answers").glob("*.json")] == ["elastic.model.json"]
    assert calls == ["StillingerWeber", "StillingerWeber", "Committee"]
    capsys.readouterr()


def test_published_values_of_something_else_are_explained_below(tmp_path, capsys):
    words = ["validate", SW, "--only", "surfaces", "--quick", "--out", str(tmp_path)]
    assert main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "published for (100) surface, relaxed, (110) surface, relaxed, (111) surface, relaxed: of fr"
        in printed
    )


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys):
    with progress_bar("validating Si") as show:
        check = suite("silicon", ["Si"])[2][0]
        model = Source("sw", lambda precision: None, "sw")
        tasks = [Task(check, "Si", model, who) for who in ("model", "reference")]
        state = Progress(tasks, Path(), Path())
        for task in tasks:
            state.begin(task)
            show(state)
            state.end(task, 3.0)
            show(state)
    assert capsys.readouterr().err == "validating Si: 2 of 2 done\n"


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


def test_a_model_that_is_replaced_on_the_way_is_not_taken_for_the_one_before(model, tmp_path):
    path = tmp_path / "si.safetensors"
    path.write_bytes(model.read_bytes())
    source = _source(str(path), {})
    assert source.make("float32").dtype == "float32"
    path.write_bytes(b"another")
    with pytest.raises(
        RuntimeError, match=r"si\.safetensors was replaced while it was validated\. Start again"
    ):
        source.make("float64")


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
        ([SW, "--reference", "gpwa"], "no reference 'gpwa'; did you mean 'gpaw'?"),
        ([SW, "--reference-answers", "shared"], "--reference-answers belongs to --reference"),
        ([SW, "--reference", "a.safetensors", "--reference-kwargs", "{a: 1}"], "a.safetensors takes none"),
        (["ase.calculators.emt:EMT"], "say which suite"),
    ],
)
def test_bad_input(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no runs/silicon
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
