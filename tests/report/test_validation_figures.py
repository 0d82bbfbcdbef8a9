import pytest

from ase_mlsample.report.drawn import described, write_figure
from ase_mlsample.report.style import new_figure
from ase_mlsample.report.validation_figures import figure_names, lines, plan_figures
from ase_mlsample.validation.properties import PropertyResult, curve
from ase_mlsample.validation.suite import Validation
from tests.report.fabricated_validation import X, validation


def test_a_figure_of_each_kind(tmp_path):
    plans = plan_figures(validation().to_dict())
    paths = [write_figure(plan.draw(), name, tmp_path)[0][0] for name, plan in plans.items()]
    assert {path.stem for path in paths} == {
        "deviations",
        "eos",
        "phonons-alpha",
        "heat_capacity-alpha",
        "rdf",
        "structure_factor",
        "bond_angles",
        "displacement",
        "tin_path",
        "trigonal_path",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_lines_are_those_of_the_curves():
    figures = {name: plan.draw for name, plan in plan_figures(validation().to_dict()).items()}
    (axes,) = figures["tin_path"]().axes
    labels = [line.get_label() for line in axes.lines if not line.get_label().startswith("_")]
    assert labels == ["members alone", "model", "reference"]
    model = next(line for line in axes.lines if line.get_label() == "model")
    assert model.get_ydata() == pytest.approx(X)
    bands, dos = figures["phonons-alpha"]().axes
    assert [tick.get_text() for tick in bands.get_xticklabels()] == ["Γ", "K|U", "X"]
    assert len(dos.lines) == 5  # two members, the model, the reference, the zero
    (axes,) = figures["deviations"]().axes
    assert len(axes.get_yticks()) == 3  # one without a verdict or a value is not shown
    assert axes.get_yticklabels()[2].get_text() == "C44 (experiment)"
    (bar,) = axes.containers[0].lines[2][0].get_segments()
    # of C11: 1 GPa of the members and 1.5 GPa of the reference, of 15.1 GPa that are allowed
    assert bar[1, 0] - bar[0, 0] == pytest.approx(2 * 3.25**0.5 / 15.1)


def test_nothing_to_draw():
    assert plan_figures(Validation("silicon", "Si", "m", "", 0, False, ()).to_dict()) == {}


def test_all_names_are_known_beforehand():
    found = validation()
    possible = figure_names(outcome.check for outcome in found.outcomes)
    assert set(plan_figures(found.to_dict())) <= possible
    assert "mine" not in possible


def test_captions_say_what_lines_are():
    plans = plan_figures(validation().to_dict())
    assert plans["tin_path"].caption.endswith("the 2 members, each alone. Dashed: the reference.")
    assert "Dashed" not in plans["rdf"].caption
    assert plans["deviations"].check == ""


def test_the_range_of_the_members():
    whole = PropertyResult("tin_path", (), {"energy": curve(X, X)})
    others = [PropertyResult("tin_path", (), {"energy": curve(X[::-1], X[::-1] + d)}) for d in (-0.5, 0.25)]
    _, ax = new_figure()
    lines(ax, whole.with_members(others).to_dict(), None, "energy")
    (band,) = ax.collections
    vertices = band.get_paths()[0].vertices
    at = vertices[vertices[:, 0] == 1.0][:, 1]
    assert (at.min(), at.max()) == pytest.approx((0.5, 1.25))


def test_figures_in_words():
    figure, ax = new_figure()
    ax.plot([0, 2], [-1, 1], label="model")
    ax.set(xlabel="time (ps)", ylabel="energy\n(eV)", xlim=(0, 2), ylim=(-1, 1))
    assert described(figure) == "Plot of energy (eV) from −1 to 1 against time (ps) from 0 to 2."
    ax.legend()
    assert described(figure).endswith("Shown: model.")
    bands = described(plan_figures(validation().to_dict())["phonons-alpha"].draw())
    assert "against Γ, K|U, X; beside it" in bands
    assert bands.endswith("Shown: members alone, model, reference.")
