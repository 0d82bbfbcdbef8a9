import pytest

from ase_mlsample.references.failures import NotConverged, OutOfResources, ReferenceFailure, SetupFailure
from ase_mlsample.references.words import Rule, failure_from

RULES = (Rule("not converged", NotConverged, "Be gentle."), Rule("no such file", SetupFailure, "Look."))


def test_the_codes_own_words_are_quoted():
    failure = failure_from("a\n   Error: NOT converged  \n   (step 3)\nb", RULES, about="X, Si8")
    assert type(failure) is NotConverged
    assert str(failure) == "X, Si8: Error: NOT converged / (step 3). Be gentle."


def test_earlier_rules_go_first():
    assert type(failure_from("no such file\nnot converged", RULES, about="x")) is NotConverged


@pytest.mark.parametrize(
    "line",
    [
        "forrtl: No space left on device",
        "Disk quota exceeded",
        "Cannot allocate memory",
        "  what():  std::bad_alloc",
        "Error: not enough memory",
        "slurmstepd: error: *** CANCELLED AT 10:00 DUE TO TIME LIMIT ***",
        "slurmstepd: error: Detected 1 oom-kill event(s)",
        "mpirun noticed that process rank 1 exited on signal 9 (Killed).",
    ],
)
def test_a_lack_of_resources_is_seen_in_any_code(line):
    assert type(failure_from(f"not converged\n{line}", RULES, about="x")) is OutOfResources


@pytest.mark.parametrize(
    "line",
    [
        "pw.x: error while loading shared libraries: libmpi.so.40: cannot open shared object file",
        "mpirun was unable to find the specified executable file, and therefore",
        "[proxy:0:0@node] HYDU_create_process: execvp error on file pwx (No such file or directory)",
        "mpirun has detected an attempt to run as root.",
        "There are not enough slots available in the system to satisfy the 64",
        "/usr/bin/python3: No module named ase_mlsample",
    ],
)
def test_programs_that_do_not_start_are_a_matter_of_the_setup(line):
    failure = failure_from(f"not converged\n{line}", RULES, about="x", status=1)
    assert type(failure) is SetupFailure
    assert line.rstrip(".") in str(failure)
    assert "Look at command" in str(failure)


def test_signals_have_names_and_silence_is_told():
    assert str(failure_from("", (), about="x", status=139)) == (
        "x: ended with exit status 139 (SIGSEGV). It left no output."
    )
    assert "exit status 255. It" in str(failure_from("", (), about="x", status=255))
    assert "SIGKILL): out of memory, or by a queue. It left" in str(
        failure_from("", (), about="x", status=137)
    )


@pytest.mark.parametrize(
    ("status", "kind"), [(137, OutOfResources), (143, OutOfResources), (139, None), (1, None)]
)
def test_otherwise_the_status_and_the_ending_tell(status, kind):
    failure = failure_from("hello", RULES, about="x", status=status, ending="the end")
    assert type(failure) is (kind or ReferenceFailure)
    assert "the end" in str(failure)
