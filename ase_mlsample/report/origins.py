"""Where the structures of a run came from: which sampler or explorer, and of which class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase_mlsample.active.ledger import Ledger

__all__ = ["Origins", "read_origins"]

_MOST = 7

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Origins:
    """Structures proposed for labelling, counted.

    Attributes
    ----------
    sources
        By generation and by what made them: a sampler, or an explorer and the sampler it started from.
    kinds
        By generation and class (``config_type``).
    states
        By source and what became of the label: "labelled", "rejected", "failed" or "waiting".
    """

    sources: Mapping[int, Counts]
    kinds: Mapping[int, Counts]
    states: Mapping[str, Counts]


def read_origins(ledger: Ledger) -> Origins:
    """Count the proposals of a ledger; beyond seven names the rarest are gathered as "other"."""
    sources: dict[int, Counter[str]] = {}
    kinds: dict[int, Counter[str]] = {}
    states: dict[str, Counter[str]] = {}
    for proposal, info, status in ledger.provenance(ledger.meta("reference")):
        source = _source(info)
        sources.setdefault(proposal.generation, Counter())[source] += 1
        kinds.setdefault(proposal.generation, Counter())[_kind(info)] += 1
        states.setdefault(source, Counter())[status] += 1
    ordered = sorted(states, key=lambda name: -states[name].total())
    return Origins(_few(sources), _few(kinds), {name: dict(states[name]) for name in ordered})


def _source(info: Mapping[str, Any]) -> str:
    source, start = str(info.get("source", "")) or "unnamed", str(info.get("start_source", ""))
    return f"{source} from {start}" if start else source


def _kind(info: Mapping[str, Any]) -> str:
    return str(info.get("config_type", "")) or "unnamed"


def _few(counts: Mapping[int, Counter[str]]) -> dict[int, dict[str, int]]:
    total = sum(counts.values(), Counter[str]())
    # an "other" that stands for one name says less than the name
    kept = [name for name, _ in total.most_common(_MOST if len(total) <= _MOST else _MOST - 1)]
    found: dict[int, dict[str, int]] = {}
    for generation, names in counts.items():
        few = {name: names[name] for name in kept if name in names}
        other = names.total() - sum(few.values())
        found[generation] = few | ({"other": other} if other else {})
    return found
