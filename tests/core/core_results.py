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


def environments(pairs, species):
    """Similarity to templates of two species, pulled back with random weights."""
    own = np.random.default_rng(7)
    kernel = _core.EnvironmentKernel(
        center=np.array([0, 1, 0], np.int32),
        site_first=np.array([0, 4, 10, 13]),
        sites=own.normal(scale=2.0, size=(13, 3)),
        site_species=own.integers(0, 2, 13).astype(np.int32),
        sigma=0.5,
        lam=20.0,
        inner=3.5,
        outer=5.0,
    )
    values, edge_gradient = kernel.compute(pairs, species)
    graph = (pairs.first, pairs.second, pairs.vectors)
    gradient, virial = _core.pull_edges(*graph, edge_gradient, own.normal(size=len(values)))
    return {"values": values, "edges": edge_gradient, "gradient": gradient, "virial": virial}


def orders(pairs, atoms):
    """Sums over half pairs, pair entropies and bond orders, pulled back with random weights."""
    own, out = np.random.default_rng(8), {}
    half, weights = _core.HalfPairs(5.1), own.normal(size=len(atoms))
    series = np.ascontiguousarray(own.normal(size=(2, 1, 12)))
    cell = np.ascontiguousarray(atoms.cell.array)
    for chebyshev in (False, True):
        blocks = half.update(atoms.positions, cell, atoms.pbc)
        sums, slopes = _core.pair_sums(blocks, *series, chebyshev=chebyshev)
        gradient, virial = _core.pull_pairs(blocks, slopes[0], weights)
        for name, value in {"sums": sums, "gradient": gradient, "virial": virial}.items():
            out[f"series_{chebyshev}_{name}"] = value
    for local in (False, True):
        settings = {"gauss": np.array([0.7, 0.2, 0.01]), "shares": np.ones(201), "density": 0.05}
        reach = _core.HalfPairs(5.0 * 205 / 200).update(atoms.positions, cell, atoms.pbc)
        entropy = _core.PairEntropy(reach, cutoff=5.0, local=local, **settings)
        pulled = entropy.pull(weights if local else weights[:1])
        names = ("values", "by_density", "gradient", "virial")
        for name, value in zip(names, (entropy.values, entropy.by_density, *pulled), strict=True):
            out[f"entropy_{local}_{name}"] = value
    for kind, degree in itertools.product(("local", "averaged", "correlation"), (3, 4, 6)):
        arrays = (pairs.first, pairs.second, pairs.vectors, pairs.distances)
        order = _core.BondOrder(*arrays, kind=kind, degree=degree, inner=2.5, outer=4.5)
        for name, value in zip(
            ("values", "gradient", "virial"), (order.values, *order.pull(weights)), strict=True
        ):
            out[f"{kind}_{degree}_{name}"] = value
    return out


def deep_potentials(graph, frame):
    """Three members of two elements, their embeddings layers or tables."""
    own, out, pairs = np.random.default_rng(9), {}, (3, 2, 2)
    sizes = [(6, 1), (12, 6), (12, 12), (21, 12)]
    layers = (
        [own.normal(size=(12, *size)) for size in sizes],
        [own.normal(size=(12, 1, b)) for b, _ in sizes],
    )
    tables = own.normal(size=(*pairs, 9, 6, 21)) / np.array([1, 2, 4, 8, 16, 32])[:, None]
    sizes = ((11, 5 * 21), (11, 11), (1, 11))
    fittings = []
    for _ in range(2):
        weights = [own.normal(size=(3, *size)) / np.sqrt(size[1]) for size in sizes]
        biases = [own.normal(size=(3, 1, size[0])) for size in sizes]
        fittings.append((weights, biases, [None, own.normal(size=(3, 1, 11)), None]))
    statistics = {name: own.uniform(0.1, 0.2, (3, 2)) for name in ("mean", "std_radial", "std_angular")}

    def cast(values, dtype):
        if isinstance(values, list | tuple):
            return type(values)(cast(value, dtype) for value in values)
        return None if values is None else values.astype(dtype)

    given = {"empty": own.normal(size=(*pairs, 21)), "fittings": fittings}
    for (kind, embeddings), dtype in itertools.product(
        (("layers", layers), ("tables", tables)), (np.float32, np.float64)
    ):
        arrays = {name: cast(value, dtype) for name, value in (given | {kind: embeddings}).items()}
        potential = _core.DeepPotential(
            cutoff=5.0, switch_start=2.0, axis=5, slots=np.array([9.0, 20.0]), **statistics, **arrays
        )
        sums = potential.evaluate(*graph, frame, mean=False)
        for key, value in zip(("energies", "gradient", "virial"), sums, strict=True):
            out[f"{kind}_{key}_{np.dtype(dtype).name}"] = value
    return out


def results():
    atoms, species, rng = structure()
    pairs = neighbors_of(atoms, 5.1)
    out = {name: getattr(pairs, name) for name in ("first", "second", "shifts", "vectors", "distances")}
    kernel = _core.StillingerWeberKernel(
        epsilon=2.1683, sigma=2.0951, a=1.8, lambda_=21.0, gamma=1.2, A=7.05, B=0.602, cos_theta0=-1 / 3
    )
    for name, value in zip(("energy", "energies", "forces", "virial"), kernel.compute(pairs), strict=True):
        out[f"sw_{name}"] = np.array(value)
    for name, value in environments(pairs, species).items():
        out[f"environment_{name}"] = value
    for name, value in orders(pairs, atoms).items():
        out[f"order_{name}"] = value
    graph = (species, pairs.first, pairs.second, pairs.vectors)
    frame, v = np.array([0, len(atoms)]), rng.normal(size=(3, len(atoms), 3))
    strain = rng.normal(size=(3, 1, 3, 3))
    for name, value in deep_potentials(graph, frame).items():
        out[f"deep_potential_{name}"] = value
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
