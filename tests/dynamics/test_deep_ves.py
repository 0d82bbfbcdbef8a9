"""Deep-VES of atoms: files, continuation, the figure, and settings that are refused."""

import math

import numpy as np
import pytest
from ase import units

from ase_mlsample.biases import DeepVESBias, Uniform, UpperWall
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import DeepVES, plot_convergence
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, MeanPair, crystal

HOW = {"temperature_K": KELVIN, "bounds": [(1.8, 3.2)], "bias_factor": 8, "pace": 4, "progress": False}


def deep_ves(*, make=INTEGRATORS["Langevin"], cv=None, seed=3, **settings) -> DeepVES:
    cv = Distance(0, 1) if cv is None else cv
    return DeepVES(make(crystal()), cv, **HOW | {"rng": np.random.default_rng(seed)} | settings)


class TestRun:
    @pytest.mark.parametrize("name", INTEGRATORS)
    def test_iterates_at_its_pace(self, name):
        with deep_ves(make=INTEGRATORS[name]) as dynamics:
            for steps in (3, 1, 17):
                dynamics.run(steps)
        assert dynamics.deep_bias.iterations == 5
        assert dynamics.deep_bias.record["step"].tolist() == [4, 8, 12, 16, 20]

    def test_units(self):
        with deep_ves() as dynamics:
            bias = dynamics.deep_bias
        assert bias.energy_unit == pytest.approx(0.0103643, rel=1e-5)
        assert bias.kT == pytest.approx(units.kB * KELVIN)

    def test_networks_of_other_generators_differ(self):
        with deep_ves() as one, deep_ves(seed=4) as two:
            assert one.deep_bias.potential([2.3])[0] != two.deep_bias.potential([2.3])[0]

    def test_log(self, tmp_path):
        with deep_ves(logfile=tmp_path / "log", log_interval=4) as dynamics:
            dynamics.run(12)
        lines = (tmp_path / "log").read_text().splitlines()
        assert lines[0].split()[-4:] == ["kl", "rate_scale", "phase", "inside"]
        rows = np.array([line.split() for line in lines if not line.startswith("#")], dtype=float)
        assert rows[0, -4:].tolist() == [0, 1, 0, 1]
        # a line is written with the V that made the forces, before the iteration of its step
        record = dynamics.deep_bias.record
        np.testing.assert_allclose(rows[2:, -4], record["divergence"][:2], rtol=1e-9)
        assert (rows[:, -2] <= 1).all()

    def test_with_walls_and_two_variables(self):
        wall = UpperWall([30.0, 2.6], [0.0, 5.0])
        bounds = [(2.0, 40.0), (1.8, 3.2)]
        with deep_ves(cv=MeanPair(), bounds=bounds, extra_bias=wall, bins=20) as dynamics:
            dynamics.run(9)
            value = dynamics.calc.cv_value.value
            whole, deep = dynamics.bias.potential(value)[0], dynamics.deep_bias.potential(value)[0]
        assert whole == pytest.approx(deep + wall.potential(value)[0])
        assert dynamics.deep_bias.iterations == 2

    def test_another_target(self):
        with deep_ves(bias_factor=None, target=Uniform()) as dynamics:
            dynamics.run(4)
            assert dynamics.todict()["bias"]["target"] == {"class": "Uniform"}


