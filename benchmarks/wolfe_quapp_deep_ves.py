"""Wolfe–Quapp potential: Deep-VES of its x alone, several walkers to a network, against quadrature.

    python benchmarks/wolfe_quapp_deep_ves.py --steps 1e8 --runs 8 --processes 2

2-D Langevin, m = 1, dt 0.005, friction 10, k_BT = 1; γ 10, 100 bins on [−3, 3], [48, 24, 12] ReLU, Adam 1e-3,
one iteration per 500 samples, τ 50,000, decay 5,000, threshold 0.5: the settings of L. Bonati, Y.-Y. Zhang,
M. Parrinello, PNAS 116, 17641 (2019). Each run has its own network, random numbers and walkers, which all
start in the deeper basin and share the steps: 20 walkers make an iteration every 25 steps of each, so that
its 500 samples and the number of iterations are those of the published runs. More walkers are quicker but
each then lives shorter, learning outruns them, and of a hundred not all have crossed under the static bias.

Once the bias is static, the free energy is that of samples weighted by e^{V/k_BT}, by Gaussian kernels of
bandwidth 0.05 at the centres of 100 bins on [−3, 3]. What is printed is the root mean square error where the
exact F is below 8 k_BT, both curves shifted to the same mean; the kernels alone are responsible for 0.139 of
it. "histogram" is the same without kernels, "network" is −V − k_BT ln p.
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
    KT,
    arguments,
    exact_difference,
    exact_free_energy,
    in_processes,
)
from wolfe_quapp_cases import walkers as start_walkers

from ase_mlsample.analysis import free_energy
from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.biases import DeepVESBias
from ase_mlsample.dynamics import WalkerDynamics, WalkerHistogram

BIAS_FACTOR, TIMESTEP = 10.0, 0.005
SAMPLES, TAU, DECAY, BINS = 500, 50_000, 5_000, 100
BANDWIDTH = 0.05
FINE = bin_centres(-6.0, 6.0, 2400)  # its bins are a tenth of the bandwidth, and twelve of them one of AXIS
PARTS = {0.35: None, 0.5: 0.40, 1.0: 0.20}  # of the steps, and the limit on the mean error there
PUBLISHED = {0.35: "1.22", 0.5: "0.376 (0.16 to 0.76)", 1.0: "0.18 (0.155 to 0.236)"}


class Result(NamedTuple):
    """One run at a number of steps: distances to quadrature in k_BT, basin difference with its error."""

    steps: int
    kernels: float
    histogram: float
    network: float
    difference: float
    error: float
    static_from: float
    seconds: float


def run(seed: int, *, steps: int, walkers: int) -> list[Result]:
    """Do one run of `steps` walker steps, and compare at the parts of it."""
    start = time.process_time()
    bias = DeepVESBias(
        kT=KT,
        bounds=[(-3.0, 3.0)],
        bias_factor=BIAS_FACTOR,
        pace=SAMPLES // walkers,
        tau=TAU,
        decay=DECAY,
        bins=BINS,
        energy_unit=1.0,
        seed=seed,
    )
    dynamics = start_walkers(bias, number=walkers, timestep=TIMESTEP, seed=[seed, 1])
    counts = WalkerHistogram(FINE, weighting="static", groups=min(20, walkers))
    results, attached = [], False
    for part in PARTS:
        end = round(part * steps / walkers)
        while dynamics.step < end:
            if not attached and bias.phase == "static":
                dynamics.attach(counts, max(1, 100 // walkers))
                attached = True
            left = end - dynamics.step
            dynamics.run(left if attached else min(left, 50 * bias.pace))
        results.append(compare(bias, counts, dynamics, time.process_time() - start))
    return results


def compare(
    bias: DeepVESBias,
    counts: WalkerHistogram,
    dynamics: WalkerDynamics,
    seconds: float,
) -> Result:
    """Distances of what the run has found so far."""
    exact = exact_free_energy()
    (axis,), F = bias.free_energy()
    network = free_energy.FreeEnergy((AXIS,), np.interp(AXIS, axis, F), KT, (None,))
    steps = dynamics.step * dynamics.n_walkers
    kernels = histogram = difference = error = np.nan
    static_from = np.nan if bias.static_since is None else bias.static_since * float(dynamics.n_walkers)
    if counts.observations:
        total = counts.blocks.sum(axis=0)
        smooth = free_energy.from_samples(FINE, AXIS, kT=KT, weights=total, bandwidth=BANDWIDTH, n_blocks=1)
        kernels = smooth.rmse(exact, ceiling=CEILING)
        inside = counts.blocks[:, np.abs(FINE) < 3].reshape(-1, len(AXIS), 12)
        coarse = free_energy.from_histogram(AXIS, inside.sum(axis=2), kT=KT)
        histogram = coarse.rmse(exact, ceiling=CEILING)
        difference, error = coarse.basin_difference(*BASINS)
    distance = network.rmse(exact, ceiling=CEILING)
    return Result(steps, kernels, histogram, distance, difference, error, static_from, seconds)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--walkers", type=int, default=20, help="of a run; it must divide 500")
    given = parser.parse_args()
    if given.walkers < 1 or SAMPLES % given.walkers:
        parser.error(f"--walkers must divide {SAMPLES}, got {given.walkers}")
    exact = exact_difference()
    print(
        f"{given.walkers} walkers, {given.steps:.3g} walker steps a run; RMSE in k_BT where F < {CEILING:g}"
    )
    print(
        f"{'seed':>4}{'steps':>10}{'kernels':>9}{'histogram':>11}{'network':>9}{'basin difference':>20}"
        f"{'static from':>13}{'CPU s':>8}"
    )
    seeds = range(given.first_seed, given.first_seed + given.runs)
    work = partial(run, steps=int(given.steps), walkers=given.walkers)
    every = []
    for seed, results in in_processes(work, seeds, given.processes):
        every.append(results)
        for r in results:
            print(
                f"{seed:4}{r.steps:10.3g}{r.kernels:9.3f}{r.histogram:11.3f}{r.network:9.3f}"
                f"{r.difference:12.3f} ± {r.error:.3f}{r.static_from:13.3g}{r.seconds:8.0f}",
                flush=True,
            )
    show_means(every, exact, full=given.steps >= 1e8)


def show_means(every: list[list[Result]], exact: float, *, full: bool) -> None:
    """Print means over the runs beside the published values."""
    held = []
    for k, (part, limit) in enumerate(PARTS.items()):
        errors = np.array([results[k].kernels for results in every])
        held.append(limit is None or bool(errors.mean() <= limit))
        beside = f"; published {PUBLISHED[part]}, limit {limit or 'none'}" if full else ""
        print(
            f"mean of {len(errors)} at {every[0][k].steps:.3g}: {errors.mean():.3f} "
            f"({errors.min():.3f} to {errors.max():.3f}){beside}"
        )
    print(f"exact basin difference {exact:.3f}")
    if full:
        print("within the limits" if all(held) else "NOT within the limits")


if __name__ == "__main__":
    main()
