"""A property killed at a given evaluation: ``python -m tests.validation.killed_check FOLDER CALLS``."""

import os
import signal
import sys

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.validation import Journal, liquid_properties

LIQUID = {
    "temperature_K": 2500.0,
    "density": 2.4,
    "n_atoms": 64,
    "equilibration_ps": 0.2,
    "pressure_ps": 1.2,
    "production_ps": 1.2,
    "timestep_fs": 4.0,
    "r_max": 5.5,
    "q_max": 4.0,
}


class Counting(StillingerWeber):
    """Counts evaluations, and kills its process at one of them."""

    calls = 0
    fatal = 0

    def evaluate(self, atoms, members=False):
        self.calls += 1
        if self.calls == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(atoms, members)


if __name__ == "__main__":
    calc = Counting()
    calc.fatal = int(sys.argv[2])
    liquid_properties(calc, "Si", **LIQUID, journal=Journal(sys.argv[1], interval_s=0.0))
