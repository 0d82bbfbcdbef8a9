import numpy as np
import pytest
from ase.units import Hartree, Rydberg
from fakes import RECORDED, program

from ase_mlsample.references import cp2k
from ase_mlsample.references.cp2k_files import cp2k_results
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure

SMALL = {"cutoff": 200 * Rydberg, "k_spacing": 3, "smearing_width": 0.1}


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("BASIS_MOLOPT", "GTH_POTENTIALS"):
        (tmp_path / "data" / name).write_text(name)
    return {"data_dir": str(tmp_path / "data")}


def label(atoms, folder, body, **options):
    seen = str(folder / "cp2k.inp")
    command = program(folder, f"import shutil; shutil.copy('cp2k.inp', {seen!r})\n{body}")
    atoms.calc = cp2k(**{**SMALL, "command": command, **options})
    return atoms.get_potential_energy(force_consistent=True), atoms.get_forces(), atoms.get_stress()


def failure(atoms, kind, folder, body, **options):
    with pytest.raises(ReferenceFailure) as caught:
        label(atoms, folder, body, **options)
    assert type(caught.value) is kind
    return str(caught.value)


def test_the_recorded_run(pair, tmp_path, data):
    energy, forces, stress = label(pair, tmp_path, "show('cp2k_silicon.out')", **data)
    assert energy == pytest.approx(-7.231485239027275 * Hartree)
    assert forces[0] == pytest.approx([-3.32827547, 1.38192943, -1.89273608], abs=1e-6)
    assert stress == pytest.approx(
        [-0.26738065, -0.27492067, -0.27345233, -0.04107913, 0.01982331, -0.02524923], abs=1e-7
    )


def test_forces_of_newer_versions():
    text = (RECORDED / "cp2k_silicon.out").read_text()
    head, _, rest = text.partition(" ATOMIC FORCES")
    rows = "".join(f" FORCES|    {i} {x} 0.25 -1.5E-03 1.0\n" for i, x in ((1, "-0.5"), (2, "0.5")))
    new = head + " FORCES| Atomic forces [hartree/bohr]\n" + rows + rest.partition("SUM OF")[2]
    assert cp2k_results(new, 2)["forces"][1] == pytest.approx([25.711, 12.856, -0.07713], rel=1e-3)
    with pytest.raises(ValueError, match="forces on 2 of 3 atoms"):
        cp2k_results(text, 3)
    with pytest.raises(ValueError, match="no stress tensor"):
        cp2k_results(text.replace("[GPa]", "[furlong]"), 2)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        (3, None),
        (0.6, "SCHEME MACDONALD 4 4 4 0.125000000000 0.125000000000 0.125000000000"),
        (0.7, "SCHEME MACDONALD 3 3 3 0.000000000000 0.000000000000 0.000000000000"),
    ],
)
def test_grids_are_centred_on_gamma(pair, tmp_path, data, spacing, expected):
    label(pair, tmp_path, "show('cp2k_silicon.out')", k_spacing=spacing, **data)
    text = (tmp_path / "cp2k.inp").read_text()
    assert (expected is None and "KPOINTS" not in text) or expected in text


def test_points_of_the_grid_hold_gamma():
    # as CP2K makes them: (2i - n - 1)/2n + shift, for i = 1 ... n
    for n in (1, 2, 3, 4, 5, 6):
        shift = 0.5 / n if n % 2 == 0 else 0.0
        points = (2 * np.arange(1, n + 1) - n - 1) / (2 * n) + shift
        np.testing.assert_allclose(np.sort(points * n % n), np.arange(n), atol=1e-12)


def test_input(pair, tmp_path, data):
    options = {"spin": {"Si": 1.0}, "basis": {"Si": "TZVP"}, "extra_input": "CHARGE 0"}
    label(pair, tmp_path, "show('cp2k_silicon.out')", **data, **options, **cp2k.gentler[0])
    lines = [line.strip() for line in (tmp_path / "cp2k.inp").read_text().splitlines()]
    assert {"UKS", "CUTOFF 200.000000", "MAX_SCF 300", "ALPHA 0.1", "BASIS_SET TZVP", "MAGNETIZATION 1",
            "CHARGE 0", f"BASIS_SET_FILE_NAME {data['data_dir']}/BASIS_MOLOPT"} <= set(lines)  # fmt: skip
    kelvin = next(float(line.split()[-1]) for line in lines if line.startswith("ELECTRONIC_TEMPERATURE"))
    assert kelvin == pytest.approx(1160.45, abs=0.01)
    depth = [
        1 if line.startswith("&") and not line.startswith("&END") else -line.startswith("&END")
        for line in lines
    ]
    assert sum(depth) == 0


def test_failures(pair, tmp_path, data):
    body = "print('*** WARNING in qs_scf.F:601 :: SCF run NOT converged ***'); show('cp2k_silicon.out')"
    assert "SCF run NOT converged" in failure(pair, NotConverged, tmp_path, body, **data)
    body = "print(' *  The requested basis set <NO> for element <Si> was not found in'); sys.exit(1)"
    assert "basis set <NO>" in failure(pair, SetupFailure, tmp_path, body, **data)
    failure(pair, ReferenceFailure, tmp_path, "sys.exit(3)", **data)
    said = failure(pair, SetupFailure, tmp_path, "", basis={"Al": "x"}, **data)
    assert "has Si, but basis names only Al" in said
    with pytest.raises(SetupFailure, match=r"'BASIS_MOLOPT' is not in .*; give data_dir"):
        cp2k(**SMALL, data_dir=str(tmp_path))
    with pytest.raises(ValueError, match="fermi-dirac only"):
        cp2k(**SMALL, **data, smearing="gaussian")


BOX = """
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/   The requested atomic potential <GTH-NO> for element <Si> was not   *
 *    |        found in the potential file </usr/share/cp2k/GTH_POTENTIALS>    *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                  subsys/external_potential_types.F:2324 *
 *******************************************************************************


 ===== Routine Calling Stack =====
            1 CP2K
"""


def test_the_words_of_its_boxes_are_quoted(pair, tmp_path, data):
    box = BOX.replace("\\\\", "\\")
    said = failure(pair, SetupFailure, tmp_path, f"print({box!r}); sys.exit(1)", **data)
    assert said.startswith(
        "CP2K, Si2 (2 atoms): The requested atomic potential <GTH-NO> for element <Si> was not found in the "
        "potential file </usr/share/cp2k/GTH_POTENTIALS> subsys"
    )
    overlap = box.replace(
        "The requested atomic potential <GTH-NO> for element <Si> was not", "GEOMETRY wrong or EMAX"
    )
    said = failure(pair, GeometryFailure, tmp_path, f"print({overlap!r}); sys.exit(1)", **data)
    assert "GEOMETRY wrong" in said
    other = box.replace("The requested atomic potential <GTH-NO>", "Something else")
    said = failure(pair, ReferenceFailure, tmp_path, f"print({other!r}); sys.exit(1)", **data)
    assert "exit status 1. Last words:\nSomething else for element" in said
    assert "Calling Stack" not in said


def test_version(tmp_path, data):
    command = program(tmp_path, "print(' CP2K version 2023.1\\n Source code')")
    first = cp2k.version(command=command, **data)
    assert first.startswith("cp2k 2023.1, data ")
    (tmp_path / "data" / "BASIS_MOLOPT").write_text("another")
    assert cp2k.version(command=command, **data) != first
