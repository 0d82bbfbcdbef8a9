"""Silicon freezes and melts: metadynamics of the structure factor's peak, 216 atoms, 1,700 K, 1 atm.

    python examples/silicon_metadynamics.py --steps 1000000

Each call goes on from where the last one ended, also after a kill; a picture is drawn at its end. The
variable is that of L. Bonati and M. Parrinello, Phys. Rev. Lett. 121, 265701 (2018); the model is Stillinger
and Weber's.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.analysis import read_colvar
from ase_mlsample.biases import LowerWall, UpperWall, read_hills
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import CollectiveVariable, StructureFactor
from ase_mlsample.dynamics import Metadynamics, StochasticCellRescaling

SHORT = "MLSAMPLE_SHORT" in os.environ
TEMPERATURE_K = 1700.0
TIMESTEP_FS = 2.0
LIQUID, SOLID = 0.75, 1.25  # the structure factor's peak below, above


def integrator(atoms: Atoms, seed: int) -> StochasticCellRescaling:
    """Constant temperature and pressure."""
    return StochasticCellRescaling(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        pressure_au=1.01325 * units.bar,
        compressibility_au=1.6,
        rng=np.random.default_rng(seed),
    )


def crystal(seed: int) -> Atoms:
    """216 atoms of diamond at the temperature of the run."""
    atoms = bulk("Si", a=5.461, cubic=True) * 3
    thermalize_momenta(atoms, TEMPERATURE_K, rng=np.random.default_rng(seed))
    atoms.calc = StillingerWeber()
    return atoms


def start_or_continue(folder: Path, variable: CollectiveVariable, seed: int) -> Metadynamics:
    """The run in a folder, from its checkpoint if there is one."""
    atoms = crystal(seed)
    if (folder / "checkpoint").exists():
        return Metadynamics.load(folder / "checkpoint", integrator(atoms, seed), variable)
    return Metadynamics(
        integrator(atoms, seed),
        variable,
        temperature_K=TEMPERATURE_K,
        sigma=0.04,
        height=0.3,
        bias_factor=80,
        pace=500,
        extra_bias=LowerWall(0.5, 500.0) + UpperWall(1.55, 500.0),
        hills=folder / "HILLS",
        logfile=folder / "COLVAR",
        log_interval=100,
        trajectory=folder / "run.extxyz",
        trajectory_interval=5000,
        checkpoint=folder / "checkpoint",
        checkpoint_interval=20_000,
    )


def transitions(values: np.ndarray) -> tuple[int, int]:
    """How often the structure froze and melted, by where the variable was last beyond either threshold."""
    state = np.where(values > SOLID, 1, np.where(values < LIQUID, -1, 0))
    state = state[state != 0]
    return int(np.sum(np.diff(state) > 0)), int(np.sum(np.diff(state) < 0))


def draw(folder: Path) -> tuple[int, int]:
    """Pictures of the variable in time and of its free energy."""
    import matplotlib.pyplot as plt

    colvar = read_colvar(folder / "COLVAR")
    times, values = colvar.columns(["time", "sq_1_96_mean"]).T
    hills = read_hills(folder / "HILLS")
    kT = TEMPERATURE_K * units.kB
    grid = np.linspace(0.5, 1.5, 201)
    free_energy = hills.free_energy(grid[:, None]) / kT
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(3, 2))
    left.plot(times / 1000, values, ".", markersize=0.8, rasterized=True)
    left.set(xlabel="time, ns", ylabel=r"$S(q = 1.96\ \mathrm{Å}^{-1})$", title="Si 216, 1,700 K, 1 atm")
    right.plot(grid, free_energy - free_energy.min())
    right.set(xlabel=r"$S(q)$", ylabel=r"$F$, $k_\mathrm{B}T$", title=f"{len(hills.heights):,} hills")
    figure.savefig(folder / "silicon.png", dpi=160)
    return transitions(values)


def main() -> None:
    """Run a piece and draw what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000 if SHORT else 1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/silicon_metadynamics"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with start_or_continue(options.folder, StructureFactor(1.96).mean(), options.seed) as dynamics:
        dynamics.run(options.steps)
        step = dynamics.step
    seconds = time.perf_counter() - begun
    with (options.folder / "pieces.jsonl").open("a") as file:
        file.write(json.dumps({"steps": options.steps, "seconds": round(seconds, 1)}) + "\n")
    froze, melted = draw(options.folder)
    print(
        f"{step:,} steps so far; this piece took {seconds / 60:.1f} minutes, "
        f"{options.steps / seconds:.0f} steps a second"
    )
    print(f"froze {froze} and melted {melted} times; see {options.folder / 'silicon.png'}")


if __name__ == "__main__":
    main()
