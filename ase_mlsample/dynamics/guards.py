"""Guards: when a run has left what any potential can describe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

__all__ = ["Guards"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Guards:
    """Limits beyond which a run ends, with a reason and without an exception.

    Parameters
    ----------
    temperature_factor : float
        The run explodes when its kinetic temperature exceeds this times the target, times 1 + 4 √(2/N_f) for
        the fluctuations of N_f = 3N − 3 degrees of freedom, plus the margin.
    temperature_margin, start_margin : float
        In K; the second one holds for the first ``settling_fs``, because a disordered start releases an eV
        per atom or more as heat.
    settling_fs : float
    max_step : float
        The run explodes when an atom moves farther than this in one time step, in Å.
    contact_fraction : float
        The run collapses when two atoms, periodic images included, are closer than this times the sum of
        their covalent radii.
    volume_window : (float, float)
        With a pressure, the run collapses or explodes when the volume leaves this window, relative to the
        start: a model without cohesion evaporates, and one without repulsion shrinks.
    every : int
        Steps between looks at the distances; velocities and forces are looked at every step.
    """

    temperature_factor: float = 2.0
    temperature_margin: float = 3000.0
    start_margin: float = 20000.0
    settling_fs: float = 500.0
    max_step: float = 0.5
    contact_fraction: float = 0.6
    volume_window: tuple[float, float] = (0.5, 2.0)
    every: int = 10

    def __post_init__(self) -> None:
        for name in ("temperature_factor", "max_step", "contact_fraction"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")
        for name in ("temperature_margin", "start_margin", "settling_fs"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must not be negative or infinite, got {value!r}")
        low, high = self.volume_window
        if not 0 < low < 1 < high < math.inf:
            raise ValueError(
                "volume_window must be (low, high), relative to the start, with 0 < low < 1 < high, got "
                f"{self.volume_window!r}"
            )
        if self.every < 1:
            raise ValueError(f"every must be at least one step, got {self.every!r}")

    def motion(
        self, forces: FloatArray, *, step_length: float, kinetic_K: float, target_K: float, time_fs: float
    ) -> str:
        """Return why the motion is beyond limits, or an empty string.

        Parameters
        ----------
        forces : ndarray (N, 3), eV/Å
        step_length : float
            Largest |v| dt of an atom in Å.
        kinetic_K, target_K : float
        time_fs : float
            Since the start.
        """
        if not (math.isfinite(step_length) and math.isfinite(kinetic_K) and np.isfinite(forces).all()):
            return "exploded: velocities or forces are not finite"
        if step_length > self.max_step:
            return f"exploded: an atom moves {step_length:.3g} Å in one step"
        freedom = max(3, 3 * len(forces) - 3)
        margin = self.start_margin if time_fs <= self.settling_fs else self.temperature_margin
        limit = self.temperature_factor * (1 + 4 * math.sqrt(2 / freedom)) * target_K + margin
        if kinetic_K > limit:
            return f"exploded: kinetic temperature {kinetic_K:.4g} K above {limit:.4g} K"
        return ""

    def volume(self, ratio: float) -> str:
        """Return why the volume is beyond limits, or an empty string.

        Parameters
        ----------
        ratio : float
            Volume relative to the start.
        """
        low, high = self.volume_window
        if low <= ratio <= high:
            return ""
        reason, beyond = (
            ("collapsed", f"below {low:.3g}") if ratio < low else ("exploded", f"above {high:.3g}")
        )
        return f"{reason}: the volume is {ratio:.3g} times that of the start, {beyond}"

    def contacts(self, atoms: Atoms) -> str:
        """Return which atoms are too close, or an empty string.

        Parameters
        ----------
        atoms : Atoms
            With finite positions.
        """
        from ase_mlsample import _core

        radii = self.contact_fraction * covalent_radii[atoms.numbers]
        pairs = _core.NeighborList(2 * float(radii.max()))
        cell, pbc = np.asarray(atoms.cell.array), np.asarray(atoms.pbc)
        try:
            pairs.update(np.ascontiguousarray(atoms.positions), cell, pbc)
        except ValueError as error:  # atoms on top of each other
            return f"collapsed: {error}"
        distances = np.asarray(pairs.distances)
        if len(distances) == 0:
            return ""
        starts: NDArray[np.int64] = np.asarray(pairs.first)
        first = np.repeat(np.arange(len(atoms)), starts[1:] - starts[:-1])
        second = np.asarray(pairs.second)
        excess = distances - radii[first] - radii[second]
        worst = int(np.argmin(excess))
        if excess[worst] >= 0:
            return ""
        i, j = int(first[worst]), int(second[worst])
        symbols = atoms.symbols
        return (
            f"collapsed: atoms {i} ({symbols[i]}) and {j} ({symbols[j]}) are {distances[worst]:.3g} Å apart"
        )
