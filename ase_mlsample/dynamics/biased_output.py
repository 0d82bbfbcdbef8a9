"""Files of a biased run: a log that PLUMED's tools read, and a trajectory in extxyz."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_extxyz
from numpy.typing import NDArray

from ase_mlsample.biases.arguments import file_names
from ase_mlsample.biases.base import Bias
from ase_mlsample.biases.growing_file import domain_settings
from ase_mlsample.calculators.biased import BiasedCalculator
from ase_mlsample.calculators.structures import has_volume, volume_of
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.run_settings import BiasedRunSettings

__all__ = [
    "FrameFile",
    "Observers",
    "RunLog",
    "RunOutput",
    "TextFile",
    "biased_frame",
    "log_line",
    "open_outputs",
    "recorded_frame",
]


FloatArray = NDArray[np.float64]


class RunOutput(Protocol):
    """A file that takes down a run at every ``interval`` steps; opened at the first write."""

    interval: int

    def write(self, calc: BiasedCalculator, atoms: Atoms, *, step: int, time_fs: float) -> None:
        """Write down the atoms as they are after a step, with the V that made their forces."""
        ...

    def flush(self) -> None:
        """See that everything is in the file."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Observers:
    """Functions to be called during a run, as ASE's dynamics call theirs.

    Attributes
    ----------
    busy : bool
        Whether they are being called.
    """

    def __init__(self) -> None:
        self.busy = False
        self._functions: list[tuple[Callable[..., Any], int, tuple[Any, ...], dict[str, Any]]] = []

    def attach(self, function: Any, interval: int, *args: Any, **kwargs: Any) -> None:
        """Add a function, or an object's method ``write``."""
        called = function if callable(function) else function.write
        self._functions.append((called, interval, args, kwargs))

    def call(self, step: int) -> None:
        """Call those that are due."""
        if not self._functions:
            return
        self.busy = True
        try:
            for function, interval, args, kwargs in self._functions:
                if step % interval == 0 if interval > 0 else step == -interval:
                    function(*args, **kwargs)
        finally:
            self.busy = False


