"""Stochastic cell rescaling: its overhead beside ASE's integrators, its conserved energy, its distributions.

    python benchmarks/cell_rescaling.py --steps 20000

The overhead is that of a step with calculators that return constants, one by our contract and one by ASE's;
the time of the calculator itself is in every row. For silicon (64 atoms, Stillinger–Weber) the logarithm of
the ratio of two distributions must be linear, with a slope known beforehand: in the volume at two pressures,
in the enthalpy at two temperatures (M. R. Shirts, J. Chem. Theory Comput. 9, 909, 2013). The slope is found
by maximum likelihood from samples a correlation time apart, its error by resampling blocks.
"""

import argparse
import os
import time
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nptberendsen import NPTBerendsen
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.dynamics import StochasticCellRescaling

FloatArray = np.ndarray


class Run(NamedTuple):
    """What a run at constant pressure gave, a value each step."""

    volume: FloatArray
    enthalpy: FloatArray
    kinetic: FloatArray


def cell_rescaling(atoms: Atoms, timestep: float, temperature_K: float, rng: Any, **more: Any) -> Any:
    return StochasticCellRescaling(
        atoms, timestep, temperature_K=temperature_K, compressibility_au=1.6, rng=rng, **more
    )


def silicon_run(
    temperature_K: float, pressure_GPa: float, *, steps: int, seed: int, timestep_fs: float = 2.0
) -> Run:
    """Sample 64 atoms of silicon, after two picoseconds to settle."""
    rng, pressure = np.random.default_rng(seed), pressure_GPa * units.GPa
    atoms = bulk("Si", a=5.44, cubic=True) * 2
    atoms.calc = StillingerWeber()
    thermalize_momenta(atoms, 2 * temperature_K, rng=rng)  # half of it goes into the potential energy
    times = {"taut": 50 * units.fs, "taup": 100 * units.fs}
    dynamics = cell_rescaling(
        atoms, timestep_fs * units.fs, temperature_K, rng, pressure_au=pressure, **times
    )
    dynamics.run(round(2000 / timestep_fs))
    sampled = np.empty((steps, 3))
    for row in sampled:
        dynamics.step()
        kinetic = atoms.get_kinetic_energy()
        row[:] = dynamics.volume, kinetic + atoms.get_potential_energy(), kinetic
    volume, energy, kinetic = sampled.T
    return Run(volume, energy + pressure * volume, kinetic)


def correlation_time(values: FloatArray) -> float:
    """Integrated correlation time in samples, summed until the function has fallen to 0.05."""
    deviations = values - values.mean()
    spectrum = np.fft.rfft(deviations, 2 * len(values))
    correlation = np.fft.irfft(spectrum * spectrum.conj())[: len(values)]
    correlation /= correlation[0]
    return float(0.5 + correlation[1 : int(np.argmax(correlation < 0.05))].sum())


def log_ratio_slope(first: FloatArray, second: FloatArray, *, resamplings: int = 100) -> tuple[float, float]:
    """Slope of ln(p₂/p₁) by maximum likelihood, and its standard error from resampled blocks."""
    stride = max(1, round(max(correlation_time(first), correlation_time(second))))
    thinned = [values[::stride] for values in (first, second)]
    rng = np.random.default_rng(0)
    slopes = []
    for _ in range(resamplings):
        blocks = [np.array_split(values, 20) for values in thinned]
        drawn = [np.concatenate([parts[i] for i in rng.integers(20, size=20)]) for parts in blocks]
        slopes.append(_fitted(*drawn))
    return _fitted(*thinned), float(np.std(slopes, ddof=1))


def _fitted(first: FloatArray, second: FloatArray) -> float:
    values, label = np.concatenate([first, second]), np.repeat([0.0, 1.0], [len(first), len(second)])
    scaled = np.stack([np.ones(len(values)), (values - values.mean()) / values.std()], axis=1)
    weights = np.zeros(2)
    for _ in range(20):
        chance = 1 / (1 + np.exp(-scaled @ weights))
        curvature = (scaled * (chance * (1 - chance))[:, None]).T @ scaled
        weights += np.linalg.solve(curvature, scaled.T @ (label - chance))
    return float(weights[1] / values.std())


