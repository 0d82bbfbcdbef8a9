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

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from ase_mlsample.analysis import free_energy
from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.biases import Chebyshev, CubicSplines, Gaussians, Legendre, VariationalBias
from ase_mlsample.calculators import WolfeQuapp
from ase_mlsample.dynamics import WalkerDynamics, WalkerHistogram

KT, BIAS_FACTOR = 1.0, 10.0
TIMESTEP, FRICTION, WALKERS = 0.005, 10.0, 100
ITERATION, STEP_SIZE, WINDOW = 0.5, 0.4, 0.25  # time, energy, share of the iterations
INTERVAL = (-2.7, 2.7)
BASES = {kind.__name__: kind for kind in (Legendre, Chebyshev, Gaussians, CubicSplines)}
AXIS, CEILING = bin_centres(-3.0, 3.0, 100), 8.0
DIVIDE = -0.36  # top of the barrier of F(x)
LIMIT = 0.25
COUNT_EVERY, GROUPS = 10, 20


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
    potential, each = WolfeQuapp(), max(5, steps // n_walkers)
    exact = potential.free_energy(0, KT, AXIS)
    bias = VariationalBias(
        kT=KT,
        bases=BASES[basis](order, INTERVAL),
        bias_factor=BIAS_FACTOR,
        pace=round(ITERATION / timestep),
        step_size=STEP_SIZE,
        average_window=WINDOW,
    )
    walkers = WalkerDynamics(
        potential,
        kT=KT,
        timestep=timestep,
        friction=FRICTION,
        n_walkers=n_walkers,
        rng=np.random.default_rng(seed),
        bias=bias,
        variables=[0],
    )
    walkers.run(each // 2)
    weighted = WalkerHistogram(AXIS, weighting="tiwary", bias_factor=BIAS_FACTOR, groups=GROUPS)
    walkers.attach(weighted, COUNT_EVERY)
    walkers.run(each - each // 2)
    (nodes,), F = bias.free_energy()
    learned = np.interp(AXIS, nodes, F)
    estimates = (
        free_energy.FreeEnergy((AXIS,), learned - learned.min(), KT, (None,)),
        weighted.free_energy(KT),
    )
    errors = [estimate.rmse(exact, ceiling=CEILING) for estimate in estimates]
    difference = estimates[1].basin_difference((-3.0, DIVIDE), (DIVIDE, 3.0))
    return Result(*errors, *difference, bias.divergence, time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=float, default=1e8, help="walker steps of each run, in total")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--walkers", type=int, default=WALKERS)
    parser.add_argument("--timestep", type=float, default=TIMESTEP)
    parser.add_argument("--basis", choices=BASES, default="Legendre")
    parser.add_argument("--order", type=int, default=20, help="highest degree, or parts of the interval")
    given = parser.parse_args()
    p = np.exp(-WolfeQuapp().free_energy(0, KT, AXIS) / KT)
    exact = KT * np.log(p[AXIS < DIVIDE].sum() / p[AXIS > DIVIDE].sum())
    print(f"{given.walkers} walkers, {given.steps:.3g} walker steps a run, {given.basis} {given.order}")
    print(f"RMSE in k_BT, limit {LIMIT}")
    print(f"{'seed':>4}{'bias':>9}{'weights':>9}{'basin difference':>24}{'KL':>9}{'s':>9}{'ns/step':>9}")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    how = {name: getattr(given, name) for name in ("timestep", "basis", "order")}
    how["n_walkers"] = given.walkers
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        results = []
        for seed, result in zip(
            seeds, pool.map(partial(run, steps=int(given.steps), **how), seeds), strict=True
        ):
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
