"""What a bias must know of an integrator: temperature, what it does to the cell, whether it can be driven."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.md import MolecularDynamics
from ase.md.melchionna import MelchionnaNPT
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.nptberendsen import Inhomogeneous_NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from numpy.typing import NDArray

from ase_mlsample.dynamics.integrator_state import capture

__all__ = ["changes_cell_shape", "known_temperature", "refresh_forces", "require_driveable", "timestep_ps"]


def known_temperature(integrator: Any) -> NDArray[np.float64] | None:
    """Return the target temperature of an integrator in K, for each atom where it has one for each.

    Parameters
    ----------
    integrator : MolecularDynamics
        ASE's classes keep it under several names and in two units.

    Returns
    -------
    ndarray or None
        None when there is no thermostat, or a class keeps it where nobody knows.
    """
    kelvin = None
    if isinstance(integrator, Langevin | Andersen | Bussi):
        kelvin = integrator.temp / units.kB
    elif isinstance(integrator, NVTBerendsen):
        kelvin = integrator.temperature
    elif isinstance(integrator, MelchionnaNPT):
        kelvin = None if integrator.ttime is None else integrator.temperature / units.kB
    elif isinstance(integrator, NoseHooverChainNVT | MTKNPT | IsotropicMTKNPT):
        kelvin = integrator._thermostat._kT / units.kB
    else:
        kelvin = getattr(integrator, "temperature_K", None)
    return None if kelvin is None else np.array(kelvin, dtype=float)


def timestep_ps(integrator: Any) -> float:
    """Time step in ps, for the times in files; of what is no integrator, that of one ASE time unit."""
    return float(getattr(integrator, "dt", 1.0) / (1000 * units.fs))


def changes_cell_shape(integrator: Any) -> bool:
    """Whether a barostat changes more of the cell than its size, so that a crystal may turn or shear.

    Parameters
    ----------
    integrator : MolecularDynamics
    """
    if isinstance(integrator, MelchionnaNPT):
        return integrator.pfactor_given is not None and integrator.frac_traceless != 0
    if isinstance(integrator, LangevinBAOAB):
        return integrator.externalstress is not None and not integrator.hydrostatic
    return isinstance(integrator, MTKNPT | Inhomogeneous_NPTBerendsen)


def refresh_forces(integrator: Any) -> None:
    """Let an integrator that keeps forces from step to step ask for them again, after its calculator changed.

    Parameters
    ----------
    integrator : MolecularDynamics
    """
    if isinstance(integrator, LangevinBAOAB):
        integrator._update_accel()
        if integrator.externalstress is not None:
            integrator._update_force_eps()
    elif isinstance(integrator, MelchionnaNPT):
        integrator.initialized = 0  # it steps backwards with the new forces at the next start


def require_driveable(integrator: Any) -> None:
    """Refuse what is no molecular dynamics of atoms that can be driven step by step and continued.

    Parameters
    ----------
    integrator : MolecularDynamics

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For atoms without a calculator, a dynamics whose ``run`` does what ``irun`` does not, and one whose
        state cannot be kept, above all because it draws from numpy's global generator.
    """
    if isinstance(integrator, type):
        raise TypeError(f"the integrator is a class; make it: {integrator.__name__}(atoms, timestep, ...)")
    if not isinstance(integrator, MolecularDynamics):
        raise TypeError(f"a biased run drives an ASE molecular dynamics, got {type(integrator).__name__}")
    if not isinstance(integrator.atoms, Atoms):
        raise TypeError(
            f"the integrator moves a {type(integrator.atoms).__name__}; a biased run needs the Atoms"
        )
    if integrator.atoms.calc is None:
        raise ValueError("the atoms have no calculator; set atoms.calc before the bias is put on it")
    kind: type = type(integrator)
    definer = {name: _definer(kind, name) for name in ("run", "irun")}
    # a subclass that extends run alone does something that stepping through irun leaves out
    if definer["run"] is not definer["irun"] and issubclass(definer["run"], definer["irun"]):
        raise ValueError(
            f"{kind.__name__}.run does more than its irun, which a biased run steps through; "
            "take an integrator of plain steps"
        )
    capture(integrator)


def _definer(kind: type, name: str) -> type:
    return next(ancestor for ancestor in kind.__mro__ if name in vars(ancestor))
