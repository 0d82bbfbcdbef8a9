"""A run of `mlsample md` from its settings: begun, or taken up where its checkpoint is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ase import Atoms, units

from ase_mlsample.cli.md_settings import (
    BiasSettings,
    CalculatorSettings,
    MDSettings,
    WalkersSettings,
    WallSettings,
)

if TYPE_CHECKING:
    from ase_mlsample.biases import Bias
    from ase_mlsample.cvs import CollectiveVariable

__all__ = ["Run", "begin_or_continue"]

_FILES = {
    "metadynamics": ("hills", "HILLS"),
    "opes": ("kernels", "KERNELS"),
    "ves": ("coefficients", "COEFFS"),
}


class Run(Protocol):
    """What both kinds of dynamics are here."""

    step: int

    def run(self, steps: int) -> Any:
        """Make steps."""

    def save(self) -> None:
        """Write the checkpoint."""

    def close(self) -> None:
        """Let go of atoms and files."""

    def __enter__(self) -> Any:
        """Return the run."""

    def __exit__(self, *error: Any) -> None:
        """Close it."""


def begin_or_continue(settings: MDSettings, *, progress: bool, only_check: bool = False) -> Run | None:
    """A run ready to make steps.

    Parameters
    ----------
    settings : MDSettings
    progress : bool
        Whether to show the steps.
    only_check : bool
        Make everything but files.

    Returns
    -------
    Run or None
        None when only checked.

    Raises
    ------
    ValueError, TypeError
        For settings that cannot work, or that are not those of the run in the folder.
    FileNotFoundError
        Without the model file.
    """
    folder = settings.directory
    checkpoint = folder / "checkpoint"
    goes_on = checkpoint.exists()
    if goes_on:
        _require_same(settings, folder / "md.yaml")
    atoms = _atoms(settings)
    variable = _variable(settings)
    integrator = _integrator(settings, atoms)
    if only_check or not goes_on:
        _try_out(settings, atoms, variable)
        _begun(settings, integrator, variable, None, progress=False).close()
    if only_check:
        return None
    if goes_on:
        return _continued(settings, integrator, variable, checkpoint, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    _write_settings(settings, folder / "md.yaml")
    dynamics = _begun(settings, integrator, variable, folder, progress=progress)
    dynamics.save()  # a run that is killed at once can go on, too
    return dynamics


def _begun(
    settings: MDSettings,
    integrator: Any,
    variable: CollectiveVariable | None,
    folder: Path | None,
    *,
    progress: bool,
) -> Run:
    """A run that is at its start; without a folder it writes no files."""
    from ase_mlsample import dynamics

    def path(name: str) -> Path | None:
        return None if folder is None else folder / name

    bias = settings.bias
    common: dict[str, Any] = {
        "temperature_K": settings.temperature_K,
        "trajectory": path("trajectory.extxyz"),
        "logfile": path("COLVAR"),
        "checkpoint": path("checkpoint"),
        "progress": progress,
        **{name: getattr(settings, name) for name in ("log_interval", "trajectory_interval")},
        "checkpoint_interval": settings.checkpoint_interval,
    }
    if variable is None:
        from ase_mlsample.dynamics.plain import PlainDynamics

        return PlainDynamics(integrator, **common)
    if bias is None:
        return dynamics.BiasedDynamics(integrator, variable, _no_bias(variable), **common)
    arguments = bias.arguments() | {"extra_bias": _walls(bias.lower_wall, bias.upper_wall, variable)}
    if bias.method in ("ves", "deep_ves"):
        arguments["plot"] = path("convergence.svg")
    if bias.method == "deep_ves":
        arguments["rng"] = np.random.default_rng([settings.seed, 1])
    else:
        name, file = _FILES[bias.method]
        arguments[name] = path(file)
    if bias.walkers is not None and folder is not None:
        arguments |= _shared(bias, bias.walkers)
    made: Run = getattr(dynamics, bias.run)(integrator, variable, **arguments, **common)
    return made


def _shared(bias: BiasSettings, walkers: WalkersSettings) -> dict[str, Any]:
    from ase_mlsample.biases import SharedHills, SharedSamples

    if bias.method == "metadynamics":  # its hills are the walkers' files
        return {
            "walkers": SharedHills(walkers.directory, walker=walkers.walker, pace=bias.pace),
            "hills": None,
        }
    return {"walkers": SharedSamples(**walkers.model_dump())}


def _walker_of(settings: MDSettings) -> list[int]:
    """What tells the random numbers of walkers apart."""
    shared = settings.bias is not None and settings.bias.walkers
    return [shared.walker] if shared else []


def _continued(
    settings: MDSettings,
    integrator: Any,
    variable: CollectiveVariable | None,
    checkpoint: Path,
    *,
    progress: bool,
) -> Run:
    from ase_mlsample import dynamics

    if variable is None:
        from ase_mlsample.dynamics.plain import PlainDynamics

        return PlainDynamics.load(checkpoint, integrator, progress=progress)
    if settings.bias is None:
        return dynamics.BiasedDynamics.load(
            checkpoint, integrator, variable, _no_bias(variable), progress=progress
        )
    made: Run = getattr(dynamics, settings.bias.run).load(checkpoint, integrator, variable, progress=progress)
    return made


def _no_bias(variable: CollectiveVariable) -> Bias:
    from ase_mlsample.biases import UpperWall

    return UpperWall([math.inf] * variable.n_cvs, 0.0)


def _walls(
    lower: WallSettings | None, upper: WallSettings | None, variable: CollectiveVariable
) -> Bias | None:
    from ase_mlsample.biases import LowerWall, UpperWall
    from ase_mlsample.biases.arguments import per_variable

    made = [
        kind(per_variable(wall.at, f"{name}.at", n_cvs=variable.n_cvs), wall.kappa_eV, exponent=wall.exponent)
        for kind, name, wall in ((LowerWall, "lower_wall", lower), (UpperWall, "upper_wall", upper))
        if wall is not None
    ]
    if len(made) < 2:
        return made[0] if made else None
    return made[0] + made[1]


def _atoms(settings: MDSettings) -> Atoms:
    """The start, with calculator and velocities."""
    from ase.io import read
    from ase.md.velocitydistribution import thermalize_momenta

    from ase_mlsample.cvs.expressions import crystal

    path = Path(settings.structure)
    found = read(path, index=-1) if path.is_file() else crystal(settings.structure)
    if not isinstance(found, Atoms):
        raise ValueError(f"{path} holds no structure")
    repeat = settings.repeat if len(settings.repeat) == 3 else settings.repeat * 3
    atoms = found if repeat == (1, 1, 1) else found * repeat
    atoms.calc = _calculator(settings)
    if not settings.keep_velocities:
        rng = np.random.default_rng([settings.seed, 2, *_walker_of(settings)])
        thermalize_momenta(atoms, settings.temperature_K, rng=rng)
    elif not atoms.get_momenta().any():
        raise ValueError(f"keep_velocities: {path} holds none")
    return atoms


def _calculator(settings: MDSettings) -> Any:
    from ase_mlsample.active.factories import build

    described = settings.calculator
    if isinstance(described, CalculatorSettings):
        return build(described.factory, described.kwargs)
    if not settings.has_model_file:
        return build(described, {})
    from ase_mlsample.calculators.loading import load_ensemble

    if not Path(described).is_file():
        raise FileNotFoundError(2, "there is no such model file", described)
    return load_ensemble(described, dtype=settings.precision or "float32")


def _variable(settings: MDSettings) -> CollectiveVariable | None:
    from ase_mlsample.cvs import CollectiveVariable, make_cv

    if settings.cv is None:
        return None
    made = make_cv(settings.cv)
    if not isinstance(made, CollectiveVariable):
        raise ValueError(
            f"cv: {settings.cv!r} is a quantity of every atom; pool it, with .mean() or .count()"
        )
    return made


def _integrator(settings: MDSettings, atoms: Atoms) -> Any:
    from ase.md.langevin import Langevin

    from ase_mlsample.dynamics import StochasticCellRescaling

    common: dict[str, Any] = {
        "timestep": settings.timestep_fs * units.fs,
        "temperature_K": settings.temperature_K,
        "rng": np.random.default_rng([settings.seed, 0, *_walker_of(settings)]),
    }
    if settings.pressure_GPa is None:
        friction = settings.friction_per_ps / (1000 * units.fs)
        return Langevin(atoms, friction=friction, fixcm=False, **common)
    return StochasticCellRescaling(
        atoms,
        pressure_au=settings.pressure_GPa * units.GPa,
        compressibility_au=settings.compressibility_per_GPa / units.GPa,
        taut=settings.thermostat_fs * units.fs,
        taup=settings.barostat_fs * units.fs,
        **common,
    )


def _try_out(settings: MDSettings, atoms: Atoms, variable: CollectiveVariable | None) -> None:
    """Ask for everything once, so that what cannot work is told before there are files."""
    with _named("calculator"):
        forces = atoms.get_forces()
        if settings.pressure_GPa is not None:
            atoms.get_stress()
        if not np.isfinite(forces).all():
            raise ValueError("the forces on the first structure are not finite")
    if variable is not None:
        with _named("cv"):
            variable.evaluate(atoms)


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ValueError(f"{key}: {error or type(error).__name__}") from error


def _require_same(settings: MDSettings, path: Path) -> None:
    """Refuse to go on with other settings than those that the run began with."""
    from ase_mlsample._yaml import yaml_mapping
    from ase_mlsample.active.config_file import differences
    from ase_mlsample.cli.md_settings import parse_settings

    before = parse_settings(yaml_mapping(path), source=str(path))
    changed = differences(before.frozen(), settings.frozen())
    if changed:
        raise ValueError(
            f"{path.parent} holds a run with other settings: {'; '.join(changed)}; give another directory"
        )


def _write_settings(settings: MDSettings, path: Path) -> None:
    from ase_mlsample._files import write_atomic
    from ase_mlsample._yaml import dump_yaml

    write_atomic(path, dump_yaml(settings.model_dump(mode="json", exclude_unset=True)).encode())
