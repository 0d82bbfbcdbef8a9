"""Dynamics with a bias of collective variables, around any integrator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ase import Atoms, units

from ase_mlsample.biases.base import Bias
from ase_mlsample.calculators.biased import BiasedCalculator
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased_output import Observers, open_outputs
from ase_mlsample.dynamics.checkpoint import (
    Checkpoint,
    read_checkpoint,
    require_files,
    truncate_files,
    write_checkpoint,
)
from ase_mlsample.dynamics.integrator_facts import refresh_forces, require_driveable
from ase_mlsample.dynamics.run_checks import (
    added_terms,
    compare_run,
    compare_temperature,
    joined,
    require_absent,
    require_folders,
    require_orientation,
)
from ase_mlsample.dynamics.run_progress import RunProgress
from ase_mlsample.dynamics.run_settings import BiasedRunSettings

__all__ = ["BiasedDynamics"]


class BiasedDynamics:
    """Drives an integrator on the biased surface and tells the bias of every step.

    The integrator's own steps are made, with a :class:`BiasedCalculator` on its atoms, so that ASE's and our
    integrators all work. After each step, and never at step 0, the bias gets the variables of the atoms; all
    files are written before that, with the V that made the forces. Leaving the context, or :meth:`close`,
    gives the atoms their calculator back.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
        With atoms that have velocities and a calculator. Its random numbers must come from a generator of
        its own, ``rng=np.random.default_rng(seed)``.
    cv : CollectiveVariable
    bias : Bias
        Of the variables, in eV; it may be shared by several runs.
    temperature_K : float
        Of the run; compared with the integrator's where that can be known.
    trajectory : path, optional
        In extxyz, in place of a file that is there: energy, forces and stress without the bias as the
        calculator's, ``cv``, ``cv_names``, ``bias``, ``step`` and ``time_fs`` in ``info``, and
        ``crystallinity`` of each atom from variables that have such a thing.
    logfile : path, optional
        For PLUMED's tools, in place of a file that is there: time (ps), variables, bias (eV), temperature
        (K), energy without bias (eV), volume (Å³), and what the bias tells of itself. "-" is standard output.
    trajectory_interval, log_interval : int
        Steps from one frame, and one line, to the next; the first is step 0.
    checkpoint : path, optional
        File from which :meth:`load` goes on exactly; written every ``checkpoint_interval`` steps, at the end
        of a run and when the context is left without an error.
    checkpoint_interval : int
    progress : bool
        Whether to show the steps, on standard error.

    Attributes
    ----------
    integrator, cv, bias, atoms
    calc : BiasedCalculator
    step : int
        Steps made with this bias, continued runs included.
    settings : BiasedRunSettings

    Raises
    ------
    TypeError
        For an integrator, variable or bias that is none, and atoms whose calculator is biased already.
    ValueError
        For another temperature than the integrator's, an integrator on numpy's global generator, a barostat
        that changes the shape of the cell beneath a variable fixed to the laboratory, and settings out of
        range.
    FileExistsError
        For a checkpoint that is there: :meth:`load` it, or remove it.

    Examples
    --------
    >>> import numpy as np
    >>> from ase import units
    >>> from ase.build import bulk
    >>> from ase.md.langevin import Langevin
    >>> from ase_mlsample.biases import HarmonicRestraint
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> atoms = bulk("Si", cubic=True)
    >>> atoms.calc = StillingerWeber()
    >>> rng = np.random.default_rng(0)
    >>> langevin = Langevin(
    ...     atoms, 2 * units.fs, temperature_K=300, friction=0.01, fixcm=False, rng=rng
    ... )
    >>> restraint = HarmonicRestraint(2.4, 20.0)
    >>> with BiasedDynamics(langevin, Distance(0, 1), restraint, temperature_K=300) as dynamics:
    ...     dynamics.run(10)
    True
    """

    def __init__(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        bias: Bias,
        *,
        temperature_K: float,
        trajectory: str | Path | None = None,
        trajectory_interval: int = 1000,
        logfile: str | Path | None = None,
        log_interval: int = 100,
        checkpoint: str | Path | None = None,
        checkpoint_interval: int = 10_000,
        progress: bool = True,
    ) -> None:
        settings = BiasedRunSettings(
            temperature_K=temperature_K,
            trajectory=None if trajectory is None else str(trajectory),
            trajectory_interval=trajectory_interval,
            logfile=None if logfile is None else str(logfile),
            log_interval=log_interval,
            checkpoint=None if checkpoint is None else str(checkpoint),
            checkpoint_interval=checkpoint_interval,
            progress=progress,
        )
        self._set_up(integrator, cv, bias, settings)

    @classmethod
    def load(
        cls,
        path: str | Path,
        integrator: Any,
        cv: CollectiveVariable,
        bias: Bias | None = None,
        *,
        progress: bool = True,
    ) -> Self:
        """Go on from a checkpoint, exactly: atoms, integrator and bias get its state, files are cut to it.

        Parameters
        ----------
        path : path
            Of the checkpoint; the files of the run are where they were, relative to it.
        integrator : ase.md.md.MolecularDynamics
            Of the same class and settings, with the same kind of atoms and a calculator.
        cv : CollectiveVariable
            That of the run.
        bias : Bias, optional
            One with the settings of the run's. A :class:`Metadynamics` and the like build their own, and what
            they had as ``extra_bias``, unless that is of a class of yours: then give it here.
        progress : bool

        Raises
        ------
        FileNotFoundError
            When there is no checkpoint.
        ValueError
            When checkpoint, integrator, atoms, variable, bias or files are not those of one run, naming what
            differs.
        TypeError
            When the bias is missing.
        """
        checkpoint = read_checkpoint(path)
        run = checkpoint.extra
        compare_run(cls, cv, run, Path(path))
        settings = BiasedRunSettings.unpacked(run["settings"], Path(path), progress=progress)
        own = cls._own_bias(settings, cv)
        if own is not None:
            bias = joined(own, bias if bias is not None else added_terms(checkpoint.bias))
        elif bias is None:
            raise TypeError(f"{cls.__name__}.load needs the bias, made with the settings of the run")
        dynamics = cls.__new__(cls)
        dynamics._set_up(integrator, cv, bias, settings, checkpoint)
        return dynamics

    @classmethod
    def _own_bias(cls, settings: BiasedRunSettings, cv: CollectiveVariable) -> Bias | None:  # noqa: ARG003
        """Build the bias that belongs to the class, from the settings of a run; None without one."""
        return None

    def _set_up(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        bias: Bias,
        settings: BiasedRunSettings,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        require_driveable(integrator)
        compare_temperature(integrator, bias, settings.temperature_K)
        self.integrator, self.cv, self.bias, self.settings = integrator, cv, bias, settings
        self.atoms: Atoms = integrator.atoms
        self.calc = BiasedCalculator(self.atoms.calc, cv, bias)
        self.calc.compares_bias = False
        require_orientation(integrator, cv)
        self.step = 0
        self._observers = Observers()
        self._saved_step, self._begun = -1, False
        self._failed, self._to_save = False, list[str | Path | None]()
        self._outputs = open_outputs(settings, cv, bias, self.atoms, append=checkpoint is not None)
        if checkpoint is None:
            require_absent(settings.checkpoint)
            require_folders(settings)
        else:
            self._take_up(checkpoint)
        self._attach_bias(fresh=checkpoint is None)

    def _take_up(self, checkpoint: Checkpoint) -> None:
        require_files(checkpoint)  # before the bias cuts its own
        checkpoint.restore(self.integrator)
        self.bias.load_state_dict(checkpoint.bias)
        truncate_files(checkpoint)
        self.step = self._saved_step = int(checkpoint.extra["step"])
        self._begun = bool(checkpoint.extra["begun"])

    def _attach_bias(self, *, fresh: bool) -> None:
        self.atoms.calc = self.calc
        try:
            if fresh:
                refresh_forces(self.integrator)
        except BaseException:
            self.atoms.calc = self.calc.calc
            raise

    def run(self, steps: int = 50) -> bool:
        """Make steps; returns True when all were made, as ASE's dynamics do."""
        converged = steps == 0
        for converged in self.irun(steps):  # noqa: B007 (the last one counts)
            pass
        return converged

    def irun(self, steps: int = 50) -> Iterator[bool]:
        """Make steps one at a time: yields before the first and after each, True at the last.

        Parameters
        ----------
        steps : int

        Raises
        ------
        RuntimeError
            When the run is closed, or somebody gave the atoms another calculator.
        ValueError
            When a variable, the bias or a position is not a number; what was written so far is on disk.
        """
        self._require_attached()
        with self._flushing(), RunProgress(type(self).__name__, steps, enabled=self.settings.progress) as bar:
            for done, finished in enumerate(self.integrator.irun(steps)):
                if done > 0:
                    self._after_step()
                elif not self._begun:
                    self._begun = True
                    self._record()
                    self._save_for_observers()
                if bar.due(done):
                    bar.show(done, self._summary())
                yield bool(finished)
            if self.settings.checkpoint is not None:
                self.save()

    def attach(self, function: Any, interval: int = 1, *args: Any, **kwargs: Any) -> None:
        """Call a function during the run, before the bias hears of the step.

        Parameters
        ----------
        function : callable, or an object with a method ``write``
        interval : int
            Steps from one call to the next, the first at step 0; not positive: once, after that many steps.
        *args, **kwargs
            For the function.
        """
        self._observers.attach(function, interval, *args, **kwargs)

    def save(self, path: str | Path | None = None) -> None:
        """Write a checkpoint, by default where the settings say; from an attached function, after its step.

        Parameters
        ----------
        path : path, optional

        Raises
        ------
        ValueError
            Without a path here and in the settings.
        """
        where = path if path is not None else self.settings.checkpoint
        if where is None:
            raise ValueError(
                "there is no path for the checkpoint; give save(path), or checkpoint=path before"
            )
        if self._observers.busy:
            self._to_save.append(path)
            return
        self.flush()
        settings = self.settings.saved_to(where)
        extra = {"run": type(self).__name__, "step": self.step, "begun": self._begun}
        extra |= {"cv": self.cv.todict(), "settings": settings.packed()}
        write_checkpoint(where, integrator=self.integrator, bias=self.bias, files=settings.files, extra=extra)
        if path is None:
            self._saved_step = self.step

    def todict(self) -> dict[str, Any]:
        """Describe the run by plain values, as ASE's dynamics do."""
        return {
            "type": "molecular-dynamics",
            "md-type": type(self).__name__,
            "timestep": self.integrator.dt,
            "temperature_K": self.settings.temperature_K,
            "integrator": self.integrator.todict(),
            "cv": self.cv.todict(),
            "bias": {"class": type(self.bias).__name__, **self.bias.settings()},
        }

    def flush(self) -> None:
        """See that all files of the run hold everything."""
        for output in self._outputs:
            output.flush()
        self.bias.flush()

    def close(self) -> None:
        """Write the checkpoint, unless an error ended the run, close files, give the calculator back."""
        if self.atoms.calc is not self.calc:
            return
        try:
            unsaved = self.step != self._saved_step and self.step > 0
            if self.settings.checkpoint is not None and unsaved and not self._failed:
                self.save()
        finally:
            self.atoms.calc = self.calc.calc
            for output in self._outputs:
                output.close()
            self.bias.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._failed = self._failed or error is not None
        self.close()

    @property
    def time_fs(self) -> float:
        """Time since the start of the biased run."""
        return float(self.step * self.integrator.dt / units.fs)

    def _after_step(self) -> None:
        self.step += 1
        self._require_attached()
        self._record()
        if self.bias.update(self.calc.evaluate_cv(self.atoms).value, self.step):
            self.calc.bias_changed()
        if self.settings.checkpoint is not None and self.step % self.settings.checkpoint_interval == 0:
            self.save()
        self._save_for_observers()

    def _save_for_observers(self) -> None:
        while self._to_save:
            self.save(self._to_save.pop())

    def _record(self) -> None:
        """Write files and call functions that are due, with the V that made the forces."""
        step = self.step
        for output in self._outputs:
            if step % output.interval == 0:
                output.write(self.calc, self.atoms, step=step, time_fs=self.time_fs)
        self._observers.call(step)

    @contextlib.contextmanager
    def _flushing(self) -> Iterator[None]:
        """See to it that whatever ends the run leaves its files whole."""
        self._failed = False
        try:
            yield
        except GeneratorExit:  # somebody left a loop over irun
            raise
        except BaseException as error:
            self._failed = True
            error.add_note(self._where())
            raise
        finally:
            self.flush()

    def _where(self) -> str:
        where = f"after step {self.step} of {type(self).__name__}; what was written until then is on disk"
        if self._saved_step > 0:
            where += f", and {self.settings.checkpoint} goes on from step {self._saved_step}"
        return where

    def _summary(self) -> str:
        values = self.calc.evaluate_cv(self.atoms).value.tolist()
        shown = [f"{name} {value:.4g}" for name, value in zip(self.cv.names, values, strict=True)]
        return ", ".join([*shown, f"bias {self.calc.bias_energy:.4g} eV"])

    def _require_attached(self) -> None:
        if self.atoms.calc is not self.calc:
            raise RuntimeError(
                "the atoms have another calculator than that of this run: it was closed, or the calculator "
                "was replaced; make a new run, or load the checkpoint"
            )
