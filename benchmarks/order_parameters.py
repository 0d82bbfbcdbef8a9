"""What the variables of order cost: value, gradient and virial of silicon on one thread.

Each evaluation is of positions that have moved as they do in 2 fs at 1,700 K, neighbours included. Times are
CPU times of the thread, least and median of many evaluations.

    python benchmarks/order_parameters.py
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from ase import units
from ase.build import bulk

from ase_mlsample import _core
from ase_mlsample.cvs import (
    AveragedSteinhardt,
    LocalBondOrder,
    LocalPairEntropy,
    PairEntropy,
    Steinhardt,
    StructureFactor,
    StructureFactors,
)
from ase_mlsample.cvs.base import CollectiveVariable

CASES: dict[str, Callable[[], CollectiveVariable]] = {
    "structure factor, 8 Å": lambda: StructureFactor(1.96).mean(),
    "structure factors at five q, 8 Å": lambda: StructureFactors([1.8, 1.9, 2.0, 2.1, 2.2]),
    "pair entropy, 7 Å": PairEntropy,
    "local pair entropy, 7 Å": lambda: LocalPairEntropy().mean(),
    "q6, 4.2 Å": lambda: Steinhardt(6, cutoff=4.2, inner=3.4).mean(),
    "averaged q6, 4.2 Å": lambda: AveragedSteinhardt(6, cutoff=4.2, inner=3.4).mean(),
    "bond order q6, 4.2 Å": lambda: LocalBondOrder(6, cutoff=4.2, inner=3.4).mean(),
}


def measure(cv: CollectiveVariable, repeat: int, evaluations: int) -> tuple[float, float]:
    """Least and median CPU time of an evaluation in µs."""
    atoms = bulk("Si", a=5.431, cubic=True) * repeat
    rng = np.random.default_rng(1)
    atoms.positions += rng.normal(scale=0.2, size=(len(atoms), 3))
    speed = np.sqrt(units.kB * 1700 / atoms.get_masses()[0]) * rng.normal(size=(len(atoms), 3))
    times = []
    for k in range(evaluations):
        # to and fro, so that the crystal stays one
        atoms.positions += speed * (2 * units.fs if k // 40 % 2 else -2 * units.fs)
        start = time.thread_time()
        cv.evaluate(atoms)
        times.append(time.thread_time() - start)
    return min(times) * 1e6, float(np.median(times)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--evaluations", type=int, default=240, help="per case, fewer for large structures")
    arguments = parser.parse_args()
    print(f"CPU time of an evaluation in µs, least / median; instruction set {_core.instruction_set()}")
    print(f"{'':34}" + "".join(f"{8 * repeat**3:>18,} atoms" for repeat in (3, 5, 8)))
    for name, make in CASES.items():
        row = f"{name:34}"
        for repeat in (3, 5, 8):
            least, median = measure(make(), repeat, max(20, arguments.evaluations * 27 // repeat**3))
            row += f"{least:>12,.0f} / {median:>9,.0f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
