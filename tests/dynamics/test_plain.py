"""Dynamics without bias: files as the dynamics was, and exact continuation around every integrator."""

import numpy as np
import pytest
from ase import units
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.md.verlet import VelocityVerlet

from ase_mlsample.analysis import read_colvar
from ase_mlsample.biases import HarmonicRestraint
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import BiasedDynamics
from ase_mlsample.dynamics.plain import PlainDynamics
from tests.dynamics.integrators import NAMES, T, end, make, silicon

FILES = ("run.log", "run.extxyz")


def begin(folder, integrator, **settings):
    files = {
        "logfile": folder / "run.log",
        "trajectory": folder / "run.extxyz",
        "checkpoint": folder / "ckpt",
    }
    intervals = {"log_interval": 2, "trajectory_interval": 5}
    given = {"temperature_K": T, "progress": False} | files | intervals | settings
    return PlainDynamics(integrator, **given)


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("name", NAMES)
def test_continued_exactly(name, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    with begin(whole, make(name, silicon())) as dynamics:
        dynamics.run(20)
        expected = end(dynamics.atoms)
    with begin(parts, make(name, silicon())) as dynamics:
        dynamics.run(13)
    with (parts / "run.log").open("a") as file:
        file.write("what a killed run wrote after its checkpoint\n")
    with PlainDynamics.load(parts / "ckpt", make(name, silicon(seed=3), seed=9), progress=False) as dynamics:
        assert dynamics.step == 13
        dynamics.run(7)
        assert end(dynamics.atoms) == expected
    assert content(parts) == content(whole)


def test_it_is_the_integrators_own_run(tmp_path):
    alone = make("langevin", silicon())
    alone.run(30)
    with begin(tmp_path, make("langevin", silicon())) as dynamics:
        dynamics.run(30)
    assert end(dynamics.atoms) == end(alone.atoms)


def test_log_and_frames(tmp_path):
    with begin(tmp_path, make("rescaling", silicon())) as dynamics:
        dynamics.run(10)
    log, frames = read_colvar(tmp_path / "run.log"), read(tmp_path / "run.extxyz", ":")
    assert log.names == ("time", "temperature", "energy", "volume")
    assert log.times * 1000 == pytest.approx([0, 2, 4, 6, 8, 10])
    assert [frame.info["step"] for frame in frames] == [0, 5, 10]
    last = frames[-1]
    assert last.get_potential_energy() == pytest.approx(log["energy"][-1])
    assert log["volume"][-1] == pytest.approx(dynamics.atoms.get_volume())
    assert np.allclose(last.get_forces(), dynamics.atoms.get_forces())
    assert np.allclose(last.get_stress(), dynamics.atoms.get_stress())
    assert np.allclose(last.get_velocities(), dynamics.atoms.get_velocities())


def test_a_run_without_steps_can_go_on(tmp_path):
    with begin(tmp_path, make("langevin", silicon())) as dynamics:
        dynamics.save()
    dynamics = PlainDynamics.load(tmp_path / "ckpt", make("langevin", silicon(seed=2)), progress=False)
    dynamics.run(4)
    alone = make("langevin", silicon())
    alone.run(4)
    assert end(dynamics.atoms) == end(alone.atoms)
    assert len(read_colvar(tmp_path / "run.log")) == 3


def test_checkpoints_on_the_way(tmp_path):
    dynamics = begin(tmp_path, make("langevin", silicon()), checkpoint_interval=4)
    saved = []
    dynamics.save = lambda: saved.append(dynamics.step)
    dynamics.run(10)
    assert saved == [4, 8, 10]


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="holds 900 K"):
        begin(tmp_path, make("langevin", silicon()), temperature_K=800)
    with begin(tmp_path, make("langevin", silicon())) as dynamics:
        dynamics.run(1)
    with pytest.raises(FileExistsError, match="ckpt"):
        begin(tmp_path, make("langevin", silicon()))
    with pytest.raises(ValueError, match="another integrator"):
        PlainDynamics.load(tmp_path / "ckpt", make("langevin", silicon(), friction=0.1))
    with pytest.raises(ValueError, match="no path"):
        begin(tmp_path, make("langevin", silicon()), checkpoint=None).save()
    path = tmp_path / "biased"
    restraint = HarmonicRestraint(2.4, 1.0)
    with BiasedDynamics(
        make("langevin", silicon()),
        Distance(0, 1),
        restraint,
        temperature_K=T,
        checkpoint=path,
        progress=False,
    ) as biased:
        biased.run(1)
    with pytest.raises(ValueError, match="BiasedDynamics"):
        PlainDynamics.load(path, make("langevin", silicon()))


def test_an_energy_that_is_none_ends_the_run(tmp_path):
    class Explodes(Calculator):
        implemented_properties = ("energy", "forces")
        calls = 0

        def calculate(self, atoms=None, properties=(), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.calls += 1
            energy = np.nan if self.calls > 4 else 0.0
            self.results = {"energy": energy, "forces": np.zeros((len(atoms), 3))}

    atoms = silicon()
    atoms.calc = Explodes()
    dynamics = begin(tmp_path, VelocityVerlet(atoms, units.fs))
    with pytest.raises(FloatingPointError, match="step 4"):
        dynamics.run(10)
    assert len(read_colvar(tmp_path / "run.log")) == 2
