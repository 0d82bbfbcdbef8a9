import subprocess
import sys

import pytest

from ase_mlsample import _core

SETUP = """
import os, sys, threading
import numpy as np
from ase_mlsample import _core
_core.set_num_threads(3)
rng = np.random.default_rng(1)
cell, pbc = 30.0 * np.eye(3), np.ones(3, bool)
positions = [rng.uniform(0, 30, (n, 3)) for n in (2000, 3000, 10, 1500)]
def pairs(k, neighbors=None):
    neighbors = neighbors or _core.NeighborList(4.0)
    neighbors.update(positions[k], cell, pbc)
    return neighbors.second
expected = [pairs(k).copy() for k in range(4)]
"""


def run(script):
    return subprocess.run(
        [sys.executable, "-c", SETUP + script], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("n", [0, -1, 257])
def test_a_bad_number_of_threads_is_refused(n):
    before = _core.num_threads()
    with pytest.raises(ValueError, match=f"between 1 and 256, not {n}"):
        _core.set_num_threads(n)
    assert _core.num_threads() == before


@pytest.mark.parametrize("child", ["pass", "assert (pairs(1) == expected[1]).all()"])
def test_the_child_of_a_fork_works_and_ends(child):
    done = run(f"""
if os.fork() == 0:
    {child}
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
assert (pairs(0) == expected[0]).all()
""")
    assert done.returncode == 0, done.stderr


def test_threads_with_lists_of_their_own_do_not_disturb_each_other():
    done = run("""
wrong = []
def work(k):
    for step in range(20):
        _core.set_num_threads(1 + (k + step) % 4)
        if not (pairs(k) == expected[k]).all():
            wrong.append(k)
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong
""")
    assert done.returncode == 0, done.stderr


def test_a_list_shared_by_threads_raises_and_does_not_crash():
    done = run("""
shared, odd = _core.NeighborList(4.0), []
def work(k):
    for step in range(30):
        try:
            pairs((k + step) % 4, shared).sum()
        except RuntimeError as error:
            if "in use by another thread" not in str(error):
                odd.append(error)
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not odd, odd
assert (pairs(1, shared) == expected[1]).all()
""")
    assert done.returncode == 0, done.stderr
