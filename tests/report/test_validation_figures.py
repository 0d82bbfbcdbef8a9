import math

import numpy as np
import pytest

from ase_mlsample.report.drawn import write_figure
from ase_mlsample.report.validation_figures import plan_figures
from ase_mlsample.validation.properties import PropertyResult, curve
from ase_mlsample.validation.suite import Outcome, Validation
from ase_mlsample.validation.verdicts import Row

X = np.linspace(0.5, 1.5, 11)


def result(name, curves, **facts):
    whole = PropertyResult(name, (), {key: curve(X, y) for key, y in curves.items()}, facts)
    return whole.with_members([whole, whole, "RuntimeError: no"])


def row(verdict, deviation):
    numbers = {"value": 1.0 + deviation, "std": 0.1, "error": None, "reference": 1.0, "reference_error": None}
    words = {"check": "elastic", "key": "C11", "label": "C11", "unit": "GPa", "compared_with": "experiment"}
    return Row(**numbers, **words, literature=None, deviation=deviation, allowed=0.5, verdict=verdict)


def validation():
    bands = result(
        "phonons",
        {"bands": np.array([X, 2 * X]), "dos": X, "heat_capacity": X},
        ticks=[0.5, 1.0, 1.0, 1.5],
        labels=["G", "K", "U", "X"],
    )
    results = {
        "eos": result("eos", {"diamond": X**2, "fcc": X**2 + 1}),
        "phonons-alpha": bands,
        "liquid": result("liquid", dict.fromkeys(("rdf", "structure_factor", "angles", "displacement"), X)),
        "tin_path": result("tin_path", {"energy": X, "volume": X}),
        "trigonal_path": result("trigonal_path", {"energy": X}),
        "elastic": result("elastic", {}),
    }
    rows = (
        row("agrees", 0.1),
        row("within error", -0.6),
        row("differs", 9.0),
        row("", 0.0),
        row("differs", math.nan),
    )
    outcomes = [
        Outcome(
            name, name, one, one if name != "liquid" else None, rows if name == "elastic" else (), "", 1.0
        )
        for name, one in results.items()
    ]
    outcomes.append(Outcome("defects", "Defects", None, None, (), "RuntimeError: no", 1.0))
    return Validation("silicon", "Si", "model", "reference", 3, False, tuple(outcomes))


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
    assert axes.get_yticklabels()[0].get_text() == "C11 (experiment)"


def test_nothing_to_draw():
    assert plan_figures(Validation("silicon", "Si", "m", "", 0, False, ()).to_dict()) == {}
