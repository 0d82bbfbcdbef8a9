"""Training 8 networks on energies and forces: our step against TorchANI's modules with double backward.

500 structures of 64 atoms of silicon labelled by Stillinger-Weber, the AEV of ANI-Al (7.0/5.0 Å), 96-96-64-1.
Both sides see the same batches, standardised AEVs, loss, optimiser and start, all members at once. TorchANI's
side makes the AEVs of a batch once for all members (all frames as one molecule with the pairs at hand, since
its own periodic batches see no neighbours beyond the first frame), each member's forces by autograd with
`create_graph`, and the loss's gradient by the weights alone through them, member by member. First both take
20 steps in double precision and must show the same losses; then they are timed in turns in single precision:
our epoch whole, TorchANI's from the median of some steps.

TorchANI's CELU keeps its 1/α in single precision in the derivatives, which shows in the eighth digit of a
loss; to compare losses, not to time them, its networks are given α·elu(x/α). With --their-celu they keep it.

    python benchmarks/training_torchani.py [--threads 2] [--peer-steps 4]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from ase_mlsample import _core
from ase_mlsample.calculators import ANIEnsemble, StillingerWeber
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.training import AEVSettings, Dataset, ModelSettings, TrainingSettings
from ase_mlsample.training.evaluation import training_output
from ase_mlsample.training.features import Batch
from ase_mlsample.training.folds import Split, strided_split
from ase_mlsample.training.loss import Loss, Output
from ase_mlsample.training.optimisation import Optimisation
from ase_mlsample.training.schedule import Schedule
from ase_mlsample.training.setup import Setup

warnings.filterwarnings("ignore", message="The extensions", category=UserWarning)

from torchani.neighbors import Neighbors  # noqa: E402
from torchani.nn import TightCELU  # noqa: E402
from torchani.units import HARTREE_TO_EV  # noqa: E402


def labelled_silicon(n_frames: int) -> Dataset:
    """Cells of 64 atoms, rattled and strained, with energies and forces."""
    rng, calculator, frames = np.random.default_rng(0), StillingerWeber(), []
    for _ in range(n_frames):
        atoms: Atoms = bulk("Si", "diamond", a=5.43, cubic=True) * 2
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.01, (3, 3))), scale_atoms=True)
        atoms.rattle(rng.uniform(0.02, 0.25), rng=rng)
        prediction = calculator.evaluate(atoms)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = prediction.energy, prediction.forces
        frames.append(atoms)
    return Dataset(frames)


class Stepper:
    """Adam with the training's own schedule."""

    def __init__(
        self, parameters: Sequence[torch.Tensor], settings: TrainingSettings, steps_per_epoch: int
    ) -> None:
        self.parameters = list(parameters)
        self._optimizer = torch.optim.Adam(self.parameters, lr=1.0, fused=True)
        self._schedule = Schedule(settings, total_steps=settings.epochs * steps_per_epoch)
        self._done = 0

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """Move by the gradients."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.param_groups[0]["lr"] = self._schedule.rate(self._done)
        self._optimizer.step()
        self._done += 1


class Ours:
    """The package's training, step by step."""

    def __init__(self, setup: Setup, settings: TrainingSettings, steps_per_epoch: int) -> None:
        self._networks, self._scale = setup.networks.copy(), setup.start.scale
        self._loss = Loss(settings, setup.targets, torch.from_numpy(setup.split.train))
        self._factor = steps_per_epoch
        self._stepper = Stepper(list(self._networks.parameters()), settings, steps_per_epoch)

    def step(self, batch: Batch) -> NDArray[np.float64]:
        """Losses (M,) before the step."""
        losses = self._loss(batch, training_output(self._networks, batch, self._scale, with_forces=True))
        self._stepper.step(torch.autograd.grad(losses.sum() * self._factor, self._stepper.parameters))
        return losses.detach().numpy()


class ExactCELU(torch.nn.Module):
    """α·elu(x/α), whose derivatives hold in double precision."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As CELU with α = 0.1."""
        return 0.1 * torch.nn.functional.elu(x / 0.1)


