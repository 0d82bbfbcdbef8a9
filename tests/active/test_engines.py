"""Executors of others, workers of each kind of work, and a folder of its own for each label."""

import os
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import pytest
from active_helpers import calls, data_set

from ase_mlsample.active import ProcessExecutor, SerialExecutor, run
from ase_mlsample.active.config_file import check_config, parse_config
from ase_mlsample.active.dispatch import Dispatcher, capacity_of
from ase_mlsample.active.engines import check_executors, open_executors, time_limits
from ase_mlsample.active.executors import WorkerLost, WorkerStartError
from ase_mlsample.active.label import LAUNCH, Reference
from ase_mlsample.active.staging import Staging, in_scratch
from ase_mlsample.active.store import ResultStore
from ase_mlsample.active.tasks import Task, perform


def parsed(values):
    return parse_config(values, source="test")


class Foreign(Executor):
    """What nobody here has heard of, with nothing but `submit`."""

    def __init__(self):
        self.names = []
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="foreign")

    def submit(self, fn, /, *args, **kwargs):
        def call():
            self.names.append(threading.current_thread().name)
            return fn(*args, **kwargs)

        return self._pool.submit(call)

    def close(self):
        self._pool.shutdown()


@pytest.fixture
def foreign():
    executor = Foreign()
    yield executor
    executor.close()


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_an_executor_of_others_is_taken_as_it_is(mode, foreign, values, run_here, quiet, tmp_path):
    values["stop"] = {"max_generations": 2}
    values["mode"] = mode
    values["asynchronous"] = {"train_after": 8}
    config = parsed(values)
    summary = run(config, executors={"explore": foreign, "label": foreign, "train": foreign}, console=quiet)
    assert summary["finished"] == "2 generations are trained"
    assert len(foreign.names) >= summary["labels"]["labelled"]
    assert foreign.submit(os.getpid).result() == os.getpid()  # it was not ended
    if mode == "synchronous":
        alone = deepcopy(values) | {"directory": str(tmp_path / "alone")}
        run_here(alone)
        assert data_set(values) == data_set(alone)


def test_an_executor_for_work_that_there_is_not(values):
    with pytest.raises(ValueError, match="executors lable: there is work of the kinds explore, label, train"):
        run(parsed(values), executors={"lable": SerialExecutor()})


def test_dask(values, run_here, tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask is not installed (the extra `dask`)")
    values["stop"] = {"max_generations": 2}
    alone = deepcopy(values) | {"directory": str(tmp_path / "alone")}
    alone["reference"] = deepcopy(values["reference"])
    alone["reference"]["kwargs"]["calls"] = str(tmp_path / "calls_alone")
    run_here(alone)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        values["executors"] = {"label": {"type": "dask", "address": cluster.scheduler_address}}
        run_here(values)
    assert data_set(values) == data_set(alone)
    assert len(calls(values)) == len(data_set(values))


def test_dask_keeps_no_time_limits(values):
    pytest.importorskip("distributed", reason="dask is not installed (the extra `dask`)")
    values["executors"] = {"type": "dask", "address": "tcp://127.0.0.1:1"}
    values["reference"]["timeout_s"] = 10
    with pytest.raises(ValueError, match=r"executors.label: Dask runs work in threads"):
        check_config(parsed(values))


class TestKindsOfWork:
    def opened(self, values, tmp_path, **given):
        return open_executors(parsed(values), given, folder=tmp_path)

    def test_one_worker_is_this_process(self, values, tmp_path):
        with self.opened(values, tmp_path) as executors:
            assert all(isinstance(each.executor, SerialExecutor) for each in executors.values())
            assert executors["explore"].executor is executors["label"].executor

    def test_an_asynchronous_run_keeps_this_process_free(self, values, tmp_path):
        with self.opened(values | {"mode": "asynchronous"}, tmp_path) as executors:
            assert all(isinstance(each.executor, ProcessExecutor) for each in executors.values())

    def test_each_may_have_its_own(self, values, tmp_path):
        values["executors"] = {"workers": 1, "label": {"workers": 3}, "train": "label"}
        with self.opened(values, tmp_path) as executors:
            assert isinstance(executors["explore"].executor, SerialExecutor)
            assert executors["label"].capacity == 3
            assert executors["train"].executor is executors["label"].executor

    def test_what_is_given_comes_first(self, values, tmp_path):
        mine = SerialExecutor()
        with self.opened(
            values | {"executors": {"label": {"workers": 3}}}, tmp_path, label=mine
        ) as executors:
            assert executors["label"].executor is mine
            assert executors["explore"].executor is not mine

    def test_the_same_for_all(self, values):
        values["executors"] = {"type": "parsl", "preset": "slurm", "blocks": 2, "scratch": "$TMPDIR"}
        executors = parsed(values).executors
        assert executors.found("train") == executors.found("explore")
        assert executors.label.capacity == 2
        assert executors.source("train") == "explore"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"label": "explore", "explore": "label"}, "must have workers of its own"),
            ({"label": {"type": "dask"}}, "address of the Dask scheduler or a scheduler_file"),
            ({"label": {"type": "parsl", "preset": "lsf"}}, "'local', 'slurm' or 'pbs'"),
            ({"label": {"type": "parsl", "preset": "slurm", "walltime": "2h"}}, "write it as HH:MM:SS"),
            ({"label": {"type": "condor"}}, "condor"),
            ({"keep": ["*.out"]}, "give scratch"),
            ({"type": "dask", "address": "a", "scratch": "$TMPDIR"}, "leave out scratch"),
            ({"wokers": 2}, "did you mean 'workers'"),
        ],
    )
    def test_mistakes(self, given, message, values):
        with pytest.raises(ValueError, match=message):
            parsed(values | {"executors": given})

    def test_limits(self, values):
        values["reference"] |= {"timeout_s": 100.0, "retries": 2}
        assert time_limits(parsed(values)) == {"explore": None, "label": 230.0, "train": None}


