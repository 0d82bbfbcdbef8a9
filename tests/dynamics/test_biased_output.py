"""Files of biased runs: the log, the trajectory, what is left after an error, and mismatched restarts."""

import math
import re

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from ase.io import read
from ase.md.verlet import VelocityVerlet

from ase_mlsample.biases import HarmonicRestraint
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import Dihedral, Distance, stack
from ase_mlsample.dynamics import BiasedDynamics
from ase_mlsample.dynamics.run_progress import RunProgress
from tests.biases.plumed_peer import run_plumed
from tests.dynamics.biased_systems import INTEGRATORS, KELVIN, STEP, GrowingBias, MeanPair, crystal


def run(folder=None, *, atoms=None, cv=None, bias=None, make=INTEGRATORS["Langevin"], **settings):
    atoms = crystal() if atoms is None else atoms
    settings = {"temperature_K": KELVIN, "progress": False} | settings
    if folder is not None:
        settings |= {"logfile": folder / "log", "trajectory": folder / "run.extxyz"}
    cv, bias = MeanPair() if cv is None else cv, GrowingBias() if bias is None else bias
    return BiasedDynamics(make(atoms), cv, bias, **settings)


def load(path, *, atoms=None, cv=None, bias=None, make=INTEGRATORS["Langevin"]):
    atoms = crystal(8) if atoms is None else atoms
    cv, bias = MeanPair() if cv is None else cv, GrowingBias() if bias is None else bias
    return BiasedDynamics.load(path, make(atoms), cv, bias, progress=False)


class TestLog:
    def test_has_what_its_header_says(self, tmp_path):
        with run(tmp_path, log_interval=4, trajectory_interval=4) as dynamics:
            dynamics.run(10)
            dynamics.run(10)
        lines = (tmp_path / "log").read_text().splitlines()
        assert lines[0] == "#! FIELDS time pair logv bias temperature energy volume"
        assert lines[1].startswith("# units: time ps")
        table = np.loadtxt(tmp_path / "log")
        assert table.shape == (6, 7)
        np.testing.assert_allclose(table[:, 0], 0.004 * np.arange(6), atol=1e-12)
        for row, frame in zip(table, read(tmp_path / "run.extxyz", ":"), strict=True):
            np.testing.assert_allclose(row[1:3], frame.info["cv"], rtol=1e-6)
            assert row[3] == pytest.approx(frame.info["bias"], abs=1e-9)
            assert row[4] == pytest.approx(frame.get_temperature(), rel=1e-4)
            assert row[5] == pytest.approx(frame.get_potential_energy(), rel=1e-8)
            assert row[6] == pytest.approx(frame.get_volume(), rel=1e-8)
            assert row[0] == pytest.approx(frame.info["time_fs"] / 1000)

    def test_says_the_periods_as_plumed_does(self, tmp_path):
        spring = HarmonicRestraint(1.0, 0.1, domains=[(-math.pi, math.pi)])
        with run(tmp_path, cv=Dihedral(0, 1, 2, 3), bias=spring) as dynamics:
            dynamics.run(1)
        lines = (tmp_path / "log").read_text().splitlines()
        assert lines[1:3] == ["#! SET min_dihedral -pi", "#! SET max_dihedral pi"]

    def test_is_read_by_plumed(self, tmp_path):
        """Periods, comment and all; a name with dots and brackets is written so that PLUMED finds it."""
        cv = stack(Dihedral(0, 1, 2, 3), 2.5 * Distance(0, 1))
        spring = HarmonicRestraint([1.0, 6.0], 0.1, domains=cv.domains)
        with run(tmp_path, cv=cv, bias=spring, log_interval=1) as dynamics:
            dynamics.run(4)
        assert cv.names[1] == "2.5*distance"
        (tmp_path / "plumed.dat").write_text(
            "phi: READ FILE=log VALUES=dihedral IGNORE_TIME\n"
            "d: READ FILE=log VALUES=2_5_distance IGNORE_TIME\n"
            "v: READ FILE=log VALUES=bias IGNORE_TIME\n"
            "PRINT ARG=phi,d,v FILE=out FMT=%.9g\n"
        )
        run_plumed("driver", "--noatoms", "--plumed", "plumed.dat", folder=tmp_path)
        assert "#! SET min_phi -pi" in (tmp_path / "out").read_text()
        theirs, ours = np.loadtxt(tmp_path / "out"), np.loadtxt(tmp_path / "log")
        np.testing.assert_allclose(theirs[:5, 1:4], ours[:, 1:4], rtol=1e-8)

    def test_is_without_volume_where_there_is_none(self, tmp_path):
        atoms = Atoms("Si3", [[0, 0, 0], [0, 0, 2.3], [0, 2, 3]], calculator=StillingerWeber())
        spring = HarmonicRestraint(2.5, 1.0)
        make = INTEGRATORS["Langevin"]
        with run(tmp_path, atoms=atoms, cv=Distance(0, 1), bias=spring, make=make) as dynamics:
            dynamics.run(2)
        assert (tmp_path / "log").read_text().startswith("#! FIELDS time distance bias temperature energy\n")
        assert "stress" not in read(tmp_path / "run.extxyz").calc.results

    def test_may_go_to_standard_output(self, capsys):
        with run(logfile="-", log_interval=1) as dynamics:
            dynamics.run(2)
        assert len(capsys.readouterr().out.splitlines()) == 5

    def test_refuses_columns_of_one_name(self, tmp_path):
        atoms = crystal()
        inner = atoms.calc
        with pytest.raises(ValueError, match=r"columns of a log must differ.*named"):
            run(tmp_path, atoms=atoms, cv=MeanPair().named("energy", "logv"))
        assert atoms.calc is inner


