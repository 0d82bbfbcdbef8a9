"""Write what the compiled kernels give for fixed structures: python core_results.py OUT.npz."""

import itertools
import sys

import numpy as np
from ase.build import bulk

from ase_mlsample import _core


def structure():
    """A strained, rattled crystal of two species."""
    rng = np.random.default_rng(5)
    atoms = bulk("Si", a=5.431, cubic=True) * (3, 1, 1)
    shear = np.array([[1, 0.03, 0], [0.05, 1, -0.02], [0, 0, 1.02]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    atoms.positions += rng.normal(scale=0.2, size=(len(atoms), 3))
    return atoms, rng.integers(0, 2, len(atoms)).astype(np.int32), rng


def neighbors_of(atoms, cutoff):
    neighbors = _core.NeighborList(cutoff, 0.3)
    neighbors.update(atoms.positions, np.ascontiguousarray(atoms.cell.array), atoms.pbc)
    return neighbors


def results():
    atoms, species, rng = structure()
    pairs = neighbors_of(atoms, 5.1)
    out = {name: getattr(pairs, name) for name in ("first", "second", "shifts", "vectors", "distances")}
    kernel = _core.StillingerWeberKernel(
        epsilon=2.1683, sigma=2.0951, a=1.8, lambda_=21.0, gamma=1.2, A=7.05, B=0.602, cos_theta0=-1 / 3
    )
    for name, value in zip(("energy", "energies", "forces", "virial"), kernel.compute(pairs), strict=True):
        out[f"sw_{name}"] = np.array(value)
    graph = (species, pairs.first, pairs.second, pairs.vectors)
    frame, v = np.array([0, len(atoms)]), rng.normal(size=(3, len(atoms), 3))
    strain = rng.normal(size=(3, 1, 3, 3))
    for cutoff in ("cosine", "smooth"):
        aev = _core.AEV(
            2,
            radial_cutoff=5.1,
            radial_eta=19.7,
            radial_shifts=[0.8 + 0.27 * m for m in range(15)],
            angular_cutoff=3.7,
            angular_eta=12.5,
            zeta=14.1,
            angular_shifts=[1.2, 2.0, 2.7],
            sections=[0.2, 0.9, 1.6, 2.3, 3.0],
            cutoff_function=cutoff,
        )
        g = np.random.default_rng(6).normal(size=(3, len(atoms), aev.length))
        for dtype in (np.float32, np.float64):
            double, name = dtype is np.float64, f"{cutoff}_{np.dtype(dtype).name}"
            out[f"aev_{name}"] = aev.forward(*graph, double=double)
            out[f"gradient_{name}"], out[f"virial_{name}"] = aev.gradient(*graph, g.astype(dtype), frame)
            out[f"tangent_{name}"] = aev.tangent(*graph, v, strain, frame, double=double)
            for activation in ("celu", "gelu", "softplus", "tanh"):
                networks = network_weights(activation, aev.length, dtype)
                sums = _core.evaluate_ani(aev, networks, *graph, frame, mean=False)
                for key, value in zip(("energies", "gradient", "virial"), sums, strict=True):
                    out[f"ani_{activation}_{key}_{name}"] = value
    return out


def network_weights(activation, length, dtype):
    """Networks of three members and two elements of different shapes."""
    rng = np.random.default_rng(7)

    def element(*sizes):
        pairs = list(itertools.pairwise(sizes))
        weights = [(rng.normal(size=(3, o, i)) / np.sqrt(i)).astype(dtype) for i, o in pairs]
        return weights, [rng.normal(size=(3, 1, o)).astype(dtype) for _, o in pairs]

    return _core.Networks(activation, [element(length, 48, 21, 1), element(length, 9, 1)])


if __name__ == "__main__":
    np.savez(sys.argv[1], instruction_set=_core.instruction_set(), **results())
