"""Metadynamics that goes on from a checkpoint: trajectory, HILLS, log and frames to the last byte."""

import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics.checkpoint import read_checkpoint
from ase_mlsample.dynamics.metadynamics import Metadynamics
from tests.dynamics.continued_run import FILES, HILLS, begin, go_on
from tests.dynamics.integrators import NAMES, end, make, silicon

PATIENCE_S = 120.0


def files(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def folders(tmp_path):
    made = tmp_path / "whole", tmp_path / "parts"
    for folder in (*made, tmp_path / "lost"):
        folder.mkdir()
    return made


@pytest.mark.parametrize("name", NAMES)
def test_continued_exactly(name, folders):
    whole, parts = folders
    with begin(whole, make(name, silicon())) as dynamics:
        dynamics.run(19)
        dynamics.run(12)
        expected = end(dynamics.atoms)
    with begin(parts, make(name, silicon())) as dynamics:
        dynamics.run(19)
    with go_on(parts, make(name, silicon(seed=3), seed=77)) as dynamics:
        assert dynamics.step == 19
        dynamics.run(12)
        assert end(dynamics.atoms) == expected
    assert files(parts) == files(whole)
    assert files(whole)["HILLS"].count(b"\n") > 4


@pytest.mark.parametrize("name", NAMES)
def test_what_came_after_the_checkpoint_is_cut(name, folders):
    """The run that is given up had left hills, lines and frames that the one that goes on writes again."""
    whole, parts = folders
    with begin(whole, make(name, silicon())) as dynamics:
        dynamics.run(26)
        expected = end(dynamics.atoms)
    with begin(whole.with_name("lost"), make(name, silicon()), checkpoint_interval=9) as lost:
        for _ in islice(lost.irun(100), 26):
            pass
        lost.flush()
        shutil.copytree(whole.with_name("lost"), parts, dirs_exist_ok=True)
    known = read_checkpoint(parts / "run.ckpt").files
    assert all((parts / mark.path).stat().st_size > mark.size for mark in known.values())
    assert known
    with go_on(parts, make(name, silicon(seed=4))) as dynamics:
        assert dynamics.step == 18
        dynamics.run(8)
        assert end(dynamics.atoms) == expected
    assert files(parts) == files(whole)


def test_continued_many_times(folders):
    whole, parts = folders
    with begin(whole, make("rescaling", silicon())) as dynamics:
        dynamics.run(40)
        expected = end(dynamics.atoms)
    with begin(parts, make("rescaling", silicon())) as dynamics:
        dynamics.run(1)
    for steps in (0, 6, 13, 20):
        with go_on(parts, make("rescaling", silicon(seed=steps), seed=steps)) as dynamics:
            dynamics.run(steps)
            last = end(dynamics.atoms)
    assert last == expected
    assert files(parts) == files(whole)


def test_other_hills_are_refused(folders):
    _, parts = folders
    with begin(parts, make("langevin", silicon())) as dynamics:
        dynamics.run(20)
    with (parts / "HILLS").open("r+b") as file:
        file.truncate(40)
    with pytest.raises(ValueError, match="HILLS"):
        go_on(parts, make("langevin", silicon()))


def test_mismatched_restarts(folders):
    _, parts = folders
    with begin(parts, make("langevin", silicon())) as dynamics:
        dynamics.run(3)
    before = files(parts)
    path = parts / "run.ckpt"
    with pytest.raises(ValueError, match="fr is"):
        go_on(parts, make("langevin", silicon(), friction=1.0))
    with pytest.raises(ValueError, match=r"class is .*Langevin"):
        go_on(parts, make("nose_hoover", silicon()))
    with pytest.raises(ValueError, match="16"):
        go_on(parts, make("langevin", silicon(repeat=(2, 1, 1))))
    with pytest.raises(ValueError, match="another variable"):
        Metadynamics.load(path, make("langevin", silicon()), Distance(0, 1), progress=False)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged"):
        go_on(parts, make("langevin", silicon()))
    assert files(parts) == before


def started(folder, name, steps):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.dynamics.continued_run", str(folder), name, str(steps)]
    with (folder / "output").open("w") as output:
        return subprocess.Popen(command, cwd=root, stdout=output, stderr=output)


def finished(process, folder):
    process.wait(PATIENCE_S)
    assert process.returncode == 0, (folder / "output").read_text()


def killed_at(process, folder, size):
    """Kill a run as soon as its log has so many bytes; True if it had not ended by then."""
    log, limit = folder / "run.log", time.monotonic() + PATIENCE_S
    while process.poll() is None and not (log.exists() and log.stat().st_size >= size):
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.002)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


@pytest.mark.parametrize("name", ["rescaling", "mtk", "langevin"])
def test_killed_and_continued(name, folders, rng):
    whole, parts = folders
    steps = 800
    finished(started(whole, name, steps), whole)
    expected = files(whole)
    kills = 0
    for share in np.sort(rng.random(2)):
        kills += killed_at(started(parts, name, steps), parts, int(share * len(expected["run.log"])))
    assert kills > 0, (parts / "output").read_text()
    finished(started(parts, name, steps), parts)
    assert files(parts) == expected
    assert (parts / "run.ckpt").read_bytes() == (whole / "run.ckpt").read_bytes()
    assert HILLS["pace"] * (expected["HILLS"].count(b"\n") - expected["HILLS"].count(b"#!")) <= steps
