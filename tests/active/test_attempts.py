"""What is tried again after a failure, and where, by the kind of the failure."""

import os

import active_toy
import pytest

from ase_mlsample.active.attempts import Task, attempt
from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor
from ase_mlsample.active.remedies import ReferenceStoppedError, Streak
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.tasks import run_tasks


def fails(*, kind, path, times=99, recipe=0):
    """Fail the first times; the file keeps who called with which recipe."""
    with open(path, "a+") as file:  # noqa: PTH123
        file.write(f"{recipe} {os.getpid()}\n")
        file.seek(0)
        made = len(file.readlines())
    if made <= times:
        raise active_toy.FAILURES[kind](f"call {made}")
    return {"value": made}


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


@pytest.fixture
def task(tmp_path):
    def make(kind, key="a", **options):
        more = {name: options.pop(name) for name in ("times",) if name in options}
        arguments = {"kind": kind, "path": str(tmp_path / key), **more}
        return Task(key, fails, arguments, by_kind=True, **options)

    return make


def calls(tmp_path, key="a"):
    return [line.split() for line in (tmp_path / key).read_text().splitlines()]


def run(tasks, store, executor):
    found = {}
    run_tasks(
        tasks,
        executor,
        store=store,
        window=2,
        take=lambda batch: found.update((task.key, result) for task, result in batch),
    )
    return found


@pytest.mark.parametrize(
    ("kind", "made"), [("geometry", 1), ("convergence", 3), ("resource", 5), ("setup", 5), ("unknown", 5)]
)
def test_each_kind_is_tried_as_often_as_it_says(kind, made, task, store, tmp_path):
    found = run([task(kind, retries=4, recipes=2)], store, SerialExecutor())["a"]
    assert found["status"] == "failed"
    assert found["error"]["kind"] == kind
    assert found["error"]["message"] == f"call {made}"
    assert found["attempts"] == made == len(calls(tmp_path))
    assert found.get("recipe", 0) == (2 if kind == "convergence" else 0)
    assert not list((store.directory / "attempts").glob("*"))


def test_recipes_follow_each_other_and_the_one_that_worked_is_kept(task, store, tmp_path):
    found = run([task("convergence", recipes=3, times=2)], store, SerialExecutor())["a"]
    assert found["status"] == "done"
    assert (found["recipe"], found["attempts"]) == (2, 3)
    assert [recipe for recipe, _ in calls(tmp_path)] == ["0", "1", "2"]


def test_without_recipes_a_label_that_did_not_converge_is_not_computed_again(task, store, tmp_path):
    assert run([task("convergence", retries=5)], store, SerialExecutor())["a"]["attempts"] == 1


def test_resources_are_looked_for_in_another_process(task, store, tmp_path):
    executor = ProcessExecutor(1)
    try:
        found = run([task("resource", retries=2, times=2)], store, executor)["a"]
    finally:
        executor.shutdown(wait=False)
    assert (found["status"], found["attempts"]) == ("done", 3)
    assert len({pid for _, pid in calls(tmp_path)}) == 3


def test_what_failed_elsewhere_counts_after_a_restart(task, store, tmp_path):
    again = task("resource", retries=2)
    assert attempt(again, store) is None
    assert attempt(again, ResultStore(store.directory)) is None  # as another worker, of another driver
    assert attempt(again, store)["attempts"] == 3


def test_a_plain_task_is_retried_whatever_happened(store, tmp_path):
    arguments = {"kind": "geometry", "path": str(tmp_path / "a"), "times": 2}
    assert run([Task("a", fails, arguments, retries=2)], store, SerialExecutor())["a"]["status"] == "done"


def test_a_worker_that_reacts_to_nothing_ends_itself_and_says_where_it_hung(store, tmp_path):
    arguments = {"path": str(tmp_path / "begun")}
    task = Task("a", active_toy.deaf, arguments, timeout_s=0.2, by_kind=True, grace_s=0.2)
    executor = ProcessExecutor(1)
    try:
        found = run([task], store, executor)["a"]
    finally:
        executor.shutdown(wait=False)
    assert (tmp_path / "begun").exists()
    assert found["error"]["type"] == "TaskTimeoutError"
    assert found["error"]["kind"] == "resource"
    assert "in deaf" in found["error"]["tail"]
    assert not list((store.directory / "attempts").iterdir())


FAILED = {"status": "failed", "error": {"kind": "setup", "type": "E", "message": "no pw.x"}}
OTHER = {"status": "failed", "error": {"kind": "unknown", "type": "E", "message": "?"}}


class TestStreak:
    def test_stops_with_reason_and_remedy(self):
        streak = Streak(3)
        streak.add(FAILED)
        streak.add(FAILED)
        with pytest.raises(
            ReferenceStoppedError, match=r"last 3 labels .*'setup'.*E: no pw.x.*install the code"
        ):
            streak.add(FAILED)

    @pytest.mark.parametrize("between", [OTHER, {"status": "labelled"}, {"status": "rejected"}])
    def test_anything_else_in_between_begins_anew(self, between):
        streak = Streak(3)
        for result in (FAILED, FAILED, between, FAILED, FAILED):
            streak.add(result)


def test_no_attempt_begins_in_a_call_that_took_as_long_as_one_may(store, monkeypatch):
    """So a call ends within twice the limit, which the last hours of a block are planned by."""
    now = [0.0]
    monkeypatch.setattr("ase_mlsample.active.attempts.time.monotonic", lambda: now[0])

    def slow():
        now[0] += 60.0
        raise RuntimeError("an hour, and nothing")

    task = Task("a", slow, retries=4, timeout_s=100.0, by_kind=True)
    assert attempt(task, store) is None
    assert (now[0], len(store.past("a"))) == (120.0, 2)
    assert attempt(task, store) is None
    found = attempt(task, store)
    assert (found["attempts"], found["seconds"]) == (5, 300.0)


def test_recipes_that_are_gone_since(task, store, tmp_path):
    failed = {"kind": "convergence", "type": "E", "message": "", "tail": "", "seconds": 0.0, "recipe": 0}
    store.keep_past("a", [failed, failed | {"recipe": 1}])
    assert attempt(task("unknown", recipes=1, times=0), store)["recipe"] == 1
    assert [recipe for recipe, _ in calls(tmp_path)] == ["1"]
