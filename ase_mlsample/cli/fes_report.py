"""What `mlsample fes` prints and draws of a free energy."""

from __future__ import annotations

import contextlib
import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_mlsample.cli.fes_sources import Estimate, interval

if TYPE_CHECKING:
    from ase_mlsample.analysis.free_energy import FreeEnergy
    from ase_mlsample.analysis.minima import Minimum

__all__ = ["report"]

_DIGITS = {"eV": 4, "meV": 1, "kJ/mol": 2, "kcal/mol": 3, "kT": 2}
_MOST_MINIMA = 10
_FEW = 10  # crossings of which any error is rough


def report(args: Namespace, estimate: Estimate, *, unit: str, thermal: str) -> None:
    """Print minima, barriers and differences of basins; write the files that were asked for.

    Parameters
    ----------
    args : Namespace
    estimate : Estimate
        In the unit of the results.
    unit : str
        Its name.
    thermal : str
        kT in the unit of the files.
    """
    from ase_mlsample.analysis.minima import find_minima

    F = estimate.free_energy
    minima = find_minima(F, depth=args.depth * F.kT)
    basins = _basins(args, estimate, minima)
    labels = " and ".join(estimate.names)
    grid = " × ".join(str(len(axis)) for axis in F.axes)
    print(f"free energy of {labels} {estimate.how}")
    print(f"in {unit}, kT = {thermal}, {grid} points")
    table = _Table(estimate, unit)
    table.minima(minima)
    table.basins(basins, named=bool(args.basins))
    few = table.crossings(basins)
    for note in [*estimate.notes, *few, *_doubt(F, basins)]:
        print(f"note: {note}")
    _write(args, estimate, unit, minima, basins)


class _Table:
    """Prints what a free energy says."""

    def __init__(self, estimate: Estimate, unit: str) -> None:
        self.estimate, self.unit, self.digits = estimate, unit, _DIGITS[unit]
        self.width = max(12, *(len(name) + 2 for name in estimate.names))

    def minima(self, minima: Sequence[Minimum]) -> None:
        """Print where the minima are and how deep."""
        names = self.estimate.names
        print(f"  {'minimum':<10}" + "".join(f"{name:>{self.width}}" for name in names) + f"{'F':>12}")
        for number, minimum in enumerate(minima[:_MOST_MINIMA], 1):
            place = "".join(f"{value:{self.width}.4g}" for value in minimum.place)
            print(f"  {number:<10}{place}{self._number(minimum.value, minimum.error)}")
        if len(minima) > _MOST_MINIMA:
            print(f"  … and {len(minima) - _MOST_MINIMA} more; a larger --depth leaves out what is noise")

    def basins(self, basins: Sequence[tuple[str, Any]], *, named: bool) -> None:
        """Print barriers from the first basin and back, and differences."""
        if len(basins) < 2:
            print("  one basin only: no barrier, no difference")
            return
        places = "".join(f"{name:>{self.width}}" for name in self.estimate.names)
        print(f"  {'barrier':<10}{places}{'height':>12}{'':13}{'back':>12}")
        first, start = basins[0]
        for label, basin in basins[1:_MOST_MINIMA]:
            self._barrier(f"{first} → {label}", start, basin)
        print(f"  {'difference':<10}" + (f"{'of the basins given':>24}" if named else ""))
        for label, basin in basins[1:_MOST_MINIMA]:
            try:
                value, error = difference(self.estimate, start, basin)
            except ValueError as problem:
                print(f"  {label} − {first}: {problem}")
                continue
            pad = " " * self.width * len(self.estimate.names)
            print(f"  {label + ' − ' + first:<10}{pad}{self._number(value, error)}")

    def crossings(self, basins: Sequence[tuple[str, Any]]) -> list[str]:
        """Print how often the runs went from the first basin to the others; a note where that was seldom."""
        from ase_mlsample.analysis.crossings import count_crossings

        F, runs = self.estimate.free_energy, self.estimate.runs
        counts = dict[str, tuple[int, int]]()
        for label, basin in basins[1:_MOST_MINIMA] if runs else ():
            with contextlib.suppress(ValueError):  # no such basin, as is said above
                counts[f"{basins[0][0]} → {label}"] = count_crossings(F, basins[0][1], basin, runs)
        if counts:
            print("  crossings")
        for way, (there, back) in counts.items():
            print(f"  {way:<10}{there} there, {back} back")
        few = ", ".join(way for way, both in counts.items() if min(both) < _FEW)
        return (
            [f"fewer than {_FEW} crossings each way, {few}: errors are too small, sample longer"]
            if few
            else []
        )

    def _barrier(self, label: str, start: Any, end: Any) -> None:
        F = self.estimate.free_energy
        try:
            there, back = F.barrier(start, end), F.barrier(end, start)
        except ValueError as problem:
            print(f"  {label}: {problem}")
            return
        errors = there.error, back.error
        if F.blocks is None:
            series = self.estimate.series
            errors = (
                _spread(series, lambda f: f.barrier(start, end).height),
                _spread(series, lambda f: f.barrier(end, start).height),
            )
        place = "".join(f"{value:{self.width}.4g}" for value in there.saddle)
        numbers = f"{self._number(there.height, errors[0]):<25}{self._number(back.height, errors[1])}"
        print(f"  {label:<10}{place}{numbers}")

    def _number(self, value: float, error: float) -> str:
        text = f"{value:12.{self.digits}f}"
        return text if math.isnan(error) else f"{text} ± {error:.{self.digits}f}"


