"""Training four Deep Potentials: our time a step and final errors beside deepmd-kit's.

Cells of 64 atoms of silicon, rattled and strained, labelled by Stillinger-Weber; se_e2_a with 6 Å,
embedding 20-40-80, fitting 80-80-80 in single precision; a frame a step, the loss with prefactors for
energies, forces and virials, and the exponential learning rate of deepmd-kit's examples on both sides. Ours
trains its four members at once, theirs are trained one after the other; both for the same number of steps on
the same frames (but the two that our cross-validation keeps back of each member). Errors are of single models
on unseen frames, and of the mean of as many models as deepmd-kit trained.

deepmd-kit runs in an environment of its own (`deepmd_training_peer.py` says how to make it) that is named
with --peer-python; without one our side is measured alone. Interrupted, the same command goes on.

    python benchmarks/training_deepmd.py [--steps 4000] [--peer-python ENV/bin/python --peer-models 4]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from numpy.typing import NDArray

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.training import (
    Dataset,
    DeepPotentialSettings,
    PrefactorSettings,
    TrainingSettings,
    train_ensemble,
)
from ase_mlsample.training.folds import strided_split
from ase_mlsample.training.optimisation import Optimisation
from ase_mlsample.training.setup import Setup

MEMBERS = 4
FASTER, WORSE = 2.0, 1.05
PREFACTORS = PrefactorSettings(energy=(0.02, 1.0), forces=(1000.0, 1.0), virial=(10.0, 1.0))
MODEL = DeepPotentialSettings(members=MEMBERS, cutoff=6.0, switch_start=3.0, sel=80, repulsion=False)


def labelled_silicon(n_frames: int, seed: int) -> Dataset:
    """Diamond with thermal and larger displacements, and strains of a few per cent."""
    rng, calculator, frames = np.random.default_rng(seed), StillingerWeber(), []
    for _ in range(n_frames):
        atoms = bulk("Si", "diamond", a=5.43, cubic=True) * 2
        strain = rng.uniform(-0.04, 0.04, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.rattle(rng.uniform(0.03, 0.2), rng=rng)
        prediction = calculator.evaluate(atoms)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = prediction.energy, prediction.forces
        atoms.info["REF_stress"] = prediction.stress
        frames.append(atoms)
    return Dataset(frames)


def settings_for(n_frames: int, steps: int) -> TrainingSettings:
    """A frame a step; validated at the end alone, so that the last weights are kept, as theirs are."""
    epochs = max(1, round(steps / (n_frames - 1)))
    return TrainingSettings(
        recipe="deepmd",
        prefactors=PREFACTORS,
        epochs=epochs,
        folds=n_frames,
        validation_folds=1,
        validation_interval=epochs,
    )


def ours(train: Dataset, test: Dataset, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train, or find trained, the ensemble; errors of each member and of their mean."""
    settings = settings_for(len(train), args.steps)
    result = train_ensemble(
        train, model=MODEL, settings=settings, rng=np.random.default_rng(args.seed), directory=folder / "ours"
    )
    predictions = result.calculator.evaluate_many(list(test), members=True)
    energies = np.stack([p.member_energies for p in predictions], axis=1)
    forces = np.concatenate([p.member_forces for p in predictions], axis=1)
    return {"energies": energies, "forces": forces, "steps": settings.epochs * (len(train) - 1)}


def time_steps(train: Dataset, args: argparse.Namespace) -> dict[str, float]:
    """Wall and CPU time of a step of all members, in s: the median of short runs."""
    import torch

    torch.set_num_threads(args.threads)
    settings = settings_for(len(train), args.steps)
    split = strided_split(len(train), members=MEMBERS, n_folds=len(train), validation_folds=1)
    setup = Setup.of(train, MODEL, settings, split=split, rng=np.random.default_rng(1))
    run = Optimisation(setup.problem, settings, np.random.default_rng(2))
    run._epoch()
    walls, processors = [], []
    for _ in range(args.timed_epochs):
        wall, processor = time.perf_counter(), time.process_time()
        run._epoch()
        walls.append((time.perf_counter() - wall) / run._steps_per_epoch)
        processors.append((time.process_time() - processor) / run._steps_per_epoch)
    return {"wall": float(np.median(walls)), "cpu": float(np.median(processors))}


