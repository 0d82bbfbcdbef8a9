import json
import shutil

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.cli import main
from ase_mlsample.report import write_report
from tests.report.page_reader import check_accessible, check_links, check_loads_nothing, read
from tests.report.report_run import NAME


@pytest.fixture
def page(written):
    return read(written / "report.html")


def test_the_page_loads_nothing(written):
    check_loads_nothing(written / "report.html")


def test_links_lead_somewhere(written):
    check_links(written / "report.html")


def test_the_page_is_accessible(written):
    check_accessible(written / "report.html")


def test_the_page_is_small(written, page):
    assert (written / "report.html").stat().st_size < 5e6


def test_names_are_escaped(written, page):
    text = (written / "report.html").read_text(encoding="utf-8")
    assert NAME in page.text
    assert "<script>alert" not in text
    assert "no <b>convergence</b>" in page.text
    assert "<b>" not in text
    assert [tag for tag, _ in page.elements].count("script") == 2


def test_classes_and_numbers_of_the_summary_are_on_the_page(written, page):
    summary = json.loads((written / "summary.json").read_text())
    for entry in summary["generations"]:
        for kind, errors in entry["evaluate"]["classes"].items():
            assert kind in page.text
            assert f"{errors['force_error']:.3f} · {1000 * errors['energy_rmse']:.1f}" in page.text
            assert f"{errors['coverage']:.3f}" in page.text
    assert f"{summary['labels']['labelled']} labels accepted" in page.text
    assert f"{summary['labels']['failed']} failed" in page.text
    assert summary["finished"] in page.text
    assert summary["reference"]["fingerprint"] in page.text
    for words in (
        "seed 17",
        "LennardJones(rc=6.0)",
        "ase-mlsample 0.1.0",
        "elements Ar",
        "0.1–0.6",
        "0.200",
    ):
        assert words in page.text


def test_the_verdict_judges_by_the_target(written, page):
    assert "a force error of 0.2 in every class, is reached: 2 of 2 classes" in page.text
    assert "Error bars are right on average: 0.600 of the force components" in page.text
    assert "30 of 100 looks" in page.text
    assert "over 0.2" not in page.text


def test_a_missed_target(run, undrawn):
    ledger = Ledger.open(run / "ledger.db")
    ledger.set_meta("config", ledger.meta("config") | {"stop": {"force_error": 0.1}})
    page = read(write_report(run, evaluate=False)[0])
    assert "is not reached: 0 of 2 classes" in page.text
    assert page.text.count("over 0.1") == 2


def test_structures_of_the_page_are_those_of_the_ledger(written, page):
    structures = json.loads(page.scripts["structures"])["structures"]
    uncertain = [shown for shown in structures if shown["group"] == "uncertain"]
    ledger = Ledger.open(written / "ledger.db")
    frames = ledger.atoms(ledger.proposals(1))
    frames.sort(key=lambda atoms: -atoms.info["force_sigma_max"])
    assert len(uncertain) == len(frames) == 5
    for shown, atoms in zip(uncertain, frames, strict=True):
        atoms.wrap(eps=1e-6)
        assert shown["symbols"] == atoms.get_chemical_symbols()
        np.testing.assert_allclose(shown["positions"], atoms.positions, atol=6e-4)
        np.testing.assert_allclose(shown["cell"], atoms.cell.array, atol=6e-5)
        sigma = atoms.info["force_sigma_max"] * np.array([0.25, 0.5, 0.75, 1.0])
        np.testing.assert_allclose(shown["scalars"]["predicted force_sigma"], sigma, rtol=1e-3)
        assert ("true |ΔF|" in shown["scalars"]) == ("REF_forces" in atoms.arrays)
    assert "no <b>convergence</b>" in {
        shown["facts"]["label"].removeprefix("RuntimeError: ") for shown in uncertain
    }
    assert json.loads((written / "report/data.json").read_text())["structures"] == structures