def difference(estimate: Estimate, first: Any, second: Any) -> tuple[float, float]:
    """Free energy of one basin less that of another with its error, or its spread where there is none."""
    F = estimate.free_energy
    value, error = F.basin_difference(first, second)
    if F.blocks is None:
        error = _spread(estimate.series, lambda f: f.basin_difference(first, second)[0])
    return value, error


def _doubt(F: FreeEnergy, basins: Sequence[tuple[str, Any]]) -> list[str]:
    """Say so when errors have not reached their plateau: blocks are shorter than what they should forget."""
    if F.blocks is None or len(F.blocks) < 8 or len(basins) < 2:
        return []
    pairs = F.blocks[len(F.blocks) % 2 :].reshape(-1, 2, *F.values.shape).sum(axis=1)
    try:
        errors = [
            one.basin_difference(basins[0][1], basins[1][1])[1] for one in (F, replace(F, blocks=pairs))
        ]
    except ValueError:
        return []
    if not errors[1] > 1.25 * errors[0]:
        return []
    growth = errors[1] / errors[0]
    note = f"with {len(pairs)} blocks the error of the difference is {growth:.1f} times as large: take errors"
    return [f"{note} as lower bounds, and sample longer"]


def _spread(series: Sequence[FreeEnergy], quantity: Callable[[FreeEnergy], float]) -> float:
    """Standard deviation of a quantity over the last half of a series; NaN where that is not known."""
    import numpy as np

    last = series[len(series) // 2 :]
    if len(last) < 3:
        return math.nan
    try:
        return float(np.std([quantity(F) for F in last]))
    except ValueError:
        return math.nan


def _basins(args: Namespace, estimate: Estimate, minima: Sequence[Minimum]) -> list[tuple[str, Any]]:
    if not args.basins:
        return [(str(number), minimum.basin) for number, minimum in enumerate(minima, 1)]
    if len(args.basins) < 2:
        raise ValueError("--basins: a difference needs two basins at least")
    d = len(estimate.names)
    basins = []
    for number, text in enumerate(args.basins):
        pairs = [interval(part, "--basins") for part in text.split(",")]
        if len(pairs) != d:
            raise ValueError(
                f"--basins {text}: one low:high is needed for each of {', '.join(estimate.names)}"
            )
        basins.append((chr(ord("A") + number), pairs))
    return basins


def _write(
    args: Namespace,
    estimate: Estimate,
    unit: str,
    minima: Sequence[Minimum],
    basins: Sequence[tuple[str, Any]],
) -> None:
    from ase_mlsample.analysis.fes_files import write_free_energy

    if args.out is not None:
        write_free_energy(args.out, estimate.free_energy, names=estimate.names, unit=unit)
        print(f"{args.out}: free energy")
    if args.plot is not None:
        _save(_figure(args, estimate, unit, minima), args.plot)
        print(f"{args.plot}: free energy")
    time_label = "time" if args.kT is not None else "time (ps)"
    if args.convergence is not None:
        _save(_growth(estimate, unit, basins, time_label), args.convergence)
        print(f"{args.convergence}: free energy in the course of time")
    if args.trace is not None:
        from ase_mlsample.report.fes_plots import variable_traces

        if estimate.trace is None:
            raise ValueError("--trace: windows are not one run in time")
        times, values, names, domains = estimate.trace
        _save(variable_traces(times, values, names=names, domains=domains, time_label=time_label), args.trace)
        print(f"{args.trace}: variables against time")


def _figure(args: Namespace, estimate: Estimate, unit: str, minima: Sequence[Minimum]) -> Any:
    from ase_mlsample.report.fes_plots import free_energy_curves, free_energy_map

    F, names = estimate.free_energy, estimate.names
    shown: dict[str, Any] = {"unit": _shown(unit), "minima": minima[:_MOST_MINIMA], "ceiling": args.ceiling}
    if len(names) == 1:
        return free_energy_curves({names[0]: F}, name=names[0], **shown)
    if len(names) == 2:
        return free_energy_map(F, names=names, **shown)
    raise ValueError(f"--plot: {len(names)} variables do not fit on paper; --project NAME shows one")


def _growth(estimate: Estimate, unit: str, basins: Sequence[tuple[str, Any]], time_label: str) -> Any:
    import numpy as np

    from ase_mlsample.report.fes_plots import convergence

    if len(estimate.names) != 1:
        raise ValueError("--convergence shows one variable: --project NAME says which")
    if len(estimate.series) < 2:
        raise ValueError("--convergence: windows are not one run in time")
    differences = {}
    first, start = basins[0] if basins else ("", None)
    for label, basin in basins[1:4]:
        rows = [_difference_or_nan(F, start, basin) for F in estimate.series]
        values, errors = np.array(rows).T
        known = errors if np.isfinite(errors).any() else None
        differences[f"F({label}) − F({first})"] = (values, known)
    return convergence(
        estimate.times,
        estimate.series,
        name=estimate.names[0],
        unit=_shown(unit),
        time_label=time_label,
        differences=differences,
    )


def _difference_or_nan(F: FreeEnergy, first: Any, second: Any) -> tuple[float, float]:
    try:
        return F.basin_difference(first, second)
    except ValueError:  # a basin that was not seen by then
        return math.nan, math.nan


def _shown(unit: str) -> str:
    return "$k_\\mathrm{B}T$" if unit == "kT" else unit


def _save(figure: Any, path: Path) -> None:
    from ase_mlsample._files import write_atomic
    from ase_mlsample.report.style import as_png

    if path.suffix == ".png":
        write_atomic(path, as_png(figure))
    else:
        figure.savefig(path)
