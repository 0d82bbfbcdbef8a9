"""What a long property has computed so far, in a folder: after a kill it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_mlsample._files import write_atomic
from ase_mlsample.dynamics.checkpoint import read_checkpoint, write_checkpoint
from ase_mlsample.dynamics.packed_file import read_packed, write_packed

__all__ = ["Journal"]

FloatArray = NDArray[np.float64]

_VERSION = "ase-mlsample kept 1"
_NOW = "now.json"


class Journal:
    """Runs and results of a property in their order, each in a file of its own, which is whole or absent.

    A property that starts again does its steps in the same order, and takes what is there: results as they
    are, runs of molecular dynamics from their last checkpoint. An entry counts only for the same start, to
    the last bit, so that the end is that of a property which was never stopped. Where a start differs, as
    with another number of threads, that entry and those after it are computed anew.

    Parameters
    ----------
    folder : path, optional
        Of the files; made where it is missing. Without one nothing is kept.
    interval_s : float
        Between checkpoints of a run, s.

    Examples
    --------
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.validation import Journal, crystal_of, expansion_by_dynamics
    >>> crystal = crystal_of("Si", "diamond", conventional=True)
    >>> expansion_by_dynamics(
    ...     StillingerWeber(), crystal, journal=Journal("expansion.journal")
    ... )  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path | None = None, *, interval_s: float = 20.0) -> None:
        self.folder = None if folder is None else Path(folder)
        self.interval_s = interval_s
        self._entries = 0
        self._told = -np.inf
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def kept(self, what: str, compute: Callable[[], ArrayLike], *inputs: ArrayLike) -> FloatArray:
        """Result of a function, computed once.

        Parameters
        ----------
        what : str
            For people.
        compute : callable
            Gives numbers as an array.
        inputs : arrays
            All that the result depends on, besides the calculator and what the folder is for.
        """
        path, start = self._next(*inputs)
        if path is None:
            return np.asarray(compute(), float)
        self._tell(what)
        state = _read(path, lambda: read_packed(path, version=_VERSION, what="a property"))
        if state is None or state["start"] != start:
            state = {"start": start, "result": np.asarray(compute(), float)}
            write_packed(path, state, version=_VERSION)
        return np.asarray(state["result"])

    def run(
        self,
        what: str,
        integrator: Any,
        steps: int,
        *,
        sample: Callable[[], ArrayLike] | None = None,
        interval: int = 10,
        rng: np.random.Generator | None = None,
        inputs: ArrayLike = (),
    ) -> FloatArray:
        """Make steps of molecular dynamics, sampling on the way.

        Parameters
        ----------
        what : str
            For people.
        integrator : ASE dynamics
            At its start.
        steps : int
        sample : callable, optional
            Gives numbers of the atoms, always as many.
        interval : int
            Steps between samples.
        rng : numpy.random.Generator, optional
            Of the integrator, or of one of its parts, which are its attributes.
        inputs : array
            What else its steps depend on: temperature, pressure, time step.

        Returns
        -------
        (steps // interval, ...) array
            The samples; empty without `sample`.
        """
        atoms = integrator.atoms
        parts = (atoms.positions, atoms.get_momenta(), atoms.cell.array, [steps, interval], inputs)
        path, start = self._next(*parts, rng=rng)
        samples: list[ArrayLike] = []
        first = 0
        known = None if path is None else _read(path, lambda: read_checkpoint(path))
        if known is not None and known.extra["start"] == start:
            known.restore(integrator)
            samples, first = list(known.extra["samples"]), int(known.extra["done"])
        if first == steps:
            return np.array(samples, float)
        saved = time.monotonic()
        for done, _ in enumerate(integrator.irun(steps - first), start=first):
            if done == first:
                continue
            if sample is not None and done % interval == 0:
                samples.append(np.array(sample(), float))
            if path is None:
                continue
            if done % interval == 0:
                self._tell(what, done, steps)
            if done == steps or (done % interval == 0 and time.monotonic() - saved > self.interval_s):
                extra = {"start": start, "done": done, "samples": np.array(samples, float)}
                write_checkpoint(path, integrator=integrator, extra=extra)
                saved = time.monotonic()
        return np.array(samples, float)

    def remove(self) -> None:
        """Remove the folder, when the property is done."""
        if self.folder is not None:
            shutil.rmtree(self.folder)

    @staticmethod
    def now(folder: Path) -> str:
        """What a property whose journal is in a folder is at, in words; empty where nothing is known."""
        try:
            told = json.loads((folder / _NOW).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ""
        share = f", {told['done'] / told['steps']:.0%}" if told["steps"] else ""
        return f"{told['what']}{share}"

    def _next(self, *inputs: ArrayLike, rng: np.random.Generator | None = None) -> tuple[Path | None, str]:
        """File of the next entry, and the digest of what it starts from."""
        number, self._entries = self._entries, self._entries + 1
        if self.folder is None:
            return None, ""
        found = hashlib.sha256(repr(None if rng is None else rng.bit_generator.state).encode())
        for one in inputs:
            found.update(np.ascontiguousarray(one, dtype=np.float64).tobytes())
        return self.folder / f"{number:03d}.npz", found.hexdigest()

    def _tell(self, what: str, done: int = 0, steps: int = 0) -> None:
        """Say what is being done, at most every second and a half."""
        if self.folder is not None and time.monotonic() - self._told > 1.5:
            self._told = time.monotonic()
            content = json.dumps({"what": what, "done": done, "steps": steps}, ensure_ascii=False)
            write_atomic(self.folder / _NOW, content.encode())


def _read(path: Path, read: Callable[[], Any]) -> Any:
    """What a file holds; None where there is none, or a damaged one: its entry is computed anew."""
    if not path.is_file():
        return None
    try:
        return read()
    except ValueError:
        return None