class _Said(Executor):
    """Whose calls all end with one exception."""

    def __init__(self, error):
        self.error = error

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_running_or_notify_cancel()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("engine", "name", "ours"),
    [
        ("parsl.executors.high_throughput.errors", "ManagerLost", WorkerLost),
        ("distributed.scheduler", "KilledWorker", WorkerLost),
        ("parsl.executors.errors", "BadStateException", WorkerStartError),
    ],
)
def test_losses_in_our_words(engine, name, ours):
    error = type(name, (Exception,), {"__module__": engine})("gone")
    with pytest.raises(ours, match="gone"):
        Dispatcher(_Said(error)).submit(abs, -1).result()


def test_other_errors_stay_what_they_are():
    with pytest.raises(OSError, match="disk"):
        Dispatcher(_Said(OSError("disk"))).submit(abs, -1).result()


def test_how_many_run_at_a_time(foreign):
    assert capacity_of(SerialExecutor()) == 1
    assert capacity_of(foreign) == 256
    with ThreadPoolExecutor(3) as pool:
        assert capacity_of(pool) == 3
        assert capacity_of(Dispatcher(pool)) == 3


def test_nothing_begins_when_a_run_is_being_stopped(tmp_path):
    stop = tmp_path / "stop"
    dispatcher = Dispatcher(SerialExecutor(), stop=stop)
    assert dispatcher.submit(abs, -1).result() == 1
    assert dispatcher.drain() == 0
    with pytest.raises(RuntimeError, match="being stopped"):
        dispatcher.submit(abs, -1).result()


class Queueing(Executor):
    """Whose calls wait for a worker, but one."""

    def __init__(self):
        self.futures = []
        self.asked = threading.Event()

    def submit(self, fn, /, *args, **kwargs):
        self.futures.append(Future())
        return self.futures[-1]

    def at_workers(self):
        self.asked.set()
        return 0 if self.futures[0].done() else 1


def test_calls_that_no_worker_has_begun_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("ase_mlsample.active.dispatch._LOOK_S", 0.01)
    queue, ended = Queueing(), []
    dispatcher = Dispatcher(queue, stop=tmp_path / "stop")
    for _ in range(3):
        dispatcher.submit(abs, -1)
    waiting = threading.Thread(target=lambda: ended.append(dispatcher.drain()))
    waiting.start()
    assert queue.asked.wait(60)
    assert not ended
    queue.futures[0].set_result(1)
    waiting.join(60)
    assert ended == [3]
    assert dispatcher.under_way == 2


