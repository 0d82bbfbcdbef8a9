"""The driver of an asynchronous run on simulated workers: what it promises at every moment, in no time."""

from queue import SimpleQueue

import pytest

from ase_mlsample.active import asynchronous, tasks
from ase_mlsample.active.config import AsynchronousSettings
from ase_mlsample.active.label import structure_hash
from benchmarks import loop_scaling


@pytest.fixture(autouse=True)
def real_queues_afterwards():
    yield
    asynchronous.SimpleQueue = tasks.SimpleQueue = SimpleQueue


def simulated(*, workers=8, labels=120, train_after=15, max_staleness=1, **changes):
    """Figures of a run, and what its workspace knew at the end."""
    found = {}

    def look(workspace):
        ledger = workspace.ledger
        found["stages"] = ledger.stages()
        found["atoms"] = ledger.atoms(ledger.proposals())
        found["events"] = workspace.log.events()
        found["labels"] = ledger.labels(workspace.reference)

    settings = AsynchronousSettings(train_after=train_after, max_staleness=max_staleness)
    figures = loop_scaling.simulated(
        workers, labels, 8, wall=None, look=look, asynchronous=settings, **changes
    )
    return figures, found


def events(found, name):
    return [event for event in found["events"] if event["event"] == name]


@pytest.mark.parametrize("max_staleness", [0, 2])
def test_no_candidate_is_staler_than_allowed(max_staleness):
    figures, found = simulated(max_staleness=max_staleness)
    later = [atoms.info for atoms in found["atoms"] if atoms.info["generation"] > 0]
    ages = {info["judged_by"] - info["proposed_by"] for info in later}
    assert 0 in ages
    assert max(ages) <= max_staleness
    if max_staleness:
        judged = events(found, "judged")
        assert sum(event["frames"] for event in judged) > sum(event["kept"] for event in judged) > 0
        assert 1 in ages
    assert figures["labels"] == len(found["labels"]) == len(found["atoms"])


def test_models_learn_from_all_labels_and_labels_do_not_run_away():
    figures, found = simulated()
    trained = [
        stages["train"]["n_frames"] for _, stages in sorted(found["stages"].items()) if "train" in stages
    ]
    assert trained[-1] == figures["labels"]  # what was under way is waited for, for the last one
    steps = [after - before for before, after in zip([0, *trained], trained, strict=False)]
    assert min(steps) >= 15
    assert max(steps) <= (1 + 1) * 15 + 8 + 2  # the bound, and what workers had begun with


def test_workers_are_busy_while_a_model_is_trained():
    figures, _ = simulated(labels=160)
    assert figures["efficiency"] > 0.8
    assert figures["efficiency"] > figures["synchronous"]


def test_every_structure_is_chosen_once():
    figures, found = simulated()
    names = [structure_hash(atoms) for atoms in found["atoms"]]
    assert len(names) == len(set(names)) == figures["labels"]


def test_the_same_times_give_the_same_run():
    (first, _), (second, _) = simulated(labels=60), simulated(labels=60)
    for figures in (first, second):
        del figures["driver_cpu_ms"], figures["driver_wall_ms"]
    assert first == second
