"""Small Deep Potentials for the tests, and the definition written once more in plain NumPy loops."""

from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_mlsample.calculators import Calibration
from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.calculators.repulsion import Repulsion

SELF_ENERGIES = {"H": -13.6, "C": -1029.4, "O": -2043.9, "Al": -3.1, "Si": -4.3}


def random_model(
    *symbols: str,
    n_members: int = 3,
    seed: int = 0,
    repulsion: bool = False,
    dtype: str = "float64",
    type_embedding: str = "pair",
    embedding: tuple[int, ...] = (4, 8, 8),
    axis_neurons: int = 3,
    fitting: tuple[int, ...] = (10, 10, 6),
    cutoff: float = 4.5,
    switch_start: float = 2.0,
    sel: int = 20,
) -> DeepPotentialModel:
    """An ensemble that nobody trained; members differ in their statistics too."""
    rng = np.random.default_rng(seed)
    parameters = DeepPotentialParameters(
        symbols=symbols,
        sel={symbol: sel + 3 * k for k, symbol in enumerate(symbols)},
        cutoff=cutoff,
        switch_start=switch_start,
        embedding=embedding,
        axis_neurons=axis_neurons,
        fitting=fitting,
        type_embedding=type_embedding,
    )

    def layers(n_inputs: int, widths: tuple[int, ...], steps: tuple[bool, ...]) -> DenseLayers:
        sizes = list(pairwise((n_inputs, *widths)))
        return DenseLayers(
            tuple((rng.normal(size=(n_members, b, a)) / np.sqrt(a)).astype(dtype) for a, b in sizes),
            tuple(rng.normal(size=(n_members, b)).astype(dtype) for _, b in sizes),
            tuple(
                rng.normal(0.5, 0.1, (n_members, b)).astype(dtype) if step else None
                for (_, b), step in zip(sizes, steps, strict=True)
            ),
        )

    steps = (False, *(a == b for a, b in pairwise(fitting)), False)
    shape = (n_members, len(symbols))
    return DeepPotentialModel(
        parameters=parameters,
        embeddings=tuple(layers(1, embedding, (False,) * len(embedding)) for _ in parameters.embedding_keys),
        fittings=tuple(layers(parameters.length, (*fitting, 1), steps) for _ in symbols),
        mean=rng.uniform(0.05, 0.1, shape),
        std_radial=rng.uniform(0.1, 0.2, shape),
        std_angular=rng.uniform(0.08, 0.12, shape),
        self_energies={symbol: SELF_ENERGIES[symbol] for symbol in symbols},
        repulsion=Repulsion() if repulsion else None,
        calibration=Calibration(energy=1.5, forces=2.0, stress=0.5),
        metadata={"origin": "a test"},
    )


def plain_energies(model: DeepPotentialModel, atoms: Atoms) -> np.ndarray:
    """Atomic energies (M, N) of a model without repulsion, slot by slot, self energies included."""
    p = model.parameters
    first, vectors, second = neighbor_list("iDj", atoms, p.cutoff, self_interaction=False)
    found = np.zeros((model.n_members, len(atoms)))
    for member in range(model.n_members):
        for i, symbol in enumerate(atoms.symbols):
            a = p.symbols.index(symbol)
            mean, d = model.mean[member, a], model.std_radial[member, a]
            t = model.std_angular[member, a]
            matrix = np.zeros((p.embedding[-1], 4))
            for b, other in enumerate(p.symbols):
                network = model.embeddings[a * len(p.symbols) + b if p.type_embedding == "pair" else b]
                rows = [
                    _row(vectors[e], p)
                    for e in np.flatnonzero(first == i)
                    if atoms.symbols[second[e]] == other
                ]
                # an empty slot is worth as much as one missing when there are more neighbours than slots
                empty = (np.zeros(4), p.sel[other] - len(rows))
                for row, count in (*((row, 1) for row in rows), empty):
                    standard = (row - [mean, 0, 0, 0]) / [d, t, t, t]
                    matrix += count * np.outer(_embedded(network, member, standard[0]), standard)
            matrix /= sum(p.sel.values())
            features = (matrix @ matrix[: p.axis_neurons].T).ravel()
            fitted = _fitted(model.fittings[a], member, features)
            found[member, i] = fitted + model.self_energies[symbol]
    return found


def _row(vector: np.ndarray, p: DeepPotentialParameters) -> np.ndarray:
    r = np.linalg.norm(vector)
    u = min(max((r - p.switch_start) / (p.cutoff - p.switch_start), 0.0), 1.0)
    w = 1 + u**3 * (-6 * u**2 + 15 * u - 10)
    return w / r * np.array([1, *(vector / r)])


def _embedded(network: DenseLayers, member: int, x: float) -> np.ndarray:
    h = np.array([x])
    for weight, bias in zip(network.weights, network.biases, strict=True):
        new = np.tanh(weight[member] @ h + bias[member])
        if len(new) == len(h):
            new = new + h
        elif len(new) == 2 * len(h):
            new = new + np.concatenate([h, h])
        h = new
    return h


def _fitted(network: DenseLayers, member: int, h: np.ndarray) -> float:
    *hidden, last = zip(network.weights, network.biases, network.timesteps, strict=True)
    for weight, bias, timestep in hidden:
        new = np.tanh(weight[member] @ h + bias[member])
        h = new if timestep is None else h + timestep[member] * new
    return float((last[0][member] @ h + last[1][member])[0])


def crowded(*symbols: str, seed: int = 1) -> list[Atoms]:
    """A crystal, a slab, a cell smaller than the cutoff and a molecule, all rattled."""
    rng = np.random.default_rng(seed)
    cell = 5.4 * np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
    scaled = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    scaled = np.vstack([scaled, scaled + 0.25])
    atoms = Atoms("X8", scaled_positions=scaled, cell=cell, pbc=True)
    atoms.positions += rng.normal(0, 0.1, (8, 3))
    slab = atoms.copy()
    slab.pbc = (True, True, False)
    slab.cell[2] *= 3
    small = Atoms("X2", scaled_positions=[[0, 0, 0], [0.27, 0.24, 0.26]], cell=cell / 2 + 1.3, pbc=True)
    molecule = Atoms("X3", positions=[[0, 0, 0], [2.1, 0.3, 0], [0.2, 2.5, 0.9]])
    frames = [atoms, slab, small, molecule]
    for frame in frames:
        frame.symbols = [symbols[k % len(symbols)] for k in rng.permutation(len(frame))]
    return frames
