import os
import socket

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from ase_mlsample.active.live import LiveFrames, clear_live, is_abandoned
from ase_mlsample.active.tasks import TaskTimeoutError


@pytest.fixture
def atoms():
    atoms = bulk("Si", cubic=True)
    atoms.new_array("force_sigma", np.linspace(0, 1, 8))
    atoms.info |= {"time_fs": 10.0, "temperature_K": 300.0, "stop_reason": "running"}
    return atoms


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("ase_mlsample.active.live.time.monotonic", lambda: now[0])
    return now


def test_a_frame_is_there_whole_and_says_whose_it_is(tmp_path, atoms):
    with LiveFrames(tmp_path / "live", "0001-00002") as live:
        live.publish(atoms)
        shown = read(live.path)
        assert shown.positions == pytest.approx(atoms.positions, abs=1e-7)
        assert shown.arrays["force_sigma"] == pytest.approx(atoms.arrays["force_sigma"], abs=1e-7)
        assert shown.info["live_name"] == "0001-00002"
        assert shown.info["live_pid"] == os.getpid()
        assert shown.info["time_fs"] == 10.0
        assert [entry.name for entry in live.folder.iterdir()] == ["0001-00002.extxyz"]
    assert list((tmp_path / "live").iterdir()) == []


def test_notes_are_in_what_is_shown_alone(tmp_path, atoms):
    with LiveFrames(tmp_path, "a", notes={"trust_lo": 0.2}) as live:
        live.publish(atoms)
        assert read(live.path).info["trust_lo"] == 0.2
    assert "trust_lo" not in atoms.info


def test_the_first_frame_is_always_shown_and_others_when_due(tmp_path, atoms, clock):
    live = LiveFrames(tmp_path, "a", interval_s=2.0)
    times = []
    for now in (100.0, 101.9, 102.1, 103.0, 104.2):
        clock[0], atoms.info["time_fs"] = now, now
        live.publish(atoms)
        times.append(read(live.path).info["time_fs"])
    assert times == [100.0, 100.0, 102.1, 102.1, 104.2]


def test_the_end_is_shown_at_once_and_kept_for_the_eye(tmp_path, atoms, clock):
    with LiveFrames(tmp_path, "a", interval_s=60.0) as live:
        live.publish(atoms)
        atoms.info["stop_reason"] = "uncertain"
        live.publish(atoms)
        assert read(live.path).info["stop_reason"] == "uncertain"
    assert not live.path.exists()
    last = tmp_path / "last" / f"{os.getpid()}.extxyz"
    assert read(last).info["live_name"] == "a"


def test_the_frame_given_stays_as_it_is(tmp_path, atoms):
    atoms.calc = object()
    before = dict(atoms.info)
    LiveFrames(tmp_path, "a").publish(atoms)
    assert atoms.info == before


def test_what_extended_xyz_cannot_hold_is_left_out(tmp_path, atoms):
    atoms.info |= {"source": 'two\nlines "quoted"', "empty": "", "map": {"a": 1}, "Lattice": "x", "pbc": "y"}
    atoms.new_array("words", np.array(list("abcdefgh")))
    atoms.new_array("tensor", np.zeros((8, 3, 3)))
    atoms.new_array("cluster", np.arange(8, dtype=np.uint8))
    atoms.info |= {"phase": np.complex128(1j), "stress": 0.1}
    live = LiveFrames(tmp_path, "a")
    live.publish(atoms)
    shown = read(live.path)
    assert shown.info["source"] == 'two lines "quoted"'
    assert not {"empty", "map", "Lattice", "pbc"} & set(shown.info)
    assert not {"phase", "stress"} & set(shown.info)
    assert not {"words", "tensor"} & set(shown.arrays)
    np.testing.assert_array_equal(shown.arrays["cluster"], np.arange(8))
    assert shown.cell.array == pytest.approx(atoms.cell.array)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), PermissionError(13, "denied")])
def test_a_full_disk_does_not_harm_a_run(tmp_path, atoms, clock, monkeypatch, failure):
    live = LiveFrames(tmp_path, "a", interval_s=0.0)
    live.publish(atoms)

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    live.publish(atoms)
    assert list(tmp_path.iterdir()) == []  # nothing old is left to look at either
    monkeypatch.undo()
    live.publish(atoms)
    live.close()
    assert list(tmp_path.iterdir()) == []


def test_a_frame_that_cannot_be_written_does_not_harm_a_run(tmp_path, atoms):
    atoms.arrays["force_sigma"] = np.zeros(5)  # not as many as there are atoms
    with LiveFrames(tmp_path, "a") as live:
        live.publish(atoms)
    assert list(tmp_path.iterdir()) == []


def test_the_time_limit_of_a_task_is_not_swallowed(tmp_path, atoms, monkeypatch):
    def late(*_, **__):
        raise TaskTimeoutError("ran past its limit")

    monkeypatch.setattr("pathlib.Path.write_text", late)
    with LiveFrames(tmp_path, "a") as live, pytest.raises(TaskTimeoutError):
        live.publish(atoms)


def test_a_folder_that_cannot_be_made(tmp_path, atoms):
    (tmp_path / "live").write_text("a file")
    with LiveFrames(tmp_path / "live", "a") as live:
        live.publish(atoms)
    assert (tmp_path / "live").read_text() == "a file"


def test_a_folder_removed_meanwhile(tmp_path, atoms, clock):
    with LiveFrames(tmp_path / "live", "a", interval_s=0.0) as live:
        live.publish(atoms)
        clear_live(tmp_path)
        live.publish(atoms)
        assert live.path.exists()
        clear_live(tmp_path)
    assert not live.path.exists()


def test_clearing_nothing(tmp_path):
    clear_live(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_name_is_that_of_a_file(tmp_path, name):
    with pytest.raises(ValueError, match="name"):
        LiveFrames(tmp_path, name)


def test_an_interval_is_not_negative(tmp_path):
    with pytest.raises(ValueError, match="interval_s"):
        LiveFrames(tmp_path, "a", interval_s=-1.0)


def test_whose_worker_is_gone(atoms):
    atoms.info |= {"live_host": socket.gethostname(), "live_pid": os.getpid(), "live_time": 0.0}
    assert not is_abandoned(atoms)
    atoms.info["live_pid"] = 2**22 + 1  # above the largest process number of Linux
    assert is_abandoned(atoms)
    atoms.info |= {"live_host": "another-machine", "live_time": 1000.0}
    assert not is_abandoned(atoms, now=1500.0)
    assert is_abandoned(atoms, now=1700.0)
