import errno
import os
import tempfile
import time

import pytest

from ase_mlsample.references.failures import NotConverged, SetupFailure, classify
from ase_mlsample.references.scratch import Scratch, _sweep


def test_each_calculation_has_its_folder_and_leaves_nothing(tmp_path):
    scratch = Scratch(tmp_path / "s")
    with scratch.folder("a-Si8") as one, scratch.folder("a-Si8") as two:
        assert one != two
        assert one.parent == tmp_path / "s"
        (one / "file").write_text("x")
    assert list((tmp_path / "s").iterdir()) == []


def fail(scratch):
    with scratch.folder("a") as folder:
        (folder / "file").write_text("x")
        raise NotConverged("why")


def test_failed_ones_are_kept_only_when_asked(tmp_path):
    with pytest.raises(NotConverged, match=r"^why$"):
        fail(Scratch(tmp_path / "s"))
    with pytest.raises(NotConverged) as caught:
        fail(Scratch(tmp_path / "s", tmp_path / "kept"))
    assert list((tmp_path / "s").iterdir()) == []
    (kept,) = (tmp_path / "kept").iterdir()
    assert [path.name for path in kept.iterdir()] == ["file"]
    assert str(caught.value) == f"why\nits files are in {kept}"


def test_a_folder_that_cannot_be_kept_does_not_hide_the_failure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotConverged, match=r"^why\nits files could not be kept in .*file"):
        fail(Scratch(tmp_path / "s", tmp_path / "file" / "kept"))
    assert list((tmp_path / "s").iterdir()) == []


def test_a_place_without_room_for_folders(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupFailure, match=r"no folder .* in .*file.*; give scratch"):
        fail(Scratch(tmp_path / "file" / "s"))


def test_a_full_disk_is_no_fault_of_the_setup(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="No space left") as caught:
        fail(Scratch(tmp_path / "s"))
    assert classify(caught.value) == "resource"


def test_other_exceptions_get_a_note(tmp_path):
    with pytest.raises(TimeoutError) as caught, Scratch(tmp_path / "s", tmp_path / "k").folder("a"):
        raise TimeoutError
    assert "its files are in" in caught.value.__notes__[0]


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_is_not(tmp_path):
    old = time.time() - 3600
    left = tmp_path / "mlsample-scratch-a-x"
    left.mkdir()
    (left / ".in-use").touch()
    os.utime(left / ".in-use", (old, old))
    foreign = tmp_path / "other"
    foreign.mkdir()
    with Scratch(tmp_path).folder("b") as used:
        os.utime(used / ".in-use", (old, old))
        _sweep.cache_clear()
        with Scratch(tmp_path).folder("c"):
            assert used.exists()
            assert not left.exists()
            assert foreign.exists()
