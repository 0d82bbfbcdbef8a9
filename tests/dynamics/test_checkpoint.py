"""The file of a run: whole or absent, known again, and its other files cut to it."""

import json
import shutil

import numpy as np
import pytest
from ase.constraints import FixAtoms, FixBondLengths, FixCom

from ase_mlsample.biases.base import Bias
from ase_mlsample.dynamics.checkpoint import (
    Checkpoint,
    read_checkpoint,
    truncate_files,
    write_checkpoint,
)
from tests.dynamics.integrators import end, make, silicon


class Counter(Bias):
    """A bias that only counts, with all kinds of plain values in its state."""

    n_cvs = 1

    def __init__(self):
        self.count, self.heights = 0, np.zeros(0)

    def potential(self, s):
        return 0.0, np.zeros_like(s)

    def settings(self):
        return {"kT": 0.1, "sigma": np.array([0.5]), "domains": (None, (-np.pi, np.pi))}

    def _state(self):
        return {"count": self.count, "heights": self.heights}


@pytest.fixture
def dynamics():
    dynamics = make("rescaling", silicon())
    dynamics.run(3)
    return dynamics


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


def changed(path, **entries):
    """Write the file anew with other entries."""
    with np.load(path) as file:
        content = {name: file[name] for name in file.files} | entries
    with path.open("wb") as file:
        np.savez(file, **content)


def head(path, **entries):
    with np.load(path) as file:
        found = json.loads(file["head"].tobytes())
    changed(path, head=np.frombuffer(json.dumps(found | entries).encode(), np.uint8))


def test_all_comes_back(dynamics, path):
    bias = Counter()
    bias.count, bias.heights = 4, np.arange(3.0)
    write_checkpoint(
        path, integrator=dynamics, bias=bias, extra={"rng": np.random.default_rng(0).bit_generator.state}
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.step == 3
    assert checkpoint.bias["state"]["count"] == 4
    assert checkpoint.bias["state"]["heights"].tolist() == [0.0, 1.0, 2.0]
    assert checkpoint.bias["settings"]["domains"] == (None, (-np.pi, np.pi))
    assert checkpoint.extra["rng"] == np.random.default_rng(0).bit_generator.state
    assert np.array_equal(checkpoint.positions, dynamics.atoms.positions)
    assert np.array_equal(checkpoint.cell, dynamics.atoms.cell.array)
    assert checkpoint.files == {}


def test_the_one_before_stays_until_it_is_replaced(dynamics, path, monkeypatch):
    write_checkpoint(path, integrator=dynamics)
    before = path.read_bytes()
    dynamics.run(1)

    def cut(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", cut)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(path, integrator=dynamics)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_equal_states_give_equal_files(dynamics, path):
    write_checkpoint(path, integrator=dynamics, bias=Counter())
    before = path.read_bytes()
    write_checkpoint(path, integrator=dynamics, bias=Counter())
    assert path.read_bytes() == before


def test_nothing_is_read_as_code(dynamics, path):
    with pytest.raises(TypeError, match=r"the state\['extra'\]\['f'\] is a builtin_function"):
        write_checkpoint(path, integrator=dynamics, extra={"f": len})
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04rest"])
def test_foreign_files(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no checkpoint of a run"):
        read_checkpoint(path)


def test_damaged_files(dynamics, path, rng):
    write_checkpoint(path, integrator=dynamics, bias=Counter())
    whole, known = path.read_bytes(), repr(read_checkpoint(path))
    for cut in rng.integers(1, len(whole), 20):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="damaged"):
            read_checkpoint(path)
    for place in rng.integers(0, len(whole), 300):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = read_checkpoint(path)
        except ValueError:
            continue
        assert repr(found) == known  # a date of the container, or the like


def test_missing_and_other_files(dynamics, path, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_checkpoint(tmp_path / "no/run", integrator=dynamics)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match="no checkpoint of a run"):
        read_checkpoint(path.with_suffix(".ckpt.npz"))


def test_other_versions(dynamics, path):
    write_checkpoint(path, integrator=dynamics)
    head(path, format="ase-mlsample run 0")
    with pytest.raises(ValueError, match="format 'ase-mlsample run 0'"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["head", "a0", "a3"])
def test_incomplete_files(name, dynamics, path):
    write_checkpoint(path, integrator=dynamics)
    with np.load(path) as file:
        content = {key: file[key] for key in file.files if key != name}
    with path.open("wb") as file:
        np.savez(file, **content)
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda atoms: atoms.pop(), "has 8 atoms, but here are 7"),
        (lambda atoms: atoms.symbols.__setitem__(3, "C"), r"numbers\[3\] is 14 there and 6 here"),
        (lambda atoms: atoms.set_masses([28.0] * 8), r"masses\[0\] is 28\.085 there and 28\.0 here"),
        (lambda atoms: atoms.set_pbc([True, False, True]), r"pbc\[1\] is True there and False here"),
        (lambda atoms: atoms.set_constraint(FixAtoms([0])), "FixAtoms"),
    ],
)
def test_other_atoms(change, told, path):
    dynamics = make("langevin", silicon())
    dynamics.run(2)
    write_checkpoint(path, integrator=dynamics)
    atoms = silicon()
    change(atoms)
    other = make("langevin", atoms)
    before = end(atoms)
    with pytest.raises(ValueError, match=told):
        read_checkpoint(path).restore(other)
    assert end(atoms) == before