def test_a_run_that_has_just_begun_says_what_is_missing(begun, undrawn):
    page = read(write_report(begun)[0])
    assert "There is no model yet." in page.text
    assert "Nothing is labelled yet." in page.text
    assert "no model is trained yet" in page.text
    assert "There is no structure to show yet" in page.text
    assert "viewer" not in page.ids
    assert "versions were not recorded" in page.text


def nameless(energy=-0.1):
    atoms = bulk("Ar", a=5.3)
    atoms.info["REF_energy"], atoms.arrays["REF_forces"] = energy, np.zeros((1, 3))
    return atoms


@pytest.mark.parametrize(
    ("damage", "statement"),
    [
        (lambda run: shutil.rmtree(run / "models"), "the model of generation 1 is missing"),
        (lambda run: (run.parent / "held_out.extxyz").unlink(), "held_out.extxyz is missing"),
        (lambda run: (run.parent / "held_out.extxyz").write_text("nonsense"), "cannot be evaluated"),
        (lambda run: (run / "models/0001/committee.json").write_text("{"), "cannot be read"),
        (lambda run: (run / "candidates/0001.extxyz").write_text("3\n"), "0001.extxyz cannot be read"),
        (lambda run: (run / "candidates/0001.extxyz").write_text(""), "0001.extxyz cannot be read"),
        (lambda run: (run.parent / "held_out.extxyz").write_text(""), "cannot be evaluated"),
        (lambda run: write(run.parent / "held_out.extxyz", nameless()), "classes are now unnamed"),
        (lambda run: write(run.parent / "held_out.extxyz", nameless(np.nan)), "labels that are not finite"),
    ],
)
def test_what_is_missing_is_said(run, damage, statement, undrawn):
    damage(run)
    page = read(write_report(run)[0])
    assert statement in page.text
    assert "0.200 · 2.0" in page.text
    assert "Missing or doubtful" in page.text


def test_from_the_ledger_alone(run, tmp_path, undrawn):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(run / "ledger.db", alone)
    page = read(write_report(alone)[0])
    assert "0.200 · 2.0" in page.text
    assert "as the time between ends of stages" in page.text
    assert "coloured by element" in page.text
    structures = json.loads(page.scripts["structures"])["structures"]
    assert [shown["scalars"] for shown in structures if shown["group"] == "uncertain"] == [{}] * 5


def test_the_command_says_where_the_page_is(run, capsys, monkeypatch, undrawn):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main(["report", str(run), "--no-model"]) == 0
    assert (run / "report.html").as_uri() in capsys.readouterr().out
    assert opened == []
    assert main(["report", str(run), "--no-model", "--open"]) == 0
    assert opened == [(run / "report.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert main(["report", str(run), "--no-model", "--open"]) == 1
    assert "no browser" in capsys.readouterr().err


def test_the_measure_of_the_trust_window_is_said(run, undrawn):
    told = "The deviation of an atom is "
    assert told + "the calibrated disagreement σ" in read(write_report(run, evaluate=False)[0]).text
    ledger = Ledger.open(run / "ledger.db")
    ledger.set_meta("config", ledger.meta("config") | {"selection": {"measure": "relative", "level": 0.5}})
    assert told + "σ / (1 + |F| / 0.5 eV/Å)" in read(write_report(run, evaluate=False)[0]).text


def test_an_exploration_that_chose_nothing_leaves_the_structures_of_the_one_before(run, undrawn):
    window = {"lo": 0.1, "hi": 0.6, "learned": 70, "candidate": 0, "rejected": 0}
    Ledger.open(run / "ledger.db").propose(2, [], stage="select", summary=window)
    page = read(write_report(run)[0])
    structures = json.loads(page.scripts["structures"])["structures"]
    first = next(shown for shown in structures if shown["group"] == "uncertain")
    # as the model of that exploration saw it then
    assert first["scalars"]["predicted force_sigma"] == [0.125, 0.25, 0.375, 0.5]
    assert first["facts"]["generation"] == "1"
