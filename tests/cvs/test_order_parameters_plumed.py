"""Order parameters beside PLUMED's; skipped where PLUMED's Python module is not installed."""

import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.cvs import AveragedSteinhardt, LocalBondOrder, PairEntropy, Steinhardt
from tests.cvs.plumed_values import restrained

# Between the radii of the switch, where ours is not PLUMED's, there are no neighbours.
RADII = {"cutoff": 3.6, "inner": 3.2}
SWITCH = "SWITCH={CUBIC D_0=3.2 D_MAX=3.6}"
ALL = "SPECIES=1-108"


def aluminium(scale):
    atoms = bulk("Al", a=4.05, cubic=True) * 3
    atoms.rattle(scale, seed=1)
    return atoms


def compare(cv, expected, atoms, factor, tolerance):
    value, gradient, virial = expected
    found = cv.evaluate(atoms)
    assert found.value[0] == pytest.approx(value * factor, rel=tolerance)
    for ours, theirs in ((found.gradient[0], gradient), (found.virial[0], virial)):
        np.testing.assert_allclose(ours, theirs * factor, rtol=0, atol=10 * tolerance * np.abs(ours).max())


@pytest.mark.parametrize("degree", [3, 4, 6])
def test_steinhardt(degree, tmp_path):
    atoms, factor = aluminium(0.05), np.sqrt(4 * np.pi / (2 * degree + 1))  # which PLUMED leaves out
    lines = [f"q: Q{degree} {ALL} {SWITCH} MEAN"]
    expected = restrained(atoms, lines, "q.mean", tmp_path / "log")
    compare(Steinhardt(degree, **RADII).mean(), expected, atoms, factor, 2e-8)
    lines = [f"q: Q{degree} {ALL} {SWITCH}", f"a: LOCAL_AVERAGE SPECIES=q {SWITCH} MEAN"]
    expected = restrained(atoms, lines, "a.mean", tmp_path / "log")
    compare(AveragedSteinhardt(degree, **RADII).mean(), expected, atoms, factor, 2e-8)


@pytest.mark.parametrize("degree", [4, 6])
def test_local_bond_order(degree, tmp_path):
    atoms = aluminium(0.05)
    lines = [f"q: Q{degree} {ALL} {SWITCH}", f"c: LOCAL_Q{degree} SPECIES=q {SWITCH} MEAN"]
    expected = restrained(atoms, lines, "c.mean", tmp_path / "log")
    compare(LocalBondOrder(degree, **RADII).mean(), expected, atoms, 1.0, 1e-6)


def test_pair_entropy(tmp_path):
    # PLUMED ends its Gaussians at 3.5 widths.
    atoms = aluminium(0.1)
    lines = ["s: PAIRENTROPY GROUP=1-108 MAXR=5.0 GRID_BIN=300 BANDWIDTH=0.125"]
    expected = restrained(atoms, lines, "s", tmp_path / "log")
    compare(PairEntropy(5.0, width=0.125), expected, atoms, 1.0, 1e-3)
