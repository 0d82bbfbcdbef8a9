"""VASP, which the tests know from its documentation: a fake one writes what ASE reads."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from fakes import program

from ase_mlsample.references import vasp
from ase_mlsample.references.failures import GeometryFailure, NotConverged, ReferenceFailure, SetupFailure

SMALL = {"cutoff": 300, "k_spacing": 0.5, "smearing_width": 0.1}
CONVERGED = "------ aborting loop because EDIFF is reached ------\n General timing and accounting\n"
ENERGY = (
    "<energy>"
    + "".join(
        f'<i name="{name}">{value}</i>'
        for name, value in (("e_fr_energy", -11.5), ("e_wo_entrp", -11.0), ("e_0_energy", -11.25))
    )
    + "</energy>"
)
STRUCTURE = """
  <crystal><varray name="basis"><v>6 0 0</v><v>0 6 0</v><v>0 0 6</v></varray></crystal>
  <varray name="positions"><v>0 0 0</v><v>.5 0 0</v><v>0 .5 0</v></varray></structure>"""
XML = f"""<?xml version="1.0"?>
<modeling>
 <kpoints><generation param="Gamma"><v name="divisions" type="int"> 1 1 1 </v></generation></kpoints>
 <atominfo><atoms>3</atoms><types>2</types><array name="atoms"><set>
  <rc><c>Al</c><c>1</c></rc><rc><c>Si</c><c>2</c></rc><rc><c>Si</c><c>2</c></rc></set></array></atominfo>
 <structure name="initialpos">{STRUCTURE}
 <calculation><structure>{STRUCTURE}
  <varray name="forces"><v>1 0 0</v><v>0 2 0</v><v>0 0 3</v></varray>
  <varray name="stress"><v>10 0 0</v><v>0 20 0</v><v>0 0 30</v></varray>
  <scstep>{ENERGY}</scstep>{ENERGY}
 </calculation>
</modeling>
"""


@pytest.fixture
def own(tmp_path):
    for name in ("Si", "Al", "Sn_d"):
        (tmp_path / "pots" / name).mkdir(parents=True)
        (tmp_path / "pots" / name / "POTCAR").write_text(f"PAW_PBE {name}\n")
    return {"pseudo_dir": str(tmp_path / "pots"), "elements": ["Si", "Al"]}


@pytest.fixture
def alloy():
    """Atoms of a kind are not together."""
    return Atoms("SiAlSi", [(3, 0, 0), (0, 0, 0), (0, 3, 0)], cell=[6, 6, 6], pbc=True)


def label(atoms, folder, body, **options):
    seen = str(folder / "seen")
    command = program(folder, f"import shutil; shutil.copytree('.', {seen!r}, dirs_exist_ok=True)\n{body}")
    atoms.calc = vasp(**{**SMALL, "command": command, **options})
    return atoms.get_potential_energy(force_consistent=True), atoms.get_forces(), atoms.get_stress()


def failure(atoms, kind, folder, body, **options):
    with pytest.raises(ReferenceFailure) as caught:
        label(atoms, folder, body, **options)
    assert type(caught.value) is kind
    return str(caught.value)


GOOD = f"leave('OUTCAR', {CONVERGED!r}); leave('vasprun.xml', {XML!r})"


def test_label(alloy, tmp_path, own):
    energy, forces, stress = label(alloy, tmp_path, GOOD, **own)
    assert energy == -11.5  # not the one extrapolated to zero width
    # VASP saw Al first
    assert forces.tolist() == [[0, 2, 0], [1, 0, 0], [0, 0, 3]]
    assert stress[:3] == pytest.approx(-np.array([10, 20, 30]) * 0.1 * 0.0062415, rel=1e-4)


def test_input(alloy, tmp_path, own):
    names = {"pseudopotentials": {"Si": "Si", "Al": "Al", "Sn": "Sn_d"}, "parameters": {"ncore": 4}}
    label(alloy, tmp_path, GOOD, **own, **names, **vasp.gentler[0], spin={"Al": 1.0})
    seen = tmp_path / "seen"
    tags = dict(line.split(" = ") for line in (seen / "INCAR").read_text().splitlines())
    assert (tags["ENCUT"], tags["ISMEAR"], tags["SIGMA"], tags["NELM"]) == ("300", "-1", "0.1", "200")
    assert (tags["NCORE"], tags["ALGO"], tags["AMIX"], tags["LWAVE"]) == ("4", "Normal", "0.2", ".FALSE.")
    assert (tags["ISPIN"], tags["MAGMOM"], float(tags["EDIFF"])) == ("2", "1 0 0", 3e-7)
    assert (seen / "KPOINTS").read_text().split("\n")[2:4] == ["Gamma", "3 3 3"]
    assert (seen / "POTCAR").read_text() == "PAW_PBE Al\nPAW_PBE Si\n"
    atoms = read(seen / "POSCAR", format="vasp")
    assert atoms.get_chemical_symbols() == ["Al", "Si", "Si"]
    np.testing.assert_allclose(atoms.positions, [(0, 0, 0), (3, 0, 0), (0, 3, 0)], atol=1e-9)


def test_failures(alloy, tmp_path, own):
    done = "leave('OUTCAR', 'General timing and accounting'); print('RMM:  60')"
    assert "EDIFF was not reached" in failure(alloy, NotConverged, tmp_path, done, **own)
    failure(alloy, NotConverged, tmp_path, "print('Error EDDDAV: Call to ZHEGV failed.'); sys.exit(1)", **own)
    close = "print(' The distance between some ions is very small.'); sys.exit(1)"
    failure(alloy, GeometryFailure, tmp_path, close, **own)
    usual = "print(' POTCAR, INCAR and KPOINTS ok, starting setup'); sys.exit(9)"
    assert "exit status 9" in failure(alloy, ReferenceFailure, tmp_path, usual, **own)
    cut = f"leave('OUTCAR', {CONVERGED!r}); leave('vasprun.xml', {XML[:700]!r})"
    assert "cannot be read" in failure(alloy, ReferenceFailure, tmp_path, cut, **own)
    alloy.symbols[1] = "U"
    said = failure(alloy, SetupFailure, tmp_path, GOOD, **own)
    assert "has U, but elements names only Al, Si" in said


def test_potcars(tmp_path, own, monkeypatch):
    with pytest.raises(SetupFailure, match="of Sn, 'POTCAR', is not in"):
        vasp(**SMALL, pseudo_dir=own["pseudo_dir"], elements=["Sn"])
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    with pytest.raises(SetupFailure, match="give pseudo_dir"):
        vasp(**SMALL, elements=["Si"])
    (tmp_path / "potpaw_PBE").symlink_to(tmp_path / "pots")
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path))
    assert vasp(elements=["Si"]).accuracy.cutoff == vasp.ready["Si"].cutoff
    first = vasp.version(elements=["Si"], release="6.4.2")
    assert first.startswith("vasp 6.4.2, POTCAR ")
    assert vasp.version(elements=["Si"], release="6.4.3") != first
    with pytest.raises(SetupFailure, match=r"'vasp_std' .* not installed"):
        label(Atoms("Si", cell=[5, 5, 5], pbc=True), tmp_path, "", elements=["Si"], command="vasp_std")
