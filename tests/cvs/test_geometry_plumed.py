"""Geometric variables beside PLUMED's; skipped where PLUMED's Python module is not installed."""

import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.cvs import RMSD, Angle, Coordination, Dihedral, Distance, RadiusOfGyration, Volume
from tests.cvs.plumed_values import restrained

ATOMS = bulk("Si", a=5.431) * (4, 4, 4)
ATOMS.rattle(0.2, seed=3)
ATOMS.set_cell(ATOMS.cell.array @ [[1, 0.2, 0], [0, 1.1, -0.1], [0.05, 0, 1]], scale_atoms=True)
GROUP = [0, 1, 2, 7, 9]
MASSES = np.linspace(1.0, 5.0, len(ATOMS))
A, B = list(range(60)), list(range(40, 128))
TEXT_A, TEXT_B = "1-60", "41-128"
SWITCH = {"r0": 2.6, "d0": 0.3, "nn": 6, "mm": 10, "d_max": 5.0, "cutoff": "plumed"}
RATIONAL = "SWITCH={RATIONAL R_0=2.6 D_0=0.3 NN=6 MM=10 D_MAX=5.0}"

CASES = {
    "distance": (Distance(0, 97), "DISTANCE ATOMS=1,98"),
    "angle": (Angle(0, 97, 5), "ANGLE ATOMS=1,98,6"),
    "dihedral": (Dihedral(0, 97, 5, 33), "TORSION ATOMS=1,98,6,34"),
    "gyration": (RadiusOfGyration(GROUP), "GYRATION ATOMS=1,2,3,8,10"),
    "gyration by mass": (
        RadiusOfGyration(GROUP, mass_weighted=True),
        "GYRATION ATOMS=1,2,3,8,10 MASS_WEIGHTED",
    ),
    "volume": (Volume(), "VOLUME"),
    "coordination in one group": (Coordination("Si", **SWITCH), f"COORDINATION GROUPA=1-128 {RATIONAL}"),
    "coordination of two groups": (
        Coordination(A, B, **SWITCH),
        f"COORDINATION GROUPA={TEXT_A} GROUPB={TEXT_B} {RATIONAL}",
    ),
}


def compare(cv, expected, atoms):
    value, gradient, virial = expected
    found = cv.evaluate(atoms)
    assert found.value[0] == pytest.approx(value, rel=1e-10)
    scale = max(np.abs(gradient).max(), 1e-3)
    np.testing.assert_allclose(found.gradient[0], gradient, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(found.virial[0], virial, rtol=0, atol=1e-9 * max(np.abs(virial).max(), 1.0))


@pytest.mark.parametrize("name", CASES)
def test_as_plumed(name, tmp_path):
    cv, line = CASES[name]
    atoms = ATOMS.copy()
    atoms.set_masses(MASSES)
    compare(cv, restrained(atoms, [f"s: {line}"], "s", tmp_path / "log", masses=MASSES), atoms)


def test_rmsd_as_plumed(tmp_path):
    rng = np.random.default_rng(0)
    atoms = ATOMS[GROUP]
    atoms.pbc = False
    atoms.cell = None
    reference = np.round(atoms.positions + rng.normal(0, 0.3, atoms.positions.shape), 3)
    line = "ATOM  {:5d}  X   XXX A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  1.00\n"
    pdb = tmp_path / "reference.pdb"
    pdb.write_text("".join(line.format(i, i, *r) for i, r in enumerate(reference, 1)) + "END\n")
    expected = restrained(atoms, [f"s: RMSD REFERENCE={pdb} TYPE=OPTIMAL"], "s", tmp_path / "log")
    found = RMSD(reference).evaluate(atoms)
    assert found.value[0] == pytest.approx(expected[0], rel=1e-9)
    np.testing.assert_allclose(found.gradient[0], expected[1], rtol=0, atol=1e-9)
