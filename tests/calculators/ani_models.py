"""Small ANI ensembles for the tests: of random weights, and one that knows silicon a little."""

from functools import lru_cache

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.calculators import ANIEnsemble, Calibration, Prediction, StillingerWeber
from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.ani_native import compiled_networks
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.calculators.repulsion import Repulsion

SELF_ENERGIES = {"H": -13.6, "C": -1029.4, "O": -2043.9, "Al": -3.1, "Si": -4.3}


def small_aev(*symbols: str, cutoff_function: str = "cosine") -> AEVParameters:
    """The form of the metal set, with fewer terms and shorter cutoffs."""
    return AEVParameters.from_steps(
        symbols,
        start=1.0,
        radial_cutoff=5.2,
        angular_cutoff=4.1,
        n_radial=8,
        n_angular=4,
        n_sections=4,
        cutoff_function=cutoff_function,
    )


def random_model(
    *symbols: str,
    n_members: int = 3,
    seed: int = 0,
    scale: float = 1.0,
    repulsion: bool = True,
    dtype: str = "float64",
    aev: AEVParameters | None = None,
) -> ANIModel:
    """An ensemble that nobody trained."""
    aev = aev or small_aev(*symbols)
    networks = MemberNetworks(
        n_members,
        aev.length,
        hidden=(24, 16),
        symbols=aev.symbols,
        rng=np.random.default_rng(seed),
        dtype=dtype,
    )
    return ANIModel(
        aev=aev,
        networks=networks,
        self_energies={symbol: SELF_ENERGIES[symbol] for symbol in aev.symbols},
        scale=scale,
        repulsion=Repulsion() if repulsion else None,
        calibration=Calibration(energy=1.5, forces=2.0, stress=0.5),
        metadata={"origin": "a test"},
    )


def energies_and_gradient(
    networks: MemberNetworks, aev: torch.Tensor, species: torch.Tensor, *, mean: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies of all members and their derivatives by the AEV, by the compiled networks."""
    kernel = compiled_networks(networks)
    energies, gradient = kernel.evaluate(aev.numpy(), species.numpy().astype(np.int32), mean=mean)
    return torch.from_numpy(energies), torch.from_numpy(gradient)


def silicon_ensemble(dtype: str = "float64") -> ANIEnsemble:
    """An ensemble that knows silicon well enough to relax and to run: random features, fitted last layers."""
    return ANIEnsemble(_fitted_silicon(), dtype=dtype)


@lru_cache(maxsize=1)
def _fitted_silicon(n_members: int = 3, width: int = 40) -> ANIModel:
    aev = small_aev("Si")
    rng = np.random.default_rng(7)
    frames, labels = labelled_silicon(rng)
    members = []
    for _ in range(n_members):
        drawn = MemberNetworks(1, aev.length, hidden=(24, width), symbols=("Si",), rng=rng, dtype="float64")
        weights, biases = drawn.layers()["Si"]
        last = last_layer(*_features(aev, weights, biases, frames, width), labels)
        members.append(
            ([*weights[:-1], torch.tensor(last)[None, None]], [*biases[:-1], torch.zeros(1, 1, 1)])
        )
    layers = (
        [torch.cat(w) for w in zip(*(m[0] for m in members), strict=True)],
        [torch.cat(b).double() for b in zip(*(m[1] for m in members), strict=True)],
    )
    return ANIModel(
        aev=aev,
        networks=MemberNetworks.from_layers({"Si": layers}),
        self_energies={"Si": -4.3},
        repulsion=Repulsion(),
        calibration=Calibration(energy=1.5, forces=2.0, stress=0.5),
    )


def labelled_silicon(rng: np.random.Generator) -> tuple[list[Atoms], list[Prediction]]:
    """Strained and rattled crystals, and what Stillinger and Weber say of them."""
    frames = [_strained(rng, 0.08, 0.15) for _ in range(40)]
    return frames, [StillingerWeber().evaluate(atoms) for atoms in frames]


def last_layer(
    features: np.ndarray, slopes: np.ndarray, labels: list[Prediction], *, ridge: float = 0.03
) -> np.ndarray:
    """Weights of features (S, width) and of their derivatives (3N, width) that come closest to the labels."""
    energies = np.array([label.energy + 4.3 * len(label.forces) for label in labels])
    forces = np.concatenate([label.forces.ravel() for label in labels])
    # Energies count more than their number says; the ridge keeps the fit from being rough elsewhere.
    rows = np.vstack([10 * features, -slopes, ridge * np.eye(features.shape[1])])
    weights, *_ = np.linalg.lstsq(rows, np.concatenate([10 * energies, forces, np.zeros(features.shape[1])]))
    return weights


def _strained(rng: np.random.Generator, strain: float, rattle: float) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.431) * (2, 1, 1)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-strain, strain, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0.0, rattle, atoms.positions.shape)
    return atoms


def _features(
    aev: AEVParameters, weights: list, biases: list, frames: list[Atoms], width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over atoms of the last hidden layer, (S, width), and their derivatives, (3N, width)."""
    # Each hidden feature is the output of one member: the machinery under test gives all derivatives at once.
    picks = torch.eye(width, dtype=torch.float64).unsqueeze(1)
    layers = (
        [*(w.expand(width, -1, -1) for w in weights[:-1]), picks],
        [*(b.expand(width, -1, -1) for b in biases[:-1]), torch.zeros(width, 1, 1, dtype=torch.float64)],
    )
    networks = MemberNetworks.from_layers({"Si": layers})
    neighbors = _core.NeighborList(aev.radial_cutoff)
    sums, slopes = [], []
    for atoms in frames:
        neighbors.update(atoms.positions, atoms.cell.array, atoms.pbc)
        species = np.zeros(len(atoms), dtype=np.int32)
        edges = (species, neighbors.first, neighbors.second, neighbors.vectors)
        inputs = torch.from_numpy(aev.kernel().forward(*edges, double=True))
        values, by_aev = energies_and_gradient(networks, inputs, torch.from_numpy(species))
        sums.append(values.sum(1).numpy())
        gradient, _ = aev.kernel().gradient(*edges, by_aev.contiguous().numpy(), np.array([0, len(atoms)]))
        slopes.append(gradient.reshape(width, -1).T)
    return np.array(sums), np.vstack(slopes)
