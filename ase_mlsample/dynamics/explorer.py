"""What the explorers along a programme have in common: settings, the loop, and going on from a checkpoint."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_mlsample.dynamics.gate import UncertaintyGate
from ase_mlsample.dynamics.guards import Guards
from ase_mlsample.dynamics.programme import Programme
from ase_mlsample.dynamics.ramped_run import RampedRun, RunSummary
from ase_mlsample.dynamics.rescaling import plain
from ase_mlsample.dynamics.snapshot import Snapshot

__all__ = ["ProgrammeExplorer", "RunSettings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """How a programme is followed; the parameters are those of :class:`RampedMD`.

    Raises
    ------
    ValueError
        For numbers out of range, and if nothing could be yielded.
    """

    timestep_fs: float
    friction_per_ps: float
    thermostat_fs: float
    barostat_fs: float
    compressibility_per_GPa: float
    gate: UncertaintyGate | None
    guards: Guards | None
    check_every: int
    keep_every: int | None
    limits: Guards = field(init=False)

    def __post_init__(self) -> None:
        numbers = "timestep_fs", "friction_per_ps", "thermostat_fs", "barostat_fs", "compressibility_per_GPa"
        for name in numbers:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive finite number, got {value!r}")
            object.__setattr__(self, name, float(value))  # times in frames are floats, whatever was given
        if self.check_every < 1 or (self.keep_every is not None and self.keep_every < 1):
            raise ValueError(
                f"check_every ({self.check_every!r}) and keep_every ({self.keep_every!r}) must be at least "
                "1; keep_every=None keeps only what the gate stops"
            )
        if self.gate is None and self.keep_every is None:
            raise ValueError("without gate and keep_every nothing would ever be yielded; give one of them")
        object.__setattr__(self, "limits", self.guards or Guards())


class ProgrammeExplorer(ABC):
    """An explorer that drives atoms along a programme drawn for each trajectory.

    Subclasses write :meth:`draw`.
    """

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Programme:
        """Draw the programme of one trajectory."""

    def explore(
        self,
        calc: Any,
        atoms: Atoms,
        rng: np.random.Generator,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 20,
    ) -> Generator[Atoms, None, RunSummary]:
        """Run one trajectory.

        Parameters
        ----------
        calc : ASE calculator
            With ``get_spread`` where there is a gate, with stress where there is a pressure.
        atoms : Atoms
            The start; not changed.
        rng : numpy.random.Generator
            The only source of randomness.
        checkpoint : path or None
            A file that is written every so many checks. If it is there already, the trajectory goes on from
            it: with the same start and the same state of ``rng``, the frames from that check on are those of
            a run without interruption, to the last bit. The file stays; remove it when its frames are safe.
        checkpoint_every : int
            Checks between writes.

        Yields
        ------
        Atoms
            Copies without calculator and momenta, wrapped into the cell, with ``force_sigma`` (N,) in
            ``arrays`` where there is a gate, and in ``info``: ``source``, ``start_source``, ``stop_reason``
            ("running" for those of ``keep_every``), ``time_fs``, ``temperature_K`` (the target),
            ``pressure_GPa`` (likewise, where there is one), ``density_scale`` (relative to the start),
            ``force_sigma_max``, ``evaluations``, and the drawn numbers ``ramp_…`` or ``quench_…``.

        Returns
        -------
        RunSummary
            The generator's return value (``summary = yield from ...``); :meth:`run` gives both.

        Raises
        ------
        TypeError
            At the call, for an ``rng`` that is no Generator.
        ValueError
            At the call, for no atoms, a density or pressure without a fully periodic cell, or a checkpoint
            of another trajectory.
        PropertyNotImplementedError
            For a pressure with a calculator that has no stress.
        FileNotFoundError
            At the call, for a checkpoint in a folder that is not there.
        """
        run, checkpoints = self._begin(calc, atoms, rng, checkpoint, checkpoint_every)
        return _follow(run, checkpoints)

    def run(
        self,
        calc: Any,
        atoms: Atoms,
        rng: np.random.Generator,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 20,
    ) -> tuple[list[Atoms], RunSummary]:
        """Run one trajectory to its end and return the frames of :meth:`explore` with the summary.

        With a checkpoint that is there already, the frames before it are among them.
        """
        run, checkpoints = self._begin(calc, atoms, rng, checkpoint, checkpoint_every)
        frames = [frame.copy() for frame in checkpoints.kept]
        generator = _follow(run, checkpoints)
        while True:
            try:
                frames.append(next(generator))
            except StopIteration as end:
                return frames, end.value

    def _begin(
        self,
        calc: Any,
        atoms: Atoms,
        rng: np.random.Generator,
        checkpoint: str | Path | None,
        every: int,
    ) -> tuple[RampedRun, _Checkpoints]:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rng must be a numpy.random.Generator, got {type(rng).__name__}; "
                "pass numpy.random.default_rng(seed)"
            )
        if len(atoms) == 0:
            raise ValueError("there are no atoms to move; pass a structure")
        path = None if checkpoint is None else Path(checkpoint)
        identity = "" if path is None else self._identity(atoms, rng)
        checkpoints = _Checkpoints(path, every, identity)
        run = self._trajectory(calc, atoms, rng)
        checkpoints.resume(run)
        return run, checkpoints

    def _trajectory(self, calc: Any, atoms: Atoms, rng: np.random.Generator) -> RampedRun:
        """Make a trajectory that has not moved yet."""
        return RampedRun(self.settings, self.draw(rng), calc, atoms, rng, source=type(self).__name__)

    def _windows(self) -> dict[str, Any]:
        """What trajectories are drawn from, as values that print the same every time."""
        return {name: value for name, value in vars(self).items() if name != "settings"}

    def _identity(self, atoms: Atoms, rng: np.random.Generator) -> str:
        """Digest of what decides a trajectory, apart from calculator, gate and guards."""
        windows = self._windows()
        names = (item.name for item in fields(self.settings) if item.name not in ("gate", "guards", "limits"))
        settings = [getattr(self.settings, name) for name in names]
        text = repr([type(self).__name__, windows, settings, plain(rng.bit_generator.state)])
        digest = hashlib.sha256(text.encode())
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses()):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class _Checkpoints:
    """The file that a trajectory is kept in, if any, and the frames that belong into it."""

    def __init__(self, path: Path | None, every: int, identity: str) -> None:
        if every < 1:
            raise ValueError(f"checkpoint_every must be at least one check, got {every!r}")
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} for the checkpoint; make it first")
        self.path, self.every, self.identity = path, every, identity
        self.kept: list[Atoms] = []
        self.checks = 0

    def resume(self, run: RampedRun) -> None:
        if self.path is None or not self.path.exists():
            return
        snapshot = Snapshot.load(self.path)
        if snapshot.trajectory != self.identity:
            raise ValueError(
                f"the checkpoint {self.path} is of another trajectory: start, settings or the state of rng "
                "differ; remove it to start anew, or give each trajectory a file of its own"
            )
        self.kept = run.restore(snapshot)

    def keep(self, frame: Atoms) -> Atoms:
        if self.path is not None:
            self.kept.append(frame.copy())  # whoever gets the frame may change it
        return frame

    def save(self, run: RampedRun) -> None:
        self.checks += 1
        if self.path is not None and self.checks % self.every == 0:
            run.snapshot(self.identity, self.kept).save(self.path)


def _follow(run: RampedRun, checkpoints: _Checkpoints) -> Generator[Atoms, None, RunSummary]:
    while True:
        kept = run.check()
        if kept is not None:
            yield checkpoints.keep(kept)
        if not run.reason:
            run.advance()
        if run.reason:
            break
        checkpoints.save(run)
    if run.reason in ("exploded", "collapsed", "failed", "unphysical"):
        kept = run.look_back()
        if kept is not None:
            yield checkpoints.keep(kept)
    return run.summary()