class TestContinuation:
    @pytest.mark.parametrize("target_points", [None, 100])
    def test_goes_on_exactly(self, tmp_path, target_points):
        wall = {"extra_bias": UpperWall(2.4, 1.0)}
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        files = {"logfile": "log", "trajectory": "run.extxyz", "checkpoint": "ckpt", "plot": "run.svg"}
        often = {"log_interval": 1, "trajectory_interval": 5, "checkpoint_interval": 10} | wall
        often |= {"plot_interval": 5, "target_points": target_points}
        make = INTEGRATORS["StochasticCellRescaling"]
        for folder, steps in ((whole, 40), (parts, 27)):
            folder.mkdir()
            named = {kind: folder / name for kind, name in files.items()}
            with deep_ves(make=make, **often, **named) as dynamics:
                dynamics.run(steps)
            assert (folder / "run.svg").is_file()
        (parts / "run.svg").unlink()
        integrator = make(crystal(9))
        with DeepVES.load(
            parts / "ckpt", integrator, Distance(0, 1), wall["extra_bias"], progress=False
        ) as again:
            assert (again.step, again.deep_bias.iterations) == (27, 6)
            again.run(13)
        for name in ("log", "run.extxyz"):
            assert (whole / name).read_bytes() == (parts / name).read_bytes()
        assert (parts / "run.svg").is_file()


class TestFigure:
    def test_is_drawn_while_the_run_goes_on(self, tmp_path):
        path, seen = tmp_path / "convergence.png", []
        with deep_ves(plot=path, plot_interval=2) as dynamics:
            dynamics.attach(lambda: seen.append(path.exists()), 1)
            dynamics.run(12)
        assert seen == [False] * 9 + [True] * 4
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_at_the_end_of_learning(self, tmp_path):
        path = tmp_path / "convergence.svg"
        with deep_ves(plot=path, decay=2, static_below=0.2, kl_threshold=1e3) as dynamics:
            dynamics.run(40)
        assert dynamics.deep_bias.static_since == 12
        assert path.read_text().startswith("<?xml")

    def test_of_many_variables(self, tmp_path):
        bias = DeepVESBias(
            kT=1.0,
            bounds=[None] * 4,
            domains=[(-math.pi, math.pi)] * 4,
            bias_factor=5,
            target_points=50,
            pace=1,
        )
        with pytest.raises(ValueError, match="before the first iteration"):
            plot_convergence(bias, tmp_path / "a.svg")
        for step in range(1, 4):
            bias.update(np.zeros(4), step)
        plot_convergence(bias, tmp_path / "a.pdf")
        assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
        with pytest.raises(ValueError, match=r"\.svg, \.pdf or \.png"):
            plot_convergence(bias, tmp_path / "a.txt")


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "error", "text"),
        [
            ({"bounds": None}, ValueError, "needs bounds"),
            ({"bounds": [(0, 1), (0, 1)]}, ValueError, "bounds must hold .* for each of distance"),
            ({"bias_factor": None}, ValueError, "either bias_factor"),
            ({"temperature_K": 350.0}, ValueError, "they must be the same"),
            ({"temperature_K": -1.0}, ValueError, "temperature_K must be a positive"),
            ({"rng": 3}, TypeError, "rng must be"),
            ({"plot_interval": 0}, ValueError, "plot_interval"),
            ({"plot": "figure.txt"}, ValueError, r"\.svg, \.pdf or \.png"),
            ({"nonsense": 1}, TypeError, "DeepVES has no setting 'nonsense'"),
            ({"tua": 10}, TypeError, "did you mean 'tau'"),
            ({"bounds": (0, 1)}, ValueError, "for each of distance, such as .*; got .0, 1."),
            ({"hidden": 48}, TypeError, "width of each layer"),
            ({"weight_decay": -1}, ValueError, "weight_decay, unless zero, must be a positive"),
            ({"decay": 1}, ValueError, "decay must be a whole number, at least 2"),
            ({"extra_bias": UpperWall([1.0, 1.0], 1.0)}, ValueError, "different numbers of variables"),
        ],
    )
    def test_settings_out_of_range(self, wrong, error, text):
        with pytest.raises(error, match=text):
            deep_ves(**wrong)

    def test_checkpoint_is_there(self, tmp_path):
        with deep_ves(checkpoint=tmp_path / "ckpt") as dynamics:
            dynamics.run(4)
        with pytest.raises(FileExistsError, match="is there already"):
            deep_ves(checkpoint=tmp_path / "ckpt")