class TestTrajectory:
    def test_holds_the_structure_without_the_bias(self, tmp_path):
        atoms = crystal()
        atoms.info |= {"source": "here", "energy": 1.0}
        atoms.set_array("forces", np.ones((8, 3)))
        with run(tmp_path, atoms=atoms, trajectory_interval=7) as dynamics:
            dynamics.run(14)
        frames = read(tmp_path / "run.extxyz", ":")
        assert [frame.info["step"] for frame in frames] == [0, 7, 14]
        last = frames[-1]
        np.testing.assert_allclose(last.positions, atoms.positions, atol=1e-8)
        np.testing.assert_allclose(last.get_momenta(), atoms.get_momenta(), atol=1e-8)
        inner = StillingerWeber().evaluate(atoms)
        assert last.get_potential_energy() == pytest.approx(inner.energy, abs=1e-7)
        np.testing.assert_allclose(last.get_stress(), inner.stress, atol=1e-7)
        np.testing.assert_allclose(last.arrays["crystallinity"], atoms.positions[:, 0], atol=1e-7)
        assert last.info["source"] == "here"
        assert last.info["cv_names"] == "pair logv"
        assert last.info["bias"] > 0

    def test_holds_the_calculators_forces_where_atoms_are_fixed(self, tmp_path):
        atoms = crystal()
        atoms.set_constraint(FixAtoms([0]))
        with run(tmp_path, atoms=atoms) as dynamics:
            dynamics.run(3)
        np.testing.assert_array_equal(atoms.positions[0], crystal().positions[0])
        assert np.abs(read(tmp_path / "run.extxyz").get_forces()[0]).max() > 1e-3


class TestAfterAnError:
    def test_the_run_so_far_is_on_disk(self, tmp_path):
        atoms, checkpoint = crystal(), tmp_path / "ckpt"
        dynamics = run(
            tmp_path,
            atoms=atoms,
            cv=MeanPair(fail_at=23),
            log_interval=1,
            trajectory_interval=1,
            checkpoint=checkpoint,
            checkpoint_interval=10,
        )
        with pytest.raises(ValueError, match="NaN") as caught:
            dynamics.run(40)
        (note,) = caught.value.__notes__
        assert note.startswith("after step 22 of BiasedDynamics; what was written until then is on disk")
        assert note.endswith(f"{checkpoint} goes on from step 20")
        assert dynamics.bias.flushed > 0
        assert np.loadtxt(tmp_path / "log")[-1, 0] == pytest.approx(0.022)
        assert len(read(tmp_path / "run.extxyz", ":")) == 23
        dynamics.close()
        with load(checkpoint) as again:
            assert again.step == 20
            again.run(5)
        np.testing.assert_allclose(np.loadtxt(tmp_path / "log")[:, 0], 0.001 * np.arange(26), atol=1e-9)

    def test_positions_that_are_none_are_named(self, tmp_path):
        with run(tmp_path) as dynamics:
            dynamics.attach(lambda: dynamics.atoms.positions.__setitem__((3, 1), np.nan), -4)
            with pytest.raises(ValueError, match="NaN"):
                dynamics.run(10)
        assert np.loadtxt(tmp_path / "log").shape == (7,)