def test_nothing_changes_when_settings_differ(path):
    dynamics = make("langevin", silicon())
    dynamics.run(2)
    write_checkpoint(path, integrator=dynamics)
    other = make("langevin", silicon(seed=4), temperature_K=300)
    before = end(other.atoms)
    with pytest.raises(ValueError, match="temp is"):
        read_checkpoint(path).restore(other)
    assert end(other.atoms) == before


def test_not_for_filters():
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    atoms = silicon()
    dynamics = make("verlet", atoms)
    fire = FIRE(FrechetCellFilter(atoms), logfile=None)
    with pytest.raises(TypeError, match="dynamics of Atoms, got one of FrechetCellFilter"):
        Checkpoint.take(fire, bias={}, files={}, extra={})
    dynamics.run(0)


@pytest.mark.parametrize("constraint", [FixAtoms([1, 2]), FixBondLengths([[0, 1], [2, 3]]), FixCom()])
@pytest.mark.parametrize("name", ["verlet", "langevin"])
def test_constraints_are_kept(name, constraint, path):
    def constrained(seed):
        atoms = silicon(seed)
        atoms.set_constraint(type(constraint)(**constraint.todict()["kwargs"]))
        return make(name, atoms)

    whole = constrained(0)
    whole.run(3)
    write_checkpoint(path, integrator=whole)
    whole.run(4)
    second = constrained(2)
    second.run(1)
    read_checkpoint(path).restore(second)
    second.run(4)
    assert end(second.atoms) == end(whole.atoms)


def test_other_constraints(path):
    atoms = silicon()
    atoms.set_constraint(FixAtoms([1]))
    write_checkpoint(path, integrator=make("verlet", atoms))
    other = silicon()
    other.set_constraint(FixAtoms([2]))
    with pytest.raises(ValueError, match=r"constraints \[\['FixAtoms'.*set those of the run"):
        read_checkpoint(path).restore(make("verlet", other))


def test_files_are_cut(dynamics, path, tmp_path):
    log, hills = tmp_path / "run.log", tmp_path / "HILLS"
    log.write_bytes(b"one\n" * 2000)
    files = {"log": log, "hills": hills, "trajectory": None}
    write_checkpoint(path, integrator=dynamics, files=files)
    with log.open("ab") as file:
        file.write(b"two\n")
    hills.write_bytes(b"late\n")
    checkpoint = read_checkpoint(path)
    assert checkpoint.files["log"].size == 8000
    assert "trajectory" not in checkpoint.files
    truncate_files(checkpoint)
    assert log.read_bytes() == b"one\n" * 2000
    assert hills.read_bytes() == b""
    truncate_files(checkpoint)
    assert log.stat().st_size == 8000


def test_files_move_with_the_checkpoint(dynamics, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "run.log").write_text("one")
    write_checkpoint(here / "run", integrator=dynamics, files={"log": here / "run.log"})
    (here / "run.log").write_text("one, two")
    shutil.move(here, there)
    truncate_files(read_checkpoint(there / "run"))
    assert (there / "run.log").read_text() == "one"
    other = tmp_path / "elsewhere.log"
    other.write_text("one, three")
    truncate_files(read_checkpoint(there / "run"), {"log": other})
    assert other.read_text() == "one"
    truncate_files(read_checkpoint(there / "run"), {"log": None})


def test_files_of_other_runs(dynamics, path, tmp_path):
    log, hills = tmp_path / "run.log", tmp_path / "HILLS"
    log.write_text("the log of a run")
    hills.write_text("hills")
    write_checkpoint(path, integrator=dynamics, files={"log": log, "hills": hills})
    checkpoint = read_checkpoint(path)
    log.write_text("the log of a run, continued")
    hills.write_text("hi")
    with pytest.raises(ValueError, match=r"HILLS had 5 bytes at the checkpoint, but it has 2"):
        truncate_files(checkpoint)
    hills.write_text("other hills")
    with pytest.raises(ValueError, match="HILLS is not the file that the run was writing"):
        truncate_files(checkpoint)
    hills.unlink()
    with pytest.raises(ValueError, match="it is not there"):
        truncate_files(checkpoint)
    assert log.read_text() == "the log of a run, continued"
