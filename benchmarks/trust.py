"""Can a model be trusted? Coverage and ranks on a held-out set, and plain dynamics that nothing watches.

    python benchmarks/trust.py runs/silicon/model.safetensors runs/silicon_testset.extxyz

1. Calibrated 1σ coverage of force components, within 0.08 of Student's t.
2. Spearman correlation of force_sigma and the size of the force error, at least 0.5.
3. 20 ungated runs of 10 ps, 64 atoms of silicon from 300 to 2,500 K: no two atoms nearer than 1.6 Å, and
   never hotter than twice the temperature set.

Exit status 1 if one of them fails. --runs and --ps shorten the dynamics.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np


def dynamics(
    model: str, temperature: float, picoseconds: float, timestep_fs: float, seed: int
) -> dict[str, float]:
    """Run one trajectory to its end or to its collapse."""
    from ase import units
    from ase.build import bulk
    from ase.md.langevin import Langevin

    from ase_mlsample.calculators import ANIEnsemble

    rng = np.random.default_rng(seed)
    atoms = bulk("Si", a=5.431, cubic=True) * (2, 2, 2)
    atoms.calc = ANIEnsemble.load(model)
    thermal = np.sqrt(units.kB * temperature * atoms.get_masses())[:, None]
    atoms.set_momenta(thermal * rng.standard_normal((len(atoms), 3)))
    integrator = Langevin(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature,
        friction=0.001 / units.fs,  # 1/ps: heat that a bad potential makes is not hidden
        fixcm=False,
        rng=rng,
    )
    shortest, hottest, every = np.inf, 0.0, 10
    for _ in range(round(picoseconds * 1000 / timestep_fs / every)):
        integrator.run(every)
        shortest = min(shortest, shortest_distance(atoms))
        hottest = max(hottest, atoms.get_temperature())
        if not (shortest > 1.0 and hottest < 5 * temperature):
            break
    return {
        "temperature": temperature,
        "shortest": shortest,
        "hottest": hottest,
        "ps": integrator.get_time() / 1000 / units.fs,
    }


def shortest_distance(atoms) -> float:
    scaled = atoms.get_scaled_positions()
    first, second = np.triu_indices(len(atoms), 1)
    separations = scaled[first] - scaled[second]
    return float(np.linalg.norm((separations - np.round(separations)) @ atoms.cell.array, axis=1).min())


def held_out(model: str, testset: Path) -> bool:
    from ase_mlsample.analysis import coverage, expected_coverage, spearman
    from ase_mlsample.calculators import ANIEnsemble
    from ase_mlsample.report import predict_held_out

    predictions = predict_held_out(ANIEnsemble.load(model), testset)
    print(f"{'held-out set':<14}{'coverage':>10}{'Spearman':>10}")
    results = {}
    for kind in [*predictions.kinds, "all"]:
        chosen = predictions if kind == "all" else predictions.of(kind)
        errors = chosen.forces - chosen.reference_forces
        sizes, sigmas = np.linalg.norm(errors, axis=1), np.linalg.norm(chosen.forces_std, axis=1)
        results[kind] = coverage(errors, chosen.forces_std), spearman(sigmas, sizes)
        print(f"{kind:<14}{results[kind][0]:>10.3f}{results[kind][1]:>10.3f}")
    expected = expected_coverage(predictions.members)
    good = abs(results["all"][0] - expected) <= 0.08 and results["all"][1] >= 0.5
    print(f"{'wanted':<14}{f'{expected:.3f}±.08':>10}{'≥ 0.5':>10}   {'held' if good else 'MISSED'}\n")
    return good


def runs(args: argparse.Namespace) -> bool:
    os.environ["OMP_NUM_THREADS"] = "1"
    temperatures = np.linspace(300, 2500, args.runs)
    print(f"{'T (K)':>6}{'ps':>7}{'shortest (Å)':>14}{'hottest / T':>13}")
    failed = 0
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(dynamics, args.model, float(t), args.ps, args.timestep, seed)
            for seed, t in enumerate(temperatures)
        ]
        for job in jobs:
            found = job.result()
            ratio = found["hottest"] / found["temperature"]
            good = found["shortest"] > 1.6 and ratio < 2
            failed += not good
            row = f"{found['temperature']:>6.0f}{found['ps']:>7.2f}{found['shortest']:>14.2f}{ratio:>13.2f}"
            print(row + ("" if good else "   FAILED"), flush=True)
    print(f"{failed} of {args.runs} runs failed; wanted 0")
    return failed == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="model.safetensors")
    parser.add_argument("testset", type=Path, help="labelled extxyz file")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--ps", type=float, default=10.0, help="length of each run")
    parser.add_argument("--timestep", type=float, default=2.0, help="fs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    trusted = held_out(args.model, args.testset)
    stable = runs(args) if args.runs else True
    return int(not (trusted and stable))


if __name__ == "__main__":
    sys.exit(main())
