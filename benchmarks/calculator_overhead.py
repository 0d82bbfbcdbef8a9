"""What a calculator costs before it computes anything: our base class against ASE's, 216 atoms.

Both calculators return constants. A molecular-dynamics step moves the atoms and asks for the forces; reading
the energy afterwards finds everything in place. Then the steps of ASE's integrators with a small ensemble on
one thread: what they take beyond its compiled kernels and the same integrator with forces at hand.
"""

import argparse
import time
import timeit
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample import _core
from ase_mlsample.calculators import ANIEnsemble, MLCalculator, Prediction
from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.ani_native import compiled_networks
from ase_mlsample.calculators.networks import MemberNetworks

STEPS = 20  # of dynamics, before the velocities are turned round
REPEATS = 200  # the best of which counts: a busy machine disturbs most of them
LIMIT = 30.0  # µs a step


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


class AtHand:
    """Forces without any question asked."""

    def __init__(self, n_atoms: int) -> None:
        self._forces = np.zeros((n_atoms, 3))

    def get_forces(self, atoms: Atoms) -> np.ndarray:  # noqa: ARG002
        """Return zeros."""
        return self._forces

    def get_potential_energy(self, atoms: Atoms, force_consistent: bool = False) -> float:  # noqa: ARG002
        """Return zero."""
        return 0.0


def microseconds(function: Callable[[], object], number: int = 2000, repeat: int = 7) -> float:
    """CPU time, the best of several repetitions."""
    return min(timeit.repeat(function, timer=time.thread_time, number=number, repeat=repeat)) / number * 1e6


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


def integrator(name: str, atoms: Atoms) -> MolecularDynamics:
    rng = np.random.default_rng(1)
    if name == "Langevin":
        return Langevin(atoms, units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng, fixcm=False)
    if name == "Bussi":
        return Bussi(atoms, units.fs, temperature_K=300, taut=100 * units.fs, rng=rng)
    return VelocityVerlet(atoms, timestep=units.fs)


def per_step(name: str, atoms: Atoms, calc) -> float:
    """Microseconds of a step there and back."""
    atoms = atoms.copy()
    atoms.calc = calc
    dynamics = integrator(name, atoms)

    def path() -> None:
        atoms.set_momenta(-atoms.get_momenta())
        dynamics.run(STEPS)

    return microseconds(path, number=1, repeat=REPEATS) / STEPS


def small_model() -> ANIModel:
    """Two members whose kernels take little; their scale keeps the structure."""
    aev = AEVParameters.from_steps(
        ("Si",), start=1.25, radial_cutoff=4.0, angular_cutoff=3.0, n_radial=4, n_angular=2, n_sections=4
    )
    rng = np.random.default_rng(0)
    networks = MemberNetworks(2, aev.length, hidden=(8,), symbols=("Si",), rng=rng)
    return ANIModel(aev=aev, networks=networks, self_energies={"Si": 0.0}, scale=1e-3)


def kernels(model: ANIModel, atoms: Atoms, *, mean: bool) -> float:
    """Microseconds of the neighbour list and the evaluation alone."""
    aev, networks = model.aev.kernel(), compiled_networks(model.networks.copy(dtype="float32"))
    species, neighbors = np.zeros(len(atoms), np.int32), _core.NeighborList(model.cutoff, 0.5)
    cell, pbc = np.ascontiguousarray(atoms.cell.array), atoms.pbc
    paths = [atoms.positions + fs * units.fs * atoms.get_velocities() for fs in range(STEPS)]

    def evaluations() -> None:
        for positions in paths:
            neighbors.place(positions, cell, pbc)
            _core.evaluate_ani(aev, networks, species, neighbors, mean=mean)

    return microseconds(evaluations, number=1, repeat=REPEATS) / STEPS


def whole_steps(repeat: int) -> None:
    _core.set_num_threads(1)
    atoms = bulk("Si", cubic=True) * (repeat, repeat, repeat)
    rng = np.random.default_rng(0)
    atoms.rattle(0.1, rng=rng)
    thermalize_momenta(atoms, temperature_K=300, rng=rng)
    model = small_model()
    print(f"\n{'a step':22}{'whole':>9}{'kernels':>9}{'forces at hand':>16}{'overhead':>10}")
    for members in (False, True):
        alone = kernels(model, atoms, mean=not members)
        for name in ("VelocityVerlet", "Bussi", "Langevin"):
            whole = per_step(name, atoms, ANIEnsemble(model, with_spread=members))
            null = per_step(name, atoms, AtHand(len(atoms)))
            over = whole - alone - null
            what = f"{name}{', spread' if members else ''}"
            verdict = "" if members else f"  {'held' if over <= LIMIT else 'MISSED'}"
            print(f"{what:22}{whole:9.1f}{alone:9.1f}{null:16.1f}{over:10.1f}{verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="cubic cells of 8 atoms along each direction")
    repeat = parser.parse_args().repeat
    ours, theirs = measure(NullOurs(), repeat), measure(NullASE(), repeat)
    print(f"{8 * repeat**3} atoms, microseconds a call")
    print(f"{'':22}{'ours':>9}{'ASE':>9}{'ASE/ours':>10}")
    for what, mine in ours.items():
        print(f"{what:22}{mine:9.1f}{theirs[what]:9.1f}{theirs[what] / mine:10.1f}")
    whole_steps(repeat)


if __name__ == "__main__":
    main()