def overhead(steps: int = 300, rounds: int = 9) -> None:
    """Print the time of a step, the best of several rounds in turns."""
    # a script beside this one, which tests import as part of a package
    from calculator_overhead import NullASE, NullOurs

    timestep, kelvin = 2 * units.fs, 300.0
    makers = {
        "VelocityVerlet": lambda atoms, rng: VelocityVerlet(atoms, timestep),  # noqa: ARG005
        "Bussi": lambda atoms, rng: Bussi(atoms, timestep, kelvin, 100 * units.fs, rng=rng),
        "Langevin": lambda atoms, rng: Langevin(
            atoms, timestep, temperature_K=kelvin, friction=0.01, fixcm=False, rng=rng
        ),
        "NPTBerendsen": lambda atoms, rng: NPTBerendsen(  # noqa: ARG005
            atoms, timestep, temperature_K=kelvin, pressure_au=0.0, compressibility_au=1.6
        ),
        "StochasticCellRescaling": lambda atoms, rng: cell_rescaling(atoms, timestep, kelvin, rng),
    }
    print(f"\n{'216 atoms, µs a step':28}{'our calculator':>16}{'ASE calculator':>16}")
    times: dict[str, list[float]] = {name: [] for name in makers}
    for calc in (NullOurs, NullASE):
        runs = {}
        for name, make in makers.items():
            rng = np.random.default_rng(0)
            atoms = bulk("Si", cubic=True) * 3
            atoms.calc = calc()
            thermalize_momenta(atoms, kelvin, rng=rng)
            runs[name] = make(atoms, rng)
            runs[name].run(20)
        best = dict.fromkeys(makers, np.inf)
        for _ in range(rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run.run(steps)
                best[name] = min(best[name], (time.perf_counter() - start) / steps)
        for name, value in best.items():
            times[name].append(1e6 * value)
    for name, (ours, theirs) in times.items():
        print(f"{name:28}{ours:16.1f}{theirs:16.1f}")


def conserved() -> None:
    """Print how the conserved energy moves, for three time steps."""
    print(f"\n{'64 Si, 600 K, 2 ps':28}{'fluctuation meV':>16}{'drift meV/atom/ps':>20}")
    for timestep in (4.0, 2.0, 1.0):
        rng = np.random.default_rng(1)
        atoms = bulk("Si", a=5.44, cubic=True) * 2
        atoms.calc = StillingerWeber()
        thermalize_momenta(atoms, 1200, rng=rng)
        dynamics = cell_rescaling(atoms, timestep * units.fs, 600, rng, taup=100 * units.fs)
        dynamics.run(round(1000 / timestep))
        energies = []
        for _ in range(100):
            dynamics.run(round(20 / timestep))
            energies.append(dynamics.conserved_energy())
        slope = np.polyfit(0.02 * np.arange(100), energies, 1)[0] / len(atoms)
        print(f"{timestep:4} fs{'':22}{1000 * np.std(energies):16.2f}{1000 * slope:20.3f}")


def silicon(steps: int) -> None:
    """Print the comparison of silicon's distributions with what they must be."""
    keys = [(600, -1.0), (600, 1.0), (600, 0.0), (750, 0.0)]
    runs = {key: silicon_run(*key, steps=steps, seed=index) for index, key in enumerate(keys)}
    kT = units.kB * 600
    print(f"\n64 Si, {steps} steps of 2 fs; slopes relative to what they must be")
    slope, error = log_ratio_slope(runs[600, -1.0].volume, runs[600, 1.0].volume)
    expected = -2 * units.GPa / kT
    print(f"volumes, -1 and 1 GPa       {slope / expected:.3f} ± {abs(error / expected):.3f}")
    slope, error = log_ratio_slope(runs[600, 0.0].enthalpy, runs[750, 0.0].enthalpy)
    expected = 1 / kT - 1 / (units.kB * 750)
    print(f"enthalpies, 600 and 750 K   {slope / expected:.3f} ± {error / expected:.3f}")
    still = runs[600, 0.0].volume
    independent = steps / (2 * correlation_time(still))
    fluctuating = still.var() / (kT * still.mean()) * units.GPa
    by_pressure = np.log(runs[600, -1.0].volume.mean() / runs[600, 1.0].volume.mean()) / 2
    print(
        f"compressibility per GPa     {fluctuating:.5f} ± {fluctuating * np.sqrt(2 / independent):.5f} from"
    )
    print(f"                            the fluctuations, {by_pressure:.5f} from the two pressures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000, help="steps of each of the four silicon runs")
    steps = parser.parse_args().steps
    overhead()
    conserved()
    silicon(steps)


if __name__ == "__main__":
    main()
