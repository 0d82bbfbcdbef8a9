import errno
import pickle
from concurrent.futures.process import BrokenProcessPool

import pytest

from ase_mlsample.references.failures import (
    KINDS,
    GeometryFailure,
    NotConverged,
    OutOfResources,
    ReferenceFailure,
    SetupFailure,
    classify,
)

CLASSES = {
    "geometry": GeometryFailure,
    "convergence": NotConverged,
    "resource": OutOfResources,
    "setup": SetupFailure,
    "unknown": ReferenceFailure,
}


class TaskTimeoutError(Exception):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_failures_know_their_kind_and_can_be_sent(kind):
    failure = pickle.loads(pickle.dumps(CLASSES[kind]("why, and what to do")))  # noqa: S301
    assert failure.kind == kind
    assert classify(failure) == kind
    assert isinstance(failure, RuntimeError)
    assert str(failure) == "why, and what to do"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "resource"),
        (TimeoutError(), "resource"),
        (TaskTimeoutError("limit"), "resource"),
        (BrokenProcessPool(), "resource"),
        (OSError(errno.ENOSPC, "No space left on device"), "resource"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "resource"),
        (ImportError("gpaw"), "setup"),
        (FileNotFoundError(errno.ENOENT, "pw.x"), "setup"),
        (PermissionError(errno.EACCES, "pw.x"), "setup"),
        (OSError(errno.EIO, "I/O"), "unknown"),
        (ValueError("could not convert string to float: 'force'"), "unknown"),
        (KeyError("energy"), "unknown"),
    ],
)
def test_other_exceptions(error, kind):
    assert classify(error) == kind


def test_an_unknown_error_is_asked_for_its_cause():
    error = ValueError("wrapped")
    error.__cause__ = NotConverged("not")
    assert classify(error) == "convergence"
    error.__cause__ = error
    assert classify(error) == "unknown"
