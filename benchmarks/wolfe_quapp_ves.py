"""Wolfe–Quapp potential: VES of its x alone by many walkers, against quadrature.

    python benchmarks/wolfe_quapp_ves.py --steps 1e8 --seeds 5 --processes 2

All walkers start in the deeper basin (2-D Langevin, m = 1, dt 0.005, friction 10, k_BT = 1) and share one
bias in a linear basis on [−2.7, 2.7] with the well-tempered target, γ 10. Its coefficients are optimised all
the time, in iterations of 100 steps, averaged over the last quarter of those done. F(x) is taken from the
bias at the end, −V − k_BT ln p, and from the walkers in the second half by weights e^{(V − c)/k_BT} with
Tiwary's c, which at stationarity is k_BT ln⟨e^{V/k_BT}⟩_p. What is printed is the root mean square error over
those of 100 points on [−3, 3] where F < 8 k_BT, both curves shifted to the same mean. The error of the basin
difference is from 20 groups of walkers. With --timestep 0.02 a run four times shorter covers the same time.
"""

import os
import time
from functools import partial
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from wolfe_quapp_cases import (
    AXIS,
    BASINS,
    CEILING,
    COUNT_EVERY,
    GROUPS,
    KT,
    LIMIT,
    arguments,
    exact_difference,
    exact_free_energy,
    in_processes,
    walkers,
)

from ase_mlsample.analysis import free_energy
from ase_mlsample.biases import Chebyshev, CubicSplines, Gaussians, Legendre, VariationalBias
from ase_mlsample.dynamics import WalkerHistogram

BIAS_FACTOR = 10.0
TIMESTEP, WALKERS = 0.005, 100
ITERATION, STEP_SIZE, WINDOW = 0.5, 0.4, 0.25  # time, energy, share of the iterations
INTERVAL = (-2.7, 2.7)
BASES = {kind.__name__: kind for kind in (Legendre, Chebyshev, Gaussians, CubicSplines)}


class Result(NamedTuple):
    """One seed: distances to quadrature in k_BT, basin difference with its error, divergence, seconds."""

    bias: float
    weights: float
    difference: float
    error: float
    divergence: float
    seconds: float


def run(seed: int, *, steps: int, n_walkers: int, timestep: float, basis: str, order: int) -> Result:
    """Do one run of `steps` walker steps and compare its free energies with quadrature."""
    start = time.perf_counter()
    each = max(5, steps // n_walkers)
    exact = exact_free_energy()
    bias = VariationalBias(
        kT=KT,
        bases=BASES[basis](order, INTERVAL),
        bias_factor=BIAS_FACTOR,
        pace=round(ITERATION / timestep),
        step_size=STEP_SIZE,
        average_window=WINDOW,
    )
    dynamics = walkers(bias, number=n_walkers, timestep=timestep, seed=seed)
    dynamics.run(each // 2)
    weighted = WalkerHistogram(AXIS, weighting="tiwary", bias_factor=BIAS_FACTOR, groups=GROUPS)
    dynamics.attach(weighted, COUNT_EVERY)
    dynamics.run(each - each // 2)
    (nodes,), F = bias.free_energy()
    learned = np.interp(AXIS, nodes, F)
    estimates = (
        free_energy.FreeEnergy((AXIS,), learned - learned.min(), KT, (None,)),
        weighted.free_energy(KT),
    )
    errors = [estimate.rmse(exact, ceiling=CEILING) for estimate in estimates]
    difference = estimates[1].basin_difference(*BASINS)
    return Result(*errors, *difference, bias.divergence, time.perf_counter() - start)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--walkers", type=int, default=WALKERS)
    parser.add_argument("--timestep", type=float, default=TIMESTEP)
    parser.add_argument("--basis", choices=BASES, default="Legendre")
    parser.add_argument("--order", type=int, default=20, help="highest degree, or parts of the interval")
    given = parser.parse_args()
    exact = exact_difference()
    print(f"{given.walkers} walkers, {given.steps:.3g} walker steps a run, {given.basis} {given.order}")
    print(f"RMSE in k_BT, limit {LIMIT}")
    print(f"{'seed':>4}{'bias':>9}{'weights':>9}{'basin difference':>24}{'KL':>9}{'s':>9}{'ns/step':>9}")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    how = {name: getattr(given, name) for name in ("timestep", "basis", "order")}
    how["n_walkers"] = given.walkers
    work, results = partial(run, steps=int(given.steps), **how), []
    for seed, result in in_processes(work, seeds, given.processes):
        results.append(result)
        print(
            f"{seed:4}{result.bias:9.3f}{result.weights:9.3f}{result.difference:15.3f} ± "
            f"{result.error:.3f}{result.divergence:9.4f}{result.seconds:9.1f}"
            f"{1e9 * result.seconds / given.steps:9.0f}",
            flush=True,
        )
    medians = np.median([result[:2] for result in results], axis=0)
    print(f"{'':4}{medians[0]:9.3f}{medians[1]:9.3f}   median; exact difference {exact:.3f}")
    print("within the limit" if (medians <= LIMIT).all() else "NOT within the limit")


if __name__ == "__main__":
    main()
