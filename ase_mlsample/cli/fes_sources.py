"""Where `mlsample fes` takes a free energy from: hills, reweighted samples, umbrella windows."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ase_mlsample.analysis.colvar import Colvar
    from ase_mlsample.analysis.density import Domain
    from ase_mlsample.analysis.free_energy import FreeEnergy
    from ase_mlsample.biases import Hills

    FloatArray = NDArray[np.float64]

__all__ = [
    "UNITS",
    "Estimate",
    "bins_of",
    "energy_size",
    "from_colvar",
    "from_hills",
    "interval",
    "kT_of",
    "read_walkers",
]

UNITS = ("eV", "meV", "kJ/mol", "kcal/mol", "kT")

_DEFAULT_BINS = {1: 100, 2: 60, 3: 30}
_MOMENTS = 20  # at which convergence is looked at


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A free energy, how it came about, and how it grew.

    Attributes
    ----------
    free_energy : FreeEnergy
        In the unit of the files.
    names : tuple of str
        Of its variables.
    how : str
    times, series
        Free energies as they stood after some times; empty where that is not known.
    trace : tuple or None
        Times (T,), variables (T, d), their names and periods.
    runs : list of ndarray (T, d)
        Variables of each run or walker in the order of time; empty for windows.
    notes : list of str
        What the user should know.
    """

    free_energy: FreeEnergy
    names: tuple[str, ...]
    how: str
    times: list[float] = field(default_factory=list)
    series: list[FreeEnergy] = field(default_factory=list)
    trace: tuple[FloatArray, FloatArray, tuple[str, ...], tuple[Domain, ...]] | None = None
    runs: list[FloatArray] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def along(self, name: str) -> Estimate:
        """The same for one of the variables, the others summed over."""
        if self.names == (name,):
            return self
        if name not in self.names:
            raise ValueError(f"--project {name}: the variables are {', '.join(self.names)}")
        component = self.names.index(name)
        return replace(
            self,
            free_energy=self.free_energy.marginal(component),
            names=(name,),
            series=[F.marginal(component) for F in self.series],
            runs=[run[:, [component]] for run in self.runs],
        )

    def scaled(self, factor: float) -> Estimate:
        """The same with other units of energy."""

        def one(F: FreeEnergy) -> FreeEnergy:
            errors = None if F.errors is None else F.errors * factor
            return replace(F, values=F.values * factor, errors=errors, kT=F.kT * factor)

        return replace(self, free_energy=one(self.free_energy), series=[one(F) for F in self.series])


def energy_size(unit: str) -> float:
    """Return how many eV a unit of energy is."""
    from ase import units

    sizes = {"eV": 1.0, "meV": 1e-3, "kJ/mol": units.kJ / units.mol, "kcal/mol": units.kcal / units.mol}
    return float(sizes[unit])


def kT_of(args: Namespace, boltzmann: float) -> float:
    """Return kT in the unit of the files, from --temperature or --kT."""
    if args.temperature is not None and args.kT is not None:
        raise ValueError("--temperature and --kT say the same thing: give one of them")
    if args.temperature is None and args.kT is None:
        raise ValueError("at which temperature? --temperature in K, or --kT in the unit of the energies")
    kT = float(args.kT) if args.kT is not None else boltzmann * float(args.temperature)
    if not (math.isfinite(kT) and kT > 0):
        raise ValueError("--temperature and --kT must be positive numbers")
    return kT


def interval(text: str, option: str) -> tuple[float, float]:
    """Return the numbers of "low:high"; pi is known."""
    try:
        low, high = (_number(word) for word in text.split(":"))
    except ValueError:
        raise ValueError(f"{option} {text}: write it as low:high, such as -1.5:0.2 or -pi:pi") from None
    return low, high


def read_walkers(
    paths: Sequence[Path], periods: dict[str, tuple[float, float]]
) -> tuple[Hills, list[FloatArray]]:
    """Read HILLS files of walkers that built one bias: all hills in the order of time, centres of each."""
    import numpy as np

    from ase_mlsample.biases import read_hills

    parts = [read_hills(path) for path in paths]
    first = parts[0]
    for part, path in zip(parts, paths, strict=True):
        for name in ("names", "domains", "bias_factor", "stretched"):
            if getattr(part, name) != getattr(first, name):
                raise ValueError(
                    f"{path} is not of the run of {paths[0]}: {name} {getattr(part, name)} and "
                    f"{getattr(first, name)}"
                )
    times = np.concatenate([part.times for part in parts])
    if not len(times):
        raise ValueError(f"{', '.join(map(str, paths))}: no hills yet")
    order = np.argsort(times, kind="stable")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("times", "centers", "sigmas", "heights")
    }
    domains = tuple(periods.get(n, d) for n, d in zip(first.names, first.domains, strict=True))
    return replace(first, **joined, domains=domains), [part.centers for part in parts]


