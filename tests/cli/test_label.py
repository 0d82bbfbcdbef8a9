import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from ase_mlsample.active.label import structure_hash
from ase_mlsample.active.running import hold
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cli import main

TOYS = Path(__file__).parents[1] / "active"


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.syspath_prepend(str(TOYS))
    monkeypatch.setenv("PYTHONPATH", str(TOYS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def structures(tmp_path, rng):
    frames = []
    for number in range(6):
        atoms = bulk("Si", cubic=True)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        atoms.info["number"] = number
        frames.append(atoms)
    path = tmp_path / "structures.extxyz"
    write(path, [*frames, frames[0]])
    return path


def label(structures, *more, factory="active_toy:Witness", **kwargs):
    arguments = {"calls": str(structures.with_name("calls"))} | kwargs
    words = [f"{key}: {value}" for key, value in arguments.items()]
    return [
        "label", str(structures), "--factory", factory, "--kwargs", "{" + ", ".join(words) + "}",
        "-o", str(structures.with_name("out.extxyz")), *map(str, more),
    ]  # fmt: skip


def calls(structures):
    path = structures.with_name("calls")
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_labels_are_the_references(structures, capsys):
    assert main(label(structures)) == 0
    assert "7 of 7 structures labelled" in capsys.readouterr().out
    found, given = read(structures.with_name("out.extxyz"), ":"), read(structures, ":")
    assert [structure_hash(a) for a in found] == [structure_hash(a) for a in given]
    for atoms in found:
        expected = StillingerWeber().evaluate(atoms)
        assert atoms.info["REF_energy"] == expected.energy
        assert np.array_equal(atoms.arrays["REF_forces"], expected.forces)
        assert np.array_equal(atoms.info["REF_stress"], expected.stress)
        assert atoms.info["REF_reference"].startswith("r")
    assert [a.info["number"] for a in found] == [0, 1, 2, 3, 4, 5, 0]
    assert len(calls(structures)) == 6  # the one that is there twice is computed once


def test_nothing_is_computed_twice(structures):
    assert main(label(structures)) == 0
    before = structures.with_name("out.extxyz").read_bytes()
    assert main(label(structures, "--workers", 2)) == 0
    assert len(calls(structures)) == 6
    assert structures.with_name("out.extxyz").read_bytes() == before


def test_killed_and_started_again_it_goes_on(structures):
    blocked = structures.with_name("blocked")
    words = label(structures, block_at=4, blocked=blocked)
    command = [
        sys.executable,
        "-c",
        "import sys; from ase_mlsample.cli import main; sys.exit(main())",
        *words,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 90
        while not blocked.exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not structures.with_name("out.extxyz").exists()
    assert main(words) == 0
    made = calls(structures)
    assert len(made) == 7
    assert [made.count(name) for name in made].count(2) == 2  # the one that was being computed
    assert len(read(structures.with_name("out.extxyz"), ":")) == 7


def test_two_cannot_work_in_one_folder(structures, capsys):
    folder = structures.with_name("out.labels")
    folder.mkdir()
    with hold(folder):
        assert main(label(structures)) == 1
    assert f"another run (process {os.getpid()}) works in {folder}" in capsys.readouterr().err
    assert calls(structures) == []


def test_failures_are_listed_and_can_be_tried_again(structures, capsys):
    mended = structures.with_name("mended")
    words = label(structures, "--set", "retries=0", fail_below=128, mended=mended)
    assert main(words) == 1
    out = capsys.readouterr().out
    made, failed = len(calls(structures)), [n for n in calls(structures) if int(n[1:3], 16) < 128]
    assert 0 < len(failed) < 6
    assert "not labelled (frames count from 0)" in out
    assert "SCF did not converge" in out
    assert len(read(structures.with_name("out.extxyz"), ":")) < 7
    assert main(words) == 1
    assert len(calls(structures)) == made
    mended.touch()
    assert main([*words, "--retry-failed"]) == 0
    assert calls(structures)[made:] == failed
    assert len(read(structures.with_name("out.extxyz"), ":")) == 7


def test_gives_up_with_reason_and_remedy(structures, capsys):
    words = label(structures, "--set", "stop_after=2", factory="active_toy:Troubled", trouble="setup")
    assert main(words) == 1
    assert "last 2 labels failed one after the other, all of kind 'setup'" in capsys.readouterr().err
    assert len(calls(structures)) < 6 * 2


def test_reference_of_a_run(structures, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("reference: {factory: 'ase_mlsample.calculators:StillingerWeber', max_force: 1e-3}\n")
    words = ["label", str(structures), "--config", str(path)]
    assert main(words) == 1
    assert main([*words, "--set", "max_force=50"]) == 0  # the limit is no part of the labels
    assert len(read(tmp_path / "structures.labelled.extxyz", ":")) == 7


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name the reference"),
        (["--factory", "nothing"], "no reference 'nothing'"),
        (["--factory", "gpw"], "did you mean 'gpaw'"),
        (["--factory", "a:b", "--kwargs", "3"], "write a mapping"),
        (["--factory", "a:b", "--set", "retrys=3"], "did you mean 'retries'"),
        (["--factory", "a:b", "--workers", "0"], "at least one"),
    ],
)
def test_bad_input(words, complaint, structures, capsys):
    assert main(["label", str(structures), *words]) == 2
    assert complaint in capsys.readouterr().err


def test_a_file_of_somebody_else_is_not_replaced(structures, capsys):
    structures.with_name("out.extxyz").write_text("precious")
    assert main(label(structures)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert structures.with_name("out.extxyz").read_text() == "precious"
    assert not calls(structures)
