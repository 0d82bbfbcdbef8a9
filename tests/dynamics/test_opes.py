"""OPES of atoms: kernels, files, continuation, and the free energy of a known surface."""

import math

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB

from ase_mlsample.biases import HarmonicRestraint, OPESBias, UpperWall
from ase_mlsample.calculators import DoubleWell
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import OPES, WalkerDynamics, WalkerHistogram
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, Coordinate, MeanPair, crystal

LANGEVIN = INTEGRATORS["Langevin"]
HOW = {"temperature_K": KELVIN, "barrier": 0.3, "pace": 4, "sigma": 0.05, "progress": False}


def opes(folder, *, make=LANGEVIN, cv=None, **settings) -> OPES:
    cv = Distance(0, 1) if cv is None else cv
    return OPES(make(crystal()), cv, **HOW | {"kernels": folder / "KERNELS"} | settings)


class TestKernels:
    @pytest.mark.parametrize(
        "name", ["Langevin", "NoseHooverChainNVT", "NPTBerendsen", "StochasticCellRescaling"]
    )
    def test_come_at_their_pace(self, name, tmp_path):
        with opes(tmp_path, make=INTEGRATORS[name]) as dynamics:
            for steps in (3, 1, 17):
                dynamics.run(steps)
        assert dynamics.opes_bias.n_deposited == 6
        table = np.loadtxt(tmp_path / "KERNELS")
        np.testing.assert_allclose(table[:, 0], 0.004 * np.arange(1, 6))
        header = (tmp_path / "KERNELS").read_text().splitlines()[0]
        assert header == "#! FIELDS time distance sigma_distance height logweight"

    def test_of_several_variables_with_measured_widths(self, tmp_path):
        settings = {"sigma": None, "adaptive_stride": 8, "explore": True}
        with opes(tmp_path, cv=MeanPair(), make=INTEGRATORS["MTKNPT"], **settings) as dynamics:
            dynamics.run(20)
        assert np.loadtxt(tmp_path / "KERNELS").shape == (4, 7)
        assert dynamics.todict()["bias"]["explore"] is True

    def test_with_walls(self, tmp_path):
        with opes(tmp_path, extra_bias=UpperWall(2.0, 1.0), kernels=None) as dynamics:
            dynamics.run(8)
            value = dynamics.calc.cv_value.value
        whole, kernels = dynamics.bias.potential(value)[0], dynamics.opes_bias.potential(value)[0]
        assert whole == pytest.approx(kernels + UpperWall(2.0, 1.0).potential(value)[0])
        assert list(tmp_path.iterdir()) == []


def test_log(tmp_path):
    with opes(tmp_path, logfile=tmp_path / "log", log_interval=2) as dynamics:
        dynamics.run(12)
    first = (tmp_path / "log").read_text().splitlines()[0]
    columns = "time distance bias temperature energy volume rct zed neff nker"
    assert first == f"#! FIELDS {columns}"
    table = dict(zip(columns.split(), np.loadtxt(tmp_path / "log").T, strict=True))
    assert table["nker"].tolist() == [0, 0, 0, 1, 1, 1, 1]  # that of the V that made the forces
    assert table["rct"][:3] == pytest.approx(-0.3)
    assert table["bias"][:3] == pytest.approx(-0.3)
    weight = math.exp(-0.3 / dynamics.opes_bias.kT)
    assert table["neff"][0] == pytest.approx((1 + weight) ** 2 / (1 + weight**2))


