"""A Deep Potential that knows silicon a little: random features, fitted last layers."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from ase import Atoms

from ase_mlsample.calculators import Calibration, DeepPotentialEnsemble
from ase_mlsample.calculators.dp_layers import DenseLayers
from ase_mlsample.calculators.dp_model import DeepPotentialModel
from ase_mlsample.calculators.dp_parameters import DeepPotentialParameters
from ase_mlsample.calculators.repulsion import Repulsion
from tests.calculators.ani_models import labelled_silicon, last_layer

_PARAMETERS = DeepPotentialParameters(
    symbols=("Si",),
    sel={"Si": 30},
    cutoff=5.0,
    switch_start=2.5,
    embedding=(8, 16),
    axis_neurons=4,
    fitting=(40, 40),
)


def deep_silicon(dtype: str = "float64", backend: str = "native") -> DeepPotentialEnsemble:
    """An ensemble that knows silicon well enough to relax and to run."""
    return DeepPotentialEnsemble(_fitted_silicon(), dtype=dtype, backend=backend)


@lru_cache(maxsize=1)
def _fitted_silicon(n_members: int = 3) -> DeepPotentialModel:
    rng = np.random.default_rng(11)
    frames, labels = labelled_silicon(rng)
    width = _PARAMETERS.fitting[-1]
    members = []
    for _ in range(n_members):
        # Each hidden feature is the output of one member: the kernels give all derivatives at once.
        features = _drawn(rng, np.eye(width)[:, None])
        last = last_layer(*_features(features, frames), labels, ridge=0.1)
        members.append(_with_output(features.select([0]), last[None, None]))
    return _joined(members)


def _drawn(rng: np.random.Generator, output: np.ndarray) -> DeepPotentialModel:
    """One set of random networks below the outputs (M, 1, width)."""
    one = np.ones((len(output), 1))

    def layers(sizes: tuple[int, ...], scale: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        weights = [rng.normal(size=(1, b, a)) * scale / np.sqrt(a) for a, b in pairwise(sizes)]
        biases = [rng.normal(size=(1, b)) for b in sizes[1:]]
        return [[w.repeat(len(output), axis=0) for w in part] for part in (weights, biases)]

    p = _PARAMETERS
    weights, biases = layers((p.length, *p.fitting), 3.0)
    steps = (None, 0.5 * np.ones((len(output), p.fitting[1])), None)
    fitting = DenseLayers((*weights, output), (*biases, 0 * one), steps)
    embedding = layers((1, *p.embedding), 1.0)
    return DeepPotentialModel(
        parameters=p,
        embeddings=(DenseLayers(*embedding, (None, None)),),
        fittings=(fitting,),
        mean=0.1 * one,
        std_radial=0.15 * one,
        std_angular=0.08 * one,
        self_energies={"Si": -4.3},
        repulsion=Repulsion(),
        calibration=Calibration(energy=1.5, forces=2.0, stress=0.5),
    )


def _with_output(model: DeepPotentialModel, output: np.ndarray) -> DeepPotentialModel:
    (fitting,) = model.fittings
    changed = DenseLayers((*fitting.weights[:-1], output), fitting.biases, fitting.timesteps)
    return replace(model, fittings=(changed,))


def _joined(models: list[DeepPotentialModel]) -> DeepPotentialModel:
    tensors = [model.tensors() for model in models]
    first = models[0]
    return DeepPotentialModel.from_tensors(
        first.parameters,
        {name: np.concatenate([each[name] for each in tensors]) for name in tensors[0]},
        self_energies=first.self_energies,
        repulsion=first.repulsion,
        calibration=first.calibration,
    )


def _features(model: DeepPotentialModel, frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Sums over atoms of the members' outputs, (S, M), and their derivatives, (3N, M)."""
    bare = DeepPotentialEnsemble(replace(model, repulsion=None, self_energies={"Si": 0.0}), dtype="float64")
    predictions = bare.evaluate_many(frames, members=True)
    slopes = [-p.member_forces.reshape(model.n_members, -1).T for p in predictions]
    return np.array([p.member_energies for p in predictions]), np.vstack(slopes)
