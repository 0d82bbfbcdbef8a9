"""The real GUI, in a display of its own."""

import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
from ase import Atoms

from ase_mlsample.gui import open_viewer
from ase_mlsample.gui.range_window import parse_range
from ase_mlsample.gui.scalars import NO_VALUE, palette
from tests.gui.frames import bare, coloured


@pytest.fixture
def opened(opened_by):
    return partial(opened_by, open_viewer)


def entries(menu):
    menu.tk.call(menu.cget("postcommand"))  # as opening it does
    return {
        menu.entrycget(n, "label"): n for n in range(menu.index("end") + 1) if menu.type(n) != "separator"
    }


def texts(viewer):
    canvas = viewer.color_bar.canvas
    if not canvas.winfo_manager():
        return []  # it is not shown
    return [canvas.itemcget(item, "text") for item in canvas.find_all() if canvas.type(item) == "text"]


def test_the_preset_colours_span_all_frames(opened):
    other = coloured()
    other.arrays["force_sigma"] = other.arrays["force_sigma"] * 2
    viewer = opened([coloured(), other])
    viewer.set_frame(0)
    assert viewer.current_range() == (0.1, 1.6)
    found = viewer.get_colors()
    assert found[0] == palette()[0]
    assert found[-1] == palette()[29]  # 0.7/1.5 of 64
    assert viewer.get_colors(rgb=True)[0] == pytest.approx((0.267, 0.004, 0.329), abs=0.01)
    assert {"force_sigma\neV/Å", "1.6", "0.85", "0.1"} <= set(texts(viewer))


def test_the_menu_lists_scalars_and_switches_back_to_elements(opened):
    viewer = opened([bare(), coloured()])
    menu = viewer.scalars_menu
    found = entries(menu)
    assert "force_sigma (eV/Å)" in found
    assert "|F| (eV/Å)" in found
    assert "|ΔF|, against REF_forces (eV/Å)" in found
    menu.invoke(found["|F| (eV/Å)"])
    assert viewer.current_range() == (5.0, 5.0)
    menu.invoke(found["Elements"])
    assert viewer.get_colors() == [viewer.colors[14]] * 8
    assert texts(viewer) == []
    menu.invoke(found["Number of neighbours"])
    assert len(viewer.get_colors()) == 8
    menu.invoke(found["force_sigma (eV/Å)"])
    assert viewer.get_colors()[0] == palette()[0]


def test_menu_ranges(opened):
    large = coloured()
    large.arrays["force_sigma"] = large.arrays["force_sigma"] * 10
    viewer = opened([coloured(), large])
    viewer.set_frame(0)
    found = entries(viewer.scalars_menu)
    viewer.scalars_menu.invoke(found["Range of this frame"])
    assert viewer.current_range() == (0.1, 0.8)
    viewer.scalars_menu.invoke(found["Range of all frames"])
    assert viewer.current_range() == (0.1, 8.0)
    viewer.scalars_menu.invoke(found["Range without outliers (2 % of the atoms)"])
    low, high = viewer.current_range()
    assert 0.1 < low < high < 8.0
    viewer.scalars_menu.invoke(found["Colour bar"])
    assert texts(viewer) == []
    viewer.scalars_menu.invoke(found["Colour bar"])
    assert len(texts(viewer)) == 6


def test_a_logarithmic_scale(opened):
    atoms = coloured()
    atoms.arrays["force_sigma"] = np.geomspace(0.01, 100, 8)
    viewer = opened([atoms])
    linear = viewer.get_colors()
    viewer.scalars_menu.invoke(entries(viewer.scalars_menu)["Logarithmic scale"])
    assert len(set(linear)) < len(set(viewer.get_colors())) == 8
    assert texts(viewer)[1:] == ["100", "10", "1", "0.1", "0.01"]


def test_frames_without_the_array_are_white_and_say_so(opened):
    viewer = opened([coloured(), bare()])
    viewer.set_frame(1)
    assert viewer.get_colors() == [NO_VALUE] * 2
    assert "no values in this frame" in texts(viewer)


def test_no_frame_has_it(opened):
    viewer = opened([bare()])
    assert viewer.scalar is None
    assert "No frame has numbers for its atoms" in entries(viewer.scalars_menu)


