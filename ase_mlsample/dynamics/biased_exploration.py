"""What explorers with a bias share: dynamics at constant temperature, and frames that tell of the bias."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_mlsample.biases.base import Bias
from ase_mlsample.calculators.biased import BiasedCalculator
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.explorer import ProgrammeExplorer, RunSettings
from ase_mlsample.dynamics.gate import GateReading, UncertaintyGate
from ase_mlsample.dynamics.guards import Guards
from ase_mlsample.dynamics.programme import Course, Programme, Window, as_window, drawn
from ase_mlsample.dynamics.ramped_run import RampedRun
from ase_mlsample.dynamics.run_checks import require_variable

__all__ = ["BiasedExplorer", "BiasedRun", "ExploringSettings", "as_plain"]


class ExploringSettings(TypedDict, total=False):
    """Settings that all explorers with a bias take; see :class:`BiasedExplorer`."""

    duration_ps: Window
    pressure_GPa: float | None
    timestep_fs: float
    friction_per_ps: float
    thermostat_fs: float
    barostat_fs: float
    compressibility_per_GPa: float
    gate: UncertaintyGate | None
    guards: Guards | None
    check_every: int
    keep_every: int | None


class BiasedRun(RampedRun):
    """A trajectory with the bias that its explorer carries, which stays as it is."""

    def __init__(
        self,
        explorer: BiasedExplorer,
        programme: Programme,
        calc: Any,
        start: Atoms,
        rng: np.random.Generator,
    ) -> None:
        self.bias = explorer.carried_bias()
        biased = BiasedCalculator(calc, explorer.cv, self.bias)
        super().__init__(explorer.settings, programme, biased, start, rng, source=type(explorer).__name__)

    @property
    def values(self) -> NDArray[np.float64]:
        """The variables after the last step."""
        found: NDArray[np.float64] = self.calc.evaluate_cv(self.atoms).value
        return found

    def _frame(self, atoms: Atoms, step: int, reason: str, reading: GateReading | None) -> Atoms:
        frame = super()._frame(atoms, step, reason, reading)
        cv = self.calc.cv
        values = self.calc.evaluate_cv(atoms).value
        names = ["cv"] if cv.n_cvs == 1 else [f"cv_{name}" for name in cv.names]
        frame.info |= dict(zip(names, values.tolist(), strict=True))
        frame.info["bias"] = float(self.bias.potential(values)[0])
        return frame


class BiasedExplorer(ProgrammeExplorer):
    """An explorer that drives atoms with a bias, at constant temperature, until the ensemble is uncertain.

    Gate, guards and kept frames are those of :class:`RampedMD`. Frames have in ``info`` the variable as
    ``cv`` (several as ``cv_`` and the name of each), the ``bias`` there in eV, and the settings. The gate
    reads the model's own disagreement and forces.

    Subclasses write :meth:`carried_bias` and :meth:`_told`, and have a trajectory of their own where the bias
    changes.

    Parameters
    ----------
    cv : CollectiveVariable
        The same for all structures that the explorer is given: if these differ in size, a mean rather than a
        count.
    temperature_K : float
    duration_ps : window
        Rounded to whole steps.
    pressure_GPa : float or None
        Constant pressure by stochastic cell rescaling; None: constant volume, Langevin dynamics.
    timestep_fs, friction_per_ps, thermostat_fs, barostat_fs, compressibility_per_GPa, gate, guards, \
check_every, keep_every
        As of :class:`RampedMD`.

    Raises
    ------
    TypeError, ValueError
        For settings out of range, what is no collective variable, and if nothing could be yielded.
    """

    _run: ClassVar[type[BiasedRun]] = BiasedRun

    def __init__(
        self,
        *,
        cv: CollectiveVariable,
        temperature_K: float,
        duration_ps: Window = 5.0,
        pressure_GPa: float | None = None,
        timestep_fs: float = 1.0,
        friction_per_ps: float = 10.0,
        thermostat_fs: float = 100.0,
        barostat_fs: float = 1000.0,
        compressibility_per_GPa: float = 0.01,
        gate: UncertaintyGate | None = None,
        guards: Guards | None = None,
        check_every: int = 50,
        keep_every: int | None = None,
    ) -> None:
        super().__init__(
            RunSettings(
                timestep_fs=timestep_fs,
                friction_per_ps=friction_per_ps,
                thermostat_fs=thermostat_fs,
                barostat_fs=barostat_fs,
                compressibility_per_GPa=compressibility_per_GPa,
                gate=gate,
                guards=guards,
                check_every=check_every,
                keep_every=keep_every,
            )
        )
        require_variable(cv)
        self.cv = cv
        self._temperature, _ = as_window("temperature_K", float(temperature_K))
        self._duration = as_window("duration_ps", duration_ps)
        self._pressure = None
        if pressure_GPa is not None:
            self._pressure, _ = as_window("pressure_GPa", float(pressure_GPa), signed=True)

    @abstractmethod
    def carried_bias(self) -> Bias:
        """Build the bias that each trajectory starts from, anew."""

    def draw(self, rng: np.random.Generator) -> Programme:
        """Draw the duration of one trajectory; all else is given."""
        pressure = None if self._pressure is None else Course((0.0,), (self._pressure,))
        return Programme(
            self._steps(drawn(self._duration, rng)),
            self.settings.timestep_fs,
            Course((0.0,), (self._temperature,)),
            pressure=pressure,
            info=self._told(),
        )

    @abstractmethod
    def _told(self) -> dict[str, float]:
        """Settings that frames tell of, by name."""

    def _steps(self, duration_ps: float) -> int:
        return max(1, round(1000 * duration_ps / self.settings.timestep_fs))

    def _require_time_for(self, pace: int, what: str) -> None:
        """Refuse trajectories in which the bias would never change (ValueError)."""
        longest = self._steps(self._duration[1])
        if longest < pace:
            raise ValueError(
                f"trajectories of {longest} steps at most end before {what}, at step pace={pace}; give a "
                "smaller pace or a longer duration_ps"
            )

    def _trajectory(self, calc: Any, atoms: Atoms, rng: np.random.Generator) -> RampedRun:
        return self._run(self, self.draw(rng), calc, atoms, rng)

    def _windows(self) -> dict[str, Any]:
        state = json.dumps(as_plain(self.carried_bias().state_dict()))
        shared = {name: getattr(self, name) for name in ("_temperature", "_duration", "_pressure")}
        return shared | {"cv": self.cv.todict(), "bias": hashlib.sha256(state.encode()).hexdigest()}


def as_plain(value: Any) -> Any:
    """Return nested values and arrays as what JSON keeps exactly: dictionaries, lists, numbers and text."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
