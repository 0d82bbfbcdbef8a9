"""A run of metadynamics that begins or goes on: what tests start in a process of its own, and kill.

Usage: python -m tests.dynamics.continued_run FOLDER INTEGRATOR STEPS
"""

import sys
from pathlib import Path

from ase_mlsample.cvs import Distance, stack
from ase_mlsample.dynamics.metadynamics import Metadynamics
from tests.dynamics.integrators import T, make, silicon

FILES = ("HILLS", "run.log", "run.extxyz")
HILLS = {"temperature_K": T, "sigma": [0.1, 0.2], "height": 0.1, "bias_factor": 20.0, "pace": 7}


def variable():
    """Two distances, one of them across the cell."""
    return stack(Distance(0, 1, name="near"), Distance(0, 6, name="far"))


def begin(folder, integrator, *, checkpoint_interval=10**6, **settings):
    """A new run with all its files in a folder."""
    files = {
        "hills": folder / "HILLS", "logfile": folder / "run.log", "trajectory": folder / "run.extxyz",
        "checkpoint": folder / "run.ckpt",
    }  # fmt: skip
    intervals = {"log_interval": 2, "trajectory_interval": 5, "checkpoint_interval": checkpoint_interval}
    return Metadynamics(integrator, variable(), progress=False, **HILLS | files | intervals | settings)


def go_on(folder, integrator):
    """The run of a folder, from its checkpoint."""
    return Metadynamics.load(folder / "run.ckpt", integrator, variable(), progress=False)


def main(folder, name, steps):
    """Make the steps that are missing."""
    integrator = make(name, silicon())
    if (folder / "run.ckpt").exists():
        dynamics = go_on(folder, integrator)
    else:
        for file in FILES:  # killed before the first checkpoint
            (folder / file).unlink(missing_ok=True)
        dynamics = begin(folder, integrator, checkpoint_interval=150)
    with dynamics:
        dynamics.run(steps - dynamics.step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
