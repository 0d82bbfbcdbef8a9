import hashlib
import json
import shutil

import pytest

from ase_mlsample.cli import main
from ase_mlsample.report import write_report, write_validation_page
from tests.report.fabricated_validation import CALCULATED, MEASURED, validation
from tests.report.page_reader import check_accessible, check_links, check_loads_nothing, read


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The page of a validation of its own, everything drawn; nobody may change it."""
    folder = tmp_path_factory.mktemp("alone")
    validation().save(folder / "validation.json")
    return write_validation_page(folder)[0]


@pytest.fixture
def validated(run):
    """A run with a validation of its newest model."""
    shutil.copy(run / "models/0001/committee.json", run / "committee.json")
    (run / "validation").mkdir()
    content = hashlib.sha256((run / "committee.json").read_bytes()).hexdigest()
    validation(fingerprint=content).save(run / "validation/validation.json")
    return run


def row_of(page, name):
    (found,) = [row for row in page.rows if row[0][0] == name]
    return found


def test_it_is_a_page_as_others_are(alone):
    check_loads_nothing(alone)
    check_links(alone)
    check_accessible(alone)
    page = read(alone)
    assert page.headings[0] == ["h1", "Validation of <model>"]
    assert [text for tag, text in page.headings if tag == "h3"] == [
        "The eos",
        "Elastic constants",
        *(f"The {name}" for name in ("phonons-alpha", "liquid", "tin_path", "trigonal_path")),
        "Defects",
        "Literature",
    ]


def test_names_are_escaped(alone):
    text = alone.read_text(encoding="utf-8")
    page = read(alone)
    assert "<b>" not in text
    assert "<modulus>" not in text
    assert MEASURED.source in page.text
    assert "RuntimeError: no <vacancy>" in page.text


def test_quantities_with_their_verdict_and_its_criterion(alone):
    page = read(alone)
    heading = [["quantity", ""], ["reference", ""], ["model", ""], ["± members", ""], ["± sampling", ""]]
    heading += [["literature", "text"], ["deviation", ""], ["criterion", "text"], ["verdict", "text"]]
    assert heading in page.rows
    texts = {name: [text for text, _ in row_of(page, f"{name} (GPa)")[1:]] for name in ("C11", "C12", "C44")}
    assert texts["C11"] == ["151.0 ± 1.5", "150.0", "1.0", "", "", "−1.00", "±15.1 (10 %)", "agrees"]
    numbers = ["76.00", "60.0", "28", "", "63.90 theory [1]", "−16.0"]
    assert texts["C12"] == [*numbers, "±7.6 (10 %)", "within error"]
    at_last = ["79.62 ± 0.50 [2]", "−49.62", "±7.96 (10 % of experiment)", "differs"]
    assert texts["C44"] == ["", "30.00", "0.20", "", *at_last]
    assert [css for _, css in row_of(page, "C44 (GPa)")][-1] == "judged bad"
    unjudged = [text for text, _ in row_of(page, "shear <modulus> (10⁻⁹ GPa)")]
    assert unjudged[2:5] == ["−1.50", "", "0.25"]
    assert unjudged[5:] == ["50.00 [2]", "", "", "–"]
    missing = [text for text, _ in row_of(page, "young (GPa)")]
    assert (missing[1], missing[2], missing[-1]) == ("9.000", "–", "differs")


def test_sources_are_numbered(alone):
    page = read(alone)
    assert page.text.index(CALCULATED.source) < page.text.index(MEASURED.source)
    links = {a["href"]: a["title"] for tag, a in page.elements if tag == "a" and "title" in a}
    assert links == {"#source-1": CALCULATED.source, "#source-2": MEASURED.source}


def test_the_overview_counts_and_says_what_is_missing(alone):
    page = read(alone)
    found = validation()
    cells = {row[0][0]: [text for text, _ in row[1:]] for row in page.rows if len(row) == 7}
    assert cells["Elastic constants"][:4] == ["1", "1", "2", "1"]
    assert cells["Elastic constants"][4:] == ["1 min 1 s", "quick settings, failed for member 2"]
    assert cells["Defects"] == ["", "", "", "", "1.0 s", "failed"]
    assert cells["Phonons of diamond"] == ["", "", "", "", "", "not computed"]
    assert cells["Melting by coexistence of two phases"][-1].startswith("not computed (slow")
    totals = [str(found.count(verdict)) for verdict in ("agrees", "within error", "differs", "")]
    assert cells["all"][:4] == totals
    assert "4 quantities compared with the reference reference and the literature: 1 agree, " in page.text
    assert "1 of 7 checks failed" in page.text


def test_what_failed_and_notes_are_said(alone):
    text = read(alone).text
    assert "The check failed: RuntimeError: no <vacancy>" in text
    assert "member 2 has no values: RuntimeError: fell apart" in text
    assert "stable & sound" in text
    assert "The published value of shear <modulus> is of glass: nothing is judged by it." in text
    assert "tensor_GPa: [[150.0]]" in text


def test_the_same_results_give_the_same_bytes_and_old_figures_go(tmp_path, undrawn):
    validation().save(tmp_path / "validation.json")
    before = {path: path.read_bytes() for path in write_validation_page(tmp_path)}
    (tmp_path / "mine.png").write_bytes(b"of the user")
    (tmp_path / "phonons.png").write_bytes(b"of an earlier state")
    assert {path: path.read_bytes() for path in write_validation_page(tmp_path)} == before
    assert (tmp_path / "mine.png").exists()
    assert not (tmp_path / "phonons.png").exists()


def test_nothing_but_a_failure(tmp_path, undrawn):
    outcomes = tuple(one for one in validation().outcomes if one.result is None)
    validation(outcomes=outcomes, reference="", reference_fingerprint="").save(tmp_path / "validation.json")
    page = read(write_validation_page(tmp_path)[0])
    assert "No quantity could be judged; 1 of 1 checks failed." in page.text


def test_a_run_without_one_says_how(written):
    assert "`mlsample validate run` does" in read(written / "report.html").text


def test_a_run_shows_its_own(validated, undrawn):
    written = write_report(validated, evaluate=False)
    path = validated / "report.html"
    page = read(path)
    check_links(path)
    assert row_of(page, "C11 (GPa)")[-1] == ["agrees", "judged good"]
    assert "Properties: 4 quantities compared with" in page.text
    assert "not of the present model" not in page.text
    assert validated / "validation/tin_path.svg" in written
    assert "validation-tin_path" in page.ids
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert "table.judged" in page.scripts["code"]


@pytest.mark.parametrize(
    ("model", "whose"),
    [("models/0000/committee.json", "the model of generation 0"), (None, "another model")],
)
def test_results_of_an_older_model_are_said_to_be(validated, undrawn, model, whose):
    if model is not None:
        (validated / model).write_text((validated / "committee.json").read_text())
    (validated / "committee.json").write_text("{}")
    (validated / "models/0001/committee.json").write_text("{}")
    if model is None:
        (validated / "models/0000/committee.json").write_text("{}")
    write_report(validated, evaluate=False)
    page = read(validated / "report.html")
    told = f"they are of {whose}, and the run has a newer one: run `mlsample validate run` again"
    assert page.text.count(told) == 2  # at the top and in the section
    assert "These results are not of the present model." in page.text
    assert "Properties of an older model: " in page.text
    assert [a["class"] for tag, a in page.elements if tag == "aside"][:2] == ["notice", "notice stale"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"suite": "silicon"}', "\udcff"])
def test_damaged_results_are_said_to_be(validated, undrawn, capsys, damage):
    path = validated / "validation/validation.json"
    path.write_text(damage, errors="surrogateescape")
    write_report(validated, evaluate=False)
    text = read(validated / "report.html").text
    assert "The results cannot be read." in text
    assert text.count("validation.json cannot be read") == 2
    assert "run `mlsample validate` again" in text
    assert main(["report", str(validated / "validation")]) == 2
    assert "validation.json cannot be read" in capsys.readouterr().err


def test_the_command_rebuilds_a_page_of_its_own(tmp_path, undrawn, capsys):
    validation().save(tmp_path / "validation.json")
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "validation.html").as_uri() in capsys.readouterr().out
    assert json.loads((tmp_path / "validation.json").read_text()) == validation().to_dict()
