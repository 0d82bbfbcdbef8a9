"""Silicon crystallises: Deep-VES of the number of cubic-diamond atoms, 216 atoms, 1,700 K, 1 atm.

    python examples/silicon_crystallisation/run.py --steps 1000000

Each call makes further steps from where the last one ended, also after a kill; fifteen million make the 30 ns
of the study. Method and settings are those of L. Bonati, Y.-Y. Zhang, M. Parrinello, PNAS 116, 17641 (2019);
the model is Stillinger and Weber's. analyse.py draws what there is.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import thermalize_momenta

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs import CollectiveVariable, EnvironmentSimilarity
from ase_mlsample.dynamics import DeepVES, StochasticCellRescaling

SHORT = "MLSAMPLE_SHORT" in os.environ
TEMPERATURE_K = 1700.0
TIMESTEP_FS = 2.0
N_ATOMS = 216
THRESHOLD = 0.5  # of an atom's crystallinity
FOLDER = Path("runs/silicon_crystallisation")
# γ, bins, τ, decay and pace of the publication's run
LEARNING: dict[str, Any] = {"bias_factor": 70, "bins": 500, "tau": 5000, "decay": 2000, "pace": 500}
INTERVALS = {"log_interval": 100, "trajectory_interval": 5000, "checkpoint_interval": 20_000}
if SHORT:  # static after a few iterations, wherever the run is
    LEARNING |= {"pace": 20, "tau": 10, "decay": 2, "kl_threshold": 1e9}
    INTERVALS = {"log_interval": 5, "trajectory_interval": 50, "checkpoint_interval": 200}


def variable() -> CollectiveVariable:
    """Number of atoms whose neighbours sit as in the crystal; smooth, between 0 and 216."""
    diamond = bulk("Si", a=5.431, cubic=True)
    crystallinity = EnvironmentSimilarity.from_crystal(diamond, sigma=0.40)
    return crystallinity.count(threshold=THRESHOLD, nn=12, mm=24).named("n")


def crystal(rng: np.random.Generator) -> Atoms:
    """216 atoms of the crystal, with velocities."""
    atoms: Atoms = bulk("Si", a=5.461, cubic=True) * 3
    thermalize_momenta(atoms, TEMPERATURE_K, rng=rng)
    return atoms


def integrator(atoms: Atoms, calc: Any, rng: np.random.Generator) -> StochasticCellRescaling:
    """Dynamics of the atoms with a calculator, at constant temperature and pressure."""
    atoms.calc = calc
    return StochasticCellRescaling(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        pressure_au=1.01325 * units.bar,
        compressibility_au=1.6,
        rng=rng,
    )


def start_or_continue(folder: Path, seed: int) -> DeepVES:
    """The run in a folder, from its checkpoint if there is one."""
    checkpoint, rng = folder / "checkpoint", np.random.default_rng(seed)
    driver = integrator(crystal(rng), StillingerWeber(), rng)
    if checkpoint.exists():
        return DeepVES.load(checkpoint, driver, variable())
    return DeepVES(
        driver,
        variable(),
        temperature_K=TEMPERATURE_K,
        bounds=[(0.0, float(N_ATOMS))],  # the count cannot leave them: no walls
        rng=np.random.default_rng([seed, 1]),
        plot=folder / "convergence.png",
        logfile=folder / "COLVAR",
        trajectory=folder / "run.extxyz",
        checkpoint=checkpoint,
        **LEARNING,
        **INTERVALS,
    )


def main() -> None:
    """Make a piece of the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=600 if SHORT else 1_000_000, help="of this piece")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with start_or_continue(options.folder, options.seed) as dynamics:
        dynamics.run(options.steps)
    seconds = time.perf_counter() - begun
    with (options.folder / "pieces.jsonl").open("a") as file:
        file.write(json.dumps({"steps": options.steps, "seconds": round(seconds, 1)}) + "\n")
    bias = dynamics.deep_bias
    print(
        f"{dynamics.step:,} steps ({dynamics.time_fs / 1e6:g} ns) so far; this piece took "
        f"{seconds / 60:.1f} minutes, {options.steps / seconds:,.0f} steps a second"
    )
    print(f"the bias is {bias.phase} after {bias.iterations:,} iterations, KL {bias.divergence:.3g}")


if __name__ == "__main__":
    main()
