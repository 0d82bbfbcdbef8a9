"""Wolfe–Quapp potential: metadynamics of its x alone by many walkers, against quadrature.

    python benchmarks/wolfe_quapp.py --steps 1e8 --seeds 5 --processes 2

Both axes are poor coordinates of this potential: behind the barrier in x hides another in y. All walkers
start in the deeper basin (2-D Langevin, m = 1, friction 10, k_BT = 1, dt 0.02). In the first half of the
steps they build one well-tempered bias together; then it is frozen. F(x) is taken from the bias, from the
first half by Tiwary's c(t) (its first fifth left out), and from the second half by the static bias. What is
printed is the root mean square error over those of 100 points on [−3, 3] where F < 8 k_BT, both curves
shifted to the same mean. Deep-VES with reweighting and as many steps: 0.18 (0.155 to 0.236) at dt 0.005
[L. Bonati, Y.-Y. Zhang, M. Parrinello, PNAS 116, 17641 (2019), deposited runs]; --timestep 0.005 is here too.
The error of the basin difference is from 20 groups of walkers.
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
from ase_mlsample.biases import MetadynamicsBias
from ase_mlsample.dynamics import WalkerHistogram

BIAS_FACTOR = 10.0
WALKERS = 200
SIGMA, HEIGHT, PACE = 0.1, 0.1, 250


class Result(NamedTuple):
    """One seed: distances to quadrature in k_BT, basin difference with its error, seconds."""

    bias: float
    tiwary: float
    static: float
    difference: float
    error: float
    seconds: float


def run(seed: int, *, steps: int, timestep: float) -> Result:
    """Do one run of `steps` walker steps and compare its free energies with quadrature."""
    start = time.perf_counter()
    half = max(5, steps // WALKERS // 2)
    exact = exact_free_energy()
    bias = MetadynamicsBias(kT=KT, sigma=SIGMA, height=HEIGHT, bias_factor=BIAS_FACTOR, pace=PACE)
    dynamics = walkers(bias, number=WALKERS, timestep=timestep, seed=seed)
    dynamics.run(half // 5)
    growing = WalkerHistogram(AXIS, weighting="tiwary", bias_factor=BIAS_FACTOR, groups=GROUPS)
    dynamics.attach(growing, COUNT_EVERY)
    dynamics.run(half - half // 5)
    dynamics.detach(growing)
    dynamics.frozen = True
    static = WalkerHistogram(AXIS, weighting="static", groups=GROUPS)
    dynamics.attach(static, COUNT_EVERY)
    dynamics.run(half)
    V, _ = bias.potential(AXIS[:, None])
    estimates = [
        free_energy.from_bias(AXIS, V, kT=KT, bias_factor=BIAS_FACTOR),
        growing.free_energy(KT),
        static.free_energy(KT),
    ]
    errors = [estimate.rmse(exact, ceiling=CEILING) for estimate in estimates]
    difference, error = estimates[2].basin_difference(*BASINS)
    return Result(*errors, difference, error, time.perf_counter() - start)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--timestep", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    exact = exact_difference()
    print(f"{WALKERS} walkers, {given.steps:.3g} walker steps a run; RMSE in k_BT, limit {LIMIT}")
    print(f"{'seed':>4}{'bias':>9}{'c(t)':>9}{'static':>9}{'basin difference':>24}{'s':>9}{'ns/step':>9}")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    work, results = partial(run, steps=int(given.steps), timestep=given.timestep), []
    for seed, result in in_processes(work, seeds, given.processes):
        results.append(result)
        print(
            f"{seed:4}{result.bias:9.3f}{result.tiwary:9.3f}{result.static:9.3f}"
            f"{result.difference:15.3f} ± {result.error:.3f}{result.seconds:12.1f}"
            f"{1e9 * result.seconds / given.steps:9.0f}",
            flush=True,
        )
    medians = np.median([result[:3] for result in results], axis=0)
    print(f"{'':4}{medians[0]:9.3f}{medians[1]:9.3f}{medians[2]:9.3f}   median; exact difference {exact:.3f}")
    print("within the limit" if (medians <= LIMIT).all() else "NOT within the limit")


if __name__ == "__main__":
    main()
