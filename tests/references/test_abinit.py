import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from fakes import RECORDED, program

from ase_mlsample.references import abinit
from ase_mlsample.references.abinit_code import _complaints
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure

DEBIAN = Path("/usr/share/abinit/psp/Pseudodojo_paw_pbe_standard")
SMALL = {"cutoff": 270, "k_spacing": 3, "smearing_width": 0.1}
OK = "shutil.copy(RECORDED / 'abinit_silicon.abo', 'abinit.abo')"
ERROR = """
--- !ERROR
src_file: chkvars.F90
src_line: 55
mpi_rank: 0
message: |
    Found token: `NONSENSE` in the input file.
    This name is not one of the registered input variable names.
...
"""
installed = pytest.mark.skipif(
    shutil.which("abinit") is None or not DEBIAN.is_dir(),
    reason=f"ABINIT or its data are not installed; {abinit.install}",
)


@pytest.fixture
def own(tmp_path):
    """Arguments for a silicon that has a pseudopotential of one line."""
    (tmp_path / "psp").mkdir()
    (tmp_path / "psp" / "Si.psp8").write_text("silicon")
    return {"pseudo_dir": str(tmp_path / "psp"), "pseudopotentials": {"Si": "Si.psp8"}}


def label(atoms, folder, body, **options):
    seen = str(folder / "seen")
    command = program(folder, f"import shutil; shutil.copytree('.', {seen!r}, dirs_exist_ok=True)\n{body}")
    atoms.calc = abinit(**{**SMALL, "command": command, **options})
    return atoms.get_potential_energy(force_consistent=True), atoms.get_forces(), atoms.get_stress()


def failure(atoms, kind, folder, body, **options):
    with pytest.raises(ReferenceFailure) as caught:
        label(atoms, folder, body, **options)
    assert type(caught.value) is kind
    return str(caught.value)


def test_the_recorded_run(pair, tmp_path, own):
    energy, forces, stress = label(pair, tmp_path, OK, **own)
    assert energy == pytest.approx(-214.256019159033)
    assert forces[0] == pytest.approx([-2.8285857, 1.10781781, -1.56752728], abs=1e-6)
    assert stress[:2] == pytest.approx([-0.24627377, -0.25049709], abs=1e-7)


def test_input(pair, tmp_path, own):
    label(pair, tmp_path, OK, **{**own, "k_spacing": 0.6, "parameters": {"nband": 12}}, **abinit.gentler[0])
    text = (tmp_path / "seen" / "abinit.in").read_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "ecut 270.0 eV" in lines
    assert {"occopt 3", "tsmear 0.1 eV", "nband 12", "diemix 0.3", "nstep 150", "nsppol 1"} <= set(lines)
    # ASE would shift this even grid
    assert lines[lines.index("ngkpt") + 1] == "4 4 4"
    assert lines[lines.index("shiftk") + 1] == "0.0 0.0 0.0"
    assert f'pseudos "{own["pseudo_dir"]}/Si.psp8"' in lines


def test_a_run_that_ends_well_without_convergence_is_no_label(pair, tmp_path, own):
    said = failure(
        pair,
        NotConverged,
        tmp_path,
        "import re\n"
        "text = (RECORDED / 'abinit_silicon.abo').read_text()\n"
        "text, n = re.subn(r'At SCF step.*', ' nstep=    3 was not enough SCF cycles to converge;', text)\n"
        "assert n; leave('abinit.abo', text)",
        **own,
    )
    assert "nstep= 3 was not enough SCF cycles to converge" in said


def test_errors_are_those_of_the_log(pair, tmp_path, own):
    said = failure(pair, SetupFailure, tmp_path, f"print({ERROR!r}); sys.exit(14)", **own)
    assert "Found token: `NONSENSE`" in said or "is not one of the registered" in said
    overlap = ERROR.replace("Found token: `NONSENSE` in the input file.", "PAW SPHERES ARE OVERLAPPING!")
    failure(pair, GeometryFailure, tmp_path, f"print({overlap!r}); sys.exit(14)", **own)
    assert "exit status 3" in failure(pair, ReferenceFailure, tmp_path, "sys.exit(3)", **own)
    assert _complaints(ERROR).splitlines()[0] == "Found token: `NONSENSE` in the input file."


