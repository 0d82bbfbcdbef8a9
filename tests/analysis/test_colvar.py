import math

import numpy as np
import pytest

from ase_mlsample.analysis.colvar import read_colvar

OURS = """#! FIELDS time phi n bias temperature energy volume
#! SET min_phi -pi
#! SET max_phi pi
# units: time ps, bias and energy eV, temperature K, volume angstrom^3
 0.000000 1.5 3 0 300 -34.5 160
 0.100000 -3.1 4 0.25 310 -34.4 160
 0.200000 3.1 5 0.5 290 -34.3 160
"""


@pytest.fixture
def write(tmp_path):
    def made(text):
        path = tmp_path / "COLVAR"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return made


def test_ours(write):
    log = read_colvar(write(OURS))
    assert len(log) == 3
    assert log.variables == ("phi", "n")
    np.testing.assert_array_equal(log["bias"], [0, 0.25, 0.5])
    np.testing.assert_array_equal(log.columns(["n", "phi"]), [[3, 1.5], [4, -3.1], [5, 3.1]])
    assert log.domains(["n", "phi"]) == (None, (-math.pi, math.pi))
    np.testing.assert_array_equal(log.after(0.1).times, [0.1, 0.2])


@pytest.mark.parametrize("further", ["rct zed neff nker", "kl gradient inside", "kl rate_scale phase inside"])
def test_what_a_bias_tells_of_itself_is_no_variable(write, further):
    columns = f"time phi energy_gap bias temperature energy volume {further}"
    log = read_colvar(write(f"#! FIELDS {columns}\n{' 1' * len(columns.split())}\n"))
    assert log.variables == ("phi", "energy_gap")


def test_rows_of_a_bias_that_learns(write):
    columns = "time n bias temperature energy kl rate_scale phase inside"
    rows = "".join(f" {k} 1 2 300 -1 0.1 1 {phase} 1\n" for k, phase in enumerate((0, 1, 0, 2, 2)))
    log = read_colvar(write(f"#! FIELDS {columns}\n{rows}"))
    assert log.learning.tolist() == [True, True, True, False, False]
    assert log.only(~log.learning).times.tolist() == [3, 4]
    # a variable of that name is no phase
    log = read_colvar(write("#! FIELDS time phase bias\n 0 1 0\n"))
    assert log.learning.tolist() == [False]
    assert log.variables == ("phase",)


def test_plumed(write):
    text = "#! FIELDS time d metad.bias metad.rbias uwall.bias\n 0.0 0.31 0 0 0\n 0.5 0.33 1.2 -0.4 0\n"
    log = read_colvar(write(text + text))  # a restarted run repeats the header
    assert log.variables == ("d",)
    assert len(log) == 4
    assert log.domains(["d"]) == (None,)


def test_an_unfinished_line_is_left_out(write):
    assert len(read_colvar(write(OURS + " 0.300000 1.2 5 0.7"))) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", "no line '#! FIELDS"),
        (b"\xff\xfe\x00\n", "is no COLVAR file"),
        ("#! FIELDS time d\n", "holds no rows"),
        ("#! FIELDS time d\n 1 2\n 1 2 3\n", "line 3: 3 columns, but FIELDS names 2"),
        ("#! FIELDS time d\n 1 x\n", "line 2: not all are numbers: 1 x"),
        ("#! FIELDS time d\n 1 2\n#! FIELDS time e\n", "changes its columns"),
        ("#! FIELDS time d d\n 1 2 3\n", "names a column twice"),
        ("#! FIELDS time d\n#! SET min_d low\n#! SET max_d 3\n 1 2\n", "period of d is from low to 3"),
    ],
)
def test_damaged_files(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_colvar(write(text))


def test_what_is_missing_is_named(write, tmp_path):
    log = read_colvar(write(OURS))
    with pytest.raises(KeyError, match="no column 'psi', only time, phi"):
        log["psi"]
    with pytest.raises(ValueError, match=r"ends at 0\.2, before 5"):
        log.after(5.0)
    with pytest.raises(FileNotFoundError):
        read_colvar(tmp_path / "none")
