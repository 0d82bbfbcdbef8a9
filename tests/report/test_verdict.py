import pytest

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.report import read_history
from ase_mlsample.report.verdict import duration, verdict
from tests.report.report_run import evaluated


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (400, "6 min 40 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_error_bars_that_are_too_small_are_called_so(run):
    told = evaluated(0.3)
    for numbers in told["classes"].values():
        numbers["coverage"] = 0.3
    Ledger.open(run / "ledger.db").finish_stage(1, "evaluate", told)
    assert any("Error bars are too small: 0.300" in text for text in verdict(read_history(run)).sentences)


def test_without_a_held_out_set_the_data_at_hand_judge(run):
    ledger = Ledger.open(run / "ledger.db")
    with ledger._write() as connection:
        connection.execute("DELETE FROM stages WHERE name = 'evaluate'")
    ledger.set_meta("config", ledger.meta("config") | {"testset": None})
    found = verdict(read_history(run))
    assert found.headline.startswith(
        "The model of generation 1 has a force RMSE of 0.100 eV/Å on the labels that calibrate it"
    )
    assert "the target is 0.2 eV/Å" in found.headline
    ledger.set_meta("config", ledger.meta("config") | {"model": {"type": "ani", "members": 4}})
    assert "0.100 eV/Å on validation data" in verdict(read_history(run)).headline


def test_an_unfinished_run_says_so(run):
    Ledger.open(run / "ledger.db").finish_stage(1, "end", {"reason": None})
    texts = verdict(read_history(run)).sentences
    assert any("The run is not finished" in text for text in texts)


def test_an_error_that_is_no_number_is_the_worst(run):
    told = evaluated(0.1)
    told["classes"]["cold"] = told["classes"]["cold"] | {"force_error": float("nan")}
    Ledger.open(run / "ledger.db").finish_stage(1, "evaluate", told)
    assert "is not reached: 1 of 2 classes" in verdict(read_history(run)).headline
    assert "the worst (cold) is at nan" in verdict(read_history(run)).headline
