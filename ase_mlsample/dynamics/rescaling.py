"""Constant pressure by stochastic cell rescaling, as an ASE dynamics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.md import MolecularDynamics
from numpy.typing import NDArray

from ase_mlsample.dynamics.bussi import BussiThermostat

__all__ = ["StochasticCellRescaling", "cell_volume", "plain"]

FloatArray = NDArray[np.float64]


class StochasticCellRescaling(MolecularDynamics):  # type: ignore[misc]
    """Molecular dynamics at constant temperature and pressure; the cell keeps its shape and changes its size.

    The volume follows dε = −(β_T/τ_p)(P₀ − P) dt + √(2 k_BT β_T / (V τ_p)) dW with ε = ln V, integrated for
    λ = √V, whose noise does not depend on the volume; P = 2K/3V − tr(stress)/3. The temperature is held by
    stochastic velocity rescaling, half a step before and half a step after. Positions and momenta are scaled
    with the cell. A step costs one evaluation of the calculator, which has to give the stress.

    Parameters
    ----------
    atoms : Atoms
        Periodic in three directions, with velocities. Their total momentum is set to zero, and stays so:
        temperature and pressure count 3N − 3 degrees of freedom, and a net force is taken out.
    timestep : float
        In ASE time units.
    temperature_K : float
    pressure_au : float
        External pressure P₀ in eV/Å³ (``p * units.GPa``).
    compressibility_au : float
        Estimate of the isothermal compressibility β_T in Å³/eV (silicon 1.6). Only β_T/τ_p matters: an
        estimate too large by a factor makes the volume faster by it, and leaves averages and fluctuations.
    taut, taup : float
        Time constants of thermostat and barostat in ASE time units.
    rng : numpy.random.Generator
        The only source of randomness.
    **kwargs
        As of ASE's integrators: ``trajectory``, ``logfile``, ``loginterval``, ``append_trajectory``.

    Raises
    ------
    TypeError
        For an ``rng`` that is no Generator.
    ValueError
        For settings out of range, fewer than two atoms, a cell that is not periodic in three directions,
        constraints, or atoms at rest.
    PropertyNotImplementedError
        While running, when the calculator gives no stress.
    FloatingPointError
        While running, when the volume would shrink to nothing or is not a number.

    Notes
    -----
    Without forces the volume has the distribution V^(N−1) exp(−P₀V/k_BT): N − 1 particles besides the centre
    of mass at rest. :meth:`conserved_energy` drifts only by the error of the time step.

    References
    ----------
    M. Bernetti, G. Bussi, J. Chem. Phys. 153, 114107 (2020); :class:`BussiThermostat` for the temperature.

    Examples
    --------
    >>> import numpy as np
    >>> from ase import units
    >>> from ase.build import bulk
    >>> from ase.md.velocitydistribution import thermalize_momenta
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> rng = np.random.default_rng(0)
    >>> atoms = bulk("Si", cubic=True) * 2
    >>> atoms.calc = StillingerWeber()
    >>> thermalize_momenta(atoms, 300, rng=rng)
    >>> dynamics = StochasticCellRescaling(
    ...     atoms, 2 * units.fs, temperature_K=300, compressibility_au=1.6, rng=rng
    ... )
    >>> dynamics.run(10)
    True
    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        *,
        temperature_K: float,
        compressibility_au: float,
        rng: np.random.Generator,
        pressure_au: float = 0.0,
        taut: float = 100 * units.fs,
        taup: float = 1000 * units.fs,
        **kwargs: Any,
    ) -> None:
        _require_box(atoms)
        settings = {"timestep": timestep, "compressibility_au": compressibility_au, "taup": taup}
        for name, value in settings.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        self.thermostat = BussiThermostat(
            temperature_K=temperature_K, taut=taut, degrees_of_freedom=3 * len(atoms) - 3, rng=rng
        )
        self.rng, self.taup = rng, float(taup)
        self.compressibility_au = float(compressibility_au)
        self._pressure, self._work = _finite_pressure(pressure_au), 0.0
        super().__init__(atoms, timestep, **kwargs)
        # whole (N, 3) arrays: broadcasting costs more than the arithmetic
        self._inverse_masses: FloatArray = np.repeat(1 / self.masses, 3, axis=1)
        self._shares: FloatArray = self.masses / self.masses.sum()
        self._ones = np.ones(len(atoms))
        self._buffer, self._second = np.empty((len(atoms), 3)), np.empty((len(atoms), 3))
        momenta = atoms.arrays["momenta"]
        momenta -= self._shares * momenta.sum(axis=0)
        if not self._kinetic(momenta) > 0:
            raise ValueError(
                "the atoms are at rest relative to their centre of mass; set velocities first "
                "(ase.md.velocitydistribution.thermalize_momenta)"
            )

    @property
    def temperature_K(self) -> float:
        """Target temperature in K."""
        return self.thermostat.temperature_K

    @property
    def pressure_au(self) -> float:
        """External pressure P₀ in eV/Å³."""
        return self._pressure

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return cell_volume(self.atoms.cell.array)

    def set_temperature(self, *, temperature_K: float) -> None:
        """Change the target temperature from the next step on."""
        self.thermostat.temperature_K = temperature_K

    def set_pressure(self, *, pressure_au: float) -> None:
        """Change the external pressure from the next step on; the conserved energy does not jump."""
        pressure = _finite_pressure(pressure_au)
        if pressure != self._pressure:
            self._work -= (pressure - self._pressure) * self.volume
            self._pressure = pressure

    def conserved_energy(self) -> float:
        """Return H̃ in eV: kinetic and potential energy, P₀V, and what thermostat and barostat have taken.

        It needs the energy of the atoms as they are, which the calculator has after a step.
        """
        try:
            potential = float(self.atoms.get_potential_energy(force_consistent=True))
        except PropertyNotImplementedError:
            potential = float(self.atoms.get_potential_energy())
        kinetic = self._kinetic(self.atoms.arrays["momenta"])
        return kinetic + potential + self._pressure * self.volume + self.thermostat.exchanged + self._work

    def pressure(self) -> float:
        """Return the present internal pressure P = 2K/3V − tr(stress)/3 in eV/Å³."""
        trace = _trace(_asked_stress(self.atoms.calc, self.atoms))
        return 2 * self._kinetic(self.atoms.arrays["momenta"]) / (3 * self.volume) - trace / 3

    def step(self, forces: FloatArray | None = None) -> FloatArray:
        """Do one step and return the forces (N, 3) after it.

        Parameters
        ----------
        forces : ndarray (N, 3) or None
            Those of the atoms as they are, if known, as with ASE's integrators; the stress is asked for.
        """
        arrays, dt = self.atoms.arrays, self.dt
        positions, momenta, cell = arrays["positions"], arrays["momenta"], self.atoms.cell.array
        if forces is None:
            forces, trace = self._forces(), self._stress_trace()
        else:
            trace = _trace(_asked_stress(self.atoms.calc, self.atoms))
        momenta *= self.thermostat.rescale(self._kinetic(momenta), 0.5 * dt)
        self._kick(momenta, forces)
        kinetic, volume = self._kinetic(momenta), cell_volume(cell)
        pull = self._pull(kinetic, trace, volume)
        change = self._change(pull, volume)
        scale = (1 + change / math.sqrt(volume)) ** (2 / 3)
        np.multiply(momenta, self._inverse_masses, out=self._buffer)
        self._buffer *= 0.5 * (scale + 1 / scale) * dt
        positions *= scale
        positions += self._buffer
        cell *= scale
        momenta *= 1 / scale
        forces, trace = self._forces(), self._stress_trace()
        new_volume = cell_volume(cell)
        new_pull = self._pull(kinetic / (scale * scale), trace, new_volume)
        self._account(change, pull, new_pull, math.log(new_volume / volume))
        self._kick(momenta, forces)
        momenta *= self.thermostat.rescale(self._kinetic(momenta), 0.5 * dt)
        return forces

    def todict(self) -> dict[str, Any]:
        """Return the settings as plain values, for trajectories."""
        return {
            **super().todict(),
            "temperature_K": self.temperature_K,
            "pressure_au": self._pressure,
            **self._fixed(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, as plain values that JSON keeps exactly.

        Positions, momenta and cell are included, and the state of the generator; settings that do not change
        are there to be compared.
        """
        arrays = self.atoms.arrays
        return {
            "settings": self._fixed() | {"timestep": self.dt},
            "step": self.nsteps,
            "temperature_K": self.temperature_K,
            "pressure_au": self._pressure,
            "exchanged": self.thermostat.exchanged,
            "work": self._work,
            "rng": plain(self.rng.bit_generator.state),
            "positions": arrays["positions"].tolist(),
            "momenta": arrays["momenta"].tolist(),
            "cell": self.atoms.cell.array.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of :meth:`state_dict`, so that the run goes on as if never interrupted.

        Atoms and generator of this dynamics are changed in place.

        Raises
        ------
        ValueError
            When the state is of other settings, another number of atoms or another kind of generator.
        KeyError
            When something is missing.
        """
        mine, theirs = self._fixed() | {"timestep": self.dt}, dict(state["settings"])
        different = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        if different:
            shown = ", ".join(f"{name} {theirs.get(name)!r} (here {mine.get(name)!r})" for name in different)
            raise ValueError(f"the state is of a dynamics with other settings: {shown}")
        arrays = {name: np.array(state[name], dtype=float) for name in ("positions", "momenta", "cell")}
        if arrays["positions"].shape != (len(self.atoms), 3):
            raise ValueError(
                f"the state has {len(arrays['positions'])} atoms, but here are {len(self.atoms)}"
            )
        kind, given = self.rng.bit_generator.state["bit_generator"], state["rng"]["bit_generator"]
        if kind != given:
            raise ValueError(f"the state has a generator of type {given}, but rng is of type {kind}")
        self.set_temperature(temperature_K=state["temperature_K"])
        self._pressure = _finite_pressure(state["pressure_au"])
        self.thermostat.exchanged, self._work = float(state["exchanged"]), float(state["work"])
        self.nsteps = int(state["step"])
        self.rng.bit_generator.state = state["rng"]
        self.atoms.arrays["positions"][:] = arrays["positions"]
        self.atoms.arrays["momenta"][:] = arrays["momenta"]
        self.atoms.cell.array[:] = arrays["cell"]

    def _fixed(self) -> dict[str, float]:
        names = {"compressibility_au": self.compressibility_au, "taup": self.taup}
        return names | {"taut": self.thermostat.taut}

    def _refresh_properties(self) -> None:
        # ASE's loop calls this after each step, which leaves everything evaluated; only the start needs it
        if self.nsteps == 0:
            self._forces()

    def _forces(self) -> FloatArray:
        # asked before each step too: a bias may have changed since the last one
        forces: FloatArray = self.atoms.calc.get_forces(self.atoms)
        return forces

    def _stress_trace(self) -> float:
        """Trace of the stress of atoms whose forces were just asked for, in eV/Å³."""
        calc = self.atoms.calc
        stress = getattr(calc, "results", {}).get("stress")  # in place, unless it costs a pass of its own
        return _trace(_asked_stress(calc, self.atoms) if stress is None else stress)

    def _kinetic(self, momenta: FloatArray) -> float:
        np.multiply(momenta, self._inverse_masses, out=self._buffer)
        return 0.5 * float(np.vdot(momenta, self._buffer))

    def _kick(self, momenta: FloatArray, forces: FloatArray) -> None:
        """Add half a step of the forces, less their net part."""
        np.multiply(forces, 0.5 * self.dt, out=self._buffer)
        np.dot(self._shares, (self._ones @ self._buffer)[None], out=self._second)
        self._buffer -= self._second
        momenta += self._buffer

    def _rate(self) -> float:
        """Return D dt / k_BT = β_T dt / 4τ_p, in Å³/eV."""
        return self.compressibility_au * float(self.dt) / (4 * self.taup)

    def _pull(self, kinetic: float, trace: float, volume: float) -> float:
        """Return f = −2λ (P₀ − P − k_BT/2V), in eV/Å^1.5."""
        kT = float(units.kB) * self.temperature_K
        pressure = 2 * kinetic / (3 * volume) - trace / 3
        return -2 * math.sqrt(volume) * (self._pressure - pressure - kT / (2 * volume))

    def _change(self, pull: float, volume: float) -> float:
        """Δλ of this step, drift D f dt / k_BT and noise √(2 D dt), with D = k_BT β_T / 4τ_p."""
        rate, kT = self._rate(), float(units.kB) * self.temperature_K
        change = float(rate * pull + math.sqrt(2 * kT * rate) * self.rng.standard_normal())
        if not math.sqrt(volume) + change > 0:
            raise FloatingPointError(
                f"the volume of {volume:.6g} Å³ would change by {change:.3g} Å^1.5 in its square root in one "
                "step; give a smaller time step, a larger taup, or a better start"
            )
        return change

    def _account(self, change: float, pull: float, new_pull: float, log_ratio: float) -> None:
        """Count what the barostat has taken in a step."""
        rate, kT = self._rate(), float(units.kB) * self.temperature_K
        self._work += 0.5 * change * (pull + new_pull)
        self._work += 0.25 * rate * (new_pull**2 - pull**2) - 0.5 * kT * log_ratio


def plain(value: Any) -> Any:
    """Return nested dictionaries of numbers and arrays as what JSON knows."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def cell_volume(cell: FloatArray) -> float:
    """Return the volume of a cell (3, 3), ten times faster than by numpy's determinant."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    return abs(float(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)))


def _finite_pressure(pressure_au: float) -> float:
    if not math.isfinite(pressure_au):
        raise ValueError(f"pressure_au must be a finite number in eV/Å³, got {pressure_au!r}")
    return float(pressure_au)


def _require_box(atoms: Atoms) -> None:
    if len(atoms) < 2:
        raise ValueError(
            f"a pressure needs at least two atoms, got {len(atoms)}; repeat the cell, or keep the volume"
        )
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise ValueError(
            "a pressure needs a cell that is periodic in three directions, got "
            f"pbc {atoms.pbc.tolist()} and cell {atoms.cell.array.tolist()}"
        )
    if atoms.constraints:
        names = ", ".join(type(constraint).__name__ for constraint in atoms.constraints)
        raise ValueError(
            f"the atoms have constraints ({names}), which scaling the cell would break; "
            "remove them (atoms.set_constraint()), or keep the volume"
        )


def _trace(stress: FloatArray) -> float:
    """Trace of a stress (6,) or (3, 3): some calculators keep the matrix."""
    return float(np.trace(stress) if np.ndim(stress) == 2 else stress[0] + stress[1] + stress[2])


def _asked_stress(calc: Any, atoms: Atoms) -> FloatArray:
    try:
        stress: FloatArray = calc.get_stress(atoms)
    except (NotImplementedError, PropertyNotImplementedError) as error:
        raise PropertyNotImplementedError(
            f"{type(calc).__name__} gives no stress for these atoms ({error}); constant pressure needs a "
            "calculator with stress, else keep the volume"
        ) from error
    return stress
