"""GPAW: translation without the code, three structures and more with it."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from fakes import program

from ase_mlsample.cli import main
from ase_mlsample.references import gpaw, gpaw_run
from ase_mlsample.references.calculator import Common
from ase_mlsample.references.failures import (
    GeometryFailure,
    NotConverged,
    OutOfResources,
    ReferenceFailure,
    SetupFailure,
)
from ase_mlsample.references.gpaw_code import GPAWCalculator
from ase_mlsample.references.settings import Accuracy

SMALL = {"cutoff": 200, "k_spacing": 1.2, "smearing_width": 0.1}
absent = importlib.util.find_spec("gpaw") is None
installed = pytest.mark.skipif(absent, reason=f"GPAW is not installed; {gpaw.install}")


def named(name, base=Exception):
    return type(name, (base,), {})


def with_program(atoms, command, **options):
    atoms.calc = gpaw(**{**SMALL, **options}, command=command)
    return atoms.get_potential_energy(force_consistent=True)


class TestTranslation:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (named("KohnShamConvergenceError")(), NotConverged),
            (named("AtomsTooClose", ValueError)("Atoms are too close, e.g. 0.003 Å"), GeometryFailure),
            (FileNotFoundError('Could not find required PAW dataset file "U.PBE".'), SetupFailure),
            (named("SetupError")("no setup for xc"), SetupFailure),
            (np.linalg.LinAlgError("The leading minor of order 47 of B is not positive"), NotConverged),
            (NameError("Unable to use PBEsol: GPAW not compiled with LibXC!"), SetupFailure),
            (TypeError("GPAW() got an unexpected keyword argument 'nonsense'"), SetupFailure),
            (ValueError("Too few bands!  Electrons: 8, bands: 2"), SetupFailure),
            (ZeroDivisionError("division by zero"), ReferenceFailure),
        ],
    )
    def test_of_its_exceptions(self, error, kind, tmp_path):
        (tmp_path / gpaw_run.TEXT).write_text("|iter:   9|  -33.5|\nmemory: 1 GB\n")
        calc = GPAWCalculator(Common(), Accuracy(200, 1, 0.1), {})
        failure = calc.explain(error, tmp_path, "Si8 (8 atoms)")
        assert type(failure) is kind
        assert f"GPAW, Si8 (8 atoms): {type(error).__name__}" in str(failure)
        assert " ".join(str(error).split()).rstrip(".") in str(failure)
        assert ("iter:   9" in str(failure)) == (kind in {NotConverged, ReferenceFailure})

    def test_of_a_program_of_its_own(self, silicon, tmp_path):
        body = (
            "folder = Path(sys.argv[3]); import json\n"
            f"assert sys.argv[1:3] == ['-m', {gpaw_run.__name__!r}]\n"
        )
        good = json.dumps({"energy": -1.5, "forces": [[0.0] * 3] * 8, "stress": [0.0] * 6})
        done = program(tmp_path, body + f"(folder / 'results.json').write_text({good!r})")
        assert with_program(silicon, done) == -1.5
        bad = json.dumps({"type": "KohnShamConvergenceError", "message": ""})
        script = program(tmp_path, body + f"(folder / 'error.json').write_text({bad!r}); sys.exit(1)")
        with pytest.raises(NotConverged, match="KohnShamConvergenceError"):
            with_program(silicon, script)
        script = program(tmp_path, "os.kill(os.getpid(), 9)")
        with pytest.raises(OutOfResources, match="SIGKILL"):
            with_program(silicon, script)

    def test_what_the_program_is_given(self, silicon, tmp_path):
        seen = tmp_path / "seen"
        script = program(tmp_path, f"import shutil; shutil.copytree(sys.argv[3], {str(seen)!r}); sys.exit(5)")
        with pytest.raises(ReferenceFailure, match="exit status 5"):
            with_program(silicon, script, k_spacing=0.6, spin={"Si": 0.5}, **gpaw.gentler[1])
        given = json.loads((seen / "input.json").read_text())
        assert given["kpts"] == {"size": [2, 2, 2], "gamma": True}
        assert given["mode"] == {"name": "pw", "ecut": 200.0}
        assert given["occupations"] == {"name": "fermi-dirac", "width": 0.1}
        assert given["mixer"]["beta"] == 0.01
        assert (given["nbands"], given["maxiter"], given["spinpol"]) == ("160%", 1000, True)

    def test_the_version_is_that_of_the_program(self, tmp_path):
        told = "gpaw 27.1.0, LDA data 0123456789ab"
        body = f"assert sys.argv[1:] == ['-m', {gpaw_run.__name__!r}, '--version', 'LDA']\nprint({told!r})"
        # as many times as there are processes
        command = program(tmp_path, body + f"\nprint({told!r})")
        assert gpaw.version(xc="LDA", command=command, cutoff=300) == told
        (tmp_path / "other").mkdir()
        command = program(tmp_path / "other", "print('Traceback'); sys.exit(1)")
        with pytest.raises(
            SetupFailure, match=r"does not run GPAW with this package. Last words:\nTraceback"
        ):
            gpaw.version(command=command)

    @pytest.mark.skipif(not absent, reason="GPAW is installed")
    def test_absence_names_the_command_that_installs_it(self):
        for call in (lambda: gpaw(**SMALL), gpaw.version):
            with pytest.raises(SetupFailure, match=r"GPAW is not installed .* CC=g\+\+ pip install gpaw"):
                call()


@installed
class TestRealCode:
    """2 atoms, or 8 at Γ: 2 s each."""

    @pytest.fixture
    def calc(self):
        return gpaw(**SMALL)

    def test_mlsample_label(self, silicon, tmp_path, capsys):
        """Four structures of 8 atoms at Γ, from the file to the labelled one: forces are minus the slope."""
        direction = np.random.default_rng(1).normal(size=(8, 3))
        direction /= np.linalg.norm(direction)
        step = 0.03
        frames = [silicon, silicon.copy(), silicon.copy(), silicon.copy()]
        for atoms, sign in zip(frames[1:3], (1, -1), strict=True):
            atoms.positions += sign * step * direction
        strain = 0.96 * np.eye(3)
        strain[0, 1] = 0.08
        frames[3].set_cell(frames[3].cell.array @ strain, scale_atoms=True)
        write(tmp_path / "silicon.extxyz", frames)
        words = ["label", str(tmp_path / "silicon.extxyz"), "--factory", "gpaw", "--kwargs"]
        assert main([*words, "{cutoff: 150, k_spacing: 1.5, smearing_width: 0.1}"]) == 0
        assert "4 of 4 structures labelled" in capsys.readouterr().out
        labelled = read(tmp_path / "silicon.labelled.extxyz", index=":")
        energies = [atoms.info["REF_energy"] for atoms in labelled]
        forces = labelled[0].arrays["REF_forces"]
        slope = (energies[1] - energies[2]) / (2 * step)
        assert abs(slope) > 0.2
        # 5 meV/Å: the third derivative over the step
        assert slope == pytest.approx(-np.sum(forces * direction), abs=5e-3)
        for atoms in labelled:
            assert np.abs(atoms.arrays["REF_forces"].sum(axis=0)).max() < 0.02
            assert atoms.info["REF_stress"].shape in {(6,), (3, 3), (9,)}
        # compressed and sheared: higher in energy, under pressure
        assert energies[3] - energies[0] > 0.5

    def test_derivatives(self, pair):
        calc = gpaw(**{**SMALL, "k_spacing": 3.0})
        pair.calc = calc
        force, stress = pair.get_forces()[0, 0], pair.get_stress()
        moved, strained = [], []
        h, e = 0.01, 0.002
        for sign in (1, -1):
            atoms = pair.copy()
            atoms.positions[0, 0] += sign * h
            moved.append(self.energy(atoms, calc))
            strain = np.eye(3)
            strain[0, 1] = strain[1, 0] = sign * e / 2
            atoms = pair.copy()
            atoms.set_cell(pair.cell.array @ strain, scale_atoms=True)
            strained.append(self.energy(atoms, calc))
        # 5 meV/Å and 0.05 GPa: the third derivative over the step, and plane waves that come and go
        assert force == pytest.approx(-(moved[0] - moved[1]) / (2 * h), abs=5e-3)
        slope = (strained[0] - strained[1]) / (2 * e) / pair.get_volume()
        assert stress[5] == pytest.approx(slope, abs=3e-4)

    @staticmethod
    def energy(atoms, calc):
        atoms.calc = calc
        return atoms.get_potential_energy(force_consistent=True)

    def test_the_energy_is_the_one_that_forces_belong_to(self):
        atoms = bulk("Al")
        wide = {"cutoff": 200, "k_spacing": 1.0, "smearing_width": 0.4}
        atoms.calc = gpaw(**wide)
        free = atoms.get_potential_energy()
        atoms.calc = importlib.import_module("gpaw").GPAW(
            **{**atoms.calc.keywords, "kpts": {"size": atoms.calc.grid(atoms), "gamma": True}}, txt=None
        )
        assert free == pytest.approx(atoms.get_potential_energy(force_consistent=True), abs=1e-6)
        assert atoms.get_potential_energy() - free > 0.02  # what an extrapolated energy would be off by

    def test_failures_are_ours(self, silicon, calc):
        silicon.calc = gpaw(**SMALL, max_iterations=2)
        with pytest.raises(NotConverged, match="iter"):
            silicon.get_forces()
        heavy = Atoms("U", cell=[6, 6, 6], pbc=True)
        heavy.calc = calc
        with pytest.raises(SetupFailure, match="Could not find required PAW dataset"):
            heavy.get_potential_energy()

    def test_a_process_of_its_own_gives_the_same_label(self, calc):
        atoms = bulk("Si")
        atoms.calc = calc
        here = atoms.get_potential_energy(), atoms.get_stress()
        assert with_program(atoms, sys.executable) == pytest.approx(here[0], abs=1e-9)
        np.testing.assert_allclose(atoms.get_stress(), here[1], atol=1e-9)

    def test_version(self):
        assert gpaw.version().startswith("gpaw 2")
        assert gpaw.version(cutoff=3) == gpaw.version() != gpaw.version(xc="LDA")
        assert gpaw.version(command=sys.executable) == gpaw.version()
