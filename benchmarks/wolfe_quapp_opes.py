"""Wolfe–Quapp potential: OPES of its x alone by many walkers, against quadrature.

    python benchmarks/wolfe_quapp_opes.py --steps 1e8 --seeds 5 --processes 2

The dynamics and the number of steps are those of ``wolfe_quapp.py``, and what is printed is its root mean
square error over those of 100 points on [−3, 3] where F < 8 k_BT, both curves shifted to the same mean. F(x)
is taken from the kernels, −k_BT ln P (with ``--explore``, −V − k_BT ln P), and from weights e^{V/k_BT} of all
steps but the first fifth, although the bias goes on changing: it hardly does. Under such a bias a walker
takes 4e5 steps to forget in which basin it was, as x does not see the barrier in y; so there are fewer
walkers, with 5e6 steps each. With ``--explore`` kernels are of a distribution that the changing bias keeps
pushing about, and F from them stays rough: only that from weights is held to the limit.
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
from ase_mlsample.biases import OPESBias
from ase_mlsample.dynamics import WalkerHistogram

BARRIER, SIGMA = 14.0, 0.1
TIMESTEP, WALKERS, PACE = 0.005, 20, 500


class Result(NamedTuple):
    """One seed: distances to quadrature in k_BT, basin difference with its error, kernels, seconds."""

    kernels: float
    reweighted: float
    difference: float
    error: float
    n_kernels: int
    seconds: float


def run(
    seed: int,
    *,
    steps: int,
    n_walkers: int,
    barrier: float,
    explore: bool,
    sigma: float | None,
    sigma_min: float | None,
) -> Result:
    """Do one run of `steps` walker steps and compare its free energies with quadrature."""
    start = time.perf_counter()
    each = max(5, steps // n_walkers)
    exact = exact_free_energy()
    bias = OPESBias(kT=KT, barrier=barrier, pace=PACE, sigma=sigma, sigma_min=sigma_min, explore=explore)
    dynamics = walkers(bias, number=n_walkers, timestep=TIMESTEP, seed=seed)
    dynamics.run(each // 5)
    weighted = WalkerHistogram(AXIS, weighting="static", groups=GROUPS)
    dynamics.attach(weighted, COUNT_EVERY)
    dynamics.run(each - each // 5)
    F = bias.free_energy(AXIS[:, None])
    estimates = free_energy.FreeEnergy((AXIS,), F - F.min(), KT, (None,)), weighted.free_energy(KT)
    errors = [estimate.rmse(exact, ceiling=CEILING) for estimate in estimates]
    difference, error = estimates[1].basin_difference(*BASINS)
    return Result(*errors, difference, error, bias.n_kernels, time.perf_counter() - start)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--walkers", type=int, default=WALKERS)
    parser.add_argument("--barrier", type=float, default=BARRIER, help="in k_BT")
    parser.add_argument("--explore", action="store_true", help="the variant that changes faster")
    parser.add_argument(
        "--sigma", type=float, default=SIGMA, help="width of the first kernels; 0 to measure it"
    )
    parser.add_argument("--sigma-min", type=float, help="kernels become no narrower")
    given = parser.parse_args()
    exact = exact_difference()
    print(f"{given.walkers} walkers, {given.steps:.3g} walker steps a run; RMSE in k_BT, limit {LIMIT}")
    print(
        f"{'seed':>4}{'kernels':>9}{'weights':>9}{'basin difference':>24}{'kernels':>9}{'s':>9}{'ns/step':>9}"
    )
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    how = {
        "n_walkers": given.walkers,
        "barrier": given.barrier,
        "explore": given.explore,
        "sigma": given.sigma or None,
        "sigma_min": given.sigma_min,
    }
    work, results = partial(run, steps=int(given.steps), **how), []
    for seed, result in in_processes(work, seeds, given.processes):
        results.append(result)
        print(
            f"{seed:4}{result.kernels:9.3f}{result.reweighted:9.3f}{result.difference:15.3f} ± "
            f"{result.error:.3f}{result.n_kernels:10}{result.seconds:9.1f}"
            f"{1e9 * result.seconds / given.steps:9.0f}",
            flush=True,
        )
    medians = np.median([result[:2] for result in results], axis=0)
    print(f"{'':4}{medians[0]:9.3f}{medians[1]:9.3f}   median; exact difference {exact:.3f}")
    held = medians[1:] if given.explore else medians
    print("within the limit" if (held <= LIMIT).all() else "NOT within the limit")


if __name__ == "__main__":
    main()
