"""A window beside a run of one's own: what a script attaches to its dynamics to look on."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
import weakref
from pathlib import Path
from shutil import rmtree
from typing import Any

from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.io.extxyz import write_extxyz
from ase.md.md import MolecularDynamics

from ase_mlsample.calculators.biased import BiasedCalculator
from ase_mlsample.dynamics.biased_output import biased_frame, recorded_frame
from ase_mlsample.gui.ase_viewers import require_window, view_mlsample

__all__ = ["LiveView"]


class LiveView:
    """Shows the frames of a dynamics in a window of another process while it runs: attach it.

    The first call opens the window, with plots of variables, bias, disagreement and energy beside it. When it
    is closed, nothing more is written and the run goes on.

    Parameters
    ----------
    dynamics
        An ASE dynamics or optimizer, of a cell too, or a biased run of this package.
    path
        Extended XYZ that the frames go to, replaced if it is there; by default a temporary file, which goes
        with this process.
    spread
        Evaluate the members' disagreement for each frame shown, calibrated, where the calculator is an
        ensemble.
    color, log
        As for `open_viewer`.
    history
        Frames that are kept for stepping back; the plots keep all.
    plot
        Whether to open the window with the plots.

    Raises
    ------
    RuntimeError
        If Python has no tkinter, or there is no display.
    TypeError
        For a dynamics of several structures, such as a band.

    Examples
    --------
    >>> dynamics.attach(LiveView(dynamics), interval=20)                            # doctest: +SKIP
    """

    def __init__(
        self,
        dynamics: Any,
        *,
        path: str | Path | None = None,
        spread: bool = True,
        color: str = "force_sigma",
        log: bool = False,
        history: int = 200,
        plot: bool = True,
    ) -> None:
        require_window()
        _structure(dynamics)
        self.dynamics, self.spread = dynamics, spread
        self._options: dict[str, Any] = {"color": color, "log": log, "history": history, "plot": plot}
        if path is None:
            folder = Path(tempfile.mkdtemp(prefix="mlsample-view-"))
            weakref.finalize(self, rmtree, folder, ignore_errors=True)
            path = folder / "run.extxyz"
        self.path = Path(path)
        self.window: subprocess.Popen[bytes] | None = None
        self._mode = "w"
        self._works = True

    def __call__(self) -> None:
        """Show the frame of this step."""
        if not self._works or (self.window is not None and self.window.poll() is not None):
            return
        try:
            with self.path.open(self._mode, encoding="utf-8") as file:
                write_extxyz(file, [self.frame()])
            self._mode = "a"
        except OSError as error:  # a full disk is no reason to lose the run
            self._works = False
            warnings.warn(f"the live view ends: {error}", stacklevel=2)
            return
        if self.window is None:
            self.window = view_mlsample(self.path, live=True, **self._options)

    def frame(self) -> Atoms:
        """Return what is shown of the present step."""
        atoms = _structure(self.dynamics)
        calc = atoms.calc
        info = self._moment()
        if isinstance(calc, BiasedCalculator):
            frame = biased_frame(calc, atoms, step=info.get("step", 0), time_fs=info.get("time_fs", 0.0))
        else:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces(apply_constraint=False)
            frame = recorded_frame(atoms, info, energy=energy, forces=forces, stress=None)
        if self.spread and hasattr(calc, "get_spread"):
            self._annotate(frame, atoms, calc)
        return frame

    def _annotate(self, frame: Atoms, atoms: Atoms, calc: Any) -> None:
        try:
            spread = calc.get_spread(atoms).calibrated
        except PropertyNotImplementedError:  # no ensemble
            self.spread = False
            return
        frame.arrays["force_sigma"] = spread.force_sigma
        frame.info["energy_std"] = spread.energy_std

    def _moment(self) -> dict[str, Any]:
        """Step and time, as far as the dynamics has them."""
        dynamics = self.dynamics
        step = getattr(dynamics, "nsteps", None)
        if hasattr(dynamics, "time_fs"):
            return {"step": int(dynamics.step), "time_fs": float(dynamics.time_fs)}
        if isinstance(dynamics, MolecularDynamics):
            return {"step": int(dynamics.nsteps), "time_fs": float(dynamics.get_time() / units.fs)}
        return {} if step is None else {"step": int(step)}


def _structure(dynamics: Any) -> Atoms:
    """The atoms that a dynamics moves, which may be behind filters such as that of a cell."""
    atoms = dynamics.atoms
    while not isinstance(atoms, Atoms):
        if not hasattr(atoms, "atoms"):
            raise TypeError(f"a live view is of one structure, not of a {type(atoms).__name__}")
        atoms = atoms.atoms
    return atoms
