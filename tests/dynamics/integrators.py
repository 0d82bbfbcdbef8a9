"""Every integrator of molecular dynamics that ASE and this package have, on hot silicon."""

import importlib
import pkgutil
import warnings

import ase.md
import numpy as np
from ase import units
from ase.build import bulk
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.md import MolecularDynamics
from ase.md.melchionna import MelchionnaNPT
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, MaskedMTKNPT, NoseHooverChainNVT
from ase.md.npt import NPT
from ase.md.nptberendsen import Inhomogeneous_NPTBerendsen, NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.switch_langevin import SwitchLangevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_mlsample.calculators import StillingerWeber
from ase_mlsample.dynamics import StochasticCellRescaling

FS, T = units.fs, 900.0
PRESSURE = 2 * units.GPa
BERENDSEN = {"temperature_K": T, "pressure_au": PRESSURE, "taut": 50 * FS, "taup": 200 * FS}
CHAIN = {"temperature_K": T, "tdamp": 40 * FS}
MTK = CHAIN | {"pressure_au": PRESSURE, "pdamp": 200 * FS}
MELCHIONNA = {"temperature_K": T, "externalstress": PRESSURE, "ttime": 25 * FS, "pfactor": 2000.0}
BAOAB = {"T_tau": 50 * FS}
BAROSTAT = BAOAB | {"temperature_K": T, "externalstress": -PRESSURE, "P_tau": 200 * FS, "P_mass": 1e4}

# name, class, settings, whether it takes a generator
TABLE = [
    ("verlet", VelocityVerlet, {}, False),
    ("langevin", Langevin, {"temperature_K": T, "friction": 0.02 / FS, "fixcm": False}, True),
    ("andersen", Andersen, {"temperature_K": T, "andersen_prob": 0.1}, True),
    ("bussi", Bussi, {"temperature_K": T, "taut": 50 * FS}, True),
    ("berendsen_nvt", NVTBerendsen, {"temperature_K": T, "taut": 50 * FS}, False),
    ("berendsen_npt", NPTBerendsen, BERENDSEN | {"compressibility_au": 1.6}, False),
    ("berendsen_xyz", Inhomogeneous_NPTBerendsen, BERENDSEN | {"compressibility_au": 1.6}, False),
    ("nose_hoover", NoseHooverChainNVT, CHAIN, False),
    ("mtk_isotropic", IsotropicMTKNPT, MTK, False),
    ("mtk", MTKNPT, MTK, False),
    ("mtk_masked", MaskedMTKNPT, MTK | {"mask": (False, True, True)}, False),
    ("melchionna", MelchionnaNPT, MELCHIONNA, False),
    ("melchionna_nvt", MelchionnaNPT, {"temperature_K": T, "ttime": 25 * FS}, False),
    ("npt", NPT, MELCHIONNA | {"mask": (1, 1, 0)}, False),
    ("baoab_nve", LangevinBAOAB, {}, False),
    ("baoab_nvt", LangevinBAOAB, BAOAB | {"temperature_K": T}, True),
    ("baoab_nph", LangevinBAOAB, BAROSTAT | {"temperature_K": None, "hydrostatic": True}, False),
    ("baoab_volume", LangevinBAOAB, BAROSTAT | {"hydrostatic": True}, True),
    ("baoab_cell", LangevinBAOAB, BAROSTAT, True),
    (
        "rescaling",
        StochasticCellRescaling,
        {"temperature_K": T, "pressure_au": PRESSURE, "compressibility_au": 1.6, "taup": 200 * FS},
        True,
    ),
]
NAMES = [name for name, *_ in TABLE]
CONSTANT_CELL = ["verlet", "langevin", "andersen", "bussi", "berendsen_nvt", "nose_hoover", "melchionna_nvt"]
CONSTANT_CELL += ["baoab_nve", "baoab_nvt"]

# it swaps two calculators for one of its own and has a run of its own: there is no irun to continue
LEFT_OUT = {SwitchLangevin}


def known():
    """Every class of molecular dynamics in ase.md."""
    found = set()
    for module in pkgutil.iter_modules(ase.md.__path__):
        names = vars(importlib.import_module(f"ase.md.{module.name}")).values()
        found |= {item for item in names if isinstance(item, type) and issubclass(item, MolecularDynamics)}
    return found - {MolecularDynamics}


def silicon(seed=0, repeat=1):
    """Hot, distorted silicon without calculator; another seed gives other positions and momenta."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", a=5.46, cubic=True).repeat(repeat)
    atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
    thermalize_momenta(atoms, T, rng=rng)
    atoms.set_momenta(atoms.get_momenta() - atoms.get_momenta().mean(axis=0))
    return atoms


def make(name, atoms, *, seed=1, calc=None, **changes):
    """The integrator of a name, on atoms with a calculator of their own."""
    kind, settings, random = next((*row,) for label, *row in TABLE if label == name)
    settings = {"timestep": 1 * FS} | settings | changes
    if random:
        settings.setdefault("rng", np.random.default_rng(seed))
    atoms.calc = StillingerWeber() if calc is None else calc
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # NPT is the old name of MelchionnaNPT
        return kind(atoms, **settings)


def end(atoms):
    """Positions, momenta and cell, exactly."""
    return atoms.positions.tobytes(), atoms.get_momenta().tobytes(), atoms.cell.array.tobytes()