def test_errors_that_are_told_elsewhere_in_the_log(pair, tmp_path, own):
    reader = (
        "At line 198 of file m_pspheads.F90 (unit = 1024, file = 'Si.xml')\n"
        "Fortran runtime error: End of file\n"
    )
    said = failure(pair, SetupFailure, tmp_path, f"print({reader!r}); sys.exit(2)", **own)
    assert "m_pspheads.F90" in said
    assert "End of file" in said
    warning = (
        "--- !WARNING\nmessage: |\n\n     chkdpr: ERROR -\n"
        "      The value of the input variable tsmear is -1,\n      while it must be larger\n...\n"
    )
    error = "--- !ERROR\nmessage: |\n    Checking consistency of input data against itself gave 1\n...\n"
    said = failure(pair, SetupFailure, tmp_path, f"print({warning + error!r}); sys.exit(14)", **own)
    assert "The value of the input variable tsmear is -1, / while it must be larger" in said
    assert _complaints(warning.replace("ERROR", "COMMENT")) == ""
    same = ERROR.replace(
        "Found token: `NONSENSE` in the input file.", "Atoms 1 and 2 are located at the same point"
    )
    failure(pair, GeometryFailure, tmp_path, f"print({same!r}); sys.exit(14)", **own)


def test_no_smearing_is_a_fixed_filling(pair, tmp_path, own):
    label(pair, tmp_path, OK, **own, smearing_width=0)
    text = (tmp_path / "seen" / "abinit.in").read_text()
    assert "occopt 1" in [" ".join(line.split()) for line in text.splitlines()]
    assert "tsmear" not in text


def test_left_handed_cells_are_no_obstacle(pair, tmp_path, own):
    pair.set_cell(pair.cell.array[[1, 0, 2]])
    label(pair, tmp_path, OK, **own)
    text = (tmp_path / "seen" / "abinit.in").read_text()
    rows = text.partition("rprim")[2].split()[:9]
    assert np.linalg.det(np.array(rows, dtype=float).reshape(3, 3)) > 0


def test_truncated_output(pair, tmp_path, own):
    cut = (RECORDED / "abinit_silicon.abo").read_text()[:9000]
    failure(pair, ReferenceFailure, tmp_path, f"leave('abinit.abo', {cut!r})", **own)


def test_ready_settings_and_paw(own, tmp_path):
    (tmp_path / "psp" / "Si.xml").write_text("paw")
    calc = abinit(elements=["Si"], pseudo_dir=own["pseudo_dir"], pseudopotentials={"Si": "Si.xml"})
    assert calc.variables["pawecutdg"] == 2 * calc.variables["ecut"]
    with pytest.raises(SetupFailure, match="names no file for Al"):
        abinit(elements=["Si", "Al"], **own)


@installed
def test_real_program(pair):
    pair.calc = abinit(**SMALL, pseudo_dir=str(DEBIAN), pseudopotentials={"Si": "Si.xml"})
    assert np.isfinite(pair.get_potential_energy())
    assert np.abs(pair.get_forces().sum(axis=0)).max() < 0.05
    pair.calc = abinit(**SMALL, pseudo_dir=str(DEBIAN), pseudopotentials={"Si": "Si.xml"}, max_iterations=2)
    with pytest.raises(NotConverged, match="not enough SCF cycles"):
        pair.get_forces()
    assert abinit.version(pseudo_dir=str(DEBIAN), pseudopotentials={"Si": "Si.xml"}).startswith("abinit 9")
    lone = bulk("Al")
    lone.calc = pair.calc
    with pytest.raises(SetupFailure, match="has Al, but pseudopotentials names only Si"):
        lone.get_potential_energy()