class TestContinuation:
    @pytest.mark.parametrize("sigma", [0.05, None])
    def test_goes_on_exactly(self, sigma, tmp_path):
        settings = {
            "sigma": sigma,
            "adaptive_stride": None if sigma else 8,
            "extra_bias": UpperWall(2.4, 1.0),
        }
        often = {"log_interval": 1, "trajectory_interval": 5, "checkpoint_interval": 10}
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        files = {"logfile": "log", "trajectory": "run.extxyz", "checkpoint": "ckpt"}
        make = INTEGRATORS["StochasticCellRescaling"]
        for folder, steps in ((whole, 40), (parts, 27)):
            folder.mkdir()
            named = {kind: folder / name for kind, name in files.items()}
            with opes(folder, make=make, **settings, **often, **named) as dynamics:
                dynamics.run(steps)
        wall = settings["extra_bias"]
        with OPES.load(parts / "ckpt", make(crystal(9)), Distance(0, 1), wall, progress=False) as again:
            assert again.step == 27
            again.run(13)
        for name in ("log", "run.extxyz", "KERNELS"):
            assert (whole / name).read_bytes() == (parts / name).read_bytes()
        assert len(np.loadtxt(parts / "KERNELS", ndmin=2)) == (10 if sigma else 9)

    def test_cuts_the_kernels(self, tmp_path):
        early = tmp_path / "early"
        with opes(tmp_path) as dynamics:
            dynamics.attach(lambda: dynamics.save(early), -9)
            dynamics.run(30)
        with OPES.load(early, LANGEVIN(crystal()), Distance(0, 1), progress=False) as again:
            assert (again.step, again.opes_bias.n_deposited) == (9, 3)
            assert len(np.loadtxt(tmp_path / "KERNELS")) == 2
            again.run(21)
        assert len(np.loadtxt(tmp_path / "KERNELS")) == 7
        np.testing.assert_array_equal(again.atoms.positions, dynamics.atoms.positions)

    def test_keeps_the_kernels_of_another_run(self, tmp_path):
        with opes(tmp_path) as dynamics:
            dynamics.run(4)
        content = (tmp_path / "KERNELS").read_bytes()
        with pytest.raises(FileExistsError, match=r"OPES.load"):
            opes(tmp_path)
        assert (tmp_path / "KERNELS").read_bytes() == content


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"barrier": 0.0}, "barrier must be a positive"),
            ({"barrier": 0.01}, "barrier is 0.29 kT"),
            ({"barrier": math.nan}, "barrier must be a positive"),
            ({"sigma": 0.0}, "sigma must be positive"),
            ({"sigma": [0.1, 0.1]}, "sigma must hold 1 number"),
            ({"bias_factor": 1.0}, "bias_factor must be above 1"),
            ({"pace": 0}, "pace"),
            ({"temperature_K": 350.0}, "they must be the same"),
            ({"extra_bias": HarmonicRestraint([1.0, 2.0], 1.0)}, "different numbers of variables"),
        ],
    )
    def test_settings_out_of_range(self, tmp_path, wrong, text):
        with pytest.raises(ValueError, match=text):
            opes(tmp_path, **wrong)
        assert list(tmp_path.iterdir()) == []

    def test_unknown_settings(self, tmp_path):
        with pytest.raises(TypeError, match="OPES has no setting 'colvar'"):
            opes(tmp_path, colvar="COLVAR")
        with pytest.raises(TypeError, match=r"no setting 'tracjectory'; did you mean 'trajectory'\?"):
            opes(tmp_path, tracjectory="run.extxyz")

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"walkers": "shared"}, r"walkers must be SharedSamples\(.*, got str"),
            ({"extra_bias": UpperWall}, "extra_bias must be a bias, .*, got UpperWall"),
            ({"cv": len}, "cv must be a CollectiveVariable, got builtin_function_or_method"),
        ],
    )
    def test_what_is_something_else(self, tmp_path, wrong, text):
        with pytest.raises(TypeError, match=text):
            opes(tmp_path, **wrong)

    @pytest.mark.parametrize("file", ["kernels", "logfile", "trajectory", "checkpoint"])
    def test_folders_that_are_not_there(self, tmp_path, file):
        with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere for .*; make it first"):
            opes(tmp_path, **{file: tmp_path / "nowhere" / "file"})


def rms(found, exact, ceiling):
    """Root mean square difference in k_BT below a ceiling, both shifted to the same mean."""
    error = (found - exact)[exact < exact.min() + ceiling]
    return np.sqrt(np.mean((error - error.mean()) ** 2))


def test_free_energy_of_a_double_well():
    """A particle in U(x) + ky²/2 with a barrier of 4 k_BT, where F(x) is U(x)."""
    kelvin, kT = 300.0, 300.0 * units.kB
    well = DoubleWell(2, barrier=4 * kT, tilt=1.0 * kT, stiffness=20 * kT)
    atoms = Atoms("Al", [[-1.0, 0, 0]], calculator=well.calculator())
    integrator = LangevinBAOAB(
        atoms, 8 * units.fs, temperature_K=kelvin, T_tau=100 * units.fs, rng=np.random.default_rng(0)
    )
    with OPES(
        integrator,
        Coordinate(),
        temperature_K=kelvin,
        barrier=6 * kT,
        pace=20,
        sigma=0.1,
        kernels=None,
        progress=False,
    ) as dynamics:
        dynamics.run(8000)
    x = np.linspace(-1.6, 1.6, 65)
    exact = well.energy(np.stack([x, np.zeros_like(x)], axis=1)) / kT
    F = dynamics.opes_bias.free_energy(x[:, None]) / kT
    assert rms(F, exact, 5) < 0.6


def test_walkers_of_a_model_potential():
    """Many walkers that build one bias of the first of two variables, half a second's worth."""
    potential, axis = DoubleWell(2, barrier=6.0), np.linspace(-1.5, 1.5, 61)
    bias = OPESBias(kT=1.0, barrier=8.0, pace=50, sigma=0.15)
    walkers = WalkerDynamics(
        potential, kT=1.0, timestep=0.02, friction=2.0, n_walkers=100, bias=bias,
        variables=[0], rng=np.random.default_rng(0),
    )  # fmt: skip
    walkers.run(2000)
    weighted = WalkerHistogram(axis, weighting="static", groups=10)
    walkers.attach(weighted, 2)
    walkers.run(4000)
    exact = potential.free_energy(0, 1.0, axis)
    assert rms(bias.free_energy(axis[:, None]), exact, 6) < 0.4
    assert weighted.free_energy(1.0).rmse(exact, ceiling=6) < 0.3
    assert bias.n_kernels < 100 < bias.n_deposited