class TextFile:
    """A text file of a run, opened at the first write, and from then on appended to."""

    def __init__(self, path: str, interval: int, *, append: bool) -> None:
        self.path, self.interval = path, interval
        self._mode = "a" if append else "w"
        self._file: IO[str] | None = None

    def opened(self) -> IO[str]:
        """The file, ready to be written to."""
        if self._file is None:
            if self.path == "-":
                self._file, is_new = sys.stdout, self._mode == "w"
            else:
                self._file = Path(self.path).open(self._mode, encoding="utf-8")  # noqa: SIM115 (a run is long)
                is_new = self._file.tell() == 0
            if is_new:
                self._begin(self._file)
            self._mode = "a"
        return self._file

    def append(self, text: str) -> None:
        """Write a text; whoever is watching sees it."""
        file = self.opened()
        file.write(text)
        file.flush()

    def append_frame(self, frame: Atoms) -> None:
        """Write a frame in extxyz."""
        file = self.opened()
        write_extxyz(file, [frame])
        file.flush()

    def _begin(self, file: IO[str]) -> None:
        """Write what a new file starts with."""

    def flush(self) -> None:
        """See that everything is in the file."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._file is not None and self._file is not sys.stdout:
            self._file.close()
        self._file = None


class RunLog(TextFile):
    """Log of a run in the format of PLUMED's COLVAR files.

    Columns are the time in ps, the variables, the bias and the potential energy without it in eV, the
    instantaneous temperature in K (2K over the degrees of freedom that ASE counts) and, where there is one,
    the volume in Å³; then whatever the bias tells of itself, :meth:`Bias.diagnostics`.

    Parameters
    ----------
    path : str
        "-" for standard output.
    interval : int
        Steps between lines.
    cv : CollectiveVariable
        Names and periods of the columns.
    has_volume : bool
    diagnostics : sequence of str
        What the bias tells of itself.
    append : bool
        Whether the file is there and goes on.
    """

    def __init__(
        self,
        path: str,
        interval: int,
        *,
        cv: CollectiveVariable,
        has_volume: bool,
        diagnostics: Sequence[str] = (),
        append: bool,
    ) -> None:
        super().__init__(path, interval, append=append)
        names = file_names(cv.names)
        columns = ["time", *names, "bias", "temperature", "energy", *(["volume"] if has_volume else [])]
        columns += diagnostics
        if len(set(columns)) < len(columns):
            raise ValueError(
                f"columns of a log must differ, but they are {columns}; rename with cv.named(...)"
            )
        self._header = [f"#! FIELDS {' '.join(columns)}"]
        self._header += [f"#! {line}" for line in domain_settings(names, cv.domains)]
        self._header += ["# units: time ps, bias and energy eV, temperature K, volume angstrom^3"]
        self._has_volume = has_volume

    def _begin(self, file: IO[str]) -> None:
        file.write("\n".join([*self._header, ""]))

    def write(self, calc: BiasedCalculator, atoms: Atoms, *, step: int, time_fs: float) -> None:  # noqa: ARG002
        """Write a line."""
        energy = calc.get_unbiased(atoms).energy
        numbers = [*calc.cv_value.value.tolist(), calc.bias_energy, atoms.get_temperature(), energy]
        if self._has_volume:
            numbers.append(volume_of(atoms) or math.nan)
        numbers += calc.bias.diagnostics().values()
        self.append(log_line(time_fs, numbers))


class FrameFile(TextFile):
    """Trajectory of a run in extxyz; frames as :func:`biased_frame` makes them.

    Parameters
    ----------
    path : str
    interval : int
        Steps between frames.
    append : bool
        Whether the file is there and goes on.
    """

    def write(self, calc: BiasedCalculator, atoms: Atoms, *, step: int, time_fs: float) -> None:
        """Write a frame."""
        self.append_frame(biased_frame(calc, atoms, step=step, time_fs=time_fs))


def open_outputs(
    settings: BiasedRunSettings, cv: CollectiveVariable, bias: Bias, atoms: Atoms, *, append: bool
) -> list[RunOutput]:
    """Return the log and the trajectory of a run, if wanted; no file is touched yet."""
    outputs = list[RunOutput]()
    if settings.logfile is not None:
        volume = has_volume(atoms)
        log = RunLog(
            settings.logfile,
            settings.log_interval,
            cv=cv,
            has_volume=volume,
            diagnostics=tuple(bias.diagnostics()),
            append=append,
        )
        outputs.append(log)
    if settings.trajectory is not None:
        outputs.append(FrameFile(settings.trajectory, settings.trajectory_interval, append=append))
    return outputs


def biased_frame(calc: BiasedCalculator, atoms: Atoms, *, step: int, time_fs: float) -> Atoms:
    """Return the atoms as a run keeps them.

    Energy, forces and stress (where known) are those without the bias. ``info`` has ``cv`` (a number, or an
    array of several), ``cv_names``, ``bias`` (the V in eV that made the forces), ``step`` and ``time_fs``;
    what a variable finds for each atom is in the array ``crystallinity``.

    Parameters
    ----------
    calc : BiasedCalculator
    atoms : Atoms
        Evaluated last by ``calc``; otherwise it is evaluated.
    step : int
    time_fs : float
    """
    inner = calc.get_unbiased(atoms)
    value = calc.cv_value
    values = value.value
    info = {
        "cv": float(values[0]) if len(values) == 1 else np.array(values),
        "cv_names": " ".join(calc.cv.names),
        "bias": calc.bias_energy,
        "step": step,
        "time_fs": time_fs,
    }
    frame = recorded_frame(atoms, info, energy=inner.energy, forces=inner.forces, stress=inner.stress)
    if value.per_atom is not None:
        frame.arrays["crystallinity"] = np.array(value.per_atom)
    return frame


def recorded_frame(
    atoms: Atoms, info: Mapping[str, Any], *, energy: float, forces: FloatArray, stress: FloatArray | None
) -> Atoms:
    """Return a copy of the atoms that extxyz can hold, with a calculator's results and some information."""
    frame = atoms.copy()
    frame.set_constraint()  # a constraint would change the forces that are read
    frame.info = {key: item for key, item in atoms.info.items() if key not in all_properties}
    for name in all_properties:
        frame.arrays.pop(name, None)  # a calculator's result of before, which extxyz would refuse
    frame.info |= info
    results = {"energy": energy, "forces": forces} | ({} if stress is None else {"stress": stress})
    frame.calc = SinglePointCalculator(frame, **results)
    return frame


def log_line(time_fs: float, numbers: Iterable[float]) -> str:
    """Return the line of a log with the time in ps before the other columns."""
    return f" {time_fs / 1000:.6f} {' '.join(f'{number:.10g}' for number in numbers)}\n"
