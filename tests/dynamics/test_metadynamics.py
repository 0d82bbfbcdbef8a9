"""Metadynamics of atoms: hills, files, continuation, walkers, and the free energy of a known surface."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB

from ase_mlsample.biases import (
    HarmonicRestraint,
    LinearBias,
    SharedHills,
    SharedSamples,
    UpperWall,
    read_hills,
)
from ase_mlsample.calculators import DoubleWell
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import Metadynamics
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, Coordinate, MeanPair, crystal

LANGEVIN = INTEGRATORS["Langevin"]
HOW = {"temperature_K": KELVIN, "sigma": 0.05, "height": 0.03, "bias_factor": 8, "pace": 4, "progress": False}


def metadynamics(folder, *, make=LANGEVIN, cv=None, **settings) -> Metadynamics:
    cv = Distance(0, 1) if cv is None else cv
    return Metadynamics(make(crystal()), cv, **HOW | {"hills": folder / "HILLS"} | settings)


class TestHills:
    @pytest.mark.parametrize("name", INTEGRATORS)
    def test_come_at_their_pace(self, name, tmp_path):
        with metadynamics(tmp_path, make=INTEGRATORS[name]) as dynamics:
            for steps in (3, 1, 17):
                dynamics.run(steps)
        assert dynamics.hills_bias.n_hills == 5
        hills = read_hills(tmp_path / "HILLS")
        np.testing.assert_allclose(hills.times, 0.004 * np.arange(1, 6))
        assert hills.names == ("distance",)

    def test_are_lower_where_there_are_some(self, tmp_path):
        with metadynamics(tmp_path) as dynamics:
            dynamics.run(8)
        first, second = read_hills(tmp_path / "HILLS").heights
        assert first == pytest.approx(0.03)
        assert 0.02 < second < 0.03

    def test_of_several_variables(self, tmp_path):
        with metadynamics(tmp_path, cv=MeanPair(), sigma=[0.2, 0.05], make=INTEGRATORS["MTKNPT"]) as dynamics:
            dynamics.run(20)
        assert read_hills(tmp_path / "HILLS").centers.shape == (5, 2)

    def test_with_walls(self, tmp_path):
        wall = UpperWall(2.0, 1.0)
        with metadynamics(tmp_path, extra_bias=wall, hills=None) as dynamics:
            dynamics.run(8)
            value = dynamics.calc.cv_value.value
            whole, hills = dynamics.bias.potential(value)[0], dynamics.hills_bias.potential(value)[0]
        assert whole == pytest.approx(hills + wall.potential(value)[0])
        assert not (tmp_path / "HILLS").exists()


class TestContinuation:
    def test_goes_on_exactly(self, tmp_path):
        wall = {"extra_bias": UpperWall(2.4, 1.0)}
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        files = {"logfile": "log", "trajectory": "run.extxyz", "checkpoint": "ckpt"}
        often = {"log_interval": 1, "trajectory_interval": 5, "checkpoint_interval": 10} | wall
        make = INTEGRATORS["StochasticCellRescaling"]
        for folder, steps in ((whole, 40), (parts, 27)):
            folder.mkdir()
            named = {kind: folder / name for kind, name in files.items()}
            with metadynamics(folder, make=make, **often, **named) as dynamics:
                dynamics.run(steps)
        integrator = make(crystal(9))
        with Metadynamics.load(parts / "ckpt", integrator, Distance(0, 1), progress=False) as again:
            assert again.step == 27
            again.run(13)
        for name in ("log", "run.extxyz", "HILLS"):
            assert (whole / name).read_bytes() == (parts / name).read_bytes()

    def test_names_an_added_bias_that_only_the_user_has(self, tmp_path):
        class Slope(LinearBias):
            pass

        checkpoint = tmp_path / "ckpt"
        with metadynamics(tmp_path, checkpoint=checkpoint, extra_bias=Slope(0.1)) as dynamics:
            dynamics.run(5)
        with pytest.raises(TypeError, match=r"class Slope besides: give load\(\) one"):
            Metadynamics.load(checkpoint, LANGEVIN(crystal()), Distance(0, 1), progress=False)
        again = Metadynamics.load(checkpoint, LANGEVIN(crystal()), Distance(0, 1), Slope(0.1), progress=False)
        assert again.step == 5

    def test_cuts_the_hills(self, tmp_path):
        early = tmp_path / "early"
        with metadynamics(tmp_path) as dynamics:
            dynamics.attach(lambda: dynamics.save(early), -9)
            dynamics.run(30)
        assert len(read_hills(tmp_path / "HILLS")) == 7
        with Metadynamics.load(early, LANGEVIN(crystal()), Distance(0, 1), progress=False) as again:
            assert (again.step, again.hills_bias.n_hills) == (9, 2)
            assert len(read_hills(tmp_path / "HILLS")) == 2
            again.run(21)
        assert len(read_hills(tmp_path / "HILLS")) == 7
        np.testing.assert_array_equal(again.atoms.positions, dynamics.atoms.positions)

    def test_a_refused_load_changes_no_file(self, tmp_path):
        early, log = tmp_path / "early", tmp_path / "log"
        with metadynamics(tmp_path, logfile=log, log_interval=1) as dynamics:
            dynamics.attach(lambda: dynamics.save(early), -9)
            dynamics.run(30)
        log.write_text(log.read_text().replace("0.00", "0.01"))
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ValueError, match="log is not the file that the run was writing"):
            Metadynamics.load(early, LANGEVIN(crystal()), Distance(0, 1), progress=False)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files

    def test_keeps_the_hills_of_another_run(self, tmp_path):
        with metadynamics(tmp_path) as dynamics:
            dynamics.run(4)
        content = (tmp_path / "HILLS").read_bytes()
        with pytest.raises(FileExistsError, match=r"Metadynamics.load"):
            metadynamics(tmp_path)
        assert (tmp_path / "HILLS").read_bytes() == content


class TestWalkers:
    def test_share_their_hills(self, tmp_path):
        def walker(name, **settings):
            shared = SharedHills(tmp_path / "shared", walker=name, pace=4)
            return Metadynamics(LANGEVIN(crystal(name)), Distance(0, 1), walkers=shared, **HOW | settings)

        with walker(0, checkpoint=tmp_path / "ckpt") as one, walker(1) as two:
            for _ in range(5):
                one.run(4)
                two.run(4)
        assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == ["HILLS.0", "HILLS.1"]
        assert (one.hills_bias.n_hills, two.hills_bias.n_hills) == (9, 10)
        with Metadynamics.load(
            tmp_path / "ckpt", LANGEVIN(crystal()), Distance(0, 1), progress=False
        ) as again:
            again.run(4)
            assert again.hills_bias.n_hills == 11
        with pytest.raises(FileExistsError, match=r"HILLS\.0 exists"):
            walker(0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"sigma": 0.0}, "sigma must be positive"),
            ({"sigma": [0.1, 0.1]}, "sigma must hold 1 number"),
            ({"bias_factor": 1.0}, "bias_factor must be above 1"),
            ({"height": -0.1}, "height"),
            ({"pace": 0}, "pace"),
            ({"temperature_K": 350.0}, "they must be the same"),
            ({"extra_bias": HarmonicRestraint([1.0, 2.0], 1.0)}, "different numbers of variables"),
        ],
    )
    def test_settings_out_of_range(self, tmp_path, wrong, text):
        with pytest.raises(ValueError, match=text):
            metadynamics(tmp_path, **wrong)
        assert list(tmp_path.iterdir()) == []

    def test_unknown_settings(self, tmp_path):
        with pytest.raises(TypeError, match="colvar"):
            metadynamics(tmp_path, colvar="COLVAR")
        with pytest.raises(TypeError, match=r"walkers must be SharedHills\(.*, got SharedSamples"):
            metadynamics(tmp_path, walkers=SharedSamples(tmp_path, walker=0, walkers=2))
        with pytest.raises(TypeError, match="temperature_K"):
            Metadynamics(LANGEVIN(crystal()), Distance(0, 1), sigma=0.1, height=0.1, bias_factor=5, pace=5)


def test_free_energy_of_a_double_well():
    """A particle in U(x) + ky²/2 with a barrier of 6 k_BT, where F(x) is U(x); found within 0.6 k_BT."""
    kelvin, kT = 300.0, 300.0 * units.kB
    well = DoubleWell(2, barrier=6 * kT, tilt=1.0 * kT, stiffness=20 * kT)
    atoms = Atoms("Al", [[-1.0, 0, 0]], calculator=well.calculator())
    integrator = LangevinBAOAB(
        atoms, 8 * units.fs, temperature_K=kelvin, T_tau=100 * units.fs, rng=np.random.default_rng(0)
    )
    settings = {"sigma": 0.15, "height": 0.4 * kT, "bias_factor": 8, "pace": 25, "hills": None}
    with Metadynamics(integrator, Coordinate(), temperature_K=kelvin, progress=False, **settings) as dynamics:
        dynamics.run(15_000)
    x = np.linspace(-1.6, 1.6, 65)
    exact = well.energy(np.stack([x, np.zeros_like(x)], axis=1)) / kT
    found = -8 / 7 * dynamics.hills_bias.potential(x[:, None])[0] / kT
    low = exact < exact.min() + 8
    error = (found - exact)[low]
    assert low.sum() > 40
    assert np.sqrt(np.mean((error - error.mean()) ** 2)) < 0.6
