import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ase_mlsample import _core

SCRIPT = Path(__file__).with_name("core_results.py")
EXACT = ("first", "second", "shifts", "vectors")


def run(path, instruction_set):
    return subprocess.run(
        [sys.executable, SCRIPT, path],
        env={**os.environ, "MLSAMPLE_ISA": instruction_set},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    path = tmp_path_factory.mktemp("isa") / "baseline.npz"
    done = run(path, "baseline")
    assert done.returncode == 0, done.stderr
    return dict(np.load(path))


@pytest.mark.parametrize("instruction_set", ["avx2", "avx512"])
def test_instruction_sets_agree_to_rounding(baseline, instruction_set, tmp_path):
    done = run(tmp_path / "out.npz", instruction_set)
    if f"asks for {instruction_set}, but this machine has no more than" in done.stderr:
        pytest.skip(f"this machine lacks {instruction_set}")
    assert done.returncode == 0, done.stderr
    got = dict(np.load(tmp_path / "out.npz"))
    assert got.pop("instruction_set") == instruction_set
    assert baseline["instruction_set"] == "baseline"
    assert got.keys() | {"instruction_set"} == baseline.keys()
    for name, value in got.items():
        expected = baseline[name]
        assert value.dtype == expected.dtype
        if name in EXACT:
            np.testing.assert_array_equal(value, expected, err_msg=name)
            continue
        scale = np.max(np.abs(expected))
        assert scale > 0
        tolerance = 3e-6 if name.endswith("float32") else 1e-13 if name.startswith("order_") else 1e-14
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale, err_msg=name)


def test_the_default_is_the_best_that_runs():
    assert _core.instruction_set() in ("baseline", "avx2", "avx512")
    if "MLSAMPLE_ISA" in os.environ:
        pytest.skip("MLSAMPLE_ISA is set")
    order = ("baseline", "avx2", "avx512")
    better = order[order.index(_core.instruction_set()) + 1 :]
    for name in better:
        done = subprocess.run(
            [sys.executable, "-c", "import ase_mlsample._core"],
            env={**os.environ, "MLSAMPLE_ISA": name},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(f"ValueError: MLSAMPLE_ISA asks for {name}, but this machine has no more than")


def test_an_unknown_instruction_set_is_refused_in_one_line(tmp_path):
    done = run(tmp_path / "out.npz", "sse9")
    assert done.returncode == 1
    message = "ValueError: MLSAMPLE_ISA must be baseline, avx2 or avx512, not 'sse9'"
    assert done.stderr.strip().splitlines()[-1] == message
