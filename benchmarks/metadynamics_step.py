"""What metadynamics adds to a step beside model, variable and integrator.

    python benchmarks/metadynamics_step.py [--atoms 216] [--steps 500] [--repeats 9] [--limit 60]

A model and a variable that cost almost nothing stand in for the real ones, so that what remains is the
package's own: the calculator's wrapper, the bias and the bookkeeping, files included. Runs with and without
bias take turns; CPU time of the thread. Printed are, for one, two and three variables and for several
integrators, medians of µs per step: without bias, with it, and the difference less one evaluation of the
variable. Hills come every 500 steps, and their time is in these figures; a hill's own is given beside. The
log has a line every 100 steps. A frame in extxyz costs what ASE takes to write it, and is given apart. Exit
status 1 where the median is above the limit.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample.calculators import MLCalculator, Prediction
from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.dynamics import Metadynamics, StochasticCellRescaling

KELVIN = 300.0
DT = 2 * units.fs


class NoModel(MLCalculator):
    """Zero energy, forces and stress."""

    def __init__(self, n_atoms: int) -> None:
        super().__init__()
        self._prediction = Prediction(energy=0.0, forces=np.zeros((n_atoms, 3)), stress=np.zeros(6))

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:  # noqa: ARG002, D102
        return self._prediction


class NoVariable(CollectiveVariable):
    """Wanders by itself; its derivatives are there, and tiny."""

    def __init__(self, n_cvs: int, n_atoms: int) -> None:
        super().__init__([f"s{k}" for k in range(n_cvs)])
        self._gradient = np.full((n_cvs, n_atoms, 3), 1e-9)
        self._virial, self._rng = np.full((n_cvs, 3, 3), 1e-9), np.random.default_rng(0)
        self._value = np.zeros(n_cvs)

    def evaluate(self, atoms: Atoms) -> CVValue:  # noqa: ARG002, D102
        self._value = np.clip(self._value + 0.01 * self._rng.standard_normal(len(self._value)), -1, 1)
        return CVValue(self._value, self._gradient, self._virial)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


INTEGRATORS: dict[str, Callable[[Atoms], Any]] = {
    "VelocityVerlet": lambda a: VelocityVerlet(a, DT),
    "Langevin": lambda a: Langevin(a, DT, temperature_K=KELVIN, friction=0.01, fixcm=False, rng=_rng()),
    "Bussi": lambda a: Bussi(a, DT, KELVIN, 100 * units.fs, rng=_rng()),
    "StochasticCellRescaling": lambda a: StochasticCellRescaling(
        a, DT, temperature_K=KELVIN, compressibility_au=1.6, rng=_rng()
    ),
}


def system(n_atoms: int) -> Atoms:
    repeats = round((n_atoms / 8) ** (1 / 3))
    atoms = bulk("Si", cubic=True) * (repeats, repeats, repeats)
    thermalize_momenta(atoms, KELVIN, rng=_rng())
    atoms.calc = NoModel(len(atoms))
    return atoms


def timed(function: Callable[[], Any]) -> float:
    start = time.thread_time()
    function()
    return time.thread_time() - start


def measure(integrator: str, n_cvs: int, options: argparse.Namespace, folder: Path) -> tuple[float, ...]:
    """Medians of µs per step: without bias, with it, the variable, what the bias adds beside; and a hill."""
    make, steps = INTEGRATORS[integrator], options.steps
    plain = make(system(options.atoms))
    atoms = system(options.atoms)
    cv = NoVariable(n_cvs, len(atoms))
    dynamics = Metadynamics(
        make(atoms),
        cv,
        temperature_K=KELVIN,
        sigma=[0.1] * n_cvs,
        height=0.02,
        bias_factor=10,
        pace=500,
        hills=folder / f"{integrator}-{n_cvs}.hills",
        logfile=folder / f"{integrator}-{n_cvs}.log",
        progress=False,
    )
    with dynamics:
        for one in (plain, dynamics):
            one.run(500)  # the first steps make the grid and warm up
        rows, spot = [], np.zeros(n_cvs)
        for _ in range(options.repeats):
            without, biased = timed(lambda: plain.run(steps)), timed(lambda: dynamics.run(steps))
            variable = timed(lambda: [cv.evaluate(atoms) for _ in range(steps)])
            hill = timed(lambda: dynamics.hills_bias.update(spot, 500))
            seconds = [without, biased, variable, biased - without - variable]
            rows.append([*(1e6 * t / steps for t in seconds), 1e6 * hill])
    return tuple(statistics.median(column) for column in zip(*rows, strict=True))


def frame_cost(options: argparse.Namespace, folder: Path) -> float:
    """Milliseconds per frame of a trajectory."""
    atoms = system(options.atoms)
    settings: dict[str, Any] = {"sigma": 0.1, "height": 0.02, "bias_factor": 10, "pace": 500, "hills": None}
    settings |= {"trajectory": folder / "frames.extxyz", "trajectory_interval": 1, "progress": False}
    cv = NoVariable(1, len(atoms))
    with Metadynamics(INTEGRATORS["VelocityVerlet"](atoms), cv, temperature_K=KELVIN, **settings) as dynamics:
        return 1e3 * timed(lambda: dynamics.run(50)) / 51


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=216)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--limit", type=float, default=60.0, help="µs per step")
    options = parser.parse_args()
    worst = 0.0
    print(
        f"{'integrator':24}{'variables':>10}{'without':>10}{'with':>10}{'variable':>10}{'added':>10}  µs/step"
    )
    with tempfile.TemporaryDirectory() as name:
        for integrator in INTEGRATORS:
            for n_cvs in (1, 2, 3):
                row = measure(integrator, n_cvs, options, Path(name))
                worst = max(worst, row[3])
                print(f"{integrator:24}{n_cvs:10}" + "".join(f"{value:10.1f}" for value in row), flush=True)
        print(f"a frame of the trajectory: {frame_cost(options, Path(name)):.2f} ms")
    print(f"at {options.atoms} atoms at most {worst:.1f} µs per step; wanted: {options.limit:.0f}")
    return int(worst > options.limit)


if __name__ == "__main__":
    sys.exit(main())