class TestCheckpoint:
    @pytest.fixture
    def path(self, tmp_path):
        with run(tmp_path, checkpoint=tmp_path / "ckpt") as dynamics:
            dynamics.run(12)
        return tmp_path / "ckpt"

    def test_is_written_at_the_end_of_a_run_and_of_the_context(self, tmp_path):
        path = tmp_path / "ckpt"
        with run(checkpoint=path) as dynamics:
            dynamics.run(3)
            assert path.exists()
            for _ in dynamics.irun(10):
                if dynamics.step == 8:
                    break
        assert load(path).step == 8

    def test_is_not_overwritten_by_a_new_run(self, path):
        with pytest.raises(FileExistsError, match="go on with load"):
            run(checkpoint=path)
        with pytest.raises(FileNotFoundError, match="no folder"):
            run(checkpoint=path.parent / "nowhere" / "ckpt")

    def test_may_move_with_its_files(self, path, tmp_path, monkeypatch):
        moved = tmp_path / "moved"
        moved.mkdir()
        for name in ("ckpt", "log", "run.extxyz"):
            (tmp_path / name).rename(moved / name)
        monkeypatch.chdir(moved)
        with load("ckpt") as dynamics:
            dynamics.run(100)
        assert len(np.loadtxt(moved / "log")) == 2
        assert not (tmp_path / "log").exists()

    @pytest.mark.parametrize(
        ("other", "error", "text"),
        [
            ({"cv": MeanPair(lab_fixed=True)}, ValueError, "lab_fixed False .here True"),
            ({"cv": MeanPair().named("a", "b")}, ValueError, "another variable: names"),
            ({"bias": GrowingBias(height=0.5)}, ValueError, "height 0.02 .here 0.5"),
            ({"make": INTEGRATORS["LangevinBAOAB"]}, ValueError, "class"),
            ({"make": lambda a: VelocityVerlet(a, STEP)}, ValueError, "class"),
            ({"atoms": crystal(0) * (2, 1, 1)}, ValueError, "8 atoms, but here are 16"),
        ],
    )
    def test_refuses_what_is_not_of_the_run(self, path, other, error, text):
        if "atoms" in other:
            other["atoms"].calc = StillingerWeber()
        with pytest.raises(error, match=text):
            load(path, **other)

    def test_refuses_another_kind_of_run_and_a_missing_bias(self, path):
        from ase_mlsample.dynamics import Metadynamics

        integrator = INTEGRATORS["Langevin"](crystal())
        with pytest.raises(ValueError, match=r"is of a BiasedDynamics; continue it with BiasedDynamics.load"):
            Metadynamics.load(path, integrator, MeanPair())
        with pytest.raises(TypeError, match="needs the bias"):
            BiasedDynamics.load(path, integrator, MeanPair())
        with pytest.raises(FileNotFoundError, match="no checkpoint"):
            BiasedDynamics.load(path.parent / "none", integrator, MeanPair(), GrowingBias())
        (path.parent / "log").write_text("")
        with pytest.raises(ValueError, match=r"had .* bytes at the checkpoint"):
            load(path)

    def test_needs_a_path(self):
        with run() as dynamics, pytest.raises(ValueError, match="no path"):
            dynamics.save()


class TestProgress:
    def test_writes_lines_where_there_is_no_terminal(self, capsys, monkeypatch):
        monkeypatch.setattr("ase_mlsample.dynamics.run_progress._SECONDS_BETWEEN_LINES", -1.0)
        with run(progress=True) as dynamics:
            dynamics.run(2)
        shown = capsys.readouterr().err.splitlines()
        assert len(shown) == 3
        assert re.fullmatch(r"BiasedDynamics: step 2/2  pair .*, logv .*, bias .* eV", shown[-1])
        with run(progress=False) as dynamics:
            dynamics.run(2)
        assert capsys.readouterr().err == ""

    def test_shows_one_bar_at_a_time_on_a_terminal(self, capsys, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        with RunProgress("first", 3) as outer, RunProgress("second", 3) as inner:
            for bar in (outer, inner):
                if bar.due(3):
                    bar.show(3, "done")
        assert "step 3/3  done" in capsys.readouterr().err
