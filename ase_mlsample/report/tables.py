"""The tables of the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ase_mlsample.report.history import ClassErrors, History
from ase_mlsample.report.markup import Cell, table
from ase_mlsample.report.verdict import duration

__all__ = [
    "errors_by_generation",
    "exploration",
    "failures",
    "honesty",
    "label_states",
    "last_errors",
    "stage_seconds",
    "validation_errors",
    "worker_seconds",
]

_STATES = ("labelled", "rejected", "failed", "waiting")


def last_errors(history: History) -> str:
    """The last judged generation by class, against the first one and the target."""
    judged = history.judged
    if not judged:
        return ""
    target = (history.config.get("stop") or {}).get("force_error")
    first, last = judged[0], judged[-1]
    headings = ["class", "force RMSE / RMS force", f"in generation {first.number}", "target"]
    headings += ["force RMSE, eV/Å", "energy RMSE, meV/atom", "inside 1σ", "rank correlation"]
    rows = []
    for kind, errors in last.errors.items():
        met: Cell = "–"
        if target is not None and kind != "all":
            met = ("met", "good") if errors.force_error <= target else (f"over {target:g}", "bad")
        before = first.errors.get(kind)
        rows.append(
            [
                kind,
                f"{errors.force_error:.3f}",
                "" if before is None else f"{before.force_error:.3f}",
                met,
                *_rest(errors),
            ]
        )
    return table(headings, rows, caption=f"Held-out errors by class after generation {last.number}")


def errors_by_generation(history: History) -> str:
    """Force and energy errors of every generation and class."""
    judged = history.judged
    kinds = list(dict.fromkeys(kind for g in reversed(judged) for kind in g.errors))
    rows = [[str(g.number), str(g.n_labels), *(_pair(g.errors.get(kind)) for kind in kinds)] for g in judged]
    caption = "Force RMSE over RMS force, and energy RMSE in meV/atom, on the held-out set"
    return table(["generation", "labels", *kinds], rows, caption=caption)


def validation_errors(history: History) -> str:
    """Errors without a held-out set, and calibration factors, of every trained generation."""
    rows = []
    for g in history.generations:
        if g.training:
            factors = g.training.get("calibration") or {}
            rows.append(
                [
                    str(g.number),
                    str(g.training.get("n_frames", g.n_labels)),
                    _number(g.training.get("force_rmse")),
                    _number(g.training.get("energy_rmse"), 1000, 1),
                    *(_number(factors.get(name), digits=2) for name in ("energy", "forces", "stress")),
                ]
            )
    if not rows:
        return ""
    headings = ["generation", "labels", "force RMSE, eV/Å", "energy RMSE, meV/atom"]
    headings += [f"α of {name}" for name in ("energy", "forces", "stress")]
    caption = f"Errors on {history.judged_by}, and the factors α that calibrate the spread of the members"
    return table(headings, rows, caption=caption)


def honesty(history: History) -> str:
    """Coverage and rank correlation by generation and class."""
    judged = [g for g in history.judged if any(e.coverage is not None for e in g.errors.values())]
    if not judged:
        return ""
    kinds = list(dict.fromkeys(kind for g in reversed(judged) for kind in g.errors))
    expected = {
        entry["generation"]: entry["evaluate"].get("expected_coverage")
        for entry in history.summary["generations"]
        if "evaluate" in entry
    }
    rows = [
        [str(g.number), _number(expected.get(g.number)), *(_honest(g.errors.get(kind)) for kind in kinds)]
        for g in judged
    ]
    caption = (
        "Fraction of force errors inside one calibrated σ, and rank correlation of predicted and true error"
    )
    return table(["generation", "expected inside", *kinds], rows, caption=caption)


def exploration(history: History) -> str:
    """What exploration found, by generation."""
    explored = [g for g in history.generations if g.explored]
    if not explored:
        return ""
    ends = list(dict.fromkeys(end for g in explored for end in g.ends))
    rows = []
    for g in explored:
        looks = sum(g.explored.values())
        window = "" if g.window is None else f"{g.window[0]:.3g}–{g.window[1]:.3g}"
        counts = [str(g.explored.get(name, 0)) for name in ("learned", "candidate", "rejected")]
        fraction = f"{g.explored.get('candidate', 0) / max(1, looks):.3f}"
        rows.append(
            [str(g.number), window, str(looks), *counts, fraction, *(str(g.ends.get(end, 0)) for end in ends)]
        )
    headings = [
        "generation",
        "window, eV/Å",
        "looks",
        "learned",
        "candidates",
        "rejected",
        "candidate fraction",
    ]
    headings += [f"ended: {end}" for end in ends]
    return table(headings, rows, caption="Looks at trajectories by verdict, and why trajectories ended")


def label_states(history: History) -> str:
    """What became of the structures of each source."""
    states = history.origins.states
    if not states:
        return ""
    shown = [name for name in _STATES if any(name in counts for counts in states.values())]
    rows = [
        [name, str(sum(counts.values())), *(str(counts.get(state, 0)) for state in shown)]
        for name, counts in states.items()
    ]
    return table(["made by", "proposed", *shown], rows, caption="What became of the proposals")


def stage_seconds(history: History) -> str:
    """Wall time by generation and stage."""
    caption = "Wall time by stage"
    if history.timed_by == "ledger":
        caption += "; without the run's log, as the time between ends of stages (pauses included)"
    return _times({g.number: g.seconds for g in history.generations}, caption)


def worker_seconds(history: History) -> str:
    """Time of workers by generation and kind of task."""
    caption = "Time that workers spent on tasks (of one or more threads each), by kind of task"
    kinds = list(dict.fromkeys(kind for g in reversed(history.generations) for kind in g.work))
    kinds.sort(key=lambda kind: kind != "initial")  # it comes first, and only once
    work = {g.number: {kind: g.work[kind] for kind in kinds if kind in g.work} for g in history.generations}
    return _times(work, caption, kinds)


def failures(history: History) -> str:
    """Labels by state, and the messages of those that failed."""
    counts: Mapping[str, int] = history.summary["labels"]
    if not counts:
        return ""
    total = [(name, str(counts.get(name, 0))) for name in ("labelled", "rejected", "failed")]
    seconds = history.summary["label_seconds"]
    mean = seconds / max(1, sum(counts.values()))
    total += [("time of workers", duration(seconds)), ("for one label", f"{mean:.3g} s")]
    found = table(["labels", "number"], total)
    if history.summary["failures"]:
        rows: Iterable[Sequence[Cell]] = (
            [str(number), (error, "wrap")] for error, number in history.summary["failures"].items()
        )
        found += table(["failed labels", ("message", "text")], rows)
    return found


def _times(
    seconds: Mapping[int, Mapping[str, float]], caption: str, order: Sequence[str] | None = None
) -> str:
    names = order or list(dict.fromkeys(name for stages in seconds.values() for name in stages))
    if not names:
        return ""
    rows = [
        [str(number), *(f"{stages[name]:.1f}" if name in stages else "" for name in names), _total(stages)]
        for number, stages in seconds.items()
        if stages
    ]
    sums = {name: sum(stages.get(name, 0.0) for stages in seconds.values()) for name in names}
    rows.append(["all", *(f"{sums[name]:.1f}" for name in names), _total(sums)])
    return table(["generation", *(f"{name}, s" for name in names), "all, s"], rows, caption=caption)


def _total(seconds: Mapping[str, float]) -> str:
    return f"{sum(seconds.values()):.1f}"


def _rest(errors: ClassErrors) -> list[str]:
    return [
        _number(errors.force_rmse),
        f"{1000 * errors.energy_rmse:.1f}",
        _number(errors.coverage),
        _number(errors.spearman, digits=2),
    ]


def _pair(errors: ClassErrors | None) -> str:
    return "" if errors is None else f"{errors.force_error:.3f} · {1000 * errors.energy_rmse:.1f}"


def _honest(errors: ClassErrors | None) -> str:
    if errors is None or errors.coverage is None:
        return ""
    return f"{errors.coverage:.3f} · {_number(errors.spearman, digits=2)}"


def _number(value: float | None, factor: float = 1.0, digits: int = 3) -> str:
    return "–" if value is None else f"{factor * value:.{digits}f}"
