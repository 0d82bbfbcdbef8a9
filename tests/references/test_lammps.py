import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, diamond100
from fakes import program

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.references import lammps
from ase_mlsample.references.failures import GeometryFailure, ReferenceFailure, SetupFailure

ENTRY = "Si Si Si 2.1683 2.0951 1.8 21.0 1.2 -0.3333333333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"
COMMANDS = ["pair_style sw", "pair_coeff * * Si.sw Si"]
beside = Path(sys.executable).with_name("lmp").is_file() or shutil.which("lmp") is not None
installed = pytest.mark.skipif(not beside, reason=f"LAMMPS is not installed; {lammps.install}")


@pytest.fixture
def potential(tmp_path):
    (tmp_path / "Si.sw").write_text(ENTRY)
    return {"elements": ["Si"], "commands": COMMANDS, "files": [str(tmp_path / "Si.sw")]}


STRUCTURES = {
    "cubic": bulk("Si", cubic=True) * (2, 1, 1),
    "primitive": bulk("Si"),
    "skewed": bulk("Si") * (3, 1, 2),
    "left-handed": bulk("Si", cubic=True),
    "slab": diamond100("Si", (2, 1, 4), vacuum=6.0),
    "cluster": Atoms("Si4", [(0, 0, 0), (2.4, 0, 0), (1.0, 2.2, 0), (1.2, 0.8, 2.0)]),
}
STRUCTURES["left-handed"].set_cell(STRUCTURES["left-handed"].cell.array[[1, 0, 2]])


@installed
@pytest.mark.parametrize("name", STRUCTURES)
def test_every_kind_of_cell(name, potential):
    atoms = STRUCTURES[name].copy()
    atoms.rattle(0.1, seed=1)
    atoms.positions[0] += atoms.cell.array[0]  # outside the cell
    atoms.calc = lammps(**potential)
    periodic = bool(atoms.pbc.all())
    energy, forces = atoms.get_potential_energy(force_consistent=True), atoms.get_forces()
    stress = atoms.get_stress() if periodic else None
    atoms.calc = StillingerWeber()
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-10)
    if periodic:
        np.testing.assert_allclose(stress, atoms.get_stress(), rtol=1e-6, atol=1e-10)


@installed
def test_failures_of_the_program(potential):
    atoms = bulk("Si")
    atoms.calc = lammps(**{**potential, "commands": ["pair_style nothing"]})
    with pytest.raises(SetupFailure, match="nrecognized pair style 'nothing'"):
        atoms.get_potential_energy()
    assert lammps.version(**potential).startswith("lammps 2")


def test_what_is_refused(potential, tmp_path):
    with pytest.raises(SetupFailure, match="/no/where of files does not exist"):
        lammps(**{**potential, "files": ["/no/where"]})
    with pytest.raises(ValueError, match="list of lines"):
        lammps(**{**potential, "commands": "pair_style sw"})
    with pytest.raises(ValueError, match="atom_style"):
        lammps(**potential, atom_style="full")
    atoms = bulk("Al")
    atoms.calc = lammps(**potential)
    with pytest.raises(SetupFailure, match="has Al, but elements names only Si"):
        atoms.get_potential_energy()
    atoms = bulk("Si")
    atoms.pbc = (True, False, True)
    atoms.calc = lammps(**potential, command=program(tmp_path, ""))
    with pytest.raises(SetupFailure, match="periodic along all cell vectors, the first two, or none"):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: Lost atoms: original 8 current 7 (src/thermo.cpp:494)", GeometryFailure),
        ("ERROR: Cannot open sw potential file Si.sw (src/potential_file_reader.cpp)", SetupFailure),
        ("it stops here", ReferenceFailure),
    ],
)
def test_translation(potential, tmp_path, said, kind):
    atoms = bulk("Si")
    atoms.calc = lammps(**potential, command=program(tmp_path, f"print({said!r}); sys.exit(1)"))
    with pytest.raises(ReferenceFailure, match="LAMMPS, Si2") as caught:
        atoms.get_potential_energy()
    assert type(caught.value) is kind
    assert said.split(" (")[0] in str(caught.value)


def test_version_follows_files_and_commands(potential, tmp_path):
    command = program(
        tmp_path, "print('Large-scale Atomic/Molecular Massively Parallel Simulator - 1 Jan 2030')"
    )
    first = lammps.version(**potential, command=command)
    assert first.startswith("lammps 1 Jan 2030, ")
    assert lammps.version(**{**potential, "commands": [*COMMANDS, ""]}, command=command) != first
    (tmp_path / "Si.sw").write_text(ENTRY + "\n")
    assert lammps.version(**potential, command=command) != first
