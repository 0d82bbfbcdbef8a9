"""A reference whose labels approach their limit in a known way."""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

CALLS = []


class Toy(Calculator):
    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, *, cutoff, k_spacing=0.2, with_stress=True):
        super().__init__()
        self.error = 100.0 / cutoff**2 + k_spacing
        if not with_stress:
            self.implemented_properties = ("energy", "free_energy", "forces")
        CALLS.append((cutoff, k_spacing))

    def calculate(self, atoms=None, properties=(), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        n = len(atoms)
        # an offset for all, and one that differs between structures
        energy = n * (-1.0 + self.error * (1.0 + 0.01 * atoms.positions[0, 0]))
        self.results = {
            "energy": energy + 7.0,
            "free_energy": energy,
            "forces": np.full((n, 3), self.error),
            "stress": np.full(6, 0.01 * self.error),
        }


def toy(*, cutoff, k_spacing=0.2, with_stress=True):
    return Toy(cutoff=cutoff, k_spacing=k_spacing, with_stress=with_stress)


def settled(*, cutoff_in_another_name=1):
    return Toy(cutoff=cutoff_in_another_name)
