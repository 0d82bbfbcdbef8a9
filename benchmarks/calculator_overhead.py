"""What a calculator costs before it computes anything: our base class against ASE's, 216 atoms.

Both calculators return constants. A molecular-dynamics step moves the atoms and asks for the forces; reading
the energy afterwards finds everything in place.
"""

import argparse
import timeit
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from ase_mlsample.calculators import MLCalculator, Prediction


class NullOurs(MLCalculator):
    """Constants, by our contract."""

    def evaluate(self, atoms: Atoms, members: bool = False) -> Prediction:  # noqa: ARG002
        """Return zeros."""
        return Prediction(energy=0.0, forces=np.zeros((len(atoms), 3)), stress=np.zeros(6))


class NullASE(Calculator):
    """Constants, by ASE's contract."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Return zeros."""
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(atoms), 3))
        self.results = {"energy": 0.0, "free_energy": 0.0, "forces": forces, "stress": np.zeros(6)}


def microseconds(function: Callable[[], object], number: int = 2000) -> float:
    """Best of several repetitions."""
    return min(timeit.repeat(function, number=number, repeat=7)) / number * 1e6


def measure(calc, repeat: int) -> dict[str, float]:
    """Time the change test, a step's new forces, and reading what is already there."""
    atoms = bulk("Si", cubic=True) * (repeat, repeat, repeat)
    atoms.calc = calc
    atoms.get_forces()

    def step() -> None:
        atoms.positions += 1e-9
        atoms.get_forces()

    return {
        "change test": microseconds(lambda: calc.check_state(atoms)),
        "forces after a move": microseconds(step),
        "energy already there": microseconds(atoms.get_potential_energy),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="cubic cells of 8 atoms along each direction")
    repeat = parser.parse_args().repeat
    ours, theirs = measure(NullOurs(), repeat), measure(NullASE(), repeat)
    print(f"{8 * repeat**3} atoms, microseconds a call")
    print(f"{'':22}{'ours':>9}{'ASE':>9}{'ASE/ours':>10}")
    for what, mine in ours.items():
        print(f"{what:22}{mine:9.1f}{theirs[what]:9.1f}{theirs[what] / mine:10.1f}")


if __name__ == "__main__":
    main()
