"""The diagrams themselves, on a canvas without a window."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_mlsample.gui.frame_numbers import FrameNumbers
from ase_mlsample.gui.frame_plot import BIAS_MAP, FramePlot, default_panels, panels
from ase_mlsample.gui.run_estimate import Estimate
from tests.gui.frames import bare, biased

ORDER, FORCES = "variable order", "disagreement of forces"


@pytest.fixture
def plot():
    figure = Figure(figsize=(5.6, 6.4))
    FigureCanvasAgg(figure)
    return FramePlot(figure)


@pytest.fixture
def numbers():
    return FrameNumbers(biased(k) for k in range(5))


def curve(ax, number=0):
    return ax.get_lines()[number].get_data()


def test_usual_diagrams(numbers):
    assert default_panels(numbers) == [ORDER, "bias", FORCES, "disagreement of energies", BIAS_MAP]
    assert set(default_panels(numbers)) < set(panels(numbers))
    assert default_panels(FrameNumbers([bare()])) == []


def test_curves_over_time(plot, numbers):
    plot.draw(numbers, [ORDER, "bias"])
    plot.figure.canvas.draw()
    first, second = plot.figure.axes
    assert second.get_xlabel() == "time (ps)"
    assert curve(first)[0] == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert curve(first)[1] == pytest.approx([1, 0.9, 0.8, 0.7, 0.6])
    assert curve(second)[1] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert second.get_ylabel() == "bias V\n(eV)"


def test_the_trust_window_is_drawn_as_far_as_it_is_near(plot, numbers):
    plot.draw(numbers, [FORCES])
    (ax,) = plot.figure.axes
    constant = {line.get_ydata()[0] for line in ax.get_lines() if len(set(line.get_ydata())) == 1}
    assert 0.5 in constant
    assert 20.0 not in constant  # it would press the curves flat
    assert [text.get_text() for text in ax.texts] == ["candidate ↑"]


def test_lines_end_where_a_trajectory_does(plot):
    plot.draw(FrameNumbers([biased(0), biased(1), biased(0)]), ["bias"])
    (ax,) = plot.figure.axes
    assert ax.get_xlabel() == "frame"
    assert curve(ax)[1] == pytest.approx([0, 0.1, np.nan, 0], nan_ok=True)


def test_a_frame_is_marked_in_each_diagram_and_found_by_a_click(plot, numbers):
    plot.draw(numbers, [ORDER, BIAS_MAP])
    marks = plot.mark(3)
    assert [mark.get_data()[1][0] for mark in marks] == pytest.approx([0.7, 0.3])
    assert [len(mark.get_data()[0]) for mark in plot.mark(-1)] == [0, 0]
    over_time, bias_map = plot.figure.axes
    for ax, place in ((over_time, (1.5, 0.61)), (bias_map, (0.7, 0.3))):
        assert plot.row_at(ax, *ax.transData.transform(place)) == 3
    far = bias_map.transData.transform((0.7, 0.05))
    assert plot.row_at(bias_map, *far) is None


def test_two_variables_are_a_map_coloured_by_the_bias(plot):
    frames = [biased(k) for k in range(3)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"cv": np.array([0.1 * k, 1.0 * k]), "cv_names": "a b"}
    plot.draw(FrameNumbers(frames), [BIAS_MAP])
    (ax,) = plot.figure.axes
    (points,) = ax.collections
    assert points.get_offsets()[2].tolist() == pytest.approx([0.2, 2.0])
    assert points.get_array().tolist() == pytest.approx([0, 0.1, 0.2])


def test_two_variables_without_a_bias_are_a_map_coloured_by_time(plot):
    frames = [bare() for _ in range(3)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"cv": np.array([0.1 * k, 1.0 * k]), "cv_names": "a b"}
    plot.draw(FrameNumbers(frames), [BIAS_MAP])
    (ax,) = plot.figure.axes
    (points,) = ax.collections
    assert points.get_array().tolist() == [0, 1, 2]
    assert ax.get_title(loc="right") == "dark: early frames"


def test_nothing_to_draw_is_said(plot):
    plot.draw(FrameNumbers([bare()]), ["bias"])
    assert [text.get_text() for text in plot.figure.texts] == ["nothing to draw yet"]


def test_names_are_no_formulas(plot):
    frames = [bare(), bare()]
    for k, atoms in enumerate(frames):
        atoms.info["$x_$y$"] = float(k)
    plot.draw(FrameNumbers(frames), ["$x_$y$"])
    plot.figure.canvas.draw()
    assert plot.figure.axes[0].get_ylabel() == r"\$x_\$y\$"


def test_the_free_energy_is_drawn_with_the_bias(plot, numbers):
    axis = np.linspace(0.6, 1.0, 5)
    plot.draw(numbers, [BIAS_MAP], Estimate(axis, np.array([0, 1, 2, 3, np.inf]), "from 9 hills"))
    (ax,) = plot.figure.axes
    curves = [line.get_data() for line in ax.get_lines()]
    assert any(len(x) == 5 and y == pytest.approx([0, 1, 2, 3, np.nan], nan_ok=True) for x, y in curves)
    assert ax.get_title(loc="left") == "line: F from 9 hills"
