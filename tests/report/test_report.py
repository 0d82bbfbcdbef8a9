import json

import numpy as np
import pytest

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.calculators import Committee, StillingerWeber
from ase_mlsample.report import predict_held_out, read_history, write_report
from ase_mlsample.report.held_out import read_held_out
from tests.report.report_run import REFERENCE, committee, crystals

FROM_LEDGER = ["force_errors", "energy_errors", "candidates", "trust_window", "origins", "kinds", "labels"]
FROM_LEDGER += ["stage_times"]
FROM_MODEL = ["uncertainty", "calibration", "coverage", "force_parity", "energy_parity"]


def test_history_adds_up(run):
    history = read_history(run)
    first, second = history.generations
    assert (first.n_labels, second.n_labels) == (3, 7)
    assert list(second.errors) == ["cold", "hot", "all"]
    assert second.errors["hot"].force_error == 0.2
    assert second.errors["hot"].spearman == 0.7
    assert first.explored == {}
    assert second.explored == {"learned": 70, "candidate": 20, "rejected": 10}
    assert second.window == (0.1, 0.6)
    assert first.seconds == {"train": 5.0}
    assert second.seconds == {"train": 12.0}
    assert second.work == {"label": 10.0}
    assert history.origins.sources[0] == {"PerturbedCrystal": 4}
    assert history.origins.sources[1] == {"RampedMD from PerturbedCrystal": 5}
    assert history.origins.kinds[1] == {"hot": 3, "cold": 2}
    assert history.origins.states["RampedMD from PerturbedCrystal"] == {"labelled": 4, "failed": 1}
    assert (history.last_model, history.running, history.trouble) == (1, False, None)


def test_without_a_log_times_come_from_the_ledger(run):
    (run / "log.jsonl").unlink()
    history = read_history(run)
    assert history.timed_by == "ledger"
    ends = Ledger.open(run / "ledger.db").stage_ends()
    assert history.generations[1].seconds["train"] == pytest.approx(ends[1]["train"] - ends[1]["label"])
    assert sum(sum(g.seconds.values()) for g in history.generations) == pytest.approx(
        ends[1]["evaluate"] - history.created, abs=0.01
    )


@pytest.mark.parametrize(
    ("events", "trouble"),
    [
        ([{"event": "failed", "error": "ValueError: x"}], "it failed with ValueError: x"),
        ([{"event": "interrupted"}], "it was interrupted"),
        ([], "its process ended without a word"),
    ],
)
def test_why_an_unfinished_run_stopped(run, events, trouble):
    Ledger.open(run / "ledger.db").finish_stage(1, "end", {"reason": None})
    log = [{"event": "interrupted"}, {"event": "resumed"}, *events]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, log)))
    assert read_history(run).trouble == trouble


