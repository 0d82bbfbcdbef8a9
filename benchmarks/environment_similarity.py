"""Count of crystalline atoms with gradient and virial, beside NumPy and PLUMED, on one thread.

Frames of Stillinger–Weber silicon at 1,700 K, 2 fs apart, as dynamics hands them to a collective variable:
each evaluation brings the neighbour list up to date and gives the value, the gradient (N, 3) and the virial
(3, 3). The mean holds the steps at which neighbours are searched anew, about one in ten, the median does not.
The NumPy version in this script takes its neighbours from the compiled list; PLUMED (where its Python module
is installed) is driven through its own interface, without ASE between. All take turns on the same frames, and
with the hard cut all have the same numbers. CPU time of the thread is what other jobs on the machine disturb
least; wall time is listed beside it. PLUMED's wheels are compiled without optimisation: time a build of its
source, and take a wheel for its values only.

    python benchmarks/environment_similarity.py [--liquid]
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import Stationary, thermalize_momenta

from ase_mlsample import _core
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import EnvironmentSimilarity

SILICON, SIGMA = bulk("Si", a=5.431, cubic=True), 0.4
Evaluation = Callable[[Atoms], tuple[float, np.ndarray, np.ndarray]]


def trajectory(repeat: int, frames: int, liquid: bool) -> list[np.ndarray]:
    """Positions of a crystal (or of what it has molten to) at 1,700 K."""
    atoms = SILICON * repeat
    rng = np.random.default_rng(1)
    atoms.calc = StillingerWeber()
    for kelvin, steps in [(6000, 600), (1700, 600)] if liquid else [(1700, 100)]:
        thermalize_momenta(atoms, temperature_K=kelvin, rng=rng)
        Stationary(atoms)
        dynamics = Bussi(atoms, 2 * units.fs, temperature_K=kelvin, taut=20 * units.fs, rng=rng)
        dynamics.run(steps)
    positions = []
    dynamics.attach(lambda: positions.append(atoms.positions.copy()))
    dynamics.run(frames)
    return positions[-frames:]


def ours(cutoff: str) -> Evaluation:
    count = EnvironmentSimilarity.from_crystal(SILICON, sigma=SIGMA, cutoff=cutoff).count(
        threshold=0.5, nn=12, mm=24
    )

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        found = count.evaluate(atoms)
        return found.value[0], found.gradient[0], found.virial[0]

    return evaluate


def numpy_version() -> Evaluation:
    """PLUMED's definition, cut at r_max + 3 sigma, over arrays of neighbours and template places."""
    places = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 5.431 / 4
    places = np.concatenate([places, -places])
    pairs = _core.NeighborList(np.linalg.norm(places[0]) + 3 * SIGMA, 0.8)

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        pairs.update(atoms.positions, atoms.cell.array, atoms.pbc)
        n, d, second = len(atoms), pairs.vectors, pairs.second
        centers = np.repeat(np.arange(n), np.diff(pairs.first))
        apart = d[:, None] - places
        gauss = np.exp(np.einsum("emx,emx->em", apart, apart) / (-4 * SIGMA**2))
        k = np.add.reduceat(gauss, pairs.first[:-1]).reshape(n, 2, 4).sum(axis=2) / 4
        share = np.exp(100 * (k - k.max(axis=1, keepdims=True)))
        total = share.sum(axis=1)
        similarity = k.max(axis=1) + np.log(total) / 100
        power = (similarity / 0.5) ** 12  # (1 - x^12) / (1 - x^24) = 1 / (1 + x^12)
        by_k = (12 * power / similarity / (1 + power) ** 2)[:, None] * share / total[:, None]
        weights = gauss * np.repeat(by_k / 4, 4, axis=1)[centers]
        edge = np.einsum("em,emx->ex", weights, apart) / (-2 * SIGMA**2)
        gradient = np.stack(
            [np.bincount(second, edge[:, x], n) - np.bincount(centers, edge[:, x], n) for x in range(3)],
            axis=1,
        )
        virial = edge.T @ d
        return float((1 - 1 / (1 + power)).sum()), gradient, (virial + virial.T) / 2

    return evaluate


