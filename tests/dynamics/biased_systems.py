"""A small crystal, cheap variables and biases, and every molecular dynamics of ASE."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.melchionna import MelchionnaNPT
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, MaskedMTKNPT, NoseHooverChainNVT
from ase.md.nptberendsen import Inhomogeneous_NPTBerendsen, NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample.biases import Bias
from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.cvs.base import CollectiveVariable, CVValue
from ase_mlsample.dynamics import StochasticCellRescaling

KELVIN = 400.0
STEP = 1.0 * units.fs


def crystal(seed: int = 0, calc: Any = None) -> Atoms:
    """Eight moving atoms of silicon, periodic."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, rng=rng)
    thermalize_momenta(atoms, KELVIN, rng=rng)
    Stationary(atoms)
    atoms.calc = StillingerWeber() if calc is None else calc
    return atoms


def _generator() -> np.random.Generator:
    return np.random.default_rng(7)


_BATH = {"temperature_K": KELVIN}
_PRESS = {"pressure_au": 0.0, "compressibility_au": 1.6, "taut": 100 * units.fs, "taup": 1000 * units.fs}
_CHAIN = {"tdamp": 100 * units.fs, "pdamp": 1000 * units.fs, "pressure_au": 0.0}
_BAOAB = {"T_tau": 50 * units.fs, "P_tau": 500 * units.fs, "P_mass": 1000.0}
_MELCHIONNA = {"externalstress": 0.0, "ttime": 50 * units.fs, "pfactor": 1e4 * units.fs**2}

Factory = Callable[[Atoms], Any]

FIXED_CELL: dict[str, Factory] = {
    "VelocityVerlet": lambda a: VelocityVerlet(a, STEP),
    "Langevin": lambda a: Langevin(a, STEP, friction=0.01, fixcm=False, rng=_generator(), **_BATH),
    "LangevinBAOAB": lambda a: LangevinBAOAB(a, STEP, T_tau=50 * units.fs, rng=_generator(), **_BATH),
    "Andersen": lambda a: Andersen(a, STEP, KELVIN, 0.05, rng=_generator()),
    "Bussi": lambda a: Bussi(a, STEP, KELVIN, 50 * units.fs, rng=_generator()),
    "NVTBerendsen": lambda a: NVTBerendsen(a, STEP, taut=100 * units.fs, **_BATH),
    "NoseHooverChainNVT": lambda a: NoseHooverChainNVT(a, STEP, KELVIN, 50 * units.fs),
    "MelchionnaNVT": lambda a: MelchionnaNPT(a, STEP, ttime=50 * units.fs, **_BATH),
}
SIZE_OF_CELL: dict[str, Factory] = {
    "NPTBerendsen": lambda a: NPTBerendsen(a, STEP, **_BATH, **_PRESS),
    "IsotropicMTKNPT": lambda a: IsotropicMTKNPT(a, STEP, KELVIN, **_CHAIN),
    "LangevinBAOAB-size": lambda a: LangevinBAOAB(
        a, STEP, externalstress=0.0, hydrostatic=True, rng=_generator(), **_BATH, **_BAOAB
    ),
    "StochasticCellRescaling": lambda a: StochasticCellRescaling(
        a, STEP, rng=_generator(), **_BATH, **_PRESS
    ),
}
FULL_CELL: dict[str, Factory] = {
    "Inhomogeneous_NPTBerendsen": lambda a: Inhomogeneous_NPTBerendsen(a, STEP, **_BATH, **_PRESS),
    "MTKNPT": lambda a: MTKNPT(a, STEP, KELVIN, **_CHAIN),
    "MaskedMTKNPT": lambda a: MaskedMTKNPT(a, STEP, KELVIN, mask=(True, False, True), **_CHAIN),
    "LangevinBAOAB-cell": lambda a: LangevinBAOAB(
        a, STEP, externalstress=0.0, rng=_generator(), **_BATH, **_BAOAB
    ),
    "MelchionnaNPT": lambda a: MelchionnaNPT(a, STEP, **_BATH, **_MELCHIONNA),
}
INTEGRATORS = FIXED_CELL | SIZE_OF_CELL | FULL_CELL


class Coordinate(CollectiveVariable):
    """x of the first atom."""

    def __init__(self) -> None:
        super().__init__(["x"])

    def evaluate(self, atoms: Atoms) -> CVValue:
        gradient = np.zeros((1, len(atoms), 3))
        gradient[0, 0, 0] = 1
        return CVValue(atoms.positions[0, :1].copy(), gradient, np.zeros((1, 3, 3)))


class MeanPair(CollectiveVariable):
    """Squared distance of two atoms, and log of the volume per atom."""

    def __init__(self, *, lab_fixed: bool = False, fail_at: int | None = None) -> None:
        super().__init__(["pair", "logv"], lab_fixed=lab_fixed)
        self.evaluations, self.fail_at = 0, fail_at
        self.parameters = {"lab_fixed": lab_fixed}

    def evaluate(self, atoms: Atoms) -> CVValue:
        self.evaluations += 1
        vector = atoms.positions[1] - atoms.positions[0]
        gradient, virial = np.zeros((2, len(atoms), 3)), np.zeros((2, 3, 3))
        gradient[0, 1], gradient[0, 0] = 2 * vector, -2 * vector
        virial[0], virial[1] = 2 * np.outer(vector, vector), np.eye(3)
        value = np.array([vector @ vector, np.log(atoms.get_volume() / len(atoms))])
        if self.fail_at is not None and self.evaluations > self.fail_at:
            value[0] = np.nan
        return CVValue(value, gradient, virial, per_atom=atoms.positions[:, 0].copy())


class GrowingBias(Bias):
    """V = height · n · exp(−|s|²/40) after n deposits, one every ``pace`` steps; remembers what it hears."""

    n_cvs = 2

    def __init__(self, height: float = 0.02, pace: int = 5) -> None:
        self.height, self.pace = height, pace
        self.told: list[tuple[int, np.ndarray]] = []
        self.deposits: list[int] = []
        self.flushed = 0

    def potential(self, s: Any) -> tuple[Any, Any]:
        s = self._points(s)
        value = self.height * len(self.deposits) * np.exp(-(s**2).sum(-1) / 40)
        return float(value), -value * s / 20

    def update(self, s: Any, step: int) -> bool:
        self.told.append((step, np.array(s)))
        if step % self.pace or step == 0:
            return False
        self.deposits.append(step)
        return True

    def settings(self) -> dict[str, Any]:
        return {"height": self.height, "pace": self.pace}

    def flush(self) -> None:
        self.flushed += 1

    def _state(self) -> dict[str, Any]:
        return {"deposits": list(self.deposits)}

    def _load_state(self, state: Any) -> None:
        self.deposits = [int(step) for step in state["deposits"]]