class TorchANI:
    """The same networks as TorchANI's modules."""

    def __init__(
        self, setup: Setup, settings: TrainingSettings, steps_per_epoch: int, *, exact_celu: bool
    ) -> None:
        # with the scale of one Hartree, weights are taken over bit for bit
        aev, scale = setup.model.aev, HARTREE_TO_EV
        model = ANIModel(
            aev=aev, networks=setup.networks.copy(), self_energies=setup.model.self_energies, scale=scale
        )
        assembled = ANIEnsemble(model, dtype=settings.precision).to_torchani()
        self._computer = assembled.aev_computer
        self._members = list(assembled.neural_networks.members)
        self._setup, self._factor = setup, steps_per_epoch
        self._losses = [
            Loss(settings, setup.targets, torch.from_numpy(setup.split.train[m : m + 1]))
            for m in range(len(self._members))
        ]
        for member in self._members:
            member.requires_grad_(True)
            for network in member.atomics.values():
                if exact_celu and isinstance(network.activation, TightCELU):
                    network.activation = ExactCELU()
        parameters = [parameter for member in self._members for parameter in member.parameters()]
        self._stepper = Stepper(parameters, settings, steps_per_epoch)

    def step(self, batch: Batch) -> NDArray[np.float64]:
        """Losses (M,) before the step."""
        species = batch.species.unsqueeze(0)
        displacement = torch.zeros(len(batch.atoms), 3, dtype=torch.float64, requires_grad=True)
        inputs = self._inputs(batch, displacement)
        losses: list[float] = []
        gradients: list[torch.Tensor] = []
        for member, member_loss in zip(self._members, self._losses, strict=True):
            atomic = member(species, inputs.unsqueeze(0), atomic=True)[0]
            (forces,) = torch.autograd.grad(atomic.sum(), displacement, create_graph=True)
            loss = member_loss(batch, self._output(atomic, forces, batch)).sum()
            keep = member is not self._members[-1]
            parameters = list(member.parameters())
            gradients += torch.autograd.grad(loss * self._factor, parameters, retain_graph=keep)
            losses.append(float(loss.detach()))
        self._stepper.step(gradients)
        return np.array(losses)

    def _inputs(self, batch: Batch, displacement: torch.Tensor) -> torch.Tensor:
        """Standardised AEVs (N, L) with a graph to the positions."""
        geometry = self._setup.features.geometry.select(batch.frames)
        first = np.repeat(np.arange(len(geometry.species)), np.diff(geometry.first))
        half = first < geometry.second  # each pair once: no atom sees an image of itself in these cells
        pairs = torch.from_numpy(np.stack([first[half], geometry.second[half]]).astype(np.int64))
        vectors = torch.from_numpy(geometry.vectors[half])
        vectors = vectors + displacement[pairs[1]] - displacement[pairs[0]]
        dtype = batch.inputs.dtype
        neighbors = Neighbors(pairs, vectors.norm(dim=-1).to(dtype), (-vectors).to(dtype))
        nowhere = torch.zeros(1, len(batch.atoms), 3, dtype=dtype)
        aev = self._computer.compute_from_neighbors(batch.species.unsqueeze(0), nowhere, neighbors)[0]
        standard = self._setup.features.standardisation
        shift, slopes = standard.mean.to(dtype)[batch.species], standard.slopes.to(dtype)[batch.species]
        result: torch.Tensor = (aev - shift) * slopes
        return result

    def _output(self, atomic: torch.Tensor, forces: torch.Tensor, batch: Batch) -> Output:
        scale, frames = self._setup.start.scale, len(batch.frames)
        energies = atomic.new_zeros(1, frames).index_add(1, batch.frame_of_atom, atomic.unsqueeze(0))
        nothing = torch.zeros(1, frames, 3, 3, dtype=torch.float64)
        return Output(scale * energies.double(), scale * forces.unsqueeze(0), nothing)


def setup_of(dataset: Dataset, settings: TrainingSettings, members: int, sections: int) -> Setup:
    model = ModelSettings(
        members=members,
        hidden=(96, 96, 64),
        activation="celu",
        repulsion=False,
        aev=AEVSettings(radial_cutoff=7.0, angular_cutoff=5.0, n_radial=32, n_angular=8, n_sections=sections),
    )
    split: Split = strided_split(len(dataset), members=members)
    return Setup.of(dataset, model, settings, split=split, rng=np.random.default_rng(1))


