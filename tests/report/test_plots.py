import numpy as np
import pytest

from ase_mlsample.report.held_out_plots import (
    calibration,
    coverage_curve,
    energy_parity,
    force_parity,
    uncertainty,
)
from ase_mlsample.report.history import ClassErrors, Generation
from ase_mlsample.report.markup import as_json, inline_svg
from ase_mlsample.report.plots import by_generation, candidates, force_errors, stage_times
from ase_mlsample.report.predictions import HeldOutPredictions
from ase_mlsample.report.style import as_svg

GENERATIONS = [
    Generation(n, 10 * n, errors={"a": ClassErrors(0.5 / n, 0.01), "all": ClassErrors(0.4 / n, 0.01)})
    for n in (1, 2)
]


def test_curves_hold_the_numbers():
    (ax,) = force_errors(GENERATIONS, target=0.1).axes
    first, both, target = ax.get_lines()
    assert first.get_xydata().tolist() == [[10, 0.5], [20, 0.25]]
    assert both.get_ydata().tolist() == [0.4, 0.2]
    assert list(target.get_ydata()) == [0.1, 0.1]


def test_one_generation_is_seen():
    (ax,) = force_errors(GENERATIONS[:1]).axes
    assert all(line.get_marker() not in ("", "None") for line in ax.get_lines())


def test_perfect_models_can_be_drawn():
    perfect = [Generation(0, 10, errors={"all": ClassErrors(0.0, 0.0)})]
    assert as_svg(force_errors(perfect), "perfect")
    zero = np.zeros((2, 3))
    predictions = HeldOutPredictions(
        class_of_frame=np.array(["a"]),
        energies=np.ones(1),
        reference_energies=np.ones(1),
        frame_of_atom=np.zeros(2, int),
        forces=zero,
        reference_forces=zero,
        forces_std=zero,
        members=2,
    )
    for draw in (uncertainty, calibration, coverage_curve, force_parity, energy_parity):
        assert as_svg(draw(predictions), "perfect")


def test_bars_stack_up():
    explored = [Generation(3, 0, explored={"learned": 3, "candidate": 1, "rejected": 0})]
    (ax,) = candidates(explored).axes
    assert [bar.get_height() for bar in ax.patches] == [0.75, 0.25, 0.0]
    (ax,) = by_generation({0: {"x": 2}, 1: {"x": 1, "other": 4, "y": 3}}, ylabel="n").axes
    assert max(bar.get_y() + bar.get_height() for bar in ax.patches) == 8
    (ax,) = stage_times([(0, {"label": 2.0, "train": 3.0}), (1, {"train": 4.0})]).axes
    assert max(bar.get_x() + bar.get_width() for bar in ax.patches) == 5.0


def test_many_generations_have_few_ticks():
    (ax,) = by_generation({n: {"x": 1} for n in range(60)}, ylabel="n").axes
    assert len(ax.get_xticks()) <= 13


def test_identifiers_of_two_figures_differ_and_ink_is_the_pages():
    svg = as_svg(force_errors(GENERATIONS), "errors")
    assert svg == as_svg(force_errors(GENERATIONS), "errors")
    inline = inline_svg(svg, "errors", 'a "label"')
    assert inline.count("<svg") == 1
    assert 'aria-label="a &quot;label&quot;"' in inline
    assert "http" not in inline
    assert "#000000" not in inline
    assert "currentColor" in inline
    assert 'id="' not in inline.replace('id="errors-', "")
    with pytest.raises(ValueError, match="no <svg>"):
        inline_svg(b"<html>", "x", "x")


def test_json_in_a_page_ends_no_script():
    text = as_json({"name": "</script><!--", "n": [1, 2]})
    assert "<" not in text
    assert text.endswith('"n":[1,2]}')


def test_names_are_no_formulas_and_in_the_legend():
    kinds = {r"$\bad{$": 1, "_hidden": 2, "<b>": 3}
    figure = by_generation({0: kinds}, ylabel="n")
    text = as_svg(figure, "names").decode()
    assert r">$\bad{$<" in text
    assert "> _hidden<" in text
    assert ">&lt;b&gt;<" in text
