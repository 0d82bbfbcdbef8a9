from dataclasses import replace

import numpy as np
import pytest

from ase_mlsample.active.ledger import Ledger
from ase_mlsample.calculators.prediction import Calibration
from ase_mlsample.report import predict_held_out
from ase_mlsample.report.structures import element_table, most_uncertain, worst_held_out
from tests.report.report_run import CALIBRATION, committee, labelled

SIGMA, ERROR = "predicted force_sigma", "true |ΔF|"


def test_the_worst_of_each_class_are_among_the_worst(testset):
    from ase.io import read

    frames = read(testset, index=":")
    predictions = predict_held_out(committee(), frames)
    largest = [predictions.atom_errors[4 * n : 4 * n + 4].max() for n in range(6)]
    by_class = {
        kind: max(largest[n] for n in range(6) if predictions.class_of_frame[n] == kind)
        for kind in ("hot", "cold")
    }
    two = worst_held_out(predictions, frames, most=2)
    assert [shown.scalars[ERROR].max() for shown in two] == sorted(by_class.values(), reverse=True)
    shown = worst_held_out(predictions, frames, most=4)
    tops = [structure.scalars[ERROR].max() for structure in shown]
    assert tops == sorted(tops, reverse=True)
    assert set(by_class.values()) <= set(tops)
    assert len(worst_held_out(predictions, frames)) == 6
    assert shown[0].scalars[SIGMA] == pytest.approx(
        predictions.force_sigma[predictions.atom_errors.argmax() // 4 * 4 :][:4]
    )


def test_without_candidates_the_model_colours(run):
    ledger = Ledger.open(run / "ledger.db")
    calculator = committee(calibration=Calibration(**CALIBRATION))
    shown = most_uncertain(ledger, 1, [], calculator, most=2)
    assert [structure.atoms.info["force_sigma_max"] for structure in shown] == [0.5, 0.4]
    for structure in shown:
        bare = structure.atoms.copy()
        expected = calculator.get_spread(bare).calibrated.force_sigma
        np.testing.assert_allclose(structure.scalars[SIGMA], expected)
    error = calculator.get_forces(shown[0].atoms) - labelled(shown[0].atoms)["forces"]
    np.testing.assert_allclose(shown[0].scalars[ERROR], np.linalg.norm(error, axis=1))
    assert ERROR not in shown[1].scalars  # its label failed
    assert shown[0].facts["started from"] == "PerturbedCrystal"


def test_before_the_first_exploration_there_is_nothing(begun):
    assert most_uncertain(Ledger.open(begun / "ledger.db"), 0, []) == []


def test_atoms_are_shown_inside_their_cell(run):
    (first, *_) = most_uncertain(Ledger.open(run / "ledger.db"), 1, [])
    first.atoms.positions += [7.0, -6.0, 30.0]
    scaled = np.linalg.solve(first.atoms.cell.array.T, np.transpose(first.to_dict()["positions"]))
    assert (scaled > -1e-3).all()
    assert (scaled < 1 + 1e-3).all()


def test_elements_have_radius_and_colour(run):
    table = element_table(most_uncertain(Ledger.open(run / "ledger.db"), 1, []))
    assert list(table) == ["Ar"]
    assert table["Ar"]["radius"] == pytest.approx(1.06)
    assert all(0 <= x <= 255 for x in table["Ar"]["colour"])


def test_what_is_not_finite_is_null_in_the_page(run):
    (first, *_) = most_uncertain(Ledger.open(run / "ledger.db"), 1, [])
    told = replace(first, scalars={SIGMA: np.array([np.nan, np.inf, 0.123456, 2.0])}).to_dict()
    assert told["scalars"][SIGMA] == [None, None, 0.1235, 2.0]


def test_what_is_no_plain_value_is_no_fact(testset):
    from ase.io import read

    frames = read(testset, index=":")
    predictions = predict_held_out(committee(), frames)
    frames[0].info |= {"source": np.array([1, 2, 3]), "temperature_K": np.float64(300.0), "stage": ""}
    shown = worst_held_out(predictions, frames)
    facts = next(one.facts for one in shown if one.facts["frame of the held-out set"] == "0")
    assert facts["temperature"] == "300 K"
    assert not {"made by", "stage"} & facts.keys()
