"""Values of PLUMED through its Python module, with the forces and virial of their bias."""

import numpy as np
import pytest

plumed = pytest.importorskip("plumed", exc_type=ImportError)


def restrained(atoms, lines, argument, log, *, masses=None):
    """Value of a variable with its gradient and virial: from a bias that equals it."""
    p, n = plumed.Plumed(), len(atoms)
    units = {"setMDLengthUnits": 0.1, "setMDEnergyUnits": 1.0, "setMDTimeUnits": 0.001}
    for key, value in {"setRealPrecision": 8, **units, "setMDEngine": "python", "setNatoms": n}.items():
        p.cmd(key, value)
    p.cmd("setTimestep", 1.0)
    p.cmd("setLogFile", str(log))
    p.cmd("init")
    for line in ("UNITS LENGTH=A", *lines, f"b: RESTRAINT ARG={argument} AT=0 KAPPA=0 SLOPE=1"):
        p.cmd("readInputLine", line)
    forces, virial, bias = np.zeros((n, 3)), np.zeros((3, 3)), np.zeros(1)
    p.cmd("setStep", 0)
    masses = np.ones(n) if masses is None else np.ascontiguousarray(masses)
    arrays = {"setMasses": masses, "setCharges": np.zeros(n), "setPositions": atoms.positions.copy()}
    arrays |= {"setBox": atoms.cell.array.copy(), "setForces": forces, "setVirial": virial}
    for key, array in arrays.items():
        p.cmd(key, array)
    p.cmd("calc")
    p.cmd("getBias", bias)
    p.finalize()
    return bias[0], -forces, 0.5 * (virial + virial.T)
