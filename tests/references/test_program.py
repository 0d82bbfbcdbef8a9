import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import program

from ase_mlsample.references.failures import SetupFailure
from ase_mlsample.references.program import output_of, program_of, run_program, tail


def gone(pid):
    """Whether a process has ended; waits a little for it."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def appeared(path):
    for _ in range(400):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    pytest.fail(f"{path.name} was not written")


def test_output_and_status(tmp_path):
    words = program(tmp_path, "print('out'); print('err', file=sys.stderr); sys.exit(3)").split()
    assert run_program(words, tmp_path, output="o.txt") == 3
    assert set((tmp_path / "o.txt").read_text().split()) == {"out", "err"}


def test_runs_in_the_folder_without_input(tmp_path):
    words = program(tmp_path, "leave('here', repr(sys.stdin.read()))").split()
    assert run_program(words, tmp_path, output="o.txt") == 0
    assert (tmp_path / "here").read_text() == "''"


def test_a_signal_is_told_as_shells_do(tmp_path):
    words = program(tmp_path, "os.kill(os.getpid(), 9)").split()
    assert run_program(words, tmp_path, output="o.txt") == 137


def test_an_exception_in_the_waiting_thread_ends_the_program(tmp_path):
    words = program(
        tmp_path,
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "leave('pids', f'{os.getpid()} {child.pid}')\n"
        "time.sleep(60)",
    ).split()

    class LimitError(Exception):
        pass

    def stop(*_):
        if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise LimitError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(LimitError):
            run_program(words, tmp_path, output="o.txt")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all(gone(pid) for pid in (tmp_path / "pids").read_text().split())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_the_program_does_not_outlive_a_killed_worker(tmp_path):
    words = program(tmp_path, "leave('pid', str(os.getpid())); time.sleep(60)").split()
    code = (
        "from pathlib import Path\n"
        "from ase_mlsample.references.program import run_program\n"
        f"run_program({words!r}, Path({str(tmp_path)!r}), output='o.txt')"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    pid = appeared(tmp_path / "pid")
    worker.kill()
    worker.wait()
    assert gone(pid)


def test_a_program_that_is_not_there(tmp_path):
    assert program_of(f"{sys.executable} -c 1", code="x", install="y") == [sys.executable, "-c", "1"]
    with pytest.raises(SetupFailure, match=r"'no-such-code' .* install it with: apt-get it"):
        program_of("no-such-code -np 4", code="x", install="apt-get it")
    with pytest.raises(SetupFailure, match="empty"):
        program_of(" ", code="x", install="y")


def test_tail(tmp_path):
    path = tmp_path / "out"
    assert tail(path) == ""
    path.write_text("first\n\n %%%%%\nsecond   \n=====\nthird\n")
    assert tail(path) == "first\nsecond\nthird"
    assert tail(path, 1) == "third"
    assert tail(path, having="ir") == "first\nthird"


def test_defaults_of_the_environment_that_the_user_can_change(tmp_path, monkeypatch):
    words = program(
        tmp_path, "print(os.environ['OMP_NUM_THREADS'], os.environ['OMPI_MCA_ess_singleton_isolated'])"
    )
    for given, expected in ((None, "1 1"), ("4", "4 1")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        run_program(words.split(), tmp_path, output="o.txt")
        assert (tmp_path / "o.txt").read_text().strip() == expected


def test_output_of_a_program_without_input(tmp_path):
    command = program(tmp_path, "print('version', 7, os.listdir('.'))")
    assert output_of(tuple(command.split())) == "version 7 []\n"
    assert os.listdir(tmp_path) == ["fake_program.py"]  # noqa: PTH208
