"""The window with the diagrams, beside a real viewer."""

from functools import partial
from types import SimpleNamespace

import pytest
from ase.io import write

from ase_mlsample.active.live import LiveFrames
from ase_mlsample.gui import open_live, open_viewer
from tests.gui.frames import biased, coloured


@pytest.fixture
def opened(opened_by):
    return partial(opened_by, open_viewer, plot=True)


def click(window, row, panel=0):
    ax, x, y = window.plot._points[panel]
    place = ax.transData.transform((x[row], y[row]))
    window._pressed(SimpleNamespace(inaxes=ax, button=1, x=place[0], y=place[1]))


def marked(window):
    return [float(mark.get_data()[0][0]) for mark in window.plot._marks]


def test_the_frame_shown_is_marked_and_a_click_shows_another(opened):
    viewer = opened([biased(k) for k in range(5)])
    window = viewer.plot_window
    assert marked(window)[0] == pytest.approx(2.0)  # ps; the last frame
    viewer.set_frame(1)
    assert marked(window)[0] == pytest.approx(0.5)
    click(window, 3)
    assert viewer.frame == 3
    assert marked(window)[0] == pytest.approx(1.5)
    window._pressed(SimpleNamespace(inaxes=None, button=1))
    assert viewer.frame == 3


def test_diagrams_are_chosen_in_the_menu(opened):
    window = opened([biased(k) for k in range(3)]).plot_window
    menu = window.menu
    menu.tk.call(menu.cget("postcommand"))
    before = len(window.figure.axes)
    menu.invoke(menu.index("energy"))
    assert len(window.figure.axes) == before + 1
    menu.invoke(menu.index("bias"))
    assert len(window.figure.axes) == before


def test_it_opens_once_and_again_after_it_was_closed(opened):
    viewer = opened([biased(0), biased(1)])
    window = viewer.plot_window
    assert viewer.show_plots() is window
    window.win.destroy()
    viewer.set_frame(0)  # nothing happens to a window that is gone
    assert viewer.show_plots() is not window


def test_repeated_cells_are_the_same_in_numbers(opened):
    viewer = opened([biased(0), biased(1)])
    numbers = viewer.numbers()
    viewer.images.repeat_images([2, 1, 1])
    viewer.set_frame(0)
    assert viewer.numbers() is numbers
    viewer.images.initialize([biased(0)])  # as File > Open does
    viewer.set_frame(0)
    assert len(viewer.numbers()) == 1


def test_it_grows_with_a_run_and_knows_frames_that_are_no_longer_kept(tmp_path, opened_by):
    path = tmp_path / "md.extxyz"
    write(path, [biased(k) for k in range(3)])
    viewer = opened_by(open_live, path, interval_s=1000.0, history=2, plot=True)
    window = viewer.plot_window
    assert len(viewer.images) == 2
    assert len(window.plot._points[0][1]) == 3
    assert marked(window)[0] == pytest.approx(1.0)
    write(path, biased(3), append=True)
    viewer.look()
    window.win.update()
    assert len(window.plot._points[0][1]) == 4
    assert marked(window)[0] == pytest.approx(1.5)
    click(window, 2)
    assert viewer.atoms.info["time_fs"] == 1000.0
    click(window, 0)
    assert "no longer kept" in window.note["text"]
    assert viewer.atoms.info["time_fs"] == 1000.0


def test_the_trust_window_of_a_run_at_work_is_drawn(tmp_path, opened_by):
    with LiveFrames(tmp_path / "live", "0001-00000", notes={"trust_lo": 0.4, "trust_hi": 3.2}) as live:
        live.publish(coloured())
        viewer = opened_by(open_live, tmp_path, interval_s=1000.0, plot=True)
        words = [text.get_text() for ax in viewer.plot_window.figure.axes for text in ax.texts]
        assert words == ["candidate ↑"]


def test_a_run_that_has_not_begun(tmp_path, opened_by):
    viewer = opened_by(open_live, tmp_path / "md.extxyz", interval_s=1000.0, plot=True)
    assert [text.get_text() for text in viewer.plot_window.figure.texts] == ["nothing to draw yet"]
