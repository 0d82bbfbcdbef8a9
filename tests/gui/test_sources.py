import json
import os

import pytest
from ase.build import bulk
from ase.io import read, write

from ase_mlsample.active.live import LiveFrames
from ase_mlsample.gui.sources import FileSource, RunSource
from tests.gui.frames import bare, coloured


@pytest.fixture
def run(tmp_path):
    log = [{"event": "started"}, {"event": "stage", "generation": 0, "stage": "evaluate"}]
    log.append({"event": "generation", "generation": 0})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in log))
    return tmp_path


def publish(run, name, atoms, **info):
    atoms = atoms.copy()
    atoms.info |= info
    live = LiveFrames(run / "live", name)
    live.publish(atoms)
    return live


def seen(news):
    return [(at.name, len(at.atoms), at.ended) for at in news.sightings]


class TestRun:
    def test_frames_appear_change_and_vanish(self, run):
        source = RunSource(run)
        assert seen(source.poll()) == []
        first = publish(run, "a", coloured())
        second = publish(run, "b", bare())
        news = source.poll()
        assert seen(news) == [("a", 8, False), ("b", 2, False)]
        assert news.running == ("a", "b")
        assert news.state == "generation 1: exploring, 2 trajectories under way"
        assert news.sightings[0].atoms.arrays["force_sigma"][-1] == pytest.approx(0.8)
        assert seen(source.poll()) == []  # nothing new
        publish(run, "b", bare(), time_fs=5.0)
        assert seen(source.poll()) == [("b", 2, False)]
        second.path.unlink()
        assert source.poll().running == ("a",)
        first.close()
        news = source.poll()
        assert seen(news) == [("a", 8, True)]  # the frame says why it is the last
        assert news.running == ()

    def test_the_end_of_a_trajectory_is_seen_once(self, run):
        source = RunSource(run)
        live = publish(run, "a", bare(), stop_reason="uncertain")
        live.close()
        news = source.poll()
        assert seen(news) == [("a", 2, True)]
        assert news.running == ()
        assert seen(source.poll()) == []

    def test_what_killed_workers_left_is_ignored(self, run):
        live = publish(run, "a", bare())
        text = live.path.read_text().replace(f"live_pid={os.getpid()}", "live_pid=4194305")
        live.path.write_text(text)
        news = RunSource(run).poll()
        assert seen(news) == []
        assert news.running == ()

    def test_a_worker_killed_while_somebody_looks_on(self, run, monkeypatch):
        source = RunSource(run)
        publish(run, "a", bare())
        assert source.poll().running == ("a",)
        monkeypatch.setattr("ase_mlsample.gui.sources.is_abandoned", lambda _: True)
        assert source.poll().running == ()

    @pytest.mark.parametrize("content", ["", "8\n", "3\nLattice=\nSi 0", "no structure at all"])
    def test_a_broken_file_is_no_frame(self, run, content):
        (run / "live").mkdir()
        (run / "live" / "a.extxyz").write_text(content)
        (run / "live" / ".b.1.tmp").write_text(content)
        source = RunSource(run)
        assert seen(source.poll()) == []
        publish(run, "a", bare())
        assert seen(source.poll()) == [("a", 2, False)]

    def test_a_file_that_vanishes_before_it_is_read(self, run, monkeypatch):
        publish(run, "a", bare())

        def gone(path, **_):
            raise FileNotFoundError(path)

        monkeypatch.setattr("ase_mlsample.gui.sources.ase.io.read", gone)
        assert seen(RunSource(run).poll()) == []

    def test_chosen_candidates_are_shown_once(self, run):
        folder = run / "candidates"
        folder.mkdir()
        source = RunSource(run)
        source.poll()
        frames = [bare(), coloured()]
        frames[1].info["selected"] = True
        write(folder / "0001.extxyz", frames)
        assert [len(atoms) for atoms in source.poll().extra] == [8]
        assert source.poll().extra == []
        write(folder / "0002.extxyz", [bare()])
        assert [len(atoms) for atoms in source.poll().extra] == [2]

    def test_a_run_that_is_not_there_yet(self, tmp_path):
        news = RunSource(tmp_path / "later").poll()
        assert (news.sightings, news.extra, news.state) == ([], [], "waiting for the run to start")


class TestFile:
    def test_a_growing_file(self, tmp_path):
        path = tmp_path / "md.extxyz"
        source = FileSource(path)
        assert source.poll().state == "waiting for the file"
        write(path, [bare(), bare()])
        assert len(source.poll().sightings) == 2
        assert source.poll().sightings == []
        write(path, coloured(), append=True)
        news = source.poll()
        assert [len(at.atoms) for at in news.sightings] == [8]
        assert news.state == "3 frames in md.extxyz"
        path.unlink()
        assert source.poll().state == "the file is gone"

    def test_a_half_written_frame_waits_for_its_rest(self, tmp_path):
        whole, path = tmp_path / "whole.extxyz", tmp_path / "md.extxyz"
        write(whole, [bare(), coloured()])
        content = whole.read_bytes()
        source = FileSource(path)
        found = []
        for end in range(0, len(content) + 1, 7):
            path.write_bytes(content[:end])
            found += source.poll().sightings
        path.write_bytes(content)
        found += source.poll().sightings
        assert [len(at.atoms) for at in found] == [2, 8]
        assert found[1].atoms.arrays["force_sigma"] == pytest.approx(read(path, 1).arrays["force_sigma"])

    def test_a_file_begun_anew(self, tmp_path):
        path, other = tmp_path / "md.extxyz", tmp_path / "new"
        write(path, [bare()] * 3)
        source = FileSource(path)
        assert len(source.poll().sightings) == 3
        write(path, [bare()])  # truncated
        assert len(source.poll().sightings) == 1
        write(other, [coloured()] * 4, format="extxyz")
        other.replace(path)
        assert [len(at.atoms) for at in source.poll().sightings] == [8] * 4

    def test_other_formats_are_read_again(self, tmp_path):
        path = tmp_path / "md.traj"
        write(path, [bare(), bare()])
        source = FileSource(path)
        assert len(source.poll().sightings) == 2
        write(path, [bare(), bare(), bulk("Al")])
        assert [at.atoms.symbols[0] for at in source.poll().sightings] == ["Al"]

    def test_what_cannot_be_read_is_said(self, tmp_path):
        path = tmp_path / "md.extxyz"
        path.write_text("not a structure\n")
        assert "no whole frame yet" in FileSource(path).poll().state
        path.write_text("1\nProperties=species:S:1:pos:R:3\nSi 0 0 zero\n")
        assert "cannot be read at present" in FileSource(path).poll().state