def bins_of(
    args: Namespace, names: Sequence[str], domains: Sequence[Domain], values: FloatArray
) -> list[FloatArray]:
    """Return the centres of bins along each variable, as --grid and --bins say or as the values reach."""
    from ase_mlsample.analysis.density import bin_centres

    d = len(names)
    numbers = args.bins if args.bins else [_DEFAULT_BINS.get(d, 20)]
    grid = [interval(text, "--grid") for text in args.grid or []]
    if len(numbers) not in (1, d) or (grid and len(grid) != d):
        raise ValueError(f"--bins and --grid need one entry for each of {', '.join(names)}")
    axes = []
    for k, domain in enumerate(domains):
        low, high = float(values[:, k].min()), float(values[:, k].max())
        if grid:
            low, high = grid[k]
        elif domain is not None:
            low, high = domain
        elif not low < high:
            raise ValueError(f"{names[k]} is {low:g} all the time: there is no free energy of it")
        axes.append(bin_centres(low, high, numbers[k if len(numbers) == d else 0]))
    return axes


def from_hills(args: Namespace, kT: float, periods: dict[str, tuple[float, float]]) -> Estimate:
    """Free energy −γ/(γ−1) V of all hills, and as it stood before."""
    import numpy as np

    from ase_mlsample.analysis.reweighting import hills_series

    hills, runs = read_walkers(args.hills, periods)
    axes = bins_of(args, hills.names, hills.domains, hills.centers)
    number = len(hills)
    counts = sorted({max(1, round(number * part / _MOMENTS)) for part in range(1, _MOMENTS + 1)})
    series = hills_series(hills, axes, kT=kT, counts=counts)
    factor = "not tempered" if hills.bias_factor is None else f"bias factor {hills.bias_factor:g}"
    return Estimate(
        free_energy=series[-1],
        names=hills.names,
        how=f"from the bias: {number} hills, {factor}",
        times=[float(hills.times[count - 1]) for count in counts],
        series=series,
        trace=(hills.times, hills.centers, hills.names, hills.domains),
        runs=runs,
        notes=["± is the spread over the last half of the run: a bias has no statistical error of its own"]
        if len(np.unique(hills.times)) > 1
        else [],
    )


