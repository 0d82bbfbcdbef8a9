"""Time the compiled AEV kernels: µs per atom of forward, gradient and tangent, one table.

Run it as ``python benchmarks/aev_kernels.py [--threads 1 2] [--repeats 7]``. Figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_mlsample import _core

SETS: dict[str, dict[str, float]] = {
    "small 5.2/4.2 16 8x4": {"rc": 5.2, "ra": 4.2, "radial": 16, "sections": 4, "zeta": 14.1},
    "metal 7.0/5.0 32 8x4": {"rc": 7.0, "ra": 5.0, "radial": 32, "sections": 4, "zeta": 14.1},
    "metal 7.0/5.0 32 8x8": {"rc": 7.0, "ra": 5.0, "radial": 32, "sections": 8, "zeta": 69.4},
}


def kernel(rc: float, ra: float, radial: float, sections: float, zeta: float) -> _core.AEV:
    start, shifts = 1.25, 8
    n, p = int(radial), int(sections)
    return _core.AEV(
        1,
        radial_cutoff=rc,
        radial_eta=1.42 * (n / (rc - start)) ** 2,
        radial_shifts=[start + (rc - start) * m / n for m in range(n)],
        angular_cutoff=ra,
        angular_eta=1.42 * (shifts / (ra - start)) ** 2,
        zeta=zeta,
        angular_shifts=[start + (ra - start) * m / shifts for m in range(shifts)],
        sections=[np.pi * (2 * m + 1) / (2 * p) for m in range(p)],
        cutoff_function="cosine",
    )


def frames(
    repeat: tuple[int, int, int], count: int, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`count` rattled diamond cells as one graph: species, first, second, vectors, frame_first."""
    degrees, second, vectors, offsets = [], [], [], [0]
    for seed in range(count):
        atoms = bulk("Si", a=5.431, cubic=True) * repeat
        atoms.rattle(0.1, seed=seed)
        i, j, d = neighbor_list("ijD", atoms, cutoff)
        degrees.append(np.bincount(i, minlength=len(atoms)))
        second.append(j + offsets[-1])
        vectors.append(d)
        offsets.append(offsets[-1] + len(atoms))
    first = np.concatenate([[0], np.cumsum(np.concatenate(degrees))]).astype(np.int64)
    return (
        np.zeros(offsets[-1], np.int32),
        first,
        np.concatenate(second).astype(np.int32),
        np.ascontiguousarray(np.concatenate(vectors)),
        np.array(offsets, np.int64),
    )


def median_time(run: Callable[[], object], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def measure(
    parameters: dict[str, float], repeat: tuple[int, int, int], count: int, double: bool, repeats: int
) -> list[float]:
    aev = kernel(**parameters)
    species, first, second, vectors, offsets = frames(repeat, count, parameters["rc"])
    graph = (species, first, second, vectors)
    n, dtype = len(species), np.float64 if double else np.float32
    rng = np.random.default_rng(0)
    runs: list[Callable[[], object]] = [lambda: aev.forward(*graph, double=double)]
    for members in (1, 4, 8):
        g = rng.normal(size=(members, n, aev.length)).astype(dtype)
        runs.append(lambda g=g: aev.gradient(*graph, g, offsets))
    v = rng.normal(size=(4, n, 3))
    strain = rng.normal(size=(4, count, 3, 3))
    runs.append(lambda: aev.tangent(*graph, v, strain, offsets, double=double))
    return [median_time(run, repeats) / n * 1e6 for run in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--double", action="store_true", help="time float64 instead of float32")
    arguments = parser.parse_args()
    systems = {"1000 atoms": ((5, 5, 5), 1), "40 x 32 atoms": ((2, 2, 1), 40)}
    heads = ["forward", "grad M=1", "grad M=4", "grad M=8", "tangent M=4"]
    print(f"{'µs per atom':22s} {'system':14s} threads " + " ".join(f"{h:>11s}" for h in heads))
    for name, parameters in SETS.items():
        for system, (repeat, count) in systems.items():
            for threads in arguments.threads:
                _core.set_num_threads(threads)
                row = measure(parameters, repeat, count, arguments.double, arguments.repeats)
                print(f"{name:22s} {system:14s} {threads:7d} " + " ".join(f"{t:11.2f}" for t in row))


if __name__ == "__main__":
    main()
