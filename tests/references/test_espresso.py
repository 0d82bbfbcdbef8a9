import shutil

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from ase.units import Rydberg
from fakes import RECORDED, program

from ase_mlsample.references import espresso
from ase_mlsample.references.failures import (
    GeometryFailure,
    NotConverged,
    OutOfResources,
    ReferenceFailure,
    SetupFailure,
)

SMALL = {"cutoff": 200, "k_spacing": 1.2, "smearing_width": 0.1}
installed = pytest.mark.skipif(
    shutil.which("pw.x") is None, reason=f"pw.x is not installed; {espresso.install}"
)


def fake(folder, body):
    """A pw.x that copies what it is given to `seen`."""
    return program(
        folder, f"import shutil; shutil.copytree('.', {str(folder / 'seen')!r}, dirs_exist_ok=True)\n{body}"
    )


def written(folder):
    """Variables and lines of the input that the fake program saw."""
    lines = (folder / "seen" / "pw.in").read_text().splitlines()
    pairs = (line.split("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}, [line.split() for line in lines]


def label(atoms, folder, body="show('pw_silicon.out')", **options):
    atoms = atoms.copy()
    atoms.calc = espresso(**{**SMALL, "command": fake(folder, body), **options})
    return atoms.get_potential_energy(force_consistent=True), atoms.get_forces()


def failure(atoms, kind, folder, body="", **options):
    with pytest.raises(ReferenceFailure) as caught:
        label(atoms, folder, body, **options)
    assert type(caught.value) is kind
    return str(caught.value)


class TestInput:
    def test_is_in_the_units_of_the_program(self, silicon, tmp_path):
        label(silicon, tmp_path, energy_tolerance=1e-7)
        variables, _ = written(tmp_path)
        assert float(variables["ecutwfc"]) == pytest.approx(200 / Rydberg)
        assert float(variables["degauss"]) == pytest.approx(0.1 / Rydberg)
        assert float(variables["conv_thr"]) == pytest.approx(8e-7 / Rydberg)
        assert (variables["smearing"], variables["pseudo_dir"]) == ("'fermi-dirac'", "'./'")
        atoms = read(tmp_path / "seen" / "pw.in", format="espresso-in")
        np.testing.assert_allclose(atoms.positions, silicon.positions, atol=1e-9)
        np.testing.assert_allclose(atoms.cell.array, silicon.cell.array, atol=1e-9)

    def test_grids_are_centred_on_gamma_even_or_odd(self, silicon, tmp_path):
        for spacing, expected in ((1.2, ["K_POINTS", "gamma"]), (0.6, "2 2 2 0 0 0"), (0.4, "3 3 3 0 0 0")):
            label(silicon, tmp_path, k_spacing=spacing)
            _, lines = written(tmp_path)
            assert (expected.split() if isinstance(expected, str) else expected) in lines

    def test_only_the_named_pseudopotentials_are_there(self, silicon, tmp_path):
        label(silicon, tmp_path)
        assert sorted(path.name for path in (tmp_path / "seen").glob("*.gth")) == ["Si.gth"]

    def test_own_variables_go_first(self, silicon, tmp_path):
        own = {"SYSTEM": {"input_dft": "PBEsol", "degauss": 0.5}, "electrons": {"mixing_mode": "local-TF"}}
        label(silicon, tmp_path, parameters=own, **espresso.gentler[1])
        variables, _ = written(tmp_path)
        assert variables["input_dft"] == "'PBEsol'"
        assert float(variables["degauss"]) == 0.5
        assert variables["mixing_mode"] == "'local-TF'"
        assert (float(variables["mixing_beta"]), variables["diagonalization"]) == (0.1, "'cg'")

    def test_spin(self, silicon, tmp_path):
        label(silicon, tmp_path, spin={"Si": 1.0})
        assert written(tmp_path)[0]["nspin"] == "2"

    def test_stress_is_left_out_where_the_program_has_it_wrong(self, silicon, tmp_path):
        label(silicon, tmp_path)
        assert written(tmp_path)[0]["tstress"] == ".false."
        assert "stress" not in espresso(**SMALL).implemented_properties
        label(silicon, tmp_path, stress=True)
        assert written(tmp_path)[0]["tstress"] == ".true."
        (tmp_path / "Si.upf").write_text("")
        other = espresso(**SMALL, pseudo_dir=str(tmp_path), pseudopotentials={"Si": "Si.upf"})
        assert "stress" in other.implemented_properties


class TestOutput:
    def test_the_recorded_run(self, silicon, tmp_path):
        energy, forces = label(silicon, tmp_path)
        assert energy == pytest.approx(-61.97222389 * Rydberg, rel=1e-6)
        assert forces.shape == (8, 3)
        assert forces[0] == pytest.approx([-0.46123277, -0.19664748, -0.15203961], abs=1e-7)

    def test_scf_that_does_not_converge(self, silicon, tmp_path):
        said = failure(silicon, NotConverged, tmp_path, "show('pw_not_converged.out'); sys.exit(2)")
        assert "Quantum ESPRESSO, Si8 (8 atoms): convergence NOT achieved after 3 iterations" in said
        # the exit status of other versions is 0
        failure(silicon, NotConverged, tmp_path, "show('pw_not_converged.out')")

    def test_a_metal_without_smearing_is_a_matter_of_the_setup(self, silicon, tmp_path):
        body = (
            "print(' Error in routine electrons (1):\\n  charge is wrong: smearing is needed'); sys.exit(1)"
        )
        assert "Give a smearing_width" in failure(silicon, SetupFailure, tmp_path, body)

    def test_bad_input_is_told_in_the_words_of_the_crash_file(self, silicon, tmp_path):
        body = "leave('CRASH', (RECORDED / 'pw_bad_input.crash').read_text()); sys.exit(1)"
        assert "bad line in namelist &electrons" in failure(silicon, SetupFailure, tmp_path, body)

    def test_an_output_that_ends_early_is_no_label(self, silicon, tmp_path):
        text = (RECORDED / "pw_silicon.out").read_text()
        for part in (0.3, 0.7, 0.97):
            (tmp_path / "cut").write_text(text[: int(part * len(text))])
            body = f"print(Path({str(tmp_path / 'cut')!r}).read_text())"
            assert "ended early" in failure(silicon, ReferenceFailure, tmp_path, body)

    def test_stars_instead_of_numbers(self, silicon, tmp_path):
        stars = "re.sub(r'force = +[-.0-9]+', 'force =  ***********', text, count=1)"
        body = f"import re; text = (RECORDED / 'pw_silicon.out').read_text(); print({stars})"
        assert "cannot be read" in failure(silicon, ReferenceFailure, tmp_path, body)

    def test_no_space_and_kills(self, silicon, tmp_path):
        body = "print('forrtl: No space left on device'); sys.exit(1)"
        failure(silicon, OutOfResources, tmp_path, body)
        assert "SIGKILL" in failure(silicon, OutOfResources, tmp_path, "os.kill(os.getpid(), 9)")

    def test_failed_runs_are_kept_when_asked(self, silicon, tmp_path):
        kept = str(tmp_path / "kept")
        scratch = str(tmp_path / "scratch")
        said = failure(silicon, ReferenceFailure, tmp_path, "sys.exit(7)", keep_failed=kept, scratch=scratch)
        assert "exit status 7" in said
        assert kept in said
        (folder,) = (tmp_path / "kept").iterdir()
        assert {"pw.in", "pw.out", "Si.gth"} <= {path.name for path in folder.iterdir()}
        assert list((tmp_path / "scratch").iterdir()) == []


class TestBeforeTheRun:
    """Nothing is started: the program would fail late, or use something else without a word."""

    def test_close_atoms(self, silicon, tmp_path):
        silicon.positions[1] = silicon.positions[0] + 0.1
        assert "atoms 0 (Si) and 1 (Si) are 0.173 Å apart" in failure(silicon, GeometryFailure, tmp_path)
        assert not (tmp_path / "seen").exists()

    def test_an_element_without_pseudopotential(self, tmp_path):
        assert "has U, but pseudopotentials names only Al, Si, Sn" in failure(
            bulk("U"), SetupFailure, tmp_path
        )

    def test_an_element_that_was_not_announced(self, tmp_path):
        said = failure(bulk("Al"), SetupFailure, tmp_path, elements=["Si"])
        assert "has Al, but elements names only Si" in said

    def test_folders_and_files_of_pseudopotentials(self, tmp_path):
        (tmp_path / "Si.upf").write_text("")
        files = {"pseudopotentials": {"Si": "Si.upf"}}
        with pytest.raises(SetupFailure, match="'/no/where' is not a folder"):
            espresso(**SMALL, **files, pseudo_dir="/no/where")
        with pytest.raises(SetupFailure, match=r"of Si, 'Sj.upf', is not in"):
            espresso(**SMALL, pseudo_dir=str(tmp_path), pseudopotentials={"Si": "Sj.upf"})
        with pytest.raises(SetupFailure, match="names no file for Al"):
            espresso(**SMALL, **files, pseudo_dir=str(tmp_path), elements=["Si", "Al"])
        with pytest.raises(SetupFailure, match="give pseudo_dir"):
            espresso(**SMALL, **files)
        with pytest.raises(SetupFailure, match="no pseudopotential comes with the package for U"):
            espresso(**SMALL, elements=["U"])

    def test_a_pseudopotential_of_another_element(self, tmp_path):
        (tmp_path / "Si.upf").write_text('<PP_HEADER\n author="x"\n element="Al"\n z_valence="3.0"/>\n')
        with pytest.raises(SetupFailure, match=r"of Si, 'Si.upf' in .*, is one of Al"):
            espresso(**SMALL, pseudo_dir=str(tmp_path), pseudopotentials={"Si": "Si.upf"})

    def test_own_pseudopotentials_have_no_ready_cutoff(self, tmp_path):
        (tmp_path / "Si.upf").write_text("")
        with pytest.raises(SetupFailure, match="no ready settings for Si; give cutoff, k_spacing"):
            espresso(elements=["Si"], pseudo_dir=str(tmp_path), pseudopotentials={"Si": "Si.upf"})


def test_version_follows_the_content_of_pseudopotentials(tmp_path):
    command = program(tmp_path, "print('     Program PWSCF v.6.7MaX starts on ...'); sys.exit(1)")
    (tmp_path / "Si.upf").write_text("one")
    own = {"pseudo_dir": str(tmp_path), "pseudopotentials": {"Si": "Si.upf"}, "command": command}
    first = espresso.version(**own)
    assert first.startswith("pw.x 6.7MaX, pseudopotentials ")
    assert espresso.version(**own, cutoff=300, unrelated=1) == first
    (tmp_path / "Si.upf").write_text("two!")
    assert espresso.version(**own) != first
    assert espresso.version(command=command, elements=["Si"]) != espresso.version(command=command)


@installed
class TestRealProgram:
    def test_forces_are_derivatives_of_the_energy(self, silicon):
        calc = espresso(**SMALL)
        h = 0.01
        energies = []
        for step in (h, -h):
            moved = silicon.copy()
            moved.positions[0, 0] += step
            moved.calc = calc
            energies.append(moved.get_potential_energy(force_consistent=True))
        silicon.calc = calc
        # 2 meV/Å: the third derivative over 0.01 Å, and the egg box of the grid
        assert silicon.get_forces()[0, 0] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=2e-3)

    def test_one_calculator_labels_different_structures(self, silicon):
        calc = espresso(**SMALL)
        for atoms in (bulk("Al"), silicon[:6], bulk("Si")):
            atoms.calc = calc
            assert np.isfinite(atoms.get_potential_energy())
            assert atoms.get_forces().shape == (len(atoms), 3)

    def test_failures_are_ours(self, silicon, tmp_path):
        real = {"command": "pw.x"}
        failure(silicon, NotConverged, tmp_path, max_iterations=2, **real)
        wrong = {"electrons": {"nonsense": 3}}
        assert "nonsense" in failure(silicon, SetupFailure, tmp_path, parameters=wrong, **real)
        silicon.positions[1] = silicon.positions[0]
        said = failure(silicon, GeometryFailure, tmp_path, smallest_distance=0, **real)
        assert "overlap" in said

    def test_gentle_recipes_change_no_label(self, silicon):
        energies = []
        for recipe in ({}, *espresso.gentler):
            silicon.calc = espresso(**SMALL, **recipe)
            energies.append(silicon.get_potential_energy())
        assert np.ptp(energies) < 1e-5