class TestLaunch:
    """What starts parallel programs belongs to the workers' place."""

    FACTORY = "active_toy:programmed"

    def test_is_put_before_the_command(self, monkeypatch):
        reference = Reference(self.FACTORY, {"command": "pw.x -nk 2"})
        assert reference.calculator().command == "pw.x -nk 2"
        fingerprint = reference.fingerprint
        monkeypatch.setenv(LAUNCH, "srun -n 4")
        assert reference.calculator().command == "srun -n 4 pw.x -nk 2"
        assert reference.fingerprint == fingerprint
        assert Reference(self.FACTORY).calculator().command == "srun -n 4 code.x"
        assert Reference("active_toy:WithoutNumbers").calculator()  # it has no command

    def test_a_reference_in_the_worker_itself_is_refused(self, values):
        pytest.importorskip("parsl", reason="parsl is not installed (the extra `parsl`)")
        block = {"type": "parsl", "preset": "slurm", "launch": "srun -n 4"}
        values["executors"] = {"label": block}
        values["reference"] = {"factory": self.FACTORY, "kwargs": {"command": None}, "timeout_s": 60.0}
        with pytest.raises(ValueError, match=r"executors.label: launch has nothing to start.*kwargs.command"):
            check_executors(parsed(values))
        values["reference"]["kwargs"] = {}
        check_executors(parsed(values))


def leaves_files(*, fail):
    Path("scf.out").write_text(str(Path.cwd()))
    Path("wave.dat").write_text("large")
    if fail:
        raise RuntimeError("not converged")
    return {"folder": str(Path.cwd())}


class TestScratch:
    def done(self, tmp_path, *, fail, **options):
        staging = Staging(
            str(tmp_path / "$USER_FOLDER"), files=str(tmp_path / "files"), keep=("*.out",), **options
        )
        store = ResultStore(tmp_path / "results")
        task = Task("key", leaves_files, {"fail": fail})
        dispatcher = Dispatcher(SerialExecutor(), staging=staging)
        dispatcher.submit(perform, task, str(store.directory)).result()
        return store.read("key")

    @pytest.fixture(autouse=True)
    def variable(self, monkeypatch):
        monkeypatch.setenv("USER_FOLDER", "fast_disk")

    def test_a_label_works_in_a_folder_of_its_own(self, tmp_path):
        here = Path.cwd()
        result = self.done(tmp_path, fail=False)
        assert Path(result["folder"]).parent == tmp_path / "fast_disk"
        assert Path.cwd() == here
        assert not list((tmp_path / "fast_disk").iterdir())
        assert not (tmp_path / "files").exists()

    def test_files_of_a_failure_are_kept(self, tmp_path):
        assert self.done(tmp_path, fail=True)["status"] == "failed"
        assert [path.name for path in (tmp_path / "files/key").iterdir()] == ["scf.out"]
        assert not list((tmp_path / "fast_disk").iterdir())

    def test_files_are_kept_always_when_asked(self, tmp_path):
        self.done(tmp_path, fail=False, always=True)
        assert (tmp_path / "files/key/scf.out").exists()

    def test_what_killed_workers_left_is_removed(self, tmp_path):
        staging = Staging(str(tmp_path), files=str(tmp_path / "files"))
        with in_scratch(staging, "a", failed=bool) as folder:
            gone = subprocess.Popen([sys.executable, "-c", ""])
            gone.wait()
            left = folder.with_name(folder.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-"))
            left.mkdir()
            (left / "wave.dat").touch()
        with in_scratch(staging, "b", failed=bool):
            assert not left.exists()

    def test_threads_cannot_have_folders(self, tmp_path):
        staging = Staging(str(tmp_path), files=str(tmp_path / "files"))
        with (
            ThreadPoolExecutor(1) as pool,
            pytest.raises(RuntimeError, match=r"leave out executors\.scratch"),
        ):
            Dispatcher(pool, staging=staging).submit(perform, Task("key", leaves_files), "x").result()
