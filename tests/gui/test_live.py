"""The live view in a real window; looks are made by hand, so that no test waits for a clock."""

import json
from functools import partial

import pytest
from ase.build import bulk
from ase.io import write

from ase_mlsample.active.live import LiveFrames
from ase_mlsample.gui import open_live
from tests.gui.frames import bare, coloured


@pytest.fixture
def opened(opened_by):
    return partial(opened_by, open_live, interval_s=1000.0)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"event": "generation", "generation": 0}) + "\n")
    return tmp_path


def publish(run, name, *, scale=1.0, **info):
    atoms = coloured()
    atoms.arrays["force_sigma"] = scale * atoms.arrays["force_sigma"]
    atoms.info |= {"stop_reason": "running"} | info
    live = LiveFrames(run / "live", name)
    live.publish(atoms)
    return live


def status(viewer):
    return viewer.window.status["text"].split("\n")


def test_a_trajectory_from_start_to_end(run, opened):
    viewer = opened(run)
    assert status(viewer)[0] == "nothing to show yet"
    publish(run, "0001-00003", time_fs=50.0)
    viewer.look()
    assert viewer.scalar.key == "force_sigma"
    assert viewer.current_range() == pytest.approx((0.1, 0.8))
    assert "t = 50 fs · T = 900 K · running" in status(viewer)[0]
    assert status(viewer)[1] == "generation 1: exploring, 1 trajectory under way"
    publish(run, "0001-00003", time_fs=100.0, scale=2.0)
    viewer.look()
    assert len(viewer.images) == 2
    assert viewer.current_range() == pytest.approx((0.1, 1.6))
    publish(run, "0001-00003", time_fs=150.0, stop_reason="uncertain").close()
    viewer.look()
    assert "t = 150 fs · T = 900 K · uncertain" in status(viewer)[0]
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"event": "finished", "reason": "it is good enough"}) + "\n")
    viewer.look()
    assert status(viewer)[1] == "the run is finished: it is good enough"


def test_stepping_back_holds_the_picture_and_end_follows_again(run, opened):
    viewer = opened(run, history=3)
    for number in range(3):
        publish(run, "a", time_fs=float(number))
        viewer.look()
    viewer.step("PageUp")
    assert status(viewer)[1].endswith("1 back, End follows again")
    assert not viewer.is_following
    publish(run, "a", time_fs=3.0)
    viewer.look()
    assert viewer.atoms.info["time_fs"] == 1.0
    assert len(viewer.images) == 3
    viewer.step("End")
    assert viewer.is_following
    publish(run, "a", time_fs=4.0)
    viewer.look()
    assert viewer.atoms.info["time_fs"] == 4.0


def test_a_trajectory_can_be_chosen(run, opened):
    viewer = opened(run)
    publish(run, "a")
    publish(run, "b")
    viewer.look()
    menu = viewer.live_menu
    menu.tk.call(menu.cget("postcommand"))
    labels = [
        menu.entrycget(n, "label") for n in range(menu.index("end") + 1) if menu.type(n) == "radiobutton"
    ]
    assert labels == ["One trajectory after the other", "All, as they come", "a", "b"]
    followed = viewer.follower.followed
    other = {"a": "b", "b": "a"}[followed]
    menu.invoke(menu.index(other))
    viewer.look()
    assert viewer.atoms.info["live_name"] == other


def test_candidates_fill_the_time_without_trajectories(run, opened):
    (run / "candidates").mkdir()
    write(run / "candidates" / "0001.extxyz", [bare(), coloured()])
    viewer = opened(run, window=(0.0, 3.0))
    assert len(viewer.images) == 2
    assert viewer.current_range() == (0.0, 3.0)
    assert viewer.scalar.key == "force_sigma"


def test_the_scale_of_trajectories_is_their_own(run, opened):
    (run / "candidates").mkdir()
    worst = coloured()
    worst.arrays["force_sigma"] = worst.arrays["force_sigma"] * 100
    write(run / "candidates" / "0001.extxyz", worst)
    viewer = opened(run)
    assert viewer.current_range() == pytest.approx((10.0, 80.0))
    publish(run, "a")
    viewer.look()
    assert viewer.current_range() == pytest.approx((0.1, 0.8))
    write(run / "candidates" / "0002.extxyz", worst)
    viewer.look()
    assert viewer.current_range() == pytest.approx((0.1, 0.8))


def test_a_growing_file(tmp_path, opened):
    path = tmp_path / "md.extxyz"
    viewer = opened(path, "force")
    assert "waiting for the file" in status(viewer)[1]
    write(path, [coloured(), coloured()])
    viewer.look()
    assert viewer.scalar.key == "force"
    write(path, bulk("Al"), append=True)
    viewer.look()
    assert len(viewer.images) == 3
    assert status(viewer) == ["Al", "3 frames in md.extxyz"]


def test_the_timer_looks_and_ends_with_the_window(run, display):
    viewer = open_live(run, interval_s=0.01)
    looks = []
    source = viewer.source.poll

    def poll():
        looks.append(1)
        if len(looks) == 3:
            viewer.window.win.after_idle(viewer.exit)
        return source()

    viewer.source.poll = poll
    viewer.run()  # returns because the window is closed
    assert len(looks) >= 3
    assert not viewer.window.exists


@pytest.mark.parametrize(
    ("keywords", "match"), [({"interval_s": 0.0}, "interval"), ({"history": 0}, "history")]
)
def test_bad_settings(run, display, keywords, match):
    with pytest.raises(ValueError, match=match):
        open_live(run, **keywords)


def test_a_look_that_fails_is_not_the_last(run, opened, monkeypatch):
    viewer = opened(run)
    before = viewer._timer

    def fails():
        raise ArithmeticError("no picture")

    monkeypatch.setattr(viewer.source, "poll", fails)
    with pytest.raises(ArithmeticError):
        viewer.look()
    assert viewer._timer != before


def test_an_array_that_cannot_be_a_colour_is_complained_of_once(run, opened):
    viewer = opened(run, "REF_forces")
    publish(run, "a", time_fs=1.0)
    with pytest.raises(ValueError, match=r"\|REF_forces\|"):
        viewer.look()
    publish(run, "a", time_fs=2.0)
    viewer.look()
    assert viewer.atoms.info["time_fs"] == 2.0
