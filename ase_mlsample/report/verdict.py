"""What a run has come to, in words: the top of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ase_mlsample.report.history import Generation, History

__all__ = ["Verdict", "duration", "verdict"]


# coverage this near to the expected one is called right
_CLOSE = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence that says how good the model is, and some that say why and at what cost."""

    headline: str
    sentences: tuple[str, ...]


def verdict(history: History) -> Verdict:
    """Judge a run by its ledger: errors against the target, why it stopped, honesty, data and cost.

    Parameters
    ----------
    history
        Of the run; it may have just begun.
    """
    judged = history.judged
    if judged:
        headline, *sentences = _held_out(judged[-1], _target(history))
        sentences += _progress(judged)
        sentences += _honesty(judged[-1], history)
    else:
        headline, *sentences = _unjudged(history)
    return Verdict(headline, (*sentences, _ending(history), *_exploration(history), *_cost(history)))


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "6 min 40 s", "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _target(history: History) -> float | None:
    return (history.config.get("stop") or {}).get("force_error")


def _held_out(last: Generation, target: float | None) -> list[str]:
    classes = {name: errors for name, errors in last.errors.items() if name != "all"} or dict(last.errors)
    worst = max(classes, key=lambda name: _ranked(classes[name].force_error))
    best = min(classes, key=lambda name: _ranked(classes[name].force_error))
    energy = max(classes, key=lambda name: _ranked(classes[name].energy_rmse))
    size = f"{classes[worst].force_error:.3f} of the RMS force in the worst class ({worst})"
    if target is None:
        headline = f"Held-out force error after generation {last.number}: {size}; no target was set."
    else:
        met = sum(errors.force_error <= target for errors in classes.values())
        word = "reached" if met == len(classes) else "not reached"
        headline = (
            f"The target, a force error of {target:g} in every class, is {word}: "
            f"{met} of {len(classes)} classes are within it after generation {last.number}, and the worst "
            f"({worst}) is at {classes[worst].force_error:.3f}."
        )
    sentences = [headline]
    if len(classes) > 1:
        sentences.append(
            f"Held-out force errors go from {classes[best].force_error:.3f} ({best}) to {size}; "
            f"energies are within {1000 * classes[energy].energy_rmse:.1f} meV/atom RMSE (worst: {energy})."
        )
    return sentences


def _ranked(error: float) -> float:
    """What is no number is worse than any."""
    return math.inf if math.isnan(error) else error


def _progress(judged: list[Generation]) -> list[str]:
    if len(judged) < 2 or not all("all" in g.errors for g in (judged[0], judged[-1])):
        return []
    first, last = judged[0].errors["all"].force_error, judged[-1].errors["all"].force_error
    begin = f"Over all classes the force error went from {first:.3f} with {judged[0].n_labels} labels "
    return [begin + f"to {last:.3f} with {judged[-1].n_labels}."]


def _honesty(last: Generation, history: History) -> list[str]:
    found = last.errors["all"].coverage if "all" in last.errors else None
    expected = next(
        (
            entry["evaluate"].get("expected_coverage")
            for entry in reversed(history.summary["generations"])
            if "evaluate" in entry
        ),
        None,
    )
    if found is None or expected is None:
        return []
    parts = {name: e.coverage for name, e in last.errors.items() if name != "all" and e.coverage is not None}
    spread = ""
    if len(parts) > 1:
        low, high = min(parts, key=lambda n: parts[n]), max(parts, key=lambda n: parts[n])
        spread = f"; by class from {parts[low]:.2f} ({low}) to {parts[high]:.2f} ({high})"
    word = "right on average"
    if abs(found - expected) > _CLOSE:
        word = "too small" if found < expected else "too large"
    share = f"{found:.3f} of the force components lie within one calibrated σ"
    return [
        f"Error bars are {word}: {share}, {expected:.3f} would be expected{spread}.",
        *_ranking(last),
    ]


def _ranking(last: Generation) -> list[str]:
    """Whether larger error bars are at larger errors, over all and within a class."""
    over_all = last.errors["all"].spearman
    parts = [e.spearman for name, e in last.errors.items() if name != "all" and e.spearman is not None]
    if over_all is None:
        return []
    within = f", and {min(parts):.2f} to {max(parts):.2f} within a class" if len(parts) > 1 else ""
    return [f"Predicted and true errors of atoms have a rank correlation of {over_all:.2f} over all{within}."]


def _unjudged(history: History) -> list[str]:
    last = history.last_model
    if last is None:
        return ["There is no model yet."]
    training = next(g.training for g in history.generations if g.number == last)
    target = _target(history)
    goal = "" if target is None or history.config.get("testset") else f"; the target is {target:g} eV/Å"
    error = f"has a force RMSE of {training['force_rmse']:.3f} eV/Å on {history.judged_by}"
    return [f"The model of generation {last} {error}{goal}. It has not been judged on a held-out set."]


def _ending(history: History) -> str:
    if history.summary["finished"]:
        return f"The loop has ended: {history.summary['finished']}."
    if history.running:
        return "The run goes on; this is how far it has come."
    why = f": {history.trouble}" if history.trouble else ""
    return f"The run is not finished{why}. The same command goes on where it stopped."


def _exploration(history: History) -> list[str]:
    explored = [g for g in history.generations if g.explored]
    if not explored:
        return []
    last = explored[-1]
    looks = sum(last.explored.values())
    uncertain = last.explored.get("candidate", 0) + last.explored.get("rejected", 0)
    limit = (history.config.get("stop") or {}).get("uncertain_fraction")
    rule = "" if limit is None else f"; under {limit:.3g} would count as explored"
    fraction = f"(a fraction of {uncertain / max(1, looks):.3f}{rule})"
    return [
        f"In the last exploration {uncertain} of {looks} looks at trajectories were uncertain {fraction}."
    ]


def _cost(history: History) -> list[str]:
    labels: Mapping[str, int] = history.summary["labels"]
    if not labels:
        return ["Nothing is labelled yet."]
    counts = f"{labels.get('labelled', 0)} labels accepted"
    if labels.get("rejected"):
        counts += f", {labels['rejected']} rejected for their forces"
    counts += f", {labels.get('failed', 0)} failed"
    wall = sum(sum(g.seconds.values()) for g in history.generations)
    labelling = duration(history.summary["label_seconds"])
    return [
        f"{counts}.",
        f"The stages took {duration(wall)} of wall time, labelling {labelling} of the workers' time.",
    ]
