"""Dynamics without a bias that keeps a log and a trajectory and goes on exactly from its checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any, Self

from ase import Atoms, units

from ase_mlsample.calculators.structures import has_volume
from ase_mlsample.dynamics.biased_output import TextFile, log_line, recorded_frame
from ase_mlsample.dynamics.checkpoint import (
    read_checkpoint,
    require_files,
    truncate_files,
    write_checkpoint,
)
from ase_mlsample.dynamics.integrator_facts import require_driveable
from ase_mlsample.dynamics.run_checks import compare_temperature, require_absent
from ase_mlsample.dynamics.run_progress import RunProgress
from ase_mlsample.dynamics.run_settings import BiasedRunSettings

__all__ = ["PlainDynamics"]


class PlainDynamics:
    """Drives an integrator, with the files of :class:`BiasedDynamics` and its way of going on, but no bias.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
        With atoms that have velocities and a calculator. Its random numbers must come from a generator of
        its own, ``rng=np.random.default_rng(seed)``.
    temperature_K : float
        Of the run.
    **settings
        As of :class:`BiasedDynamics`: ``trajectory``, ``trajectory_interval``, ``logfile``,
        ``log_interval``, ``checkpoint``, ``checkpoint_interval``, ``progress``. The log has the columns time
        (ps), temperature (K), energy (eV) and, where there is one, volume (Å³).

    Attributes
    ----------
    integrator, atoms
    step : int
        Steps made, continued runs included.
    settings : BiasedRunSettings

    Raises
    ------
    TypeError, ValueError
        For what is no molecular dynamics, an integrator on numpy's global generator, another temperature
        than the integrator's, and settings out of range.
    FileExistsError
        For a checkpoint that is there: :meth:`load` it, or remove it.

    Examples
    --------
    >>> import numpy as np
    >>> from ase import units
    >>> from ase.build import bulk
    >>> from ase.md.langevin import Langevin
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> atoms = bulk("Si", cubic=True)
    >>> atoms.calc = StillingerWeber()
    >>> rng = np.random.default_rng(0)
    >>> langevin = Langevin(
    ...     atoms, 2 * units.fs, temperature_K=300, friction=0.01, fixcm=False, rng=rng
    ... )
    >>> with PlainDynamics(langevin, temperature_K=300) as dynamics:
    ...     dynamics.run(10)
    >>> dynamics.step
    10
    """

    def __init__(self, integrator: Any, *, temperature_K: float, **settings: Any) -> None:
        of_run = BiasedRunSettings(temperature_K=temperature_K, **settings)
        require_absent(of_run.checkpoint)
        self._set_up(integrator, of_run)

    @classmethod
    def load(cls, path: str | Path, integrator: Any, *, progress: bool = True) -> Self:
        """Go on from a checkpoint, exactly: atoms and integrator get its state, files are cut to it.

        Parameters
        ----------
        path : path
            Of the checkpoint; the files of the run are where they were, relative to it.
        integrator : ase.md.md.MolecularDynamics
            Of the same class and settings, with the same kind of atoms and a calculator.
        progress : bool

        Raises
        ------
        FileNotFoundError
            When there is no checkpoint.
        ValueError
            When checkpoint, integrator, atoms or files are not those of one run, naming what differs.
        """
        checkpoint = read_checkpoint(path)
        run = checkpoint.extra
        if run.get("run") != cls.__name__:
            kind = run.get("run", "something else")
            raise ValueError(f"{path} is the checkpoint of a {kind}, not of a run without bias")
        dynamics = cls.__new__(cls)
        dynamics._set_up(
            integrator, BiasedRunSettings.unpacked(run["settings"], Path(path), progress=progress)
        )
        require_files(checkpoint)
        checkpoint.restore(integrator)
        truncate_files(checkpoint)
        dynamics.step, dynamics._begun = int(run["step"]), bool(run["begun"])
        return dynamics

    def _set_up(self, integrator: Any, settings: BiasedRunSettings) -> None:
        require_driveable(integrator)
        compare_temperature(integrator, None, settings.temperature_K)
        self.integrator, self.settings = integrator, settings
        self.atoms: Atoms = integrator.atoms
        self.step, self._begun = 0, False
        self._log: _Log | None = None
        self._frames: TextFile | None = None

    def run(self, steps: int) -> None:
        """Make steps; the checkpoint is written every ``checkpoint_interval`` of them and at the end.

        Parameters
        ----------
        steps : int

        Raises
        ------
        FloatingPointError
            When the energy is not a number; what was written so far is on disk.
        """
        settings = self.settings
        try:
            with RunProgress("MD", steps, enabled=settings.progress) as bar:
                for done, _ in enumerate(self.integrator.irun(steps)):
                    self._after(done)
                    if bar.due(done):
                        bar.show(done, f"{self.atoms.get_temperature():.0f} K")
        finally:
            self.close()
        if settings.checkpoint is not None:
            self.save()

    def save(self) -> None:
        """Write the checkpoint.

        Raises
        ------
        ValueError
            When the settings name none.
        """
        settings = self.settings
        if settings.checkpoint is None:
            raise ValueError("there is no path for the checkpoint; give checkpoint=path")
        extra = {"run": type(self).__name__, "step": self.step, "begun": self._begun}
        write_checkpoint(
            settings.checkpoint,
            integrator=self.integrator,
            files=settings.files,
            extra=extra | {"settings": settings.packed()},
        )

    def close(self) -> None:
        """Close the files; a later step opens them again."""
        for file in (self._log, self._frames):
            if file is not None:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _after(self, done: int) -> None:
        """Follow the integrator, which also yields before the first step of a call."""
        settings = self.settings
        if done == 0:
            if not self._begun:
                self._record()
                self._begun = True
            return
        self.step += 1
        self._record()
        if settings.checkpoint is not None and self.step % settings.checkpoint_interval == 0:
            self.save()

    def _record(self) -> None:
        settings = self.settings
        if settings.logfile is not None and self.step % settings.log_interval == 0:
            if self._log is None:
                self._log = _Log(settings, self.atoms, append=self._begun)
            self._log.append(self._line())
        if settings.trajectory is not None and self.step % settings.trajectory_interval == 0:
            if self._frames is None:
                interval = settings.trajectory_interval
                self._frames = TextFile(settings.trajectory, interval, append=self._begun)
            self._frames.append_frame(self._frame())

    @property
    def _time_fs(self) -> float:
        return float(self.step * self.integrator.dt / units.fs)

    def _line(self) -> str:
        energy = float(self.atoms.get_potential_energy())
        if not math.isfinite(energy):
            raise FloatingPointError(
                f"the energy is {energy} at step {self.step}; look at the structure, or at a smaller time "
                "step"
            )
        volume = [self.atoms.get_volume()] if has_volume(self.atoms) else []
        return log_line(self._time_fs, [self.atoms.get_temperature(), energy, *volume])

    def _frame(self) -> Atoms:
        """The atoms as they are, with energy, forces and, where it is known already, stress."""
        stress = getattr(self.atoms.calc, "results", {}).get("stress")
        return recorded_frame(
            self.atoms,
            {"step": self.step, "time_fs": self._time_fs},
            energy=self.atoms.get_potential_energy(),
            forces=self.atoms.get_forces(apply_constraint=False),
            stress=None if stress is None else stress.copy(),
        )


class _Log(TextFile):
    """Log of a run without variables."""

    def __init__(self, settings: BiasedRunSettings, atoms: Atoms, *, append: bool) -> None:
        super().__init__(str(settings.logfile), settings.log_interval, append=append)
        self._columns = ["time", "temperature", "energy", *(["volume"] if has_volume(atoms) else [])]

    def _begin(self, file: IO[str]) -> None:
        file.write(f"#! FIELDS {' '.join(self._columns)}\n")
        file.write("# units: time ps, temperature K, energy eV, volume angstrom^3\n")
