"""The stochastic velocity-rescaling thermostat."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms, units

__all__ = ["BussiThermostat"]


class BussiThermostat:
    """Rescales all momenta so that the kinetic energy follows the canonical distribution.

    The kinetic energy K relaxes to K̄ = N_f k_B T / 2 with the time constant ``taut``, driven by noise of the
    exact strength; one factor for all momenta disturbs diffusion and vibrations little.

    Parameters
    ----------
    temperature_K : float
        Target; may be set between steps.
    taut : float
        Time constant in ASE time units.
    degrees_of_freedom : int
        N_f: 3N − 3 where the total momentum is zero.
    rng : numpy.random.Generator

    Attributes
    ----------
    exchanged : float
        Energy that the system has given to the thermostat so far, in eV.

    Raises
    ------
    TypeError, ValueError
        For settings that are not positive, or an ``rng`` that is no Generator.

    References
    ----------
    G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007), equation A7 and its sign.

    Examples
    --------
    Constant temperature with any integrator of constant energy::

        free = 3 * len(atoms) - 3
        thermostat = BussiThermostat(temperature_K=300, taut=100 * units.fs, degrees_of_freedom=free, rng=rng)
        dynamics.attach(lambda: thermostat.apply(atoms, dynamics.dt))
    """

    def __init__(
        self, *, temperature_K: float, taut: float, degrees_of_freedom: int, rng: np.random.Generator
    ) -> None:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rng must be a numpy.random.Generator, got {type(rng).__name__}; "
                "pass numpy.random.default_rng(seed)"
            )
        if not 0 < taut < math.inf:
            raise ValueError(
                f"taut must be a positive time in ASE units, got {taut!r}; 100 * units.fs is usual"
            )
        if degrees_of_freedom < 1:
            raise ValueError(
                f"a thermostat needs at least one degree of freedom, got {degrees_of_freedom}; "
                "3N − 3 of a single atom are none"
            )
        self.taut, self.degrees_of_freedom, self.rng = float(taut), int(degrees_of_freedom), rng
        self.exchanged = 0.0
        self.temperature_K = temperature_K

    @property
    def temperature_K(self) -> float:
        """The target in K."""
        return self._temperature_K

    @temperature_K.setter
    def temperature_K(self, temperature_K: float) -> None:
        if not 0 < temperature_K < math.inf:
            raise ValueError(f"temperature_K must be positive and finite, got {temperature_K!r}")
        self._temperature_K = float(temperature_K)
        self._half_kT = 0.5 * float(units.kB) * self._temperature_K

    def rescale(self, kinetic: float, time: float) -> float:
        """Draw the factor of all momenta for an interval of time, and count the energy it takes.

        Parameters
        ----------
        kinetic : float
            Kinetic energy in eV.
        time : float
            In ASE time units.

        Returns
        -------
        float
            α; negative now and then where there are few degrees of freedom, as detailed balance asks.

        Raises
        ------
        ValueError
            For atoms at rest, which have no velocities to rescale.
        FloatingPointError
            For a kinetic energy that is not finite: forces or velocities were not.
        """
        if not math.isfinite(kinetic):
            raise FloatingPointError(
                f"the kinetic energy is {kinetic} eV: forces or velocities are not finite; "
                "look at the structure, or give a smaller time step"
            )
        if not kinetic > 0:
            raise ValueError(
                f"the kinetic energy is {kinetic} eV, and there is nothing to rescale; set velocities first "
                "(ase.md.velocitydistribution.thermalize_momenta)"
            )
        kept = math.exp(-time / self.taut)
        share = (1 - kept) * self._half_kT / kinetic  # (1 − c) K̄ / (N_f K)
        along = math.sqrt(kept) + self.rng.standard_normal() * math.sqrt(share)
        across = 2 * self.rng.standard_gamma(0.5 * (self.degrees_of_freedom - 1))  # N_f − 1 squared normals
        squared = along * along + share * across
        self.exchanged += (1 - squared) * kinetic
        return math.copysign(math.sqrt(squared), along)

    def apply(self, atoms: Atoms, time: float) -> None:
        """Rescale the momenta of atoms in place for an interval of time.

        Parameters
        ----------
        atoms : Atoms
            With momenta whose sum is zero, if 3N − 3 degrees of freedom are counted.
        time : float
            In ASE time units.
        """
        momenta = atoms.get_momenta()
        kinetic = 0.5 * float(np.vdot(momenta, momenta / atoms.get_masses()[:, None]))
        atoms.set_momenta(self.rescale(kinetic, time) * momenta)
