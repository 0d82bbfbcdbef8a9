import multiprocessing

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from ase_mlsample._files import write_atomic
from ase_mlsample.active.store import ResultStore, write_frames


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


def test_values_survive_exactly(store, rng):
    result = {"energy": 1 / 3, "forces": rng.normal(size=(5, 3)), "stress": None, "text": "β"}
    store.write("key", result)
    found = ResultStore(store.directory).read("key")
    assert found["energy"] == result["energy"]
    assert np.array_equal(found["forces"], result["forces"])
    assert found["stress"] is None
    assert found["text"] == "β"
    assert "key" in store
    assert store.keys() == {"key"}


def test_nothing_half_written_counts(store):
    store.write("whole", {"a": 1})
    (store.directory / ".half.json.123").write_text('{"a": ')
    assert store.keys() == {"whole"}
    assert sorted(path.name for path in store.directory.glob("*.json")) == ["whole.json"]


def test_errors(store):
    with pytest.raises(KeyError, match="no result with key 'absent'"):
        store.read("absent")
    store.path("damaged").write_text('{"a": ')
    with pytest.raises(ValueError, match="remove the file"):
        store.read("damaged")
    store.path("list").write_text("[1]")
    with pytest.raises(ValueError, match="does not hold a result"):
        store.read("list")


def test_removed(store):
    store.write("key", {})
    store.remove("key")
    store.remove("key")
    assert "key" not in store


def test_write_replaces_all_of_a_file(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"a long content")
    write_atomic(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomic(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_frames_come_back(tmp_path):
    atoms = bulk("Si")
    atoms.info["config_type"] = "diamond"
    write_frames(tmp_path / "new" / "frames.extxyz", [atoms, atoms])
    found = read(tmp_path / "new" / "frames.extxyz", ":")
    assert [frame.info["config_type"] for frame in found] == ["diamond", "diamond"]
    assert np.allclose(found[0].cell.array, atoms.cell.array)


def test_lock_keeps_others_out(store):
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        with store.lock("key"):
            waiting = pool.apply_async(_locked, (str(store.directory),))
            assert not waiting.ready()
            store.write("done", {"first": True})
        assert waiting.get(timeout=60) is True
        pool.close()
        pool.join()


def _locked(directory):
    store = ResultStore(directory)
    with store.lock("key"):
        return "done" in store