def test_page_plots_and_numbers_are_written(written):
    for name in FROM_LEDGER + FROM_MODEL:
        assert (written / f"report/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (written / f"report/{name}.svg").read_bytes().rstrip().endswith(b"</svg>")
    summary = json.loads((written / "summary.json").read_text())
    assert summary["labels"] == {"labelled": 7, "failed": 2}
    assert summary["stage_seconds"]["1"] == {"train": 12.0}


def test_the_same_state_gives_the_same_bytes_and_nothing_is_left_over(written):
    """The whole report once more: the same files, named in order, and no temporary ones."""
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    again = write_report(written)
    assert {path: path.read_bytes() for path in written.rglob("*") if path.is_file()} == before
    assert again[0] == written / "report.html"
    assert {path.stem for path in again[1:-2]} == set(FROM_LEDGER + FROM_MODEL)
    assert again[-2:] == [written / "report/data.json", written / "summary.json"]
    assert not [path for path in before if path.name.startswith(".")]


def test_numbers_behind_the_plots(written, testset):
    data = json.loads((written / "report/data.json").read_text())
    assert [g["n_labels"] for g in data["generations"]] == [3, 7]
    predictions = predict_held_out(committee(), testset).of("cold")
    error = predictions.forces - predictions.reference_forces
    cold = data["held_out"]["classes"]["cold"]
    assert cold["force_rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    width = data["held_out"]["widths"][9]
    inside = np.mean(np.abs(error) <= width * 2 * predictions.forces_std)  # calibrated by 2
    assert cold["coverage"][9] == pytest.approx(inside)


def test_without_the_model_no_plot_needs_it_and_old_ones_go(run, undrawn):
    write_report(run)
    mine = run / "report/mine.png"
    mine.write_bytes(b"of the user")
    written = write_report(run, evaluate=False)
    assert {path.stem for path in written if path.suffix == ".png"} == set(FROM_LEDGER)
    assert {path.stem for path in run.glob("report/*.svg")} == set(FROM_LEDGER)
    assert mine.exists()
    assert json.loads((run / "report/data.json").read_text())["held_out"] is None


def test_a_run_that_has_only_proposed(begun, undrawn):
    written = write_report(begun)
    assert {path.stem for path in written if path.suffix == ".png"} == {"origins", "kinds", "stage_times"}


def test_a_run_that_has_just_begun(tmp_path):
    config = {"name": "new", "elements": ["Ar"], "reference": {}}
    Ledger.create(tmp_path / "ledger.db", reference=REFERENCE, config=config)
    names = [path.name for path in write_report(tmp_path)]
    assert names == ["report.html", "data.json", "summary.json"]


def test_rare_origins_are_gathered(tmp_path):
    config = {"name": "new", "elements": ["Ar"], "reference": {}}
    ledger = Ledger.create(tmp_path / "ledger.db", reference=REFERENCE, config=config)
    frames = crystals(12, 0.1)
    for number, atoms in enumerate(frames):
        atoms.info.update(config_type="", source=f"sampler{number}")
    ledger.propose(0, frames[:7], stage="select", summary={})
    assert "other" not in read_history(tmp_path).origins.sources[0]
    ledger.propose(1, frames[7:], stage="select", summary={})
    origins = read_history(tmp_path).origins
    both = [*origins.sources[0].items(), *origins.sources[1].items()]
    assert sum(number for name, number in both if name == "other") == 6
    assert sum(number for _, number in both) == 12
    assert len({name for name, _ in both}) == 7
    assert len(origins.states) == 12
    assert origins.kinds[0] == {"unnamed": 7}


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no ledger"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_the_calculators(run, testset):
    held_out, notes = read_held_out(run, read_history(run))
    predictions = held_out.predictions
    assert predictions.kinds == ["hot", "cold"]
    assert predictions.members == 3
    same = predict_held_out(committee(), testset)
    np.testing.assert_allclose(predictions.forces, same.forces)
    np.testing.assert_allclose(predictions.forces_std, 2 * same.forces_std)
    hot = predictions.of("hot")
    assert len(hot.energies) == 3
    assert hot.frame_of_atom.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_allclose(hot.forces[4:8], predictions.forces[8:12])
    np.testing.assert_allclose(hot.force_sigma**2, (hot.forces_std**2).sum(axis=1))
    (note,) = notes  # the fixture's recorded errors are not those of its committee
    assert "was changed since" in note


def test_frames_without_labels_and_models_without_a_spread_are_refused(testset):
    with pytest.raises(ValueError, match=r"frame 0 .* lacks REF_energy"):
        predict_held_out(committee(), crystals(1, 0.1))
    with pytest.raises(ValueError, match="no spread"):
        predict_held_out(StillingerWeber(), testset)
    with pytest.raises(ValueError, match="empty"):
        predict_held_out(Committee([StillingerWeber(), StillingerWeber()]), [])


def test_numbers_that_json_has_no_word_for_are_null(run, undrawn):
    nan = float("nan")
    Ledger.open(run / "ledger.db").finish_stage(1, "train", {"force_rmse": nan, "energy_rmse": np.inf})
    *_, data, summary = write_report(run, evaluate=False)

    def refuse(word):
        raise AssertionError(word)

    content = json.loads(data.read_text(), parse_constant=refuse)
    assert content["generations"][1]["training"] == {"force_rmse": None, "energy_rmse": None}
    content = json.loads(summary.read_text(), parse_constant=refuse)
    assert content["generations"][1]["train"]["force_rmse"] is None
