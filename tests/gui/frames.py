"""Structures as the viewer gets them: different sizes, some with arrays, some without."""

import numpy as np
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator


def coloured():
    """Eight atoms with disagreement, forces of a model and labels."""
    atoms = bulk("Si", cubic=True)
    atoms.new_array("force_sigma", np.linspace(0.1, 0.8, 8))
    atoms.new_array("REF_forces", np.zeros((8, 3)))
    atoms.calc = SinglePointCalculator(atoms, forces=np.tile([3.0, 0.0, 4.0], (8, 1)))
    atoms.info |= {"generation": 2, "time_fs": 1500.0, "temperature_K": 900.2, "stop_reason": "uncertain"}
    return atoms


def bare():
    """Two atoms and nothing else."""
    return bulk("Si")


def biased(k):
    """Frame k of a biased run with an ensemble: variable, bias, energy, time, and all of `coloured`."""
    atoms = coloured()
    for name in ("temperature_K", "stop_reason", "generation"):
        del atoms.info[name]
    atoms.info |= {"cv": 1.0 - 0.1 * k, "cv_names": "order", "bias": 0.1 * k, "time_fs": 500.0 * k}
    atoms.info |= {"energy_std": 0.04, "trust_lo": 0.5, "trust_hi": 20.0}
    atoms.calc.results["energy"] = -32.0
    return atoms
