"""The cases of `ani_ensemble.py`: structures, our ensemble and what is timed of it.

Run by itself it prints the peak memory, GiB, of a few steps with all members' forces: ``ani_cases.py 32768``.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import BaseCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample import _core
from ase_mlsample.calculators import ANIEnsemble, MLCalculator, StillingerWeber
from ase_mlsample.calculators.aev import AEVParameters
from ase_mlsample.calculators.ani_model import ANIModel
from ase_mlsample.calculators.networks import MemberNetworks

Call = Callable[[], object]

MEMBERS, HIDDEN = 8, (96, 96, 64)
STEPS = 24  # fs along a path before it turns
MELTED_UP_TO = 1000  # atoms; larger liquids are copies of 512


def ensemble(n_sections: int) -> ANIEnsemble:
    """Random networks; their scale is small, so that dynamics keeps the structure."""
    aev = AEVParameters.metal(("Si",), n_sections=n_sections)
    rng = np.random.default_rng(0)
    networks = MemberNetworks(MEMBERS, aev.length, hidden=HIDDEN, symbols=("Si",), rng=rng)
    return ANIEnsemble(ANIModel(aev=aev, networks=networks, self_energies={"Si": 0.0}, scale=0.02))


def silicon(kind: str, n_atoms: int) -> Atoms:
    """Rattled diamond or liquid, with velocities of 300 K."""
    rng = np.random.default_rng(n_atoms)
    repeat = round((n_atoms / 8) ** (1 / 3))
    if 8 * repeat**3 != n_atoms or (n_atoms > MELTED_UP_TO and repeat % 4):
        raise SystemExit(f"{n_atoms} atoms: choose 64, 216, 512, 1000, 4096, 13824 or 32768")
    if kind == "diamond":
        atoms = bulk("Si", a=5.431, cubic=True) * repeat
        atoms.rattle(0.1, rng=rng)
    elif n_atoms > MELTED_UP_TO:
        atoms = silicon(kind, 512) * (repeat // 4)
        atoms.rattle(0.02, rng=rng)
    else:
        atoms = bulk("Si", a=5.30, cubic=True) * repeat  # 2.5 g/cm³
        atoms.calc = StillingerWeber()
        for temperature, steps in ((4000, 400), (1800, 400)):
            friction = 0.05 / units.fs
            Langevin(
                atoms, 2 * units.fs, temperature_K=temperature, friction=friction, rng=rng, fixcm=False
            ).run(steps)
        atoms.calc = None
    thermalize_momenta(atoms, temperature_K=300, rng=rng)
    return atoms


class ThereAndBack:
    """Each call moves the atoms on by a femtosecond, along straight lines, and returns them."""

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms.copy()
        self._start, self._velocities = atoms.get_positions(), atoms.get_velocities() * units.fs
        self._done = 0

    def __call__(self) -> Atoms:
        """The atoms, moved."""
        self._done += 1
        there = abs((self._done + STEPS) % (2 * STEPS) - STEPS)
        self.atoms.positions = self._start + there * self._velocities
        return self.atoms


def step_call(atoms: Atoms, calculator: BaseCalculator | MLCalculator) -> Call:
    """One step of dynamics, energy and stress read; the atoms go there and back."""
    atoms = atoms.copy()
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, timestep=units.fs)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done % STEPS == 0:
            atoms.set_momenta(-atoms.get_momenta())
        dynamics.run(1)
        atoms.get_potential_energy()
        atoms.get_stress()

    return step


def our_calls(calculator: ANIEnsemble, atoms: Atoms) -> dict[str, Call]:
    """By column of the table."""
    path, neighbors = ThereAndBack(atoms), _core.NeighborList(calculator.model.cutoff, 0.5)
    cell, pbc = np.ascontiguousarray(atoms.cell.array), np.ascontiguousarray(atoms.pbc)
    ready = _core.NeighborList(calculator.model.cutoff)
    ready.update(atoms.positions, cell, pbc)
    edges = (np.zeros(len(atoms), np.int32), ready.first, ready.second, ready.vectors)
    kernel = calculator.model.aev.kernel()
    return {
        "neighbours": lambda: neighbors.update(path().positions, cell, pbc),
        "aev": lambda: kernel.forward(*edges, double=False),
        "forces": lambda: calculator.evaluate(path()),
        "members": lambda: calculator.evaluate(path(), members=True),
        "step": step_call(atoms, ANIEnsemble(calculator.model)),
        "member step": step_call(atoms, ANIEnsemble(calculator.model, with_spread=True)),
    }


def product_call(calculator: ANIEnsemble, n_atoms: int) -> Call:
    """The matrix products of an evaluation: all members forward, and back to the gradient of their mean."""
    (weights, _), *_ = calculator.model.networks.layers().values()
    w1, w2, w3 = weights[0].flatten(0, 1), weights[1], weights[2]
    x = torch.rand(n_atoms, calculator.model.aev.length)
    h1, h2, h3 = (torch.rand(MEMBERS, n_atoms, width) for width in HIDDEN)
    rows = torch.rand(n_atoms, MEMBERS * HIDDEN[0])

    def products() -> None:
        torch.nn.functional.linear(x, w1)
        torch.bmm(h1, w2.mT)
        torch.bmm(h2, w3.mT)
        torch.bmm(h3, w3)
        torch.bmm(h2, w2)
        torch.mm(rows, w1)

    return products


def set_threads(n: int) -> None:
    """Threads of our kernels and of torch in this process."""
    _core.set_num_threads(n)
    torch.set_num_threads(n)


def main() -> None:
    set_threads(2)
    step = step_call(silicon("liquid", int(sys.argv[1])), ANIEnsemble(ensemble(8).model, with_spread=True))
    for _ in range(3):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)


if __name__ == "__main__":
    main()
