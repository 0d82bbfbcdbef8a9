import os
import signal
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path

import pytest
import torch
from active_helpers import alive, descendants, wait_for

from ase_mlsample import _core
from ase_mlsample.active.executors import ProcessExecutor, SerialExecutor, WorkerLost


def environment():
    return os.getpid(), os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]


def divide(a, b):
    return a / b


@pytest.fixture(scope="module")
def executor():
    executor = ProcessExecutor(2, threads=3)
    yield executor
    executor.shutdown(wait=False)


def test_serial_runs_at_once_and_keeps_errors():
    executor = SerialExecutor()
    assert executor.submit(divide, 6, b=3).result() == 2
    with pytest.raises(ZeroDivisionError):
        executor.submit(divide, 1, 0).result()


def test_processes_have_their_threads_set(executor):
    before = dict(os.environ)
    pid, threads, policy = executor.submit(environment).result(timeout=60)
    assert pid != os.getpid()
    assert (threads, policy) == ("3", "PASSIVE")
    assert dict(os.environ) == before


def test_errors_come_back(executor):
    with pytest.raises(ZeroDivisionError):
        executor.submit(divide, 1, 0).result(timeout=60)


def test_loss_of_a_worker_costs_one_call_and_it_is_replaced(executor):
    lost = executor.submit(os._exit, 9)
    others = [executor.submit(divide, n, 2) for n in range(6)]
    with pytest.raises(WorkerLost):
        lost.result(timeout=60)
    assert [other.result(timeout=60) for other in others] == [n / 2 for n in range(6)]
    assert executor.submit(os.getpid).result(timeout=60) in executor.processes()


def test_shutdown_ends_workers_in_the_middle_of_a_call():
    executor = ProcessExecutor(1)
    future = executor.submit(signal.pause)
    (pid,) = wait_for(executor.processes)
    executor.shutdown(wait=False)
    wait([future], timeout=60)
    wait_for(lambda: not alive(pid))
    assert future.done()


def test_shutdown_while_a_worker_starts():
    executor = ProcessExecutor(1)
    start_pool = executor._start_pool

    def shut_meanwhile():
        executor._closed = True  # as `shutdown` says in another thread, before there is a process to kill
        return start_pool()

    executor._start_pool = shut_meanwhile
    future = executor.submit(signal.pause)
    with pytest.raises(WorkerLost, match="closed"):
        future.result(timeout=60)
    executor.shutdown(wait=False)


def test_shutdown_may_wait_for_all_calls():
    with ProcessExecutor(1) as executor:
        futures = [executor.submit(divide, n, 2) for n in range(4)]
    assert [future.result() for future in futures] == [0.0, 0.5, 1.0, 1.5]


def test_programs_of_a_worker_end_with_it():
    executor = ProcessExecutor(1)
    future = executor.submit(subprocess.run, ["sleep", "600"])
    (pid,) = wait_for(executor.processes)
    (program,) = wait_for(lambda: {child for child in descendants(pid) if named(child) == "sleep"})
    executor.shutdown(wait=False)
    wait([future], timeout=60)
    wait_for(lambda: not alive(pid) and not alive(program))


def named(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="at least one"):
        ProcessExecutor(0)


def test_script_without_main_guard_is_told(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from ase_mlsample.active import ProcessExecutor\n"
        "executor = ProcessExecutor(1)\n"
        "print(executor.submit(abs, -1).result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode != 0
    assert 'if __name__ == "__main__":' in done.stderr.splitlines()[-1]


def test_importing_does_not_load_torch():
    code = "import sys, ase_mlsample.active.loop, ase_mlsample.active.models; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_serial_calls_keep_to_their_threads():
    before = _core.num_threads()
    executor = SerialExecutor(threads=3)
    assert executor.submit(_core.num_threads).result() == 3
    assert executor.submit(torch.get_num_threads).result() == 3
    assert _core.num_threads() == before