def compare_losses(dataset: Dataset, options: argparse.Namespace) -> None:
    """The same losses, step by step, in double precision."""
    settings = TrainingSettings(precision="float64", batch_size=options.batch_size)
    setup = setup_of(dataset, settings, options.members, options.sections)
    steps = -(-len(dataset) // settings.batch_size)
    ours = Ours(setup, settings, steps)
    theirs = TorchANI(setup, settings, steps, exact_celu=not options.their_celu)
    order = np.random.default_rng(2).permutation(len(dataset))
    worst, losses = 0.0, []
    for number in range(options.compared_steps):
        chosen = np.take(
            order, range(number * settings.batch_size, (number + 1) * settings.batch_size), mode="wrap"
        )
        batch = setup.features.batch(np.sort(chosen))
        pair = ours.step(batch), theirs.step(batch)
        worst = max(worst, float(np.abs(pair[0] / pair[1] - 1.0).max()))
        losses.append(float(pair[0].mean()) * steps)
    print(
        f"{options.compared_steps} steps in double precision: loss {losses[0]:.4f} to {losses[-1]:.4f}",
        end=", ",
    )
    print(f"largest relative difference of any member's loss {worst:.1e}")
    if worst > 1e-8:
        raise SystemExit("the losses differ by more than 1e-8")


def time_epoch(dataset: Dataset, options: argparse.Namespace) -> None:
    """Our epochs whole, TorchANI's steps in between."""
    settings = TrainingSettings(batch_size=options.batch_size)
    start = time.perf_counter()
    setup = setup_of(dataset, settings, options.members, options.sections)
    prepared = time.perf_counter() - start
    steps = -(-len(dataset) // settings.batch_size)
    training = Optimisation(setup.problem, settings, np.random.default_rng(3))
    theirs = TorchANI(setup, settings, steps, exact_celu=False)
    batches = list(setup.features.batches(np.arange(len(dataset)), size=settings.batch_size))
    theirs.step(batches[0])
    clock = time.thread_time if options.cpu_time else time.perf_counter
    epochs, peer = [], []
    for number in range(options.peer_steps):
        epochs.append(_seconds(training._epoch, clock))
        peer.append(_seconds(partial(theirs.step, batches[number % len(batches)]), clock))
    n_atoms = len(setup.features.species)
    ours = float(np.median(epochs))
    peer_epoch = float(np.median(peer)) * n_atoms / (settings.batch_size * setup.features.n_atoms[0])
    print(f"set-up of ours (neighbours, AEVs), once: {prepared:.2f} s")
    print(f"ours      {ours:9.2f} s an epoch ({steps} steps), {1e6 * ours / n_atoms:8.1f} µs an atom")
    print(
        f"TorchANI  {peer_epoch:9.2f} s an epoch (from {options.peer_steps} steps), "
        f"{1e6 * peer_epoch / n_atoms:8.1f} µs an atom"
    )
    ratio = peer_epoch / ours
    print(f"{'held' if ratio >= 10 else 'MISSED'}  an epoch {ratio:.1f} x faster than TorchANI (10)")
    if ratio < 10:
        raise SystemExit(1)


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--sections", type=int, default=8, help="angular sections, 4 or 8")
    parser.add_argument("--batch-size", type=int, default=8, help="frames")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compared-steps", type=int, default=20, help="0 leaves the comparison out")
    parser.add_argument("--peer-steps", type=int, default=4, help="0 leaves the timing out")
    parser.add_argument("--their-celu", action="store_true", help="compare losses with TorchANI's own CELU")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of one thread, for busy machines")
    options = parser.parse_args()
    if options.cpu_time and options.threads != 1:
        parser.error("--cpu-time counts one thread: add --threads 1")
    _core.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    dataset = labelled_silicon(options.frames)
    print(
        f"{options.members} members, {options.frames} frames of 64 atoms, 8x{options.sections}, batches of "
        f"{options.batch_size}, {options.threads} threads, kernels for {_core.instruction_set()}"
    )
    if options.compared_steps:
        compare_losses(dataset, options)
    if options.peer_steps:
        time_epoch(dataset, options)


if __name__ == "__main__":
    main()
