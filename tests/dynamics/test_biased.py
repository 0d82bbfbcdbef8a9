"""Biased runs on every molecular dynamics of ASE: what the bias hears, what is evaluated, what is refused."""

import contextlib
import json

import numpy as np
import pytest
from ase import units
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.switch_langevin import SwitchLangevin
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from ase_mlsample.biases import HarmonicRestraint, MovingRestraint
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import Distance
from ase_mlsample.dynamics import BiasedDynamics
from ase_mlsample.testing.counting import counted
from tests.dynamics import integrators
from tests.dynamics.biased_systems import (
    FULL_CELL,
    INTEGRATORS,
    KELVIN,
    STEP,
    GrowingBias,
    MeanPair,
    crystal,
)


def biased(make, *, seed=0, cv=None, bias=None, **settings) -> BiasedDynamics:
    settings = {"temperature_K": KELVIN, "progress": False} | settings
    cv, bias = MeanPair() if cv is None else cv, GrowingBias() if bias is None else bias
    return BiasedDynamics(make(crystal(seed)), cv, bias, **settings)


def interrupt():
    raise KeyboardInterrupt


def verlet(atoms):
    return VelocityVerlet(atoms, STEP)


@pytest.mark.parametrize("name", INTEGRATORS)
class TestEveryIntegrator:
    def test_tells_the_bias_of_each_step_once_and_never_of_the_start(self, name):
        with biased(INTEGRATORS[name]) as dynamics:
            assert dynamics.run(12)
            for _ in dynamics.irun(11):
                pass
            dynamics.run(0)
        assert [step for step, _ in dynamics.bias.told] == list(range(1, 24))
        assert dynamics.bias.deposits == [5, 10, 15, 20]
        np.testing.assert_array_equal(dynamics.bias.told[-1][1], dynamics.cv(dynamics.atoms))

    def test_evaluates_the_model_as_often_as_without_bias(self, name):
        atoms = crystal()
        integrator = INTEGRATORS[name](atoms)
        integrator.run(3)
        with counted(atoms.calc) as plain:
            integrator.run(12)
        with biased(INTEGRATORS[name]) as dynamics:
            dynamics.run(3)
            before = dynamics.cv.evaluations
            with counted(dynamics.calc.calc) as passes:
                dynamics.run(12)
        expected = 24 if "Berendsen" in name and "NPT" in name else 12
        assert len(passes) == len(plain) == expected
        assert dynamics.cv.evaluations - before == expected

    def test_extra_evaluations_change_nothing(self, name):
        with biased(INTEGRATORS[name]) as alone:
            alone.run(14)
        with biased(INTEGRATORS[name]) as watched:
            atoms, other = watched.atoms, crystal(3, calc=watched.calc)

            def look():
                atoms.get_potential_energy()
                atoms.get_stress()
                watched.calc.evaluate(other)
                other.rattle(0.01)
                other.get_forces()

            watched.attach(look)
            watched.integrator.attach(look, interval=2)
            for _ in watched.irun(14):
                look()
        np.testing.assert_array_equal(alone.atoms.positions, watched.atoms.positions)
        np.testing.assert_array_equal(alone.atoms.get_momenta(), watched.atoms.get_momenta())
        np.testing.assert_array_equal(alone.atoms.cell, watched.atoms.cell)
        for mine, theirs in zip(alone.bias.told, watched.bias.told, strict=True):
            assert mine[0] == theirs[0]
            np.testing.assert_array_equal(mine[1], theirs[1])

    def test_every_frame_has_energy_and_forces_and_the_bias_that_made_them(self, name, tmp_path):
        path, bias = tmp_path / "run.extxyz", GrowingBias()
        with biased(INTEGRATORS[name], bias=bias, trajectory=path, trajectory_interval=1) as dynamics:
            ours = tmp_path / "ase.traj"
            with Trajectory(ours, "w", dynamics.atoms) as trajectory:
                dynamics.attach(trajectory)
                dynamics.run(12)
        frames, theirs = read(path, ":"), read(ours, ":")
        assert len(frames) == len(theirs) == 13
        values = [dynamics.cv(crystal()), *(value for _, value in bias.told)]
        for step, (frame, other) in enumerate(zip(frames, theirs, strict=True)):
            deposited = GrowingBias()
            deposited.deposits = [5, 10][: max(0, (step - 1) // 5)]
            v = deposited.potential(values[step])[0]
            assert frame.info["step"] == step
            assert frame.info["bias"] == pytest.approx(v, abs=1e-12)
            np.testing.assert_allclose(frame.info["cv"], values[step], rtol=1e-7)
            inner = StillingerWeber().evaluate(frame)
            assert frame.get_potential_energy() == pytest.approx(inner.energy, abs=1e-5)
            np.testing.assert_allclose(frame.get_forces(), inner.forces, atol=1e-5)
            assert other.get_potential_energy() == pytest.approx(frame.get_potential_energy() + v, abs=1e-7)
            assert other.get_forces().shape == (8, 3)

    def test_goes_on_exactly_from_a_checkpoint(self, name, tmp_path):
        make = INTEGRATORS[name]

        def files(folder):
            folder = tmp_path / folder
            folder.mkdir(exist_ok=True)
            names = {"trajectory": "run.extxyz", "logfile": "run.log", "checkpoint": "run.ckpt"}
            return {kind: folder / file for kind, file in names.items()}

        often = {"trajectory_interval": 3, "log_interval": 2, "checkpoint_interval": 8}
        with biased(make, **often, **files("whole")) as whole:
            whole.run(30)
        broken = biased(make, **often, **files("parts"))
        broken.attach(interrupt, -19)
        with broken, contextlib.suppress(KeyboardInterrupt):
            broken.run(30)
        assert broken.step == 19
        restart = make(crystal(5))
        checkpoint = files("parts")["checkpoint"]
        with BiasedDynamics.load(checkpoint, restart, MeanPair(), GrowingBias(), progress=False) as parts:
            assert parts.step == 16
            parts.run(14)
        np.testing.assert_array_equal(whole.atoms.positions, parts.atoms.positions)
        np.testing.assert_array_equal(whole.atoms.get_momenta(), parts.atoms.get_momenta())
        np.testing.assert_array_equal(whole.atoms.cell, parts.atoms.cell)
        assert whole.bias.deposits == parts.bias.deposits
        for kind in ("trajectory", "logfile"):
            assert files("whole")[kind].read_bytes() == files("parts")[kind].read_bytes()


class TestForces:
    def test_integrators_that_keep_forces_start_with_biased_ones(self):
        stiff = HarmonicRestraint(1.0, 50.0)
        dynamics = biased(INTEGRATORS["LangevinBAOAB-size"], cv=Distance(0, 1), bias=stiff)
        atoms = dynamics.atoms
        forces = dynamics.integrator.accel * atoms.get_masses()[:, None]
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-12)
        assert not np.allclose(forces, crystal().get_forces())

    def test_a_moving_restraint_is_felt(self):
        atoms = crystal()
        pull = MovingRestraint([0, 200], [2.35, 2.75], 100.0)
        with BiasedDynamics(
            INTEGRATORS["Langevin"](atoms), Distance(0, 1), pull, temperature_K=KELVIN, progress=False
        ) as dynamics:
            dynamics.run(200)
        assert pull.center[0] == 2.75
        assert dynamics.cv(atoms)[0] == pytest.approx(2.75, abs=0.12)
        assert pull.work > 0

    def test_energy_is_conserved_on_the_biased_surface(self):
        spring = HarmonicRestraint(2.6, 5.0)
        with biased(verlet, cv=Distance(0, 1), bias=spring) as dynamics:
            atoms, totals = dynamics.atoms, []
            dynamics.attach(lambda: totals.append(atoms.get_total_energy()))
            dynamics.run(200)
        assert np.ptp(totals) < 0.01 * atoms.get_kinetic_energy()


class TestLifetime:
    def test_gives_the_calculator_back(self):
        atoms = crystal()
        inner = atoms.calc
        with BiasedDynamics(verlet(atoms), MeanPair(), GrowingBias(), temperature_K=KELVIN) as dynamics:
            assert atoms.calc is dynamics.calc is not inner
        assert atoms.calc is inner
        with pytest.raises(RuntimeError, match="another calculator"):
            dynamics.run(1)
        dynamics.close()

    def test_gives_the_calculator_back_after_an_error(self):
        atoms = crystal()
        inner = atoms.calc
        dynamics = BiasedDynamics(verlet(atoms), MeanPair(), GrowingBias(), temperature_K=KELVIN)
        dynamics.attach(interrupt, -3)
        with dynamics, pytest.raises(KeyboardInterrupt):
            dynamics.run(10)
        assert dynamics.step == 3
        assert atoms.calc is inner

    def test_leaves_the_atoms_alone_when_it_cannot_start(self):
        atoms = crystal()
        inner = atoms.calc
        with pytest.raises(ValueError, match="NaN"):
            BiasedDynamics(
                INTEGRATORS["LangevinBAOAB"](atoms),
                MeanPair(fail_at=0),
                GrowingBias(),
                temperature_K=KELVIN,
            )
        assert atoms.calc is inner

    def test_a_loop_may_be_left_and_taken_up(self):
        with biased(verlet) as whole:
            whole.run(20)
        with biased(verlet) as parts:
            for _ in parts.irun(20):
                if parts.step == 7:
                    break
            parts.run(13)
        np.testing.assert_array_equal(whole.atoms.positions, parts.atoms.positions)
        assert [step for step, _ in parts.bias.told] == list(range(1, 21))

    def test_notices_another_calculator(self):
        with biased(verlet) as dynamics:
            dynamics.attach(lambda: setattr(dynamics.atoms, "calc", StillingerWeber()), -2)
            with pytest.raises(RuntimeError, match="was replaced"):
                dynamics.run(5)

    def test_takes_over_from_a_run_without_bias(self):
        atoms = crystal()
        integrator = INTEGRATORS["Langevin"](atoms)
        integrator.run(7)
        with BiasedDynamics(
            integrator, MeanPair(), GrowingBias(), temperature_K=KELVIN, progress=False
        ) as dynamics:
            dynamics.run(5)
        assert [step for step, _ in dynamics.bias.told] == [1, 2, 3, 4, 5]
        assert dynamics.time_fs == pytest.approx(5.0)
        integrator.run(3)

    def test_describes_itself(self):
        with biased(INTEGRATORS["Langevin"]) as dynamics:
            found = json.loads(json.dumps(dynamics.todict()))
        assert found["type"] == "molecular-dynamics"
        assert found["integrator"]["md-type"] == "Langevin"
        assert found["cv"]["names"] == ["pair", "logv"]
        assert found["bias"] == {"class": "GrowingBias", "height": 0.02, "pace": 5}


class TestObservers:
    def test_are_called_at_their_steps(self):
        seen = []
        with biased(verlet) as dynamics:
            dynamics.attach(lambda mark, sign: seen.append((mark, sign, dynamics.step)), 4, "a", sign=1)
            dynamics.attach(lambda: seen.append(("once", 0, dynamics.step)), -3)
            dynamics.run(5)
            dynamics.run(4)
        assert seen == [("a", 1, 0), ("once", 0, 3), ("a", 1, 4), ("a", 1, 8)]

    def test_may_ask_for_a_checkpoint(self, tmp_path):
        path = tmp_path / "here.ckpt"
        with biased(verlet) as whole:
            whole.attach(lambda: whole.save(path), -10)
            whole.run(15)
        with BiasedDynamics.load(
            path, verlet(crystal(4)), MeanPair(), GrowingBias(), progress=False
        ) as parts:
            assert (parts.step, parts.bias.deposits) == (10, [5, 10])
            parts.run(5)
        np.testing.assert_array_equal(whole.atoms.positions, parts.atoms.positions)


class TestRefusals:
    def test_a_full_cell_barostat_beneath_a_variable_fixed_in_space(self):
        for name, make in INTEGRATORS.items():
            fixed = MeanPair(lab_fixed=True)
            if name in FULL_CELL:
                with pytest.raises(ValueError, match="depends on the orientation"):
                    biased(make, cv=fixed)
            else:
                biased(make, cv=fixed).close()
            biased(make).close()

    @pytest.mark.parametrize("name", [name for name in INTEGRATORS if name != "VelocityVerlet"])
    def test_another_temperature(self, name):
        with pytest.raises(ValueError, match="holds 400 K; they must be the same"):
            biased(INTEGRATORS[name], temperature_K=500)

    def test_temperatures_that_are_none(self):
        with pytest.raises(TypeError, match="temperature_K"):
            BiasedDynamics(verlet(crystal()), MeanPair(), GrowingBias())
        for wrong in (0, -3.0, np.nan, "300"):
            with pytest.raises(ValueError, match="temperature_K must be a positive, finite number"):
                biased(verlet, temperature_K=wrong)

    def test_temperatures_of_each_atom(self):
        atoms = crystal()
        uneven = np.linspace(300, 500, 8)[:, None]
        integrator = Langevin(
            atoms, STEP, temperature_K=uneven, friction=0.01, fixcm=False, rng=np.random.default_rng(0)
        )
        with pytest.raises(ValueError, match="holds 300 to 500 K"):
            BiasedDynamics(integrator, MeanPair(), GrowingBias(), temperature_K=KELVIN)

    def test_a_bias_of_another_temperature(self):
        from ase_mlsample.biases import MetadynamicsBias

        bias = MetadynamicsBias(kT=1.0, sigma=[0.1, 0.1], height=0.1, bias_factor=5, pace=5)
        for one in (bias, bias + HarmonicRestraint([1.0, 1.0], 1.0)):
            with pytest.raises(ValueError, match=r"kT=units.kB \* temperature_K"):
                biased(verlet, bias=one)

    def test_numpys_global_generator(self):
        make = {
            "Langevin": lambda a: Langevin(a, STEP, temperature_K=KELVIN, friction=0.01, fixcm=False),
            "Bussi": lambda a: Bussi(a, STEP, KELVIN, 100 * units.fs),
            "Andersen": lambda a: Andersen(a, STEP, KELVIN, 0.1),
        }
        for one in make.values():
            with pytest.raises(ValueError, match="global generator"):
                biased(one)

    def test_what_is_no_molecular_dynamics(self):
        atoms = crystal()
        for wrong, text in [
            (BFGS(atoms, logfile=None), "got BFGS"),
            (VelocityVerlet, "make it: VelocityVerlet"),
            (None, "got NoneType"),
        ]:
            with pytest.raises(TypeError, match=text):
                BiasedDynamics(wrong, MeanPair(), GrowingBias(), temperature_K=KELVIN)

    def test_an_integrator_whose_run_does_more_than_its_steps(self):
        atoms = crystal()
        switch = SwitchLangevin(
            atoms,
            StillingerWeber(),
            StillingerWeber(),
            STEP,
            friction=0.01,
            n_eq=1,
            n_switch=2,
            temperature_K=KELVIN,
            fixcm=False,
            rng=np.random.default_rng(0),
        )
        with pytest.raises(ValueError, match="run does more than its irun"):
            BiasedDynamics(switch, MeanPair(), GrowingBias(), temperature_K=KELVIN)

        class Own(MolecularDynamics):
            def step(self):
                return VelocityVerlet.step(self)

        with BiasedDynamics(
            Own(crystal(), STEP), MeanPair(), GrowingBias(), temperature_K=KELVIN, progress=False
        ) as dynamics:
            dynamics.run(6)
        assert dynamics.bias.deposits == [5]

    def test_atoms_without_a_calculator_or_with_a_biased_one(self):
        atoms = crystal()
        integrator = verlet(atoms)
        atoms.calc = None
        with pytest.raises(ValueError, match="no calculator"):
            BiasedDynamics(integrator, MeanPair(), GrowingBias(), temperature_K=KELVIN)
        atoms.calc = StillingerWeber()
        first = BiasedDynamics(integrator, MeanPair(), GrowingBias(), temperature_K=KELVIN)
        with pytest.raises(TypeError, match="biased already"):
            BiasedDynamics(integrator, MeanPair(), GrowingBias(), temperature_K=KELVIN)
        first.close()

    def test_intervals_that_are_none(self):
        for name in ("log_interval", "trajectory_interval", "checkpoint_interval"):
            with pytest.raises(ValueError, match=f"{name} must be at least 1"):
                biased(verlet, **{name: 0})
            with pytest.raises(TypeError, match=f"{name} counts steps"):
                biased(verlet, **{name: 2.5})


@pytest.mark.parametrize("name", ["verlet", "melchionna", "melchionna_nvt", "baoab_nvt", "baoab_cell"])
def test_the_first_step_of_a_used_integrator_feels_the_bias(name):
    def after_one_step(kappa):
        atoms = integrators.silicon()
        integrator = integrators.make(name, atoms)
        integrator.run(3)
        restraint = HarmonicRestraint(2.0, kappa)
        settings = {"temperature_K": integrators.T, "progress": False}
        with BiasedDynamics(integrator, Distance(0, 1), restraint, **settings) as dynamics:
            dynamics.run(1)
        return atoms.positions

    assert np.abs(after_one_step(50.0) - after_one_step(0.0)).max() > 1e-3
