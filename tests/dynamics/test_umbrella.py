"""Umbrella sampling: a window against its known mean, moving springs, rows of windows that go on."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB

from ase_mlsample.biases import HarmonicRestraint, MovingRestraint, UpperWall
from ase_mlsample.calculators.base import MLCalculator
from ase_mlsample.calculators.prediction import Prediction
from ase_mlsample.cvs import Dihedral, Distance
from ase_mlsample.dynamics import UmbrellaSampling, umbrella_windows
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, crystal
from tests.dynamics.test_metadynamics import Coordinate

LANGEVIN = INTEGRATORS["Langevin"]
KT = 300 * units.kB


class Harmonic(MLCalculator):
    """½ k r²."""

    spring = 4 * KT

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:
        r = atoms.positions
        return Prediction(energy=0.5 * self.spring * float((r * r).sum()), forces=-self.spring * r)


def particle() -> Atoms:
    return Atoms("Al", [[0.0, 0, 0]], calculator=Harmonic())


def baoab(atoms: Atoms, window: int = 0) -> LangevinBAOAB:
    rng = np.random.default_rng([3, window])
    return LangevinBAOAB(atoms, 8 * units.fs, temperature_K=300, T_tau=80 * units.fs, rng=rng)


def umbrella(**settings) -> UmbrellaSampling:
    settings = {"temperature_K": KELVIN, "center": 2.4, "kappa": 20.0, "progress": False} | settings
    return UmbrellaSampling(LANGEVIN(crystal()), Distance(0, 1), **settings)


class TestWindows:
    CENTERS = (-1.0, 0.0, 1.0)

    def sample(self, folder, *, steps=3000, centers=CENTERS, atoms=None, **settings):
        atoms = particle() if atoms is None else atoms
        settings = {"kappa": 12 * KT, "equilibration": 200, "log_interval": 10, "progress": False} | settings
        return umbrella_windows(
            atoms,
            baoab,
            Coordinate(),
            temperature_K=300,
            centers=centers,
            steps=steps,
            directory=folder,
            **settings,
        )

    def test_sample_the_product_of_both_springs(self, tmp_path):
        windows = self.sample(tmp_path)
        assert [window.center.tolist() for window in windows] == [[-1.0], [0.0], [1.0]]
        for window in windows:
            assert window.values.shape == (300, 1)
            assert window.kappa == pytest.approx([12 * KT])
            # κ/(k + κ) of the way, with the variance k_BT/(k + κ)
            assert window.values.mean() == pytest.approx(0.75 * window.center[0], abs=0.12)
            assert window.values.std() == pytest.approx(0.25, abs=0.06)
            assert window.trajectory is None

    def test_go_on_where_they_were(self, tmp_path):
        whole = self.sample(tmp_path / "whole", steps=300, trajectory_interval=50)
        atoms = particle()
        calculator = atoms.calc

        class Tired(Harmonic):
            calls = 0

            def evaluate(self, atoms, members=False):
                self.calls += 1
                if self.calls > 700:
                    raise KeyboardInterrupt
                return super().evaluate(atoms, members)

        atoms.calc = tired = Tired()
        again = {"steps": 300, "trajectory_interval": 50, "checkpoint_interval": 60, "atoms": atoms}
        with pytest.raises(KeyboardInterrupt):
            self.sample(tmp_path / "parts", **again)
        assert atoms.calc is tired
        atoms.calc = calculator
        parts = self.sample(tmp_path / "parts", **again)
        for mine, theirs in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(mine.values, theirs.values)
            assert mine.log.read_bytes() == theirs.log.read_bytes()
            assert mine.trajectory.read_bytes() == theirs.trajectory.read_bytes()
        final = tmp_path / "parts" / "window-002.ckpt"
        content = final.read_bytes()
        done = self.sample(tmp_path / "parts", **again)
        assert [len(window.values) for window in done] == [30, 30, 30]
        assert final.read_bytes() == content
        told = r"window-001.ckpt is .* settings: center \[0.0\] \(here \[0.2\]\)"
        with pytest.raises(ValueError, match=told):
            self.sample(tmp_path / "parts", centers=(-1.0, 0.2, 1.0), **again)
        with pytest.raises(ValueError, match=r"window-000.ckpt is .* log_interval 10 \(here 5\)"):
            self.sample(tmp_path / "parts", log_interval=5, **again)

    def test_refuse_what_is_none(self, tmp_path):
        with pytest.raises(ValueError, match="at least one center"):
            self.sample(tmp_path, centers=())
        with pytest.raises(ValueError, match="steps=0 must be positive"):
            self.sample(tmp_path, steps=0)


class TestUmbrella:
    def test_holds_a_variable(self):
        with umbrella(extra_bias=UpperWall(5.0, 1.0)) as dynamics:
            dynamics.run(3)
            terms = dynamics.bias.terms()
        assert isinstance(terms[0], HarmonicRestraint)
        assert len(terms) == 2

    def test_takes_over_the_periods(self):
        with UmbrellaSampling(
            LANGEVIN(crystal()), Dihedral(0, 1, 2, 3), temperature_K=KELVIN, center=3.1, kappa=1.0
        ) as dynamics:
            assert dynamics.bias.domains == dynamics.cv.domains

    def test_moves_and_goes_on_moving(self, tmp_path):
        way = {"to": 2.8, "over_steps": 40, "kappa": 50.0, "logfile": tmp_path / "log", "log_interval": 5}
        with umbrella(**way) as whole:
            whole.run(50)
        way |= {"logfile": tmp_path / "log2", "checkpoint": tmp_path / "ckpt"}
        with umbrella(**way) as parts:
            parts.run(25)
        with UmbrellaSampling.load(
            tmp_path / "ckpt", LANGEVIN(crystal(4)), Distance(0, 1), progress=False
        ) as again:
            assert isinstance(again.bias, MovingRestraint)
            assert again.bias.center == pytest.approx([2.65])
            again.run(25)
        assert again.bias.work == whole.bias.work
        assert (tmp_path / "log").read_bytes() == (tmp_path / "log2").read_bytes()

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"to": 3.0}, "a moving restraint needs both"),
            ({"center": np.nan}, "center must be a finite number"),
            ({"kappa": [1.0, 2.0]}, "one for each of distance"),
            ({"kappa": -1.0}, "kappa must not be negative"),
        ],
    )
    def test_refuses_settings_out_of_range(self, wrong, text):
        with pytest.raises(ValueError, match=text):
            umbrella(**wrong)