def plumed_version(n: int) -> Evaluation:
    """PLUMED with a neighbour list of its own, the count under a linear bias of slope one."""
    import plumed

    p = plumed.Plumed()
    unit = {"setMDLengthUnits": 0.1, "setMDEnergyUnits": 1.0, "setMDTimeUnits": 0.001}
    for key, value in {"setRealPrecision": 8, **unit, "setMDEngine": "python", "setNatoms": n}.items():
        p.cmd(key, value)
    p.cmd("setTimestep", 1.0)
    p.cmd("setLogFile", os.devnull)
    p.cmd("init")
    crystal = "CRYSTAL_STRUCTURE=DIAMOND LATTICE_CONSTANTS=5.431"
    counted = "MORE_THAN={RATIONAL R_0=0.5 NN=12 MM=24}"
    for line in (
        "UNITS LENGTH=A",
        f"es: ENVIRONMENTSIMILARITY SPECIES=1-{n} SIGMA={SIGMA} {crystal} {counted}",
        "r: RESTRAINT ARG=es.morethan AT=0 KAPPA=0 SLOPE=1",
    ):
        p.cmd("readInputLine", line)
    masses, step = np.ones(n), 0

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        nonlocal step
        forces, virial, bias = np.zeros((n, 3)), np.zeros((3, 3)), np.zeros(1)
        arrays = {"setMasses": masses, "setCharges": masses, "setPositions": atoms.positions}
        arrays |= {"setBox": atoms.cell.array, "setForces": forces, "setVirial": virial}
        p.cmd("setStep", step)
        step += 1
        for key, array in arrays.items():
            p.cmd(key, array)
        p.cmd("calc")
        p.cmd("getBias", bias)
        return bias[0], -forces, (virial + virial.T) / 2

    return evaluate


def compare(repeat: int, frames: int, liquid: bool) -> None:
    atoms = SILICON * repeat
    path = trajectory(repeat, frames, liquid)
    ways = {"ours, smooth": ours("smooth"), "ours, hard cut": ours("plumed"), "NumPy": numpy_version()}
    if find_spec("plumed"):
        ways["PLUMED"] = plumed_version(len(atoms))
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for number, positions in enumerate(path):
        atoms.positions = positions
        found = {}
        for name, evaluate in ways.items():
            if name == "PLUMED" and number > 5:
                continue
            start = time.thread_time_ns(), time.perf_counter_ns()
            found[name] = evaluate(atoms)
            cpu[name].append((time.thread_time_ns() - start[0]) * 1e-6)
            wall[name].append((time.perf_counter_ns() - start[1]) * 1e-6)
        for name in set(found) - {"ours, smooth"}:
            for mine, theirs in zip(found["ours, hard cut"], found[name], strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-7, err_msg=name)
    print(f"{len(atoms):6d} atoms, {'liquid' if liquid else 'crystal'} at 1,700 K, {frames} frames")
    print(f"{'ms':>24}{'CPU':>10}{'CPU mean':>10}{'CPU least':>10}{'wall':>10}{'× ours':>10}")
    base = statistics.median(cpu["ours, smooth"])
    for name in ways:
        middle = statistics.median(cpu[name])
        print(
            f"       {name:17}{middle:10.3f}{statistics.mean(cpu[name]):10.3f}{min(cpu[name]):10.3f}"
            f"{statistics.median(wall[name]):10.3f}{middle / base:10.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--liquid", action="store_true", help="of the melt instead of the crystal")
    arguments = parser.parse_args()
    for repeat in (3, 5, 8):
        compare(repeat, arguments.frames, arguments.liquid)


if __name__ == "__main__":
    main()