def from_colvar(args: Namespace, kT: float, periods: dict[str, tuple[float, float]]) -> Estimate:
    """Free energy of samples whose bias is undone, --reweight static or tiwary."""
    import numpy as np

    from ase_mlsample.analysis.density import as_domains
    from ase_mlsample.analysis.free_energy import from_histogram, from_samples
    from ase_mlsample.analysis.reweighting import effective_sample_size

    logs, notes = _logs(args.colvar, args.skip), list[str]()
    if args.reweight == "static":
        logs, notes = _with_static_bias(logs, skipped=args.skip > 0)
    log = _in_time(logs)
    hills = read_walkers(args.hills, periods)[0] if args.hills else None
    names = tuple(args.cv or (hills.names if hills is not None else log.variables))
    if not names:
        raise ValueError(f"{log.source}: which columns are the variables? --cv NAME ...")
    values, V = log.columns(names), _bias_of(log, args.bias)
    known = dict(zip(hills.names, hills.domains, strict=True)) if hills is not None else {}
    own = log.domains(names)
    domains = as_domains([periods.get(n, own[k] or known.get(n)) for k, n in enumerate(names)], len(names))
    weights, how = _weights(args, log, V, hills, kT)
    axes = bins_of(args, names, domains, values)
    blocks = args.blocks
    if blocks < 2:
        raise ValueError(f"--blocks {blocks}: errors need two at least")
    F = from_samples(
        values, axes, kT=kT, weights=weights, bandwidth=args.bandwidth, domains=domains, n_blocks=blocks
    )
    parts = F.blocks
    assert parts is not None  # noqa: S101 (for the type checker)
    ends = [len(log) * (k + 1) // blocks - 1 for k in range(blocks)]
    seen = [k for k in range(blocks) if parts[: k + 1].sum() > 0]
    worth = effective_sample_size(weights)
    if worth < 10 * blocks:
        notes.append(
            f"the weights leave {worth:.0f} samples' worth, which {blocks} blocks share: errors are rough"
        )
    return Estimate(
        free_energy=F,
        names=names,
        how=f"{how}: {len(log)} samples, by their weights worth {worth:.0f}, {blocks} blocks",
        times=[float(log.times[ends[k]]) for k in seen],
        series=[from_histogram(axes, parts[: k + 1], kT=kT, domains=domains) for k in seen],
        trace=(log.times, values, names, domains) if np.ptp(log.times) > 0 else None,
        runs=[one.columns(names) for one in logs],
        notes=notes,
    )


def _logs(paths: Sequence[Path], skip: float) -> list[Colvar]:
    """Log of each run or walker from a time on, without those that ended before."""
    import numpy as np

    from ase_mlsample.analysis.colvar import read_colvar

    logs = [read_colvar(path) for path in paths]
    for log, path in zip(logs, paths, strict=True):
        if log.names != logs[0].names:
            raise ValueError(f"{path} has other columns than {paths[0]}")
        if (np.diff(log.times) < 0).any():
            raise ValueError(
                f"{path}: the time goes back at {log.times[:-1][np.diff(log.times) < 0][0]:g}: it holds a "
                "restarted run twice, or two runs; cut it, or give the runs as files of their own"
            )
        if not np.isfinite(log.table).all():
            raise ValueError(f"{path} holds numbers that are not finite")
    longest = max(logs, key=lambda log: float(log.times[-1]))
    longest.after(skip)  # complains when nothing is left
    return [log.after(skip) for log in logs if log.times[-1] >= skip]


def _with_static_bias(logs: list[Colvar], *, skipped: bool) -> tuple[list[Colvar], list[str]]:
    """The rows since the bias of Deep-VES is static, which alone e^{V/kT} reweights, and a note.

    All rows where the user has said what to skip.
    """
    learning = sum(int(log.learning.sum()) for log in logs)
    if not learning:
        return logs, []
    told = f"{learning} samples were drawn while the bias was learning (phase below 2)"
    if skipped:
        return logs, [f"{told}: their weights hold as far as the bias stayed what it was"]
    kept = [log.only(~log.learning) for log in logs]
    for log, rest in zip(logs, kept, strict=True):
        if not len(rest):
            raise ValueError(
                f"{log.source}: the bias was learning to the end (phase 2, a static bias, was not reached), "
                "but e^(V/kT) holds for one that stays: run longer, say with --skip from when on it hardly "
                "changed, or take F from the bias, in Python deep_bias.free_energy()"
            )
    return kept, [f"{told}, and are left out"]


def _in_time(logs: Sequence[Colvar]) -> Colvar:
    """Logs of all walkers as one, in the order of time."""
    import numpy as np

    from ase_mlsample.analysis.colvar import Colvar

    table = np.concatenate([log.table for log in logs])
    table = table[np.argsort(table[:, logs[0].names.index("time")], kind="stable")]
    return Colvar(logs[0].names, table, logs[0].periods, ", ".join(log.source for log in logs))


def _bias_of(log: Colvar, columns: Sequence[str] | None) -> FloatArray:
    """V of each sample: the columns named, else `bias`, else the only one that ends on .bias."""
    if columns:
        total: FloatArray = log.columns(columns).sum(axis=1)
        return total
    if "bias" in log.names:
        return log["bias"]
    candidates = [name for name in log.names if name.endswith(".bias")]
    if len(candidates) != 1:
        raise ValueError(
            f"{log.source}: which of the columns {', '.join(log.names)} hold the bias? --bias NAME ..., all "
            "of which are added"
        )
    return log[candidates[0]]


def _weights(
    args: Namespace, log: Colvar, V: FloatArray, hills: Hills | None, kT: float
) -> tuple[FloatArray, str]:
    from ase_mlsample.analysis.reweighting import bias_weights, tiwary_offsets, tiwary_weights

    if args.reweight == "static":
        return bias_weights(V, kT=kT), "reweighted with a static bias"
    if hills is None:
        raise ValueError("--reweight tiwary needs the HILLS of the run, too: mlsample fes HILLS --colvar ...")
    import numpy as np

    axes = _fine_axes(hills, log)
    offsets = tiwary_offsets(hills, axes, kT=kT)
    steps = np.diff(np.unique(hills.times))
    # the V of a sample is that which made its forces: before the hill of the same step
    before = 0.01 * float(steps.min()) if len(steps) else 0.0
    weights = tiwary_weights(V, log.times - before, hills, offsets, kT=kT)
    return weights, f"reweighted with c(t) of {len(hills)} hills"


def _fine_axes(hills: Hills, log: Colvar) -> list[FloatArray]:
    """Points over all that was visited, closer than the hills are wide."""
    import numpy as np

    from ase_mlsample.analysis.density import bin_centres

    visited = hills.centers
    if set(hills.names) <= set(log.names):
        visited = np.concatenate([visited, log.columns(hills.names)])
    most = {1: 4000, 2: 250}.get(len(hills.names), 60)
    axes = []
    for k, domain in enumerate(hills.domains):
        low, high = domain if domain is not None else (visited[:, k].min(), visited[:, k].max())
        if not low < high:
            raise ValueError(f"{hills.names[k]} did not move: there is nothing to reweight")
        points = math.ceil((high - low) / (0.4 * float(hills.sigmas[:, k].min())))
        axes.append(bin_centres(float(low), float(high), min(most, max(10, points))))
    return axes


def _number(text: str) -> float:
    words: dict[str, Any] = {"pi": math.pi, "-pi": -math.pi, "2pi": 2 * math.pi}
    return float(words[text]) if text in words else float(text)
