import os
from concurrent.futures import Executor, Future

import pytest

from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor, WorkerLost
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.tasks import Task, Work, perform, run_tasks


def count(*, path, fail=0, value=0):
    """Append a line; fail the first times."""
    with open(path, "a+") as file:  # noqa: PTH123
        file.write("x")
        file.seek(0)
        made = len(file.read())
    if made <= fail:
        raise RuntimeError(f"attempt {made}")
    return {"value": value}


def hang():
    while True:
        pass


def die_once(*, path):
    try:
        with open(path, "x"):  # noqa: PTH123
            os._exit(9)
    except FileExistsError:
        return {"value": 1}


def die():
    os._exit(9)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


def run(tasks, store, executor, window=2):
    found = {}
    run_tasks(
        tasks,
        executor,
        store=store,
        window=window,
        take=lambda batch: found.update((t.key, r) for t, r in batch),
    )
    return found


def test_done_once(store, tmp_path):
    task = Task("a", count, {"path": str(tmp_path / "n"), "value": 7})
    for _ in range(3):
        result = run([task], store, SerialExecutor())["a"]
        assert (result["status"], result["value"], result["attempts"]) == ("done", 7, 1)
    assert (tmp_path / "n").read_text() == "x"
    assert perform(task, str(store.directory)) == "a"
    assert (tmp_path / "n").read_text() == "x"


def test_retried_a_stated_number_of_times(store, tmp_path):
    arguments = {"path": str(tmp_path / "n"), "fail": 2}
    assert run([Task("a", count, arguments, retries=2)], store, SerialExecutor())["a"]["attempts"] == 3
    arguments = {"path": str(tmp_path / "m"), "fail": 2}
    failed = run([Task("b", count, arguments, retries=1)], store, SerialExecutor())["b"]
    assert failed["status"] == "failed"
    assert failed["attempts"] == 2
    assert failed["error"]["type"] == "RuntimeError"
    assert failed["error"]["message"] == "attempt 2"
    assert "in count" in failed["error"]["tail"]


def test_failure_does_not_stop_the_others(store, tmp_path):
    tasks = [Task(f"t{n}", count, {"path": str(tmp_path / f"{n}"), "fail": n % 2}) for n in range(6)]
    states = [result["status"] for _, result in sorted(run(tasks, store, SerialExecutor()).items())]
    assert states == ["done", "failed"] * 3


def test_time_limit(store):
    failed = run([Task("a", hang, timeout_s=0.05)], store, SerialExecutor())["a"]
    assert failed["error"]["type"] == "TaskTimeoutError"


def test_lost_workers_are_retried_then_given_up(store, tmp_path):
    executor = ProcessExecutor(2)
    try:
        tasks = [
            Task("once", die_once, {"path": str(tmp_path / "died")}),
            Task("always", die),
            *(Task(f"t{n}", count, {"path": str(tmp_path / f"{n}")}) for n in range(4)),
        ]
        found = run(tasks, store, executor)
    finally:
        executor.shutdown(wait=False)
    assert found.pop("always")["error"]["message"].startswith("its worker process died 2 times")
    assert len(found) == 5
    assert {result["status"] for result in found.values()} == {"done"}


class Silent(Executor):
    """Gives up every worker at once, as a batch system's does that cannot hear it."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(WorkerLost("silent"))
        return future


def test_a_worker_that_was_given_up_and_still_works_does_not_hold_up_the_run(store, monkeypatch):
    monkeypatch.setattr("ase_mlsample.active.tasks._PATIENCE_S", 0.05)
    task, work = Task("a", die), Work(Silent(), store)
    with store.lock("a"):  # it is at its label
        for _ in range(5):
            work.submit(task)
            assert work.collect() == ([], [(task, True)])
    assert store.past("a") == []  # nothing was lost
    work.submit(task)
    assert work.collect() == ([], [(task, True)])
    assert len(store.past("a")) == 1


def test_what_goes_on_where_it_was_may_cost_more_workers(store):
    task, work = Task("a", die, losses=3), Work(Silent(), store)
    for _ in range(3):
        work.submit(task)
        assert work.collect() == ([], [(task, True)])
    work.submit(task)
    ((_, result),) = work.collect()[0]
    assert result["error"]["message"].startswith("its worker process died 4 times")
