"""VES of atoms: bases and variables, files, continuation, walkers, and the free energy of a known surface."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB

from ase_mlsample.biases import (
    CubicSplines,
    Fourier,
    GivenTarget,
    HarmonicRestraint,
    Legendre,
    Uniform,
    UpperWall,
    VariationalBias,
    read_coefficients,
)
from ase_mlsample.calculators import CoupledTorsions, DoubleWell
from ase_mlsample.cvs import Dihedral, Distance
from ase_mlsample.dynamics import VES, WalkerDynamics
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, Coordinate, MeanPair, crystal

LANGEVIN = INTEGRATORS["Langevin"]
HOW = {
    "temperature_K": KELVIN,
    "bases": Legendre(5, (1.8, 3.0)),
    "bias_factor": 8,
    "pace": 4,
    "progress": False,
    "coefficients_interval": 1,
}


def ves(folder, *, make=LANGEVIN, cv=None, **settings) -> VES:
    cv = Distance(0, 1) if cv is None else cv
    return VES(make(crystal()), cv, **HOW | {"coefficients": folder / "COEFFS"} | settings)


class TestRuns:
    @pytest.mark.parametrize("name", ["VelocityVerlet", "Langevin", "StochasticCellRescaling", "MTKNPT"])
    def test_iterate_at_their_pace(self, name, tmp_path):
        with ves(tmp_path, make=INTEGRATORS[name]) as dynamics:
            for steps in (3, 1, 17):
                dynamics.run(steps)
        assert dynamics.ves_bias.iterations == 5
        assert dynamics.ves_bias.record["step"].tolist() == [4, 8, 12, 16, 20]
        read = read_coefficients(tmp_path / "COEFFS")
        assert read.names == ("distance",)
        np.testing.assert_allclose(read.times, 0.004 * np.arange(6))
        np.testing.assert_array_equal(read.mean[-1], dynamics.ves_bias.mean_coefficients)

    def test_of_several_variables(self, tmp_path):
        bases = [Legendre(3, (3.0, 8.0)), CubicSplines(4, (2.0, 4.0))]
        how = {"bases": bases, "target": Uniform(), "bias_factor": None, "grid_cells": 40}
        with ves(tmp_path, cv=MeanPair(), make=INTEGRATORS["MTKNPT"], **how) as dynamics:
            dynamics.run(12)
        assert read_coefficients(tmp_path / "COEFFS").mean.shape == (4, 4, 8)
        assert dynamics.ves_bias.mean_coefficients.any()

    def test_of_a_dihedral(self, tmp_path):
        how = {"bases": Fourier(3), "coefficients": None}
        with ves(tmp_path, cv=Dihedral(0, 1, 2, 3), **how) as dynamics:
            dynamics.run(8)
        assert dynamics.ves_bias.domains == ((-np.pi, np.pi),)
        assert list(tmp_path.iterdir()) == []

    def test_step_size_is_in_eV(self, tmp_path):
        with ves(tmp_path, temperature_K=KELVIN) as dynamics:
            assert dynamics.ves_bias.step_size == pytest.approx(0.4 * units.kB * KELVIN)
            assert 0.7 < dynamics.ves_bias.step_size / (units.kJ / units.mol) < 1.5

    def test_with_walls(self, tmp_path):
        wall = UpperWall(2.0, 1.0)
        with ves(tmp_path, extra_bias=wall, coefficients=None) as dynamics:
            dynamics.run(8)
            value = dynamics.calc.cv_value.value
            whole, own = dynamics.bias.potential(value)[0], dynamics.ves_bias.potential(value)[0]
        assert whole == pytest.approx(own + wall.potential(value)[0])

    def test_log(self, tmp_path):
        with ves(tmp_path, logfile=tmp_path / "log", log_interval=4) as dynamics:
            dynamics.run(9)
        lines = (tmp_path / "log").read_text().splitlines()
        assert lines[0].split()[-3:] == ["kl", "gradient", "inside"]
        last = [float(word) for word in lines[-1].split()]  # of step 8, before its iteration
        assert last[-3:] == pytest.approx(
            [dynamics.ves_bias.record[name][0] for name in ("divergence", "gradient", "inside")], rel=1e-4
        )


class TestContinuation:
    @pytest.mark.parametrize(
        "target",
        [{}, {"bias_factor": None, "target": GivenTarget(lambda s: np.exp(-s[:, 0]))}],
        ids=["tempered", "given"],
    )
    def test_goes_on_exactly(self, tmp_path, target):
        wall = {"extra_bias": UpperWall(2.4, 1.0)}
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        files = {"logfile": "log", "trajectory": "run.extxyz", "checkpoint": "ckpt"}
        often = {"log_interval": 1, "trajectory_interval": 5, "checkpoint_interval": 10} | wall | target
        make = INTEGRATORS["StochasticCellRescaling"]
        for folder, steps in ((whole, 40), (parts, 27)):
            folder.mkdir()
            named = {kind: folder / name for kind, name in files.items()}
            with ves(folder, make=make, **often, **named) as dynamics:
                dynamics.run(steps)
        integrator = make(crystal(9))
        with VES.load(
            parts / "ckpt", integrator, Distance(0, 1), wall["extra_bias"], progress=False
        ) as again:
            assert again.step == 27
            again.run(13)
        for name in ("log", "run.extxyz", "COEFFS"):
            assert (whole / name).read_bytes() == (parts / name).read_bytes()

    def test_draws_on(self, tmp_path):
        files = {"checkpoint": tmp_path / "ckpt", "plot": tmp_path / "run.png", "plot_interval": 2}
        seen = []
        with ves(tmp_path, **files) as dynamics:
            dynamics.attach(lambda: seen.append((tmp_path / "run.png").exists()), 1)
            dynamics.run(10)
        assert seen == [False] * 9 + [True] * 2  # from the second iteration on, at step 8
        assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "run.png").unlink()
        with VES.load(tmp_path / "ckpt", LANGEVIN(crystal()), Distance(0, 1), progress=False) as again:
            again.run(5)
            assert not (tmp_path / "run.png").exists()
            again.run(1)
        assert (tmp_path / "run.png").exists()

    def test_draws_the_record_of_several_variables(self, tmp_path):
        with ves(tmp_path, cv=MeanPair(), bases=[Legendre(3, (3, 8)), Legendre(3, (2, 4))]) as dynamics:
            dynamics.run(8)
            dynamics.plot(tmp_path / "run.svg")
        drawn = (tmp_path / "run.svg").read_text()
        assert drawn.count('id="axes_') == 2
        with pytest.raises(ValueError, match=r"\.svg, \.pdf or \.png"):
            ves(tmp_path, plot="run.txt", coefficients=None)

    def test_cuts_the_coefficients(self, tmp_path):
        early = tmp_path / "early"
        with ves(tmp_path) as dynamics:
            dynamics.attach(lambda: dynamics.save(early), -9)
            dynamics.run(30)
        with VES.load(early, LANGEVIN(crystal()), Distance(0, 1), progress=False) as again:
            assert (again.step, again.ves_bias.iterations) == (9, 2)
            assert len(read_coefficients(tmp_path / "COEFFS").mean) == 3
            again.run(21)
        assert len(read_coefficients(tmp_path / "COEFFS").mean) == 8
        np.testing.assert_array_equal(again.atoms.positions, dynamics.atoms.positions)

    def test_keeps_the_coefficients_of_another_run(self, tmp_path):
        with ves(tmp_path) as dynamics:
            dynamics.run(4)
        content = (tmp_path / "COEFFS").read_bytes()
        with pytest.raises(FileExistsError, match=r"VES.load"):
            ves(tmp_path)
        assert (tmp_path / "COEFFS").read_bytes() == content


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"bases": Fourier(3)}, "distance is not periodic, but its basis is"),
            (
                {"bases": [Legendre(3, (0, 1))] * 2},
                "there are 2 bases, but one is needed for each of distance",
            ),
            ({"bias_factor": 1.0}, "bias_factor must be above 1"),
            ({"bias_factor": None}, "either bias_factor"),
            ({"pace": 0}, "pace"),
            ({"temperature_K": 350.0}, "they must be the same"),
            ({"temperature_K": -1.0}, "temperature_K must be a positive"),
            ({"extra_bias": HarmonicRestraint([1.0, 2.0], 1.0)}, "different numbers of variables"),
        ],
    )
    def test_settings_out_of_range(self, tmp_path, wrong, text):
        with pytest.raises(ValueError, match=text):
            ves(tmp_path, **wrong)
        assert list(tmp_path.iterdir()) == []

    def test_of_a_periodic_variable(self, tmp_path):
        with pytest.raises(ValueError, match=r"dihedral has the period .* take Fourier"):
            ves(tmp_path, cv=Dihedral(0, 1, 2, 3), bases=Legendre(3, (-3, 3)))

    def test_unknown_settings(self, tmp_path):
        with pytest.raises(TypeError, match="hills"):
            ves(tmp_path, hills="HILLS")


def test_free_energy_of_a_double_well():
    """A particle in U(x) + ky²/2 with a barrier of 6 k_BT, where F(x) is U(x); found within 0.6 k_BT."""
    kelvin, kT = 300.0, 300.0 * units.kB
    well = DoubleWell(2, barrier=6 * kT, tilt=1.0 * kT, stiffness=20 * kT)
    atoms = Atoms("Al", [[-1.0, 0, 0]], calculator=well.calculator())
    integrator = LangevinBAOAB(
        atoms, 8 * units.fs, temperature_K=kelvin, T_tau=100 * units.fs, rng=np.random.default_rng(0)
    )
    how = {"bases": Legendre(8, (-1.6, 1.6)), "bias_factor": 8, "pace": 50, "average_window": 30}
    with VES(
        integrator, Coordinate(), temperature_K=kelvin, progress=False, coefficients=None, **how
    ) as dynamics:
        dynamics.run(10_000)
    (x,), F = dynamics.ves_bias.free_energy()
    exact = well.energy(np.stack([x, np.zeros_like(x)], axis=1)) / kT
    low = exact < exact.min() + 8
    assert low.sum() > 500
    assert np.std((F / kT - exact)[low]) < 0.6


def test_walkers_in_two_torsions():
    """Two coupled torsions with barriers of 10 and 5 k_BT, both biased by all walkers."""
    potential = CoupledTorsions(1)
    bias = VariationalBias(
        kT=1.0, bases=[Fourier(3)] * 2, bias_factor=6, pace=25, average_window=50, grid_cells=60
    )
    walkers = WalkerDynamics(
        potential,
        kT=1.0,
        timestep=0.1,
        friction=1.0,
        n_walkers=200,
        rng=np.random.default_rng(0),
        bias=bias,
    )
    walkers.run(5000)
    axes, F = bias.free_energy()
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    exact = potential.energy(points).reshape(F.shape)
    low = exact < exact.min() + 6
    assert 0.1 < low.mean() < 0.9
    assert np.std((F - exact)[low]) < 0.15
