"""Does a model of one reference save labels of another? Tuned with a tenth of them, or trained from nothing.

    python benchmarks/transfer.py                     # three seeds, under 10 minutes on two cores
    python benchmarks/transfer.py --seeds 1 --n 300 --epochs 40

The first reference is silicon as Stillinger and Weber fitted it in 1985, the other one their potential as
fitted anew to amorphous silicon: bonds a quarter weaker, angles half as stiff again beside them (ε 1.64833
eV, λ 31.5; R. L. C. Vink, G. T. Barkema, W. F. van der Weg, N. Mousseau, J. Non-Cryst. Solids 282, 248,
2001). A source ensemble learns n structures with labels of the first one. Then, on labels of the other one:

  from nothing       a new ensemble, on all n structures and on a tenth of them, with equally many steps
  tuned, all free    the source trained on, on the same tenth
  tuned, recipe      the same with layers frozen as ANI-1ccx came from ANI-1x (recipe "transfer")
  tuned, ends free   the same with only the hidden layers after the first one frozen

Tuned ensembles start with refitted atomic energies. The held-out structures come from the same samplers,
disorder and five crystals, and other random numbers. The settings were chosen on the seeds 101 to 104.

Exit status 1 unless, as the median over seeds, "tuned, all free" is within 1.2 times the error of training
from nothing on all labels, in energies and in forces, where the source as it is is 3 times off or more.
Results are kept in --directory; run again, it goes on.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from labelled_errors import errors

from ase_mlsample._files import write_atomic
from ase_mlsample.calculators import ANIEnsemble, StillingerWeber
from ase_mlsample.samplers import PerturbedCrystal, RandomDisorder
from ase_mlsample.validation.held_out import labelled

WHOLE, UNTUNED, TUNED = "from nothing, all labels", "untuned", "tuned, all free"
COMMON = {"validation_folds": 1, "energy_weight": 20, "relative_forces": 4.0}
LONG = {"epochs": 400, "validation_interval": 20}
GENTLE = {**LONG, "self_energies": "refit", "learning_rate": 2e-3, "final_learning_rate": 1e-5}
TUNING: dict[str, dict[str, Any]] = {
    TUNED: GENTLE,
    "tuned, recipe": {**LONG, "recipe": "transfer"},
    "tuned, ends free": {**GENTLE, "freeze": ("layers.1", "layers.2")},
}
MAX_FORCE = 16.0  # eV/Å, by either reference
ALLOWED, APART = 1.2, 3.0


def references() -> tuple[StillingerWeber, StillingerWeber]:
    return StillingerWeber(), StillingerWeber(epsilon=1.64833, lambda_=31.5)


def structures(n: int, seed: int) -> list[Atoms]:
    """Disorder and crystals in turn, without labels."""
    disorder = RandomDisorder("Si", n_atoms=(4, 16), density=(2.0, 2.9))
    crystals = PerturbedCrystal(
        ["diamond", "beta-tin", "fcc", "bcc", "sc"],
        symbol="Si",
        n_atoms=(4, 16),
        volume_per_atom=18.5,
        volume=(0.85, 1.18),
        rattle=(0.0, 0.25),
    )
    rng = np.random.default_rng([seed, 5])
    found: list[Atoms] = []
    while len(found) < n:
        for sampler in (disorder, crystals):
            atoms = next(iter(sampler.sample(1, rng)))
            forces = [reference.evaluate(atoms).forces for reference in references()]
            if np.linalg.norm(forces, axis=2).max() <= MAX_FORCE:
                found.append(atoms)
    return found[:n]


def trained(frames: Sequence[Atoms], start: Any, seed: int, folder: Path, **settings: Any) -> ANIEnsemble:
    """The ensemble that a folder holds, trained first where it is not finished."""
    from ase_mlsample.training import Dataset, TrainingSettings, train_ensemble

    return train_ensemble(
        Dataset(frames),
        model=start,
        settings=TrainingSettings(**{**COMMON, **settings}),
        rng=np.random.default_rng([seed, 7]),
        directory=folder,
        progress=False,
    ).calculator


def measure(seed: int, args: argparse.Namespace, directory: Path) -> dict[str, dict[str, float]]:
    """Errors on the held-out set of every way to a model of the second reference, kept in a file."""
    from ase_mlsample.training import AEVSettings, ModelSettings

    file = directory / f"seed{seed}.json"
    if file.exists():
        kept: dict[str, dict[str, float]] = json.loads(file.read_text())
        return kept
    first, second = references()
    pool, held_out = structures(args.n, seed), structures(args.n_test, 9999)
    test = [labelled(atoms, second) for atoms in held_out]
    labels = [labelled(atoms, second) for atoms in pool]
    few = labels[: args.n // 10]
    new = ModelSettings(members=args.members, aev=AEVSettings(radial_cutoff=5.0, angular_cutoff=3.8))

    def folder(name: str) -> Path:
        return directory / f"seed{seed}-{name.replace(', ', '-').replace(' ', '-')}"

    source = trained(
        [labelled(atoms, first) for atoms in pool], new, seed, folder("source"), epochs=args.epochs
    )
    whole = trained(labels, new, seed, folder(WHOLE), epochs=args.epochs)
    tenth = trained(
        few, new, seed, folder("from nothing, a tenth"), epochs=10 * args.epochs, validation_interval=50
    )
    found = {
        "source on its own labels": errors(source, [labelled(atoms, first) for atoms in held_out]),
        UNTUNED: errors(source, test),
        WHOLE: errors(whole, test),
        "from nothing, a tenth": errors(tenth, test),
    }
    for name, settings in TUNING.items():
        found[name] = errors(trained(few, source.model, seed, folder(name), **settings), test)
    write_atomic(file, json.dumps(found, indent=1).encode())
    return found


def report(found: list[dict[str, dict[str, float]]], args: argparse.Namespace) -> bool:
    """Print errors and ratios; whether tuning keeps to what is allowed."""
    print(
        f"n = {args.n}, a tenth is {args.n // 10}; medians of {len(found)} seeds, then the ratio to training"
    )
    print("from nothing on all labels: its median, and in brackets by seed\n")
    print(f"{'':<26}{'energy, meV/atom':<39}{'force, eV/Å':<39}{'force/RMS'}")
    ratios: dict[str, tuple[float, float]] = {}
    for name in found[0]:
        line, medians = f"{name:<26}", list[float]()
        for quantity, digits in (("energy", 1), ("force", 3)):
            by_seed = [one[name][quantity] / one[WHOLE][quantity] for one in found]
            medians.append(float(np.median(by_seed)))
            listed = f"{medians[-1]:>8.2f} ({' '.join(f'{ratio:.2f}' for ratio in by_seed)})"
            line += f"{np.median([one[name][quantity] for one in found]):<8.{digits}f}{listed}".ljust(39)
        print(line + f"{np.median([one[name]['relative'] for one in found]):.3f}")
        ratios[name] = (medians[0], medians[1])
    statements = (
        (f"untuned: at least {APART:g} times", min(ratios[UNTUNED]) >= APART),
        (f"tuned, all free: at most {ALLOWED:g} times", max(ratios[TUNED]) <= ALLOWED),
    )
    print()
    for text, good in statements:
        print(f"{text:<40}{'held' if good else 'MISSED'}")
    return all(good for _, good in statements)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1000, help="structures; a tenth of them is for tuning")
    parser.add_argument("--n-test", type=int, default=200, help="held-out structures")
    parser.add_argument("--epochs", type=int, default=60, help="of training from nothing on all labels")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--directory", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they start
    directory = args.directory / f"n{args.n}-e{args.epochs}-m{args.members}-t{args.n_test}"
    directory.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(measure, seed, args, directory) for seed in args.seeds]
        good = report([job.result() for job in jobs], args)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
