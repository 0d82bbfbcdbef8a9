"""Umbrella windows from files, for `mlsample fes --windows`."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_mlsample.cli.fes_sources import Estimate, bins_of, kT_of

if TYPE_CHECKING:
    from ase_mlsample.analysis.colvar import Colvar

__all__ = ["from_windows"]


@dataclass(frozen=True, slots=True)
class _File:
    """A window as its files say: log, restraint, temperature where known, names of its variables."""

    log: Colvar
    center: list[float]
    kappa: list[float]
    temperature_K: float | None
    names: tuple[str, ...]


def from_windows(args: Namespace, boltzmann: float, periods: dict[str, tuple[float, float]]) -> Estimate:
    """Free energy of umbrella windows by MBAR.

    A folder holds what ``umbrella_windows`` wrote; a list has lines "file center kappa [temperature_K]",
    with commas between the numbers of several variables and paths from its own place.
    """
    import numpy as np

    from ase_mlsample.analysis.umbrella_analysis import Window, combine_windows

    files = _from_folder(args) if args.windows.is_dir() else _from_list(args)
    names = files[0].names
    if args.project not in (None, *names):
        raise ValueError(f"--project {args.project}: the variables are {', '.join(names)}")
    if any(file.names != names for file in files):
        raise ValueError(f"{args.windows}: windows have other variables than the first, {', '.join(names)}")
    logs = [file.log.after(args.skip) if args.skip else file.log for file in files]
    windows = [
        Window(np.array(file.center), np.array(file.kappa), log.columns(names))
        for file, log in zip(files, logs, strict=True)
    ]
    own = files[0].log.domains(names)
    domains = [periods.get(name, domain) for name, domain in zip(names, own, strict=True)]
    kTs, target = _temperatures(args, files, boltzmann)
    energies = None
    if np.ptp(kTs) > 0 or target != kTs[0]:
        energies = [_energy_of(log) for log in logs]
    combined = combine_windows(
        windows, kT=kTs, target_kT=target, energies=energies, domains=domains, n_blocks=args.blocks
    )
    chosen = [k for k, name in enumerate(names) if args.project in (None, name)]
    shown = tuple(names[k] for k in chosen)
    axes = bins_of(args, shown, [domains[k] for k in chosen], combined.samples[:, chosen])
    return Estimate(
        free_energy=combined.free_energy(axes, components=chosen),
        names=shown,
        how=f"from {len(files)} umbrella windows by MBAR: {len(combined.samples)} samples of "
        f"{sum(map(len, logs))}, {args.blocks} blocks, least overlap of neighbours "
        f"{combined.weakest_overlap:.2g}",
        trace=None,
    )


def _temperatures(args: Namespace, files: Sequence[_File], boltzmann: float) -> tuple[list[float], float]:
    known = [file.temperature_K for file in files]
    if all(T is None for T in known):
        kT = kT_of(args, boltzmann)
        return [kT] * len(files), kT
    if any(T is None for T in known):
        raise ValueError(
            f"{args.windows} gives the temperature of some windows: give that of all, or of none"
        )
    kTs = [boltzmann * T for T in known if T is not None]
    asked = args.temperature is not None or args.kT is not None
    return kTs, kT_of(args, boltzmann) if asked else kTs[0]


def _energy_of(log: Colvar) -> Any:
    """Potential energy of the samples, by which other temperatures are reached."""
    import numpy as np

    if "volume" in log.names and np.ptp(log["volume"]) > 0:
        raise ValueError(
            f"{log.source}: at constant pressure several temperatures need U + PV of the samples, which the "
            "log does not have; use combine_windows(..., energies=...) from Python"
        )
    if "energy" not in log.names:
        raise ValueError(f"{log.source} has no column energy, which windows of several temperatures need")
    return log["energy"]


def _from_folder(args: Namespace) -> list[_File]:
    from ase_mlsample.analysis.colvar import read_colvar
    from ase_mlsample.dynamics.checkpoint import read_checkpoint

    if args.energy_unit != "eV":
        raise ValueError(f"--energy-unit {args.energy_unit}: what umbrella_windows wrote is in eV")
    files = []
    for path in sorted(args.windows.glob("*.ckpt"), key=_numbers_in):
        run = read_checkpoint(path).extra
        settings = run.get("settings", {})
        details = settings.get("details", {})
        if run.get("run") != "UmbrellaSampling" or settings.get("logfile") in (None, "-"):
            raise ValueError(f"{path} is not the checkpoint of an umbrella window with a log")
        if details.get("to") is not None:
            raise ValueError(f"{path} is of a moving restraint, which is not in equilibrium")
        log = read_colvar(path.parent / settings["logfile"])
        d = len(details["center"])
        files.append(
            _File(log, details["center"], details["kappa"], settings["temperature_K"], log.names[1 : 1 + d])
        )
    if not files:
        raise ValueError(
            f"{args.windows} holds no window-*.ckpt of umbrella_windows; for other files give a list with "
            "lines: file center kappa"
        )
    return files


def _from_list(args: Namespace) -> list[_File]:
    files = []
    for number, line in enumerate(args.windows.read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{args.windows}, line {number}"
        try:
            center, kappa = ([float(word) for word in words[k].split(",")] for k in (1, 2))
            temperature = float(words[3]) if len(words) == 4 else None
        except (ValueError, IndexError):
            raise ValueError(f"{where}: 'file center kappa [temperature_K]' is meant, got {line!r}") from None
        if len(words) > 4:
            raise ValueError(f"{where}: several variables are separated by commas, got {line!r}")
        log = _read(args.windows.parent / words[0], args.cv, len(center))
        names = tuple(args.cv or log.variables)
        if not len(names) == len(center) == len(kappa):
            raise ValueError(
                f"{where}: {len(center)} centers and {len(kappa)} spring constants, but the variables are "
                f"{', '.join(names) or 'none'}; --cv NAME ... says which columns are meant"
            )
        files.append(_File(log, center, kappa, temperature, names))
    if not files:
        raise ValueError(f"{args.windows} names no windows")
    return files


def _read(path: Path, names: Sequence[str] | None, d: int) -> Colvar:
    """A COLVAR file, or bare columns: time and variables."""
    import numpy as np

    from ase_mlsample.analysis.colvar import Colvar, read_colvar

    if "#! FIELDS" in path.read_text(errors="replace")[:4096]:
        return read_colvar(path)
    columns = tuple(names) if names else tuple(f"s{k + 1}" for k in range(d)) if d > 1 else ("s",)
    try:
        table = np.loadtxt(path, comments=("#", "@"), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is neither a COLVAR file nor columns of numbers: {error}") from None
    if table.shape[0] == 0 or table.shape[1] < 1 + len(columns):
        raise ValueError(f"{path} has {table.shape[1]} columns; time and {', '.join(columns)} are meant")
    return Colvar(("time", *columns), table[:, : 1 + len(columns)], {}, str(path))


def _numbers_in(path: Path) -> list[tuple[int, str]]:
    """Sort window-10 after window-9."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", path.name)]
