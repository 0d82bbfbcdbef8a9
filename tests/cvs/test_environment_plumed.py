"""Environment similarity beside PLUMED's; skipped where PLUMED's Python module is not installed."""

import numpy as np
import pytest
from ase.build import bulk

from ase_mlsample.cvs.environment import EnvironmentSimilarity

plumed = pytest.importorskip("plumed", exc_type=ImportError)


def evaluate(atoms, lines, log):
    """Bias of a PLUMED input with its forces and virial; lengths in Å, energies as they are."""
    p, n = plumed.Plumed(), len(atoms)
    units = {"setMDLengthUnits": 0.1, "setMDEnergyUnits": 1.0, "setMDTimeUnits": 0.001}
    for key, value in {"setRealPrecision": 8, **units, "setMDEngine": "python", "setNatoms": n}.items():
        p.cmd(key, value)
    p.cmd("setTimestep", 1.0)
    p.cmd("setLogFile", str(log))
    p.cmd("init")
    for line in ("UNITS LENGTH=A", *lines):
        p.cmd("readInputLine", line)
    forces, virial, bias = np.zeros((n, 3)), np.zeros((3, 3)), np.zeros(1)
    p.cmd("setStep", 0)
    arrays = {"setMasses": np.ones(n), "setCharges": np.zeros(n), "setPositions": atoms.positions.copy()}
    arrays |= {"setBox": atoms.cell.array.copy(), "setForces": forces, "setVirial": virial}
    for key, array in arrays.items():
        p.cmd(key, array)
    p.cmd("calc")
    p.cmd("getBias", bias)
    p.finalize()
    return bias[0], forces, virial


def reference_file(template, path):
    line = "ATOM  {:5d}  X   XXX A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  1.00\n"
    path.write_text("".join(line.format(i, i, *r) for i, r in enumerate(template.positions, 1)) + "END\n")
    return path


@pytest.mark.parametrize(
    ("crystal", "keyword", "sigma", "repeat"),
    [
        (bulk("Si", a=5.431, cubic=True), "DIAMOND LATTICE_CONSTANTS=5.431", 0.4, 3),
        (bulk("Al", a=4.05, cubic=True), "FCC LATTICE_CONSTANTS=4.05", 0.3, 3),
        (bulk("Na", a=4.32, cubic=True), "BCC LATTICE_CONSTANTS=4.32", 0.65, 4),
        (bulk("Po", "sc", a=3.36), "SC LATTICE_CONSTANTS=3.36", 0.4, 4),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("pooling", ["mean", "morethan"])
def test_crystals(crystal, keyword, sigma, repeat, pooling, tmp_path):
    atoms = crystal * repeat
    atoms.rattle(0.15, seed=4)
    similarity = EnvironmentSimilarity.from_crystal(crystal, sigma=sigma, cutoff="plumed")
    cv = similarity.mean() if pooling == "mean" else similarity.count(threshold=0.5, nn=12, mm=24)
    counted = "MORE_THAN={RATIONAL R_0=0.5 NN=12 MM=24}"
    species = f"ENVIRONMENTSIMILARITY SPECIES=1-{len(atoms)}"
    lines = [
        f"es: {species} SIGMA={sigma} CRYSTAL_STRUCTURE={keyword} MEAN {counted}",
        f"r: RESTRAINT ARG=es.{pooling} AT=0 KAPPA=0 SLOPE=1",
    ]
    bias, forces, virial = evaluate(atoms, lines, tmp_path / "log")
    found = cv.evaluate(atoms)
    assert found.value[0] == pytest.approx(bias, rel=1e-10)
    scale = np.abs(forces).max()
    np.testing.assert_allclose(found.gradient[0], -forces, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(
        found.virial[0], (virial + virial.T) / 2, rtol=0, atol=1e-9 * np.abs(virial).max()
    )


def test_own_templates_and_another_lambda(tmp_path):
    crystal = bulk("Mg")
    atoms = crystal * 5
    atoms.rattle(0.2, seed=5)
    similarity = EnvironmentSimilarity.from_crystal(crystal, sigma=0.5, cutoff="plumed", lam=20.0)
    files = [reference_file(one, tmp_path / f"{k}.pdb") for k, one in enumerate(similarity.templates)]
    references = " ".join(f"REFERENCE_{k}={path}" for k, path in enumerate(files, 1))
    species = f"ENVIRONMENTSIMILARITY SPECIES=1-{len(atoms)}"
    lines = [
        f"es: {species} SIGMA=0.5 LAMBDA=20 CRYSTAL_STRUCTURE=CUSTOM {references} MEAN",
        "r: RESTRAINT ARG=es.mean AT=0 KAPPA=0 SLOPE=1",
    ]
    bias, _, _ = evaluate(atoms, lines, tmp_path / "log")
    assert similarity.mean()(atoms)[0] == pytest.approx(bias, abs=2e-4)  # three decimals in the files