def theirs(train: Dataset, test: Dataset, args: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    """Train deepmd-kit's models one after the other, or find them trained."""
    if args.peer_python is None:
        return None
    there = folder / "deepmd"
    systems = {}
    for name, dataset in (("train", train), ("test", test)):
        if not (there / name).exists():
            dataset.to_deepmd(there / name)
        systems[name] = [str(path.absolute()) for path in sorted((there / name).iterdir())]
    seeds = list(range(1, args.peer_models + 1))
    prefactors = {"e": PREFACTORS.energy, "f": PREFACTORS.forces, "v": PREFACTORS.virial}
    loss = {
        f"{when}_pref_{name}": pair[index]
        for name, pair in prefactors.items()
        for index, when in enumerate(("start", "limit"))
    }
    request = {**systems, "steps": args.steps, "seeds": seeds, "backend": "tf", "loss": loss}
    (there / "request.json").write_text(json.dumps(request))
    script = Path(__file__).with_name("deepmd_training_peer.py")
    threads = {f"DP_{kind}_OP_PARALLELISM_THREADS": str(args.threads) for kind in ("INTRA", "INTER")}
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), **threads}
    subprocess.run([str(args.peer_python), str(script), str(there)], check=True, env=environment)
    found = json.loads((there / "result.json").read_text())
    loaded = [np.load(found[str(seed)]["predictions"]) for seed in seeds]
    return {
        "energies": np.stack([one["energies"] for one in loaded]),
        "forces": np.stack([one["forces"] for one in loaded]),
        **{kind: float(np.mean([found[str(seed)][kind] for seed in seeds])) for kind in ("wall", "cpu")},
    }


def errors(energies: NDArray[Any], forces: NDArray[Any], test: Dataset) -> tuple[float, float]:
    """Root mean square errors, meV per atom and meV/Å, pooled over models."""
    labels = np.concatenate([label.forces for label in test.labels if label.forces is not None])
    energy = (energies - test.energies) / test.n_atoms
    return 1e3 * float(np.sqrt(np.mean(energy**2))), 1e3 * float(np.sqrt(np.mean((forces - labels) ** 2)))


def report(ours: dict[str, Any], theirs: dict[str, Any] | None, test: Dataset) -> bool:
    """Print times and errors; whether ours is fast and good enough."""
    sides = {"ours": ours} if theirs is None else {"ours": ours, "deepmd-kit": theirs}
    n_models = len(ours["energies"]) if theirs is None else len(theirs["energies"])
    print(
        f"{'':<12}{'step of four, ms':>18}{'CPU time, ms':>14}{'single: meV/atom':>18}{'meV/Å':>8}"
        f"{f'mean of {n_models}: meV/atom':>22}{'meV/Å':>8}"
    )
    rows = {}
    for name, side in sides.items():
        times = [1e3 * side[kind] * (1 if name == "ours" else MEMBERS) for kind in ("wall", "cpu")]
        single = errors(side["energies"], side["forces"], test)
        mean = errors(*(side[kind][:n_models].mean(axis=0) for kind in ("energies", "forces")), test)
        rows[name] = (*times, *single)
        print(f"{name:<12}{times[0]:>18.1f}{times[1]:>14.1f}{single[0]:>18.2f}{single[1]:>8.1f}", end="")
        print(f"{mean[0]:>22.2f}{mean[1]:>8.1f}")
    if theirs is None:
        return True
    a, b = rows["ours"], rows["deepmd-kit"]
    statements = (
        (f"CPU time of four: {b[1] / a[1]:.1f} x less ({FASTER:g})", b[1] / a[1] >= FASTER),
        (f"energy error {a[2] / b[2]:.2f} of theirs ({WORSE:g})", a[2] / b[2] <= WORSE),
        (f"force error {a[3] / b[3]:.2f} of theirs ({WORSE:g})", a[3] / b[3] <= WORSE),
    )
    for text, good in statements:
        print(f"{'held' if good else 'MISSED'}  {text}")
    return all(good for _, good in statements)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--test-frames", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timed-epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with deepmd-kit")
    parser.add_argument("--peer-models", type=int, default=MEMBERS)
    parser.add_argument("--directory", type=Path, default=Path("runs/training-deepmd"))
    args = parser.parse_args()
    folder = args.directory / f"n{args.frames}-s{args.steps}"
    folder.mkdir(parents=True, exist_ok=True)
    train, test = labelled_silicon(args.frames, 0), labelled_silicon(args.test_frames, 1)
    found = ours(train, test, args, folder) | time_steps(train, args)
    return int(not report(found, theirs(train, test, args, folder), test))


if __name__ == "__main__":
    raise SystemExit(main())