def test_the_colors_window_is_ours_and_stands_vectors_and_sizes(opened):
    viewer = opened([bare(), coloured()])
    window = viewer.colors_window("C")
    assert viewer.colors_window("C") is window
    assert [entry.get() for entry in window.entries] == ["0.1", "0.8"]
    window.entries[1].delete(0, "end")
    window.entries[1].insert(0, "2,5")
    window.apply()
    assert viewer.current_range() == (0.1, 2.5)
    window.entries[0].insert(0, "x")
    window.apply()
    assert "two numbers" in window.message["text"]
    assert viewer.current_range() == (0.1, 2.5)
    window.choice.set("force")
    window._choose()
    assert viewer.current_range() == (5.0, 5.0)  # the range typed was that of another quantity
    window.win.destroy()
    assert viewer.colors_window("C") is not window


def test_the_status_line_tells_the_frame_and_then_the_atom(opened):
    viewer = opened([coloured()])
    assert viewer.window.status["text"].startswith("Si8 · generation 2 · t = 1.50 ps")
    viewer.set_selected_atoms([3])
    assert "Silicon" in viewer.window.status["text"]


def test_a_fixed_range_from_the_start(opened):
    viewer = opened([coloured()], "force_sigma", window=(0.0, 10.0), title="candidates")
    assert viewer.current_range() == (0.0, 10.0)
    viewer.set_range("all")
    assert viewer.current_range() == (0.1, 0.8)


def test_repeated_cells_keep_their_colours(opened):
    viewer = opened([coloured()])
    viewer.images.repeat_images([2, 1, 1])
    viewer.set_frame()
    assert viewer.get_colors() == viewer.get_colors()[:8] * 2


def test_a_closed_movie_window_does_no_harm(opened):
    viewer = opened([coloured(), bare()])
    viewer.movie_window.close()
    viewer.step("PageUp")
    assert viewer.frame == 0


def test_replaced_frames_keep_repeat_selection_and_growing_range(opened):
    viewer = opened([coloured()])
    viewer.images.repeat_images([1, 2, 1])
    viewer.images.selected[9] = True
    new = coloured()
    new.arrays["force_sigma"] = new.arrays["force_sigma"] * 3
    new.pbc = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        viewer.show_frames([viewer.images[0], new], 1, new=[new], focus=False)
    assert [len(atoms) for atoms in viewer.images] == [16, 16]
    assert viewer.images.selected[9]
    assert viewer.current_range() == pytest.approx((0.1, 2.4))
    viewer.images.repeat_images(np.ones(3, int))
    small = coloured()
    viewer.show_frames([small], 0, new=[small], focus=True)
    assert viewer.current_range() == pytest.approx((0.1, 2.4))  # it does not shrink


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_positions_that_are_no_numbers_do_not_hide_the_next_frame(opened):
    broken = coloured()
    broken.positions[0] = np.nan
    viewer = opened([coloured(), broken, coloured()])
    viewer.set_frame(1, focus=True)
    assert not np.isfinite(viewer.center).all()
    viewer.set_frame(2)
    assert np.isfinite(viewer.center).all()
    assert np.isfinite(viewer.scale)


def test_a_single_atom(opened):
    atoms = Atoms("Si")
    atoms.new_array("force_sigma", np.array([0.2]))
    viewer = opened([atoms])
    assert len(viewer.get_colors()) == 1
    assert np.isfinite(viewer.scale)


def test_a_structure_without_atoms(opened):
    viewer = opened([Atoms(), coloured()])
    viewer.set_frame(0)
    assert viewer.get_colors() == []


def test_nothing_to_show():
    with pytest.raises(ValueError, match="no structures"):
        open_viewer([])


def test_no_display_is_said(monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RuntimeError, match="is DISPLAY set"):
        open_viewer([coloured()])


def test_no_tkinter_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(RuntimeError, match="apt install python3-tk"):
        open_viewer([coloured()])


def test_the_package_stays_without_windows():
    code = (
        "import sys, ase_mlsample, ase_mlsample.gui, ase_mlsample.cli.view\nprint('tkinter' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_ranges_as_typed():
    assert parse_range("0", "1,5") == (0.0, 1.5)
    for low, high in (("", "1"), ("a", "b"), ("2", "1"), ("0", "inf"), ("nan", "1")):
        with pytest.raises(ValueError, match="range"):
            parse_range(low, high)
