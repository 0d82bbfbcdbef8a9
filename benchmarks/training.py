"""Where the time of a training epoch goes: 4 members, 400 frames of silicon of 24 atoms, one core.

python benchmarks/training.py [--frames 400] [--atoms 24] [--members 4] [--hidden 64 64 32]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.calculators.networks import MemberNetworks
from ase_mlsample.training import AEVSettings, Dataset, TrainingSettings
from ase_mlsample.training.evaluation import predict, training_output
from ase_mlsample.training.features import Batch, FeatureSet
from ase_mlsample.training.folds import strided_split
from ase_mlsample.training.loss import Loss
from ase_mlsample.training.standardisation import Standardisation
from ase_mlsample.training.targets import reduced_labels


def rattled_silicon(n_frames: int, n_atoms: int, rng: np.random.Generator) -> list[Atoms]:
    frames = []
    for _ in range(n_frames):
        atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (1, 1, max(1, round(n_atoms / 8)))
        atoms.rattle(0.15, rng=rng)
        prediction = StillingerWeber().evaluate(atoms)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = prediction.energy, prediction.forces
        frames.append(atoms)
    return frames


def seconds(call: Callable[[], object], repeats: int = 30) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


class Nothing:
    """Derivatives that cost nothing, to time the networks alone."""

    def __init__(self, batch: Batch, members: int) -> None:
        n, length = batch.inputs.shape
        positions, strain = np.zeros((members, n, 3)), np.zeros((members, len(batch.frames), 3, 3))
        tangent = np.zeros((members, n, length), dtype=np.float32)
        self.gradient = lambda _: (positions, strain)
        self.tangent = lambda *_: tangent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--atoms", type=int, default=24)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64, 32])
    parser.add_argument("--activation", default="gelu")
    parser.add_argument("--torch-threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.torch_threads)
    rng = np.random.default_rng(0)
    frames = rattled_silicon(args.frames, args.atoms, rng)
    aev = AEVSettings(radial_cutoff=5.2, angular_cutoff=4.2).parameters(("Si",))
    start = time.perf_counter()
    features = FeatureSet(frames, aev)
    features.standardise(Standardisation.of(features.inputs, features.species, 1))
    setup = time.perf_counter() - start
    targets = reduced_labels(Dataset(frames), features.geometry, None)
    loss = Loss(
        TrainingSettings(), targets, torch.from_numpy(strided_split(args.frames, members=args.members).train)
    )
    networks = MemberNetworks(
        args.members, aev.length, hidden=args.hidden, activation=args.activation, symbols=("Si",), rng=rng
    )
    parameters = list(networks.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-5, fused=True)
    chosen = rng.permutation(args.frames)[: args.batch_size].astype(np.int64)
    batch = features.batch(chosen)
    n, length = batch.inputs.shape
    nothing = Batch(*[getattr(batch, name) for name in Batch.__slots__[:-1]], Nothing(batch, args.members))
    g = rng.normal(size=(args.members, n, length)).astype(np.float32)
    v = rng.normal(size=(args.members, n, 3))

    def step(which: Batch) -> None:
        output = training_output(networks, which, 1.0, with_forces=True)
        gradients = torch.autograd.grad(loss(which, output).sum(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.contiguous()  # as in training

    parts = {
        "batch assembly": seconds(lambda: features.batch(chosen)),
        "networks and loss": seconds(lambda: step(nothing)),
        "forces from g": seconds(lambda: batch.derivatives.gradient(g)),
        "J v": seconds(lambda: batch.derivatives.tangent(v, None)),
        "optimiser": seconds(optimizer.step),
    }
    whole = seconds(lambda: (step(features.batch(chosen)), optimizer.step()))
    print(
        f"{args.members} members, {args.frames} frames of {n // args.batch_size} atoms, AEV {length}",
        end=", ",
    )
    print(f"hidden {args.hidden}; threads: torch {torch.get_num_threads()}, core {_core.num_threads()}")
    print(f"set-up (neighbours, AEVs): {1e6 * setup / len(features.species):.1f} µs/atom, once")
    for name, cost in parts.items():
        print(f"  {name:<20}{1e6 * cost / n:8.2f} µs/atom")
    epoch = whole / n * len(features.species)
    print(f"  {'a whole step':<20}{1e6 * whole / n:8.2f} µs/atom, {epoch:.3f} s an epoch")
    print(f"  {'validation':<20}{1e6 * seconds(lambda: predict(networks, batch, 1.0)) / n:8.2f} µs/atom")


if __name__ == "__main__":
    main()
