"""References and committees for tests of the loop; importable by worker processes."""

import os
import time
from pathlib import Path

from ase.calculators.calculator import Calculator, all_changes

from ase_mlsample.active.label import structure_hash
from ase_mlsample.calculators import StillingerWeber


def block(path: Path) -> None:
    """Say that this point was reached, and wait to be killed; the next process to come here goes on."""
    try:
        with path.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return
    while True:
        time.sleep(0.01)


class Witness(Calculator):
    """Stillinger–Weber that writes down whom it labelled, fails for some, and can wait to be killed.

    Once the file `mended` exists it fails no more.
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, calls=None, fail_below=0, block_at=None, blocked=None, always_die=False, mended=None):
        super().__init__()
        self.mended = mended
        self.calls, self.fail_below = calls, fail_below
        self.block_at, self.blocked, self.always_die = block_at, blocked, always_die
        self.inner = StillingerWeber()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        name = structure_hash(atoms)
        with Path(self.calls).open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
        if self.block_at is not None and len(Path(self.calls).read_text().splitlines()) == self.block_at:
            block(Path(self.blocked))
        unlucky = int(name[1:3], 16) < self.fail_below and not (self.mended and Path(self.mended).exists())
        if unlucky and self.always_die:
            os._exit(9)
        if unlucky:
            raise RuntimeError("SCF did not converge")
        found = self.inner.evaluate(atoms)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
            "stress": found.stress,
        }


class WithoutNumbers(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": float("nan"), "forces": 0.0 * atoms.positions}


def hanging():
    """A reference that never answers."""
    return _Hanging()


class _Hanging(WithoutNumbers):
    def calculate(self, *args, **kwargs):
        while True:
            time.sleep(0.01)


not_callable = 3
