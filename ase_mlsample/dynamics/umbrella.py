"""Umbrella sampling: a spring on collective variables, at rest or moving, one window or a row of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_mlsample.biases.base import Bias
from ase_mlsample.biases.comparison import differences
from ase_mlsample.biases.restraints import HarmonicRestraint, MovingRestraint
from ase_mlsample.cvs.base import CollectiveVariable
from ase_mlsample.dynamics.biased import BiasedDynamics
from ase_mlsample.dynamics.run_checks import joined, refuse_unknown, require_variable
from ase_mlsample.dynamics.run_settings import BiasedRunSettings

__all__ = ["UmbrellaSampling", "UmbrellaWindow", "umbrella_windows"]

FloatArray = NDArray[np.float64]


class UmbrellaSampling(BiasedDynamics):
    """Dynamics with a harmonic restraint V = Σ ½ κ (s − center)², which may move.

    Parameters
    ----------
    integrator : ase.md.md.MolecularDynamics
    cv : CollectiveVariable
    temperature_K : float
    center : float or array_like (d,)
    kappa : float or array_like (d,)
        In eV per variable squared.
    to : float or array_like (d,), optional
        Where the center moves to, in a straight line, during the first ``over_steps`` steps; it stays there.
        To go through the end of a period, go on past it.
    over_steps : int, optional
    extra_bias : Bias, optional
        Added, such as walls.
    **settings
        Files and intervals, as of :class:`BiasedDynamics`: ``trajectory``, ``trajectory_interval``,
        ``logfile``, ``log_interval``, ``checkpoint``, ``checkpoint_interval``, ``progress``.

    Raises
    ------
    ValueError, TypeError
        For a way without an end or a time, and as :class:`BiasedDynamics` and its bias.

    Examples
    --------
    >>> import numpy as np
    >>> from ase import units
    >>> from ase.build import bulk
    >>> from ase.md.langevin import Langevin
    >>> from ase_mlsample.calculators import StillingerWeber
    >>> from ase_mlsample.cvs import Distance
    >>> atoms = bulk("Si", cubic=True)
    >>> atoms.calc = StillingerWeber()
    >>> rng = np.random.default_rng(0)
    >>> langevin = Langevin(
    ...     atoms, 2 * units.fs, temperature_K=300, friction=0.01, fixcm=False, rng=rng
    ... )
    >>> distance = Distance(0, 1)
    >>> with UmbrellaSampling(langevin, distance, temperature_K=300, center=2.4, kappa=20.0) as dynamics:
    ...     dynamics.run(10)
    True
    """

    def __init__(
        self,
        integrator: Any,
        cv: CollectiveVariable,
        *,
        temperature_K: float,
        center: ArrayLike,
        kappa: ArrayLike,
        to: ArrayLike | None = None,
        over_steps: int | None = None,
        extra_bias: Bias | None = None,
        **settings: Any,
    ) -> None:
        require_variable(cv)
        refuse_unknown(UmbrellaSampling, settings)
        if (to is None) != (over_steps is None):
            raise ValueError(f"a moving restraint needs both, got to={to!r} and over_steps={over_steps!r}")
        details = {
            "center": _numbers(center, "center", cv),
            "kappa": _numbers(kappa, "kappa", cv),
            "to": None if to is None else _numbers(to, "to", cv),
            "over_steps": over_steps,
        }
        run = BiasedRunSettings(temperature_K=temperature_K, details=details, **settings)
        self._set_up(integrator, cv, joined(self._own_bias(run, cv), extra_bias), run)

    @classmethod
    def _own_bias(cls, settings: BiasedRunSettings, cv: CollectiveVariable) -> Bias:
        details = settings.details
        center, kappa, to = details["center"], details["kappa"], details["to"]
        if to is None:
            return HarmonicRestraint(center, kappa, domains=cv.domains)
        steps = [0, details["over_steps"]]
        return MovingRestraint(steps, [center, to], [kappa, kappa], domains=cv.domains)


@dataclass(frozen=True, slots=True)
class UmbrellaWindow:
    """What one window of a row gave.

    Attributes
    ----------
    center, kappa : ndarray (d,)
    values : ndarray (n, d)
        The variables at every ``log_interval`` steps after the equilibration.
    log : Path
        All of the run's log.
    trajectory : Path or None
    """

    center: FloatArray
    kappa: FloatArray
    values: FloatArray
    log: Path
    trajectory: Path | None


def umbrella_windows(
    atoms: Atoms,
    make_integrator: Callable[[Atoms, int], Any],
    cv: CollectiveVariable,
    *,
    temperature_K: float,
    centers: Sequence[ArrayLike],
    kappa: ArrayLike,
    steps: int,
    directory: str | Path,
    equilibration: int = 0,
    log_interval: int = 10,
    trajectory_interval: int | None = None,
    checkpoint_interval: int = 10_000,
    progress: bool = True,
) -> list[UmbrellaWindow]:
    """Sample a row of windows one after the other, each from the last structure of the one before.

    Called again after an interruption it goes on: finished windows are read, the unfinished one continues
    from its checkpoint, exactly.

    Parameters
    ----------
    atoms : Atoms
        With velocities and a calculator; left as the last window leaves them.
    make_integrator : callable (atoms, window) -> integrator
        Makes one for each window; ``rng=np.random.default_rng([seed, window])`` gives each its own noise.
    cv : CollectiveVariable
    temperature_K : float
    centers : sequence of float or array_like (d,)
        Near each other, so that windows overlap: steps of about √(k_BT/κ) to twice that.
    kappa : float or array_like (d,)
        In eV per variable squared, of all windows.
    steps : int
        Of each window, after the equilibration.
    directory : path
        Made if it is not there. Window k writes ``window-k.colvar``, ``window-k.ckpt`` and, if wanted,
        ``window-k.extxyz``, with k in three digits.
    equilibration : int
        Steps of each window that are left out of ``values``.
    log_interval : int
        Steps between values.
    trajectory_interval : int, optional
        Steps between frames; default: no trajectory.
    checkpoint_interval : int
    progress : bool

    Returns
    -------
    list of UmbrellaWindow

    Raises
    ------
    ValueError, TypeError
        For no windows or steps, and as :class:`UmbrellaSampling`.
    """
    if len(centers) == 0:
        raise ValueError("umbrella sampling needs at least one center")
    if steps < 1 or equilibration < 0:
        raise ValueError(f"steps={steps} must be positive and equilibration={equilibration} not negative")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    endings = {"logfile": ".colvar", "checkpoint": ".ckpt"}
    if trajectory_interval is not None:
        endings["trajectory"] = ".extxyz"
    settings: dict[str, Any] = {
        "log_interval": log_interval,
        "trajectory_interval": trajectory_interval or 1,
        "checkpoint_interval": checkpoint_interval,
        "progress": progress,
    }
    windows = []
    for number, center in enumerate(centers):
        files: dict[str, Any] = {
            name: folder / f"window-{number:03d}{ending}" for name, ending in endings.items()
        }
        integrator = make_integrator(atoms, number)
        if files["checkpoint"].exists():
            dynamics = UmbrellaSampling.load(files["checkpoint"], integrator, cv, progress=progress)
            _require_window(dynamics, center, kappa, temperature_K, log_interval)
        else:
            dynamics = UmbrellaSampling(
                integrator,
                cv,
                temperature_K=temperature_K,
                center=center,
                kappa=kappa,
                **settings,
                **files,
            )
        with dynamics:
            dynamics.run(max(0, equilibration + steps - dynamics.step))
        windows.append(_window(dynamics, files, first=equilibration // log_interval + 1))
    return windows


def _window(dynamics: UmbrellaSampling, files: dict[str, Path], *, first: int) -> UmbrellaWindow:
    details, d = dynamics.settings.details, dynamics.cv.n_cvs
    table = np.loadtxt(files["logfile"], comments="#", ndmin=2)
    return UmbrellaWindow(
        center=np.array(details["center"]),
        kappa=np.array(details["kappa"]),
        values=table[first:, 1 : 1 + d],
        log=files["logfile"],
        trajectory=files.get("trajectory"),
    )


def _require_window(
    dynamics: UmbrellaSampling, center: ArrayLike, kappa: ArrayLike, temperature_K: float, log_interval: int
) -> None:
    """Refuse the checkpoint of a window with another spring, temperature or interval."""
    settings, cv = dynamics.settings, dynamics.cv
    theirs = {name: settings.details[name] for name in ("center", "kappa")}
    theirs |= {"temperature_K": settings.temperature_K, "log_interval": settings.log_interval}
    mine = {"center": _numbers(center, "center", cv), "kappa": _numbers(kappa, "kappa", cv)}
    different = differences(mine | {"temperature_K": temperature_K, "log_interval": log_interval}, theirs)
    if different:
        dynamics.close()
        raise ValueError(
            f"{settings.checkpoint} is of a window with other settings: {different}; give those of the first "
            "call, or another directory"
        )


def _numbers(value: ArrayLike, name: str, cv: CollectiveVariable) -> list[float]:
    """One number for each variable, as a list."""
    array = np.array(value, dtype=np.float64)
    if array.ndim > 1 or array.size not in {1, cv.n_cvs} or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be a finite number, or one for each of {', '.join(cv.names)}, got {value!r}"
        )
    return [float(number) for number in np.broadcast_to(array, cv.n_cvs)]
