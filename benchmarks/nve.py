"""Does the energy stay where it is? A long run at constant energy with a model, and its drift.

    python benchmarks/nve.py runs/silicon/model.safetensors
    python benchmarks/nve.py model.safetensors --symbol Al --steps 20000 --dtype float64

A diamond or fcc crystal of about 216 atoms at 300 K, velocity Verlet, 100,000 steps of 1 fs. The drift is the
slope of a straight line through the total energy; exit status 1 if it is above 1e-5 eV/atom/ps. The spread
about that line is what the integrator's finite step leaves, and grows with its square.
"""

import argparse
import sys
import time

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample import _core
from ase_mlsample.calculators import ANIEnsemble

LIMIT = 1e-5  # eV/atom/ps


def crystal(symbol: str, temperature_K: float, seed: int) -> Atoms:
    """About 216 atoms with twice the kinetic energy of the temperature."""
    atoms = bulk(symbol, cubic=True)
    atoms = atoms.repeat(round((216 / len(atoms)) ** (1 / 3)))
    thermalize_momenta(atoms, 2 * temperature_K, rng=np.random.default_rng(seed))
    Stationary(atoms)
    return atoms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model file of an ANI ensemble")
    parser.add_argument("--symbol", default="Si")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--timestep-fs", type=float, default=1.0)
    parser.add_argument("--temperature-K", type=float, default=300.0, help="after equipartition")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    atoms = crystal(args.symbol, args.temperature_K, args.seed)
    atoms.calc = ANIEnsemble.load(args.model, dtype=args.dtype)
    dynamics = VelocityVerlet(atoms, args.timestep_fs * units.fs)
    dynamics.run(min(1000, args.steps))  # half of the kinetic energy becomes potential energy
    every, energies, times = 20, [], []
    began = time.perf_counter()
    for _ in range(args.steps // every):
        dynamics.run(every)
        energies.append(atoms.get_total_energy() / len(atoms))
        times.append(dynamics.get_time() / (1000 * units.fs))
    seconds = time.perf_counter() - began
    slope, start = np.polyfit(times, energies, 1)
    spread = float(np.std(np.array(energies) - start - slope * np.array(times)))
    print(
        f"{len(atoms)} atoms, {args.steps} steps of {args.timestep_fs} fs, {args.dtype}, "
        f"{atoms.get_temperature():.0f} K at the end, {_core.num_threads()} threads: "
        f"{1e6 * seconds / args.steps / len(atoms):.2f} µs/atom/step"
    )
    print(f"drift {slope:+.2e} eV/atom/ps (at most {LIMIT:.0e}), spread about the line {spread:.1e} eV/atom")
    sys.exit(int(abs(slope) > LIMIT))


if __name__ == "__main__":
    main()
