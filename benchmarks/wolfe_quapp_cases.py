"""What the benchmarks on the Wolfe–Quapp potential share: its x biased, against quadrature."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ase_mlsample.analysis.density import bin_centres
from ase_mlsample.biases import Bias
from ase_mlsample.calculators import WolfeQuapp
from ase_mlsample.dynamics import WalkerDynamics

KT, FRICTION = 1.0, 10.0
AXIS, CEILING = bin_centres(-3.0, 3.0, 100), 8.0
DIVIDE = -0.36  # top of the barrier of F(x)
BASINS = (-3.0, DIVIDE), (DIVIDE, 3.0)
LIMIT = 0.25  # of the error, k_BT
COUNT_EVERY, GROUPS = 10, 20

Found = TypeVar("Found")


def exact_free_energy() -> NDArray[np.float64]:
    """F(x) on the axis by quadrature."""
    return WolfeQuapp().free_energy(0, KT, AXIS)


def exact_difference() -> float:
    """Free energy of the right basin above that of the left one."""
    p = np.exp(-exact_free_energy() / KT)
    return float(KT * np.log(p[AXIS < DIVIDE].sum() / p[AXIS > DIVIDE].sum()))


def walkers(bias: Bias, *, number: int, timestep: float, seed: Any) -> WalkerDynamics:
    """Walkers that all start in the deeper basin, under a bias of their x."""
    return WalkerDynamics(
        WolfeQuapp(),
        kT=KT,
        timestep=timestep,
        friction=FRICTION,
        n_walkers=number,
        rng=np.random.default_rng(seed),
        bias=bias,
        variables=[0],
    )


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--steps", type=float, default=1e8, help="walker steps of each run, in total")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    return parser


def in_processes(
    work: Callable[[int], Found], seeds: Iterable[int], processes: int
) -> Iterator[tuple[int, Found]]:
    """Each seed with what its run gave, in order, as they come."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from zip(seeds, pool.map(work, seeds), strict=True)
